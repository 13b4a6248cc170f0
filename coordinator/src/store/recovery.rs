//! What a start finds: the newest snapshot, the journal behind it, what had to be cut off, and whether anything that
//! was confirmed is missing.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rushes_shared::id::Seq;

use super::contained::contained;
use super::disk::{Disk, Room};
use super::error::StoreError;
use super::group::Mark;
use super::journal;
use super::side::Note;
use super::snapshot::{self, BATCH, Manifest};

/// Whether the journal holds everything that was ever confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Yes.
    Nothing,
    /// Yes; a commit that had begun and was not confirmed is gone. An ordinary end of a crash.
    Unconfirmed {
        /// The first record of it.
        from: Seq,
        /// The last.
        to: Seq,
    },
    /// No: these were confirmed and are lost.
    Confirmed {
        /// The first lost record.
        from: Seq,
        /// The last one that is known to have been confirmed.
        to: Seq,
        /// In how many groups they were.
        groups: u64,
        /// How many bytes these had.
        bytes: u64,
    },
    /// It cannot be told: the file `confirmed` is gone or unreadable.
    Unknown,
}

/// What a start found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records of the snapshot.
    pub snapshot_records: u64,
    /// The last record that the snapshot covers; 0 without one.
    pub snapshot_covers: Seq,
    /// Groups read behind it.
    pub journal_groups: u64,
    /// Records of these.
    pub journal_records: u64,
    /// The last record.
    pub tail: Seq,
    /// Groups that were torn or corrupt, or lay behind such a one, and were cut off.
    pub cut_groups: u64,
    /// Their bytes, as far as they were there.
    pub cut_bytes: u64,
    /// Whether anything that was confirmed is missing.
    pub missing: Missing,
    /// Documents of the archive whose group did not survive.
    pub documents_taken_back: u64,
}

impl Report {
    /// Whether an operator must know.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut_groups == 0 && matches!(self.missing, Missing::Nothing)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal read up to record {}", self.tail.0)?;
        if self.cut_groups > 0 || self.cut_bytes > 0 {
            let (groups, bytes) = (self.cut_groups, self.cut_bytes);
            write!(f, "; cut off a torn or corrupt end of {groups} groups, {bytes} bytes")?;
        }
        match self.missing {
            Missing::Nothing => write!(f, "; nothing that was confirmed is missing"),
            Missing::Unconfirmed { from, to } => write!(
                f,
                "; records {} to {} were being written and had not been confirmed; nothing that was confirmed is missing",
                from.0, to.0
            ),
            Missing::Confirmed { from, to, groups, bytes } => write!(
                f,
                "; CONFIRMED RECORDS {} TO {} ARE MISSING ({groups} groups, {bytes} bytes): the disk lost or damaged them; restore a backup to get them back",
                from.0, to.0
            ),
            Missing::Unknown => write!(
                f,
                "; it cannot be told whether anything confirmed is missing, because the file 'confirmed' is gone or unreadable"
            ),
        }
    }
}

/// Where a replayed record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Folded: it stands for many records up to its number.
    Snapshot,
    /// As it was appended.
    Journal,
}

/// A record of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Its number; for a folded one the last number that the snapshot covers.
    pub seq: Seq,
    /// Where it comes from.
    pub origin: Origin,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The past of a store, ready to be read. Read it before [`super::Store::start`]: a running store removes what a newer
/// snapshot covers.
#[derive(Debug)]
pub struct Recovery {
    /// What was found.
    pub report: Report,
    pub(super) disk: Arc<Disk>,
    pub(super) manifest: Manifest,
    pub(super) tail: Mark,
}

impl Recovery {
    /// The snapshot's records, then the journal's, in order, read as they are asked for.
    pub fn records(&self) -> impl Iterator<Item = Result<Replayed, StoreError>> + Send + use<> {
        records(&self.disk, self.manifest, self.tail.seq)
    }
}

/// The records of a snapshot and of the journal behind it up to `until`.
pub(super) fn records(
    disk: &Arc<Disk>,
    manifest: Manifest,
    until: Seq,
) -> impl Iterator<Item = Result<Replayed, StoreError>> + Send + use<> {
    let covers = manifest.covers.seq;
    let folded = snapshot::read(disk, manifest).flat_map(move |block| {
        let (records, failed) = match block {
            Ok(records) => (records, None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        let origin = Origin::Snapshot;
        records.into_iter().map(move |bytes| Ok(Replayed { seq: covers, origin, bytes })).chain(failed)
    });
    let dir = disk.dir.clone();
    let mut groups = journal::read(disk, manifest.covers, until);
    let mut ended = false;
    let journal = std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let next = groups.next();
        if next.is_none() {
            ended = true;
            if groups.tail().seq < until {
                let detail =
                    format!("it ends at record {} and should reach {}", groups.tail().seq.0, until.0);
                return Some(Err(StoreError::Damaged { dir: dir.clone(), part: "journal", detail }));
            }
        }
        next
    })
    .flat_map(|group| {
        let (group, failed) = match group {
            Ok((group, _)) => (Some(group), None),
            Err(error) => (None, Some(Err(error))),
        };
        let numbered = group.into_iter().flat_map(|group| {
            let first = group.first.0;
            group.records.into_iter().zip(first..).map(|(bytes, seq)| {
                let origin = Origin::Journal;
                Ok(Replayed { seq: Seq(seq), origin, bytes })
            })
        });
        numbered.chain(failed)
    });
    folded.chain(journal)
}

/// Reads everything once, cuts off what is torn, and compares with what was confirmed.
pub(super) fn inspect(dir: &Path, disk: &Arc<Disk>, note: Option<Note>) -> Result<Recovery, StoreError> {
    contained(dir, "log", || inspect_pages(disk, note))
}

fn inspect_pages(disk: &Arc<Disk>, note: Option<Note>) -> Result<Recovery, StoreError> {
    let manifest = snapshot::current(disk)?;
    let mut snapshot_records = 0;
    for block in snapshot::read(disk, manifest) {
        snapshot_records += block?.len() as u64;
    }
    let mut groups = journal::read(disk, manifest.covers, Seq(u64::MAX));
    let (mut journal_groups, mut journal_records) = (0, 0);
    for group in groups.by_ref() {
        journal_groups += 1;
        journal_records += group?.0.records.len() as u64;
    }
    let tail = groups.tail();
    let (mut cut_groups, mut cut_bytes) = (0, 0);
    if groups.torn().is_some() {
        // A last group of which nothing but later pieces is left has no first piece to be counted by.
        cut_groups = u64::from(disk.get(Room::Journal, &first_key(tail))?.is_none());
        let mut more = true;
        while more {
            let removed = journal::remove(disk, tail.seq.next(), None, BATCH)?;
            cut_groups += removed.groups;
            cut_bytes += removed.bytes;
            more = removed.more;
        }
    }
    let report = Report {
        snapshot_records,
        snapshot_covers: manifest.covers.seq,
        journal_groups,
        journal_records,
        tail: tail.seq,
        cut_groups,
        cut_bytes,
        missing: missing(tail, note),
        documents_taken_back: 0,
    };
    Ok(Recovery { report, disk: Arc::clone(disk), manifest, tail })
}

fn first_key(tail: Mark) -> Vec<u8> {
    super::parcel::key(&tail.seq.next().0.to_be_bytes(), 0)
}

fn missing(tail: Mark, note: Option<Note>) -> Missing {
    let Some(note) = note else { return Missing::Unknown };
    let from = tail.seq.next();
    if tail.seq < note.confirmed.seq {
        let groups = note.confirmed.groups.saturating_sub(tail.groups);
        let bytes = note.confirmed.bytes.saturating_sub(tail.bytes);
        Missing::Confirmed { from, to: note.confirmed.seq, groups, bytes }
    } else if tail.seq < note.committing.seq {
        Missing::Unconfirmed { from, to: note.committing.seq }
    } else {
        Missing::Nothing
    }
}

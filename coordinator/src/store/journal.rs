//! The journal: groups of records under the number of their first, one parcel a commit.

use rushes_shared::id::{Epoch, Seq};

use super::disk::{Disk, Room, Writer};
use super::error::StoreError;
use super::group::{Group, Mark};
use super::parcel::{self, Parcels};

fn prefix(first: Seq) -> [u8; 8] {
    first.0.to_be_bytes()
}

/// A group as it will be written.
pub(super) struct Sealed {
    first: Seq,
    bytes: Vec<u8>,
    /// Where the journal ends then.
    pub(super) mark: Mark,
}

/// Makes a group that continues the journal at `tail`.
pub(super) fn seal(epoch: Epoch, tail: Mark, records: Vec<Vec<u8>>) -> Result<Sealed, StoreError> {
    let group = Group {
        epoch,
        first: tail.seq.next(),
        groups_before: tail.groups,
        bytes_before: tail.bytes,
        records,
    };
    let bytes = group.encode();
    if bytes.len() > parcel::LIMIT {
        return Err(StoreError::TooLarge {
            what: "group of records",
            size: bytes.len(),
            limit: parcel::LIMIT,
        });
    }
    Ok(Sealed { first: group.first, mark: group.mark(bytes.len()), bytes })
}

/// Writes a group, not yet durable.
pub(super) fn append(writer: &mut Writer<'_>, sealed: &Sealed) -> Result<(), StoreError> {
    for (key, piece) in parcel::pieces(&prefix(sealed.first), &sealed.bytes) {
        writer.insert(Room::Journal, &key, &piece)?;
    }
    Ok(())
}

/// A group that continues the journal, and where the journal is behind it.
pub(super) type Read = (Group, Mark);

/// What stands in the journal where the next group should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Torn {
    /// The first key's record number.
    pub(super) from: Seq,
}

/// Whole groups in order behind `tail`, up to `until`. Ends at the first that is missing, torn or out of order.
pub(super) struct Groups<I: Iterator> {
    parcels: Parcels<I>,
    tail: Mark,
    until: Seq,
    torn: Option<Torn>,
    ended: bool,
}

/// Opens the journal for reading.
pub(super) fn read(
    disk: &Disk,
    tail: Mark,
    until: Seq,
) -> Groups<impl Iterator<Item = Result<super::disk::Pair, StoreError>> + Send + use<>> {
    let pairs = disk.range(Room::Journal, &prefix(tail.seq.next()), None);
    Groups { parcels: Parcels::new(pairs), tail, until, torn: None, ended: false }
}

impl<I: Iterator> Groups<I> {
    /// Where the journal is behind the groups read so far.
    pub(super) fn tail(&self) -> Mark {
        self.tail
    }

    /// What ended the reading, if it was not the end of the journal.
    pub(super) fn torn(&self) -> Option<Torn> {
        self.torn
    }
}

impl<I: Iterator<Item = Result<super::disk::Pair, StoreError>>> Iterator for Groups<I> {
    type Item = Result<Read, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.tail.seq >= self.until {
            return None;
        }
        let found = match self.parcels.next()? {
            Ok(found) => found,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        let from = found.prefix.as_slice().try_into().map_or(Seq(0), |bytes| Seq(u64::from_be_bytes(bytes)));
        let group = found.content.as_deref().and_then(|bytes| Some((Group::decode(bytes)?, bytes.len())));
        match group {
            Some((group, size)) if from == group.first && group.first == self.tail.seq.next() => {
                self.tail = group.mark(size);
                Some(Ok((group, self.tail)))
            }
            _ => {
                self.ended = true;
                self.torn = Some(Torn { from });
                None
            }
        }
    }
}

/// What [`remove`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Groups, whole or in part.
    pub(super) groups: u64,
    /// Bytes of their values.
    pub(super) bytes: u64,
    /// Whether more are left.
    pub(super) more: bool,
}

/// Removes groups whose first record is in `from..to`, at most `limit` pieces, durably.
///
/// A power cut in the middle leaves a torn first group: below a snapshot, where nobody reads, or at the end of the
/// journal, where the next start cuts off the rest.
pub(super) fn remove(disk: &Disk, from: Seq, to: Option<Seq>, limit: usize) -> Result<Removed, StoreError> {
    let upper = to.map(prefix);
    let mut removed = Removed::default();
    let mut keys = Vec::new();
    for pair in disk.range(Room::Journal, &prefix(from), upper.as_ref().map(<[u8; 8]>::as_slice)) {
        let (key, value) = pair?;
        if keys.len() == limit {
            removed.more = true;
            break;
        }
        removed.groups += u64::from(key.ends_with(&[0; 4]));
        removed.bytes += value.len() as u64;
        keys.push(key);
    }
    if !keys.is_empty() {
        let mut writer = disk.writer()?;
        for key in keys {
            writer.remove(Room::Journal, &key)?;
        }
        writer.sync()?;
    }
    Ok(removed)
}

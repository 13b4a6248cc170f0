//! The load that the child puts on the store, and what must be left of it after a power cut.
//!
//! Everything that is stored follows from its number, so that whoever knows which numbers were acknowledged can check
//! each byte.

use std::collections::BTreeMap;
use std::path::Path;

use rushes_coordinator::store::{ArchiveDoc, FoldError, Folded, Missing, Origin, Store, StoreOptions};
use rushes_shared::id::Seq;
use rushes_shared::units::Bytes;

use crate::oplog::{Note, Op};
use crate::random::Random;

const RECORD: u8 = b'r';
const SUMMARY: u8 = b's';
/// Records kept as they are in a snapshot.
const KEPT: usize = 300;

/// Options that make snapshots frequent.
#[must_use]
pub fn options() -> StoreOptions {
    StoreOptions {
        snapshot_records: 120,
        snapshot_bytes: 1 << 20,
        free_space_watermark: Bytes(0),
        queue_batches: 64,
        ..StoreOptions::default()
    }
}

fn filler(seed: u64, length: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.draw().to_le_bytes()[0]).collect()
}

/// The record of this number: mostly small, some larger than a page.
#[must_use]
pub fn record(seq: u64) -> Vec<u8> {
    let mut random = Random::new(seq);
    let length = match random.below(40) {
        0 => 4000 + random.below(9000),
        1..=4 => 800 + random.below(1500),
        _ => random.below(260),
    };
    let mut out = vec![RECORD];
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend(filler(seq ^ 0x5EED, length));
    out
}

/// Whether a record ends a job, and the job's document.
#[must_use]
pub fn document(seq: u64) -> Option<Vec<u8>> {
    let mut random = Random::new(seq ^ 0xD0C);
    let length = if random.one_in(9) { 5000 } else { 300 };
    seq.is_multiple_of(5).then(|| filler(seq ^ 0xD0C5, 1 + random.below(length)))
}

fn seq_of(record: &[u8]) -> Result<u64, String> {
    let bytes = record.get(1..9).and_then(|b| b.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or_else(|| "a record is too short".to_owned())
}

/// A number that depends on every record up to one, and on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Chain {
    upto: u64,
    hash: u64,
}

impl Chain {
    fn push(&mut self, record: &[u8]) -> Result<(), String> {
        let seq = seq_of(record)?;
        if seq != self.upto + 1 {
            return Err(format!("record {seq} follows record {}", self.upto));
        }
        self.upto = seq;
        self.hash = Random::new(self.hash ^ u64::from(crc32fast::hash(record))).draw();
        Ok(())
    }
}

/// What a replay of the records amounts to.
#[derive(Debug, Default)]
struct State {
    chain: Chain,
    kept: Vec<Vec<u8>>,
}

impl State {
    fn apply(&mut self, record: Vec<u8>, folded: bool) -> Result<(), String> {
        match record.first() {
            Some(&SUMMARY) => {
                let hash =
                    record.get(9..17).and_then(|b| b.try_into().ok()).ok_or("a summary is too short")?;
                self.chain = Chain { upto: seq_of(&record)?, hash: u64::from_le_bytes(hash) };
                Ok(())
            }
            Some(&RECORD) if folded => {
                self.kept.push(record);
                Ok(())
            }
            Some(&RECORD) => {
                self.chain.push(&record)?;
                if self.chain.upto.is_multiple_of(3) {
                    self.kept.push(record);
                    let surplus = self.kept.len().saturating_sub(KEPT);
                    self.kept.drain(..surplus);
                }
                Ok(())
            }
            _ => Err("an empty record".to_owned()),
        }
    }
}

/// The fold of the child's snapshots: a summary first, then some records as they were.
///
/// # Errors
/// For records that the child did not write, or in another order.
pub fn fold(past: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Folded, FoldError> {
    let mut state = State::default();
    for record in past {
        let folded =
            record.get(1..9).is_some() && record[0] == RECORD && seq_of(&record)? <= state.chain.upto;
        state.apply(record, folded)?;
    }
    let mut summary = vec![SUMMARY];
    summary.extend_from_slice(&state.chain.upto.to_le_bytes());
    summary.extend_from_slice(&state.chain.hash.to_le_bytes());
    let mut out = vec![summary];
    out.append(&mut state.kept);
    Ok(out.into())
}

/// What was acknowledged up to a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    /// Every record up to this one.
    pub confirmed: u64,
    /// The epoch.
    pub epoch: u64,
    /// Keys with the value that was set last, and the one that was begun last.
    pub keys: BTreeMap<u64, (u64, u64)>,
    /// Archived documents below this may be gone.
    pub retiring: u64,
}

impl Promises {
    /// Adds what an entry of the log promises.
    pub fn note(&mut self, op: &Op) {
        let Op::Note(note) = op else { return };
        match *note {
            Note::Confirmed(seq) => self.confirmed = seq,
            Note::Epoch(epoch) => self.epoch = epoch,
            Note::KeyBegun { key, value } => self.keys.entry(key).or_default().1 = value,
            Note::KeySet { key, value } => self.keys.entry(key).or_default().0 = value,
            Note::Retiring(before) => self.retiring = self.retiring.max(before),
            Note::Snapshot(_) => {}
        }
    }
}

/// What was found where nothing was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The last record.
    pub tail: u64,
    /// Groups that were cut off.
    pub cut: u64,
}

/// Opens the store in `dir` and checks that every promise is kept, and that nothing is there twice or made up.
///
/// # Errors
/// What is broken.
pub fn check(dir: &Path, promises: &Promises) -> Result<Seen, String> {
    let (mut store, recovery) =
        Store::open(dir, options()).map_err(|error| format!("the store does not open: {error}"))?;
    let report = recovery.report.clone();
    if matches!(report.missing, Missing::Confirmed { .. } | Missing::Unknown) {
        return Err(format!("the store says: {report}"));
    }
    let mut state = State::default();
    for replayed in recovery.records() {
        let replayed = replayed.map_err(|error| format!("a record cannot be read: {error}"))?;
        if replayed.bytes.first() == Some(&RECORD) && replayed.bytes != record(seq_of(&replayed.bytes)?) {
            return Err(format!("record {} is not what was written", seq_of(&replayed.bytes)?));
        }
        state.apply(replayed.bytes, replayed.origin == Origin::Snapshot)?;
    }
    let mut expected = Chain::default();
    for seq in 1..=state.chain.upto {
        expected.push(&record(seq))?;
    }
    let tail = report.tail.0;
    if state.chain != expected || tail != state.chain.upto {
        return Err(format!("the past up to record {tail} is not what was written"));
    }
    if tail < promises.confirmed {
        return Err(format!("record {} was confirmed, the store ends at {tail}", promises.confirmed));
    }
    if store.epoch().0 < promises.epoch {
        return Err(format!("epoch {} was begun, the store has {}", promises.epoch, store.epoch().0));
    }
    check_archive(&store, tail, promises)?;
    for (key, (set, begun)) in &promises.keys {
        let value = store.reader().key(&format!("k{key}")).map_err(|error| error.to_string())?;
        let value = value.map_or(Ok(0), |v| v.as_slice().try_into().map(u64::from_le_bytes));
        let value = value.map_err(|_| format!("key {key} is mangled"))?;
        if value < *set || value > *begun {
            return Err(format!("key {key} was set to {set} and perhaps to {begun}, the store has {value}"));
        }
    }
    // It goes on from here, and what it adds is there.
    let epoch = store.begin_epoch().map_err(|error| error.to_string())?;
    let archive = document(tail + 1).map(|doc| ArchiveDoc { key: u128::from(tail + 1), doc });
    let appended = store.append(epoch, Seq(tail), vec![record(tail + 1)], archive.into_iter().collect());
    appended.map_err(|error| format!("the store does not go on: {error}"))?;
    Ok(Seen { tail, cut: report.cut_groups })
}

fn check_archive(store: &Store, tail: u64, promises: &Promises) -> Result<(), String> {
    let reader = store.reader();
    let docs = reader.archived_before(None, usize::MAX).map_err(|error| error.to_string())?;
    let count = reader.archived_count().map_err(|error| error.to_string())?;
    if count != docs.len() as u64 {
        return Err(format!("the archive says {count} documents and has {}", docs.len()));
    }
    let mut there = BTreeMap::new();
    for doc in docs {
        let key = u64::try_from(doc.key).map_err(|_| "a key that nobody wrote")?;
        if key > tail {
            return Err(format!("the document of record {key} is there, the journal ends at {tail}"));
        }
        if document(key).as_ref() != Some(&doc.doc) {
            return Err(format!("the document of record {key} is not what was written"));
        }
        there.insert(key, ());
    }
    for seq in promises.retiring.max(1)..=tail {
        if document(seq).is_some() && !there.contains_key(&seq) {
            return Err(format!("the document of record {seq} is missing"));
        }
    }
    Ok(())
}

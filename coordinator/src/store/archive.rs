//! The archive: one document for each job that has ended, under its 128-bit key, oldest first.
//!
//! A document is written in front of the group that ends its job, in the same log, so that a group that survived has
//! its documents. The other way round, a document may survive whose group did not: an *intent* in front of both names
//! the keys, and the next start takes such documents back. The intent also carries the number of documents, and
//! finishes a removal that was cut off.

use rushes_shared::id::Seq;

use super::disk::{Disk, Room, Writer};
use super::error::StoreError;
use super::group::Reader;
use super::parcel::{self, Parcels};

const INTENT: &[u8] = b"archive";

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveDoc {
    /// Its key; keys sort by age.
    pub key: u128,
    /// Its bytes.
    pub doc: Vec<u8>,
}

/// What is about to be done to the archive, and how many documents there are then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Intent {
    /// The last record of the group that must survive for the documents to count; 0 for a removal.
    seq: u64,
    /// Documents when it is done.
    count: u64,
    /// Keys that are new, or that go.
    keys: Vec<u128>,
}

impl Intent {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        for key in &self.keys {
            out.extend_from_slice(&key.to_be_bytes());
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u8()? != 1 {
            return None;
        }
        let (seq, count) = (reader.u64()?, reader.u64()?);
        let (keys, rest) = reader.0.as_chunks::<16>();
        rest.is_empty().then(|| Self {
            seq,
            count,
            keys: keys.iter().map(|k| u128::from_be_bytes(*k)).collect(),
        })
    }

    /// Intents of many keys are parcels, so that no piece is too long.
    fn write(&self, writer: &mut Writer<'_>) -> Result<(), StoreError> {
        for (key, piece) in parcel::pieces(INTENT, &self.to_bytes()) {
            writer.insert(Room::Meta, &key, &piece)?;
        }
        Ok(())
    }
}

/// Documents and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Archive {
    count: u64,
}

fn read_intent(disk: &Disk) -> Result<Option<Intent>, StoreError> {
    // A shorter intent leaves the last pieces of a longer one behind it; the length in its head says where it ends.
    let Some(first) = disk.get(Room::Meta, &parcel::key(INTENT, 0))? else { return Ok(None) };
    let pieces = parcel::stated_length(&first).map_or(0, parcel::count);
    let end = parcel::key(INTENT, pieces);
    let found =
        Parcels::new(disk.range(Room::Meta, &parcel::key(INTENT, 0), Some(&end))).next().transpose()?;
    let intent = found.and_then(|found| Intent::from_bytes(&found.content?));
    // A torn intent is the last thing in the log: nothing was done under it, and the one before is done with.
    Ok(intent)
}

impl Archive {
    /// Settles what the last intent left open, given the journal's last record.
    pub(super) fn open(disk: &Disk, tail: Seq) -> Result<(Self, u64), StoreError> {
        let Some(intent) = read_intent(disk)? else {
            let mut count = 0;
            for pair in disk.range(Room::Archive, &[], None) {
                count += u64::from(pair?.0.ends_with(&[0; 4]));
            }
            return Ok((Self { count }, 0));
        };
        if intent.seq != 0 && intent.seq <= tail.0 {
            return Ok((Self { count: intent.count }, 0));
        }
        let mut writer = disk.writer()?;
        let mut taken_back = 0;
        for key in &intent.keys {
            taken_back += u64::from(remove(disk, &mut writer, *key)?);
        }
        let count = if intent.seq == 0 { intent.count } else { intent.count - intent.keys.len() as u64 };
        Intent { seq: 0, count, keys: Vec::new() }.write(&mut writer)?;
        writer.sync()?;
        Ok((Self { count }, if intent.seq == 0 { 0 } else { taken_back }))
    }

    /// Writes documents, not yet durable, in front of the group that ends with `seq`.
    pub(super) fn put(
        &mut self,
        disk: &Disk,
        writer: &mut Writer<'_>,
        seq: Seq,
        docs: &[ArchiveDoc],
    ) -> Result<(), StoreError> {
        if docs.is_empty() {
            return Ok(());
        }
        let mut new = std::collections::BTreeSet::new();
        for doc in docs {
            if disk.get(Room::Archive, &parcel::key(&doc.key.to_be_bytes(), 0))?.is_none() {
                new.insert(doc.key);
            }
        }
        self.count += new.len() as u64;
        Intent { seq: seq.0, count: self.count, keys: new.iter().copied().collect() }.write(writer)?;
        for doc in docs {
            if !new.remove(&doc.key) {
                remove(disk, writer, doc.key)?;
            }
            let mut content = seq.0.to_le_bytes().to_vec();
            content.extend_from_slice(&doc.doc);
            for (key, piece) in parcel::pieces(&doc.key.to_be_bytes(), &content) {
                writer.insert(Room::Archive, &key, &piece)?;
            }
        }
        Ok(())
    }

    /// Removes the oldest documents below `before`, at most `limit`, durably; how many.
    pub(super) fn remove_oldest(
        &mut self,
        disk: &Disk,
        before: u128,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let mut writer = disk.writer()?;
        let mut keys = Vec::new();
        let mut from = 0_u128;
        while keys.len() < limit {
            let pair = disk.range(Room::Archive, &from.to_be_bytes(), Some(&before.to_be_bytes())).next();
            let Some(key) = pair.transpose()?.and_then(|(key, _)| key_of(&key)) else { break };
            keys.push(key);
            match key.checked_add(1) {
                Some(next) => from = next,
                None => break,
            }
        }
        if keys.is_empty() {
            return Ok(0);
        }
        self.count = self.count.saturating_sub(keys.len() as u64);
        Intent { seq: 0, count: self.count, keys: keys.clone() }.write(&mut writer)?;
        for key in &keys {
            remove(disk, &mut writer, *key)?;
        }
        writer.sync()?;
        Ok(keys.len() as u64)
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

fn key_of(key: &[u8]) -> Option<u128> {
    key.get(..16)?.try_into().ok().map(u128::from_be_bytes)
}

/// Removes a document from its last piece to its first, so that it counts as there until it is gone.
fn remove(disk: &Disk, writer: &mut Writer<'_>, key: u128) -> Result<bool, StoreError> {
    let prefix = key.to_be_bytes();
    let end = parcel::key(&prefix, u32::MAX);
    let mut keys = Vec::new();
    for pair in disk.range(Room::Archive, &prefix, Some(&end)) {
        keys.push(pair?.0);
    }
    for key in keys.iter().rev() {
        writer.remove(Room::Archive, key)?;
    }
    Ok(!keys.is_empty())
}

/// A document with the record that it belongs to.
pub(super) fn get(disk: &Disk, key: u128) -> Result<Option<(Seq, Vec<u8>)>, StoreError> {
    let prefix = key.to_be_bytes();
    let end = parcel::key(&prefix, u32::MAX);
    let found = Parcels::new(disk.range(Room::Archive, &prefix, Some(&end))).next().transpose()?;
    // Incomplete: it is just being written or removed.
    let Some(content) = found.and_then(|found| found.content) else { return Ok(None) };
    let Some((seq, doc)) = content.split_at_checked(8) else { return Ok(None) };
    let seq = seq.try_into().map_or(0, u64::from_le_bytes);
    Ok(Some((Seq(seq), doc.to_vec())))
}

/// Documents with a key below `before` (all, when `None`), newest first, at most `limit`.
pub(super) fn newest(disk: &Disk, before: Option<u128>, limit: usize) -> Result<Vec<ArchiveDoc>, StoreError> {
    let mut docs = Vec::new();
    let mut cursor = before;
    while docs.len() < limit {
        let pair = match cursor {
            Some(key) => disk.below(Room::Archive, &key.to_be_bytes())?,
            None => disk.last(Room::Archive)?,
        };
        let Some(key) = pair.and_then(|(key, _)| key_of(&key)) else { break };
        if let Some((_, doc)) = get(disk, key)? {
            docs.push(ArchiveDoc { key, doc });
        }
        cursor = Some(key);
    }
    Ok(docs)
}

/// Documents with a key of `from` or above, oldest first, at most `limit`, with their records.
pub(super) fn oldest(disk: &Disk, from: u128, limit: usize) -> Result<Vec<(Seq, ArchiveDoc)>, StoreError> {
    let mut docs = Vec::new();
    let pairs = disk.range(Room::Archive, &from.to_be_bytes(), None);
    for found in Parcels::new(pairs) {
        if docs.len() == limit {
            break;
        }
        let found = found?;
        let Some(key) = found.prefix.as_slice().try_into().ok().map(u128::from_be_bytes) else { continue };
        if let Some((seq, doc)) = found.content.as_deref().and_then(|content| content.split_at_checked(8)) {
            let seq = Seq(seq.try_into().map_or(0, u64::from_le_bytes));
            docs.push((seq, ArchiveDoc { key, doc: doc.to_vec() }));
        }
    }
    Ok(docs)
}

//! The bytes of a group of records: what one commit adds to the journal, and what a block of a snapshot holds.

use rushes_shared::id::{Epoch, Seq};

/// Version of the layout below.
const VERSION: u8 = 1;

/// How far a journal has come: its last record, and how many groups and bytes of them were ever committed.
///
/// The counts let a start name how much is missing even where nothing of it is left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The last record.
    pub seq: Seq,
    /// Groups since the store was made.
    pub groups: u64,
    /// Bytes of these groups.
    pub bytes: u64,
}

impl Mark {
    pub(super) const SIZE: usize = 24;

    pub(super) fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut out = [0; Self::SIZE];
        out[..8].copy_from_slice(&self.seq.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.groups.to_le_bytes());
        out[16..].copy_from_slice(&self.bytes.to_le_bytes());
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let mark = Self { seq: Seq(reader.u64()?), groups: reader.u64()?, bytes: reader.u64()? };
        reader.0.is_empty().then_some(mark)
    }
}

/// Reads numbers and byte strings from the front of a slice.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }
}

/// Appends a byte string behind its length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("callers check the limit");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// A group of records that were committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Who wrote it.
    pub(super) epoch: Epoch,
    /// Number of the first record.
    pub(super) first: Seq,
    /// Groups before this one.
    pub(super) groups_before: u64,
    /// Bytes of these groups.
    pub(super) bytes_before: u64,
    /// The records.
    pub(super) records: Vec<Vec<u8>>,
}

impl Group {
    pub(super) fn encode(&self) -> Vec<u8> {
        let size: usize = self.records.iter().map(|r| r.len() + 4).sum();
        let mut out = Vec::with_capacity(size + 40);
        out.push(VERSION);
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.first.0.to_le_bytes());
        out.extend_from_slice(&self.groups_before.to_le_bytes());
        out.extend_from_slice(&self.bytes_before.to_le_bytes());
        put_records(&mut out, &self.records);
        out
    }

    /// `None` for bytes of another version or with anything missing or left over.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return None;
        }
        Some(Self {
            epoch: Epoch(reader.u64()?),
            first: Seq(reader.u64()?),
            groups_before: reader.u64()?,
            bytes_before: reader.u64()?,
            records: records(reader)?,
        })
    }

    /// Where the journal is behind this group, whose encoding has this length.
    pub(super) fn mark(&self, encoded: usize) -> Mark {
        Mark {
            seq: Seq(self.first.0 - 1 + self.records.len() as u64),
            groups: self.groups_before + 1,
            bytes: self.bytes_before + encoded as u64,
        }
    }
}

/// Appends a count and the records.
fn put_records(out: &mut Vec<u8>, records: &[Vec<u8>]) {
    let count = u32::try_from(records.len()).expect("a group is below the limit of a parcel");
    out.extend_from_slice(&count.to_le_bytes());
    for record in records {
        put_bytes(out, record);
    }
}

fn records(mut reader: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let count = usize::try_from(reader.u32()?).ok()?;
    let mut records = Vec::with_capacity(count.min(reader.0.len() / 4 + 1));
    for _ in 0..count {
        records.push(reader.bytes()?.to_vec());
    }
    reader.0.is_empty().then_some(records)
}

/// A block of a snapshot: records without numbers.
pub(super) fn encode_block(records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_records(&mut out, records);
    out
}

/// The records of a block.
pub(super) fn decode_block(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader(bytes);
    (reader.u8()? == VERSION).then(|| records(reader))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_read_back_and_cut_ones_do_not(
            epoch in any::<u64>(),
            first in 1_u64..u64::MAX / 2,
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let group = Group { epoch: Epoch(epoch), first: Seq(first), groups_before: 3, bytes_before: 9, records };
            let bytes = group.encode();
            prop_assert_eq!(Group::decode(&bytes[..cut.index(bytes.len())]), None);
            prop_assert_eq!(decode_block(&encode_block(&group.records)), Some(group.records.clone()));
            prop_assert_eq!(Group::decode(&bytes), Some(group));
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Group::decode(&bytes);
            let _ = decode_block(&bytes);
            let _ = Mark::from_bytes(&bytes);
        }
    }

    /// Bytes that the first version wrote; they decode for ever.
    #[test]
    fn the_first_version_is_still_read() {
        let golden = include_bytes!("../../../tests/fixtures/store/group-v1.bin");
        let group = Group {
            epoch: Epoch(3),
            first: Seq(41),
            groups_before: 7,
            bytes_before: 1234,
            records: vec![b"one".to_vec(), Vec::new(), b"three".to_vec()],
        };
        assert_eq!(Group::decode(golden), Some(group.clone()));
        assert_eq!(group.encode(), golden, "a new layout needs a new version");
    }
}

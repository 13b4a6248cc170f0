//! Records on their way to the store: those that came together share a batch, up to a size.

use rushes_shared::id::{Epoch, Seq};

use crate::store::{ArchiveDoc, Batch};

/// Records that came together share a batch up to this size, in bytes; one that is larger has a batch of its own.
const SHARED_BATCH: usize = 256 << 10;

/// The batch that the present message fills.
#[derive(Debug)]
pub(super) struct OpenBatch {
    batch: Batch,
    size: usize,
}

impl OpenBatch {
    /// An empty one behind this record.
    pub(super) fn new(epoch: Epoch, expected: Seq) -> Self {
        Self { batch: Batch { epoch, expected, records: Vec::new(), archive: Vec::new() }, size: 0 }
    }

    /// The sequence number of the last record that was entered.
    pub(super) fn sent(&self) -> Seq {
        Seq(self.batch.expected.0 + self.batch.records.len() as u64)
    }

    /// Adds a record, and the job that ended with it: they are on disk together. What was there before is handed out where
    /// it would become too much, as one event may end many jobs.
    pub(super) fn enter(&mut self, record: Vec<u8>, ended: Option<ArchiveDoc>) -> Option<Batch> {
        let size = record.len() + ended.as_ref().map_or(0, |doc| doc.doc.len());
        let full = if self.size + size > SHARED_BATCH { self.close() } else { None };
        self.size += size;
        self.batch.records.push(record);
        self.batch.archive.extend(ended);
        full
    }

    /// Begins a new one; the one before, if it has anything.
    pub(super) fn close(&mut self) -> Option<Batch> {
        let next = Self::new(self.batch.epoch, self.sent());
        let Self { batch, .. } = std::mem::replace(self, next);
        (!batch.records.is_empty()).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three jobs that end at once, each with an archive document of almost the largest size, are three batches that a
    /// store takes, in order and each with its own record.
    #[test]
    fn large_jobs_that_end_at_once_do_not_share_a_batch() {
        let mut open = OpenBatch::new(Epoch(1), Seq(7));
        let doc = |key| Some(ArchiveDoc { key, doc: vec![0; 8 << 20] });
        let mut batches: Vec<Batch> = Vec::new();
        for key in 0..3 {
            batches.extend(open.enter(vec![1; 300], None));
            batches.extend(open.enter(vec![2; 200], doc(key)));
        }
        batches.extend(open.close());
        assert!(open.close().is_none(), "nothing is left");
        let mut expected = Seq(7);
        for batch in &batches {
            assert_eq!(batch.expected, expected);
            expected = Seq(expected.0 + batch.records.len() as u64);
            let size: usize = batch.records.iter().map(Vec::len).sum::<usize>()
                + batch.archive.iter().map(|doc| doc.doc.len()).sum::<usize>();
            assert!(size < 16 << 20, "{size} bytes");
            assert!(batch.archive.is_empty() || batch.records.iter().any(|record| record[0] == 2));
        }
        assert_eq!((expected, open.sent()), (Seq(13), Seq(13)));
        assert_eq!(batches.iter().map(|batch| batch.archive.len()).sum::<usize>(), 3);
    }

    #[test]
    fn small_records_share_one() {
        let mut open = OpenBatch::new(Epoch(1), Seq(0));
        for _ in 0..1_000 {
            assert!(open.enter(vec![0; 100], None).is_none());
        }
        assert_eq!(open.close().map(|batch| batch.records.len()), Some(1_000));
    }
}

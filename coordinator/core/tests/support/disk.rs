//! The store's double: keeps records in the order in which they came, confirms them later, and after a crash has some
//! prefix of those that it had not confirmed.

use std::collections::{BTreeMap, VecDeque};

use rushes_core::event::Effects;
use rushes_core::job::Job;
use rushes_core::record::{self, Record};
use rushes_core::state::State;
use rushes_shared::id::{Epoch, JobId, Seq};

/// What is on its way to the disk: a record, with the job that it ends.
#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    archived: Option<Box<Job>>,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    epoch: u64,
    journal: Vec<Vec<u8>>,
    archive: BTreeMap<JobId, Job>,
    /// The fold over what is confirmed.
    durable: State,
    pending: VecDeque<Entry>,
}

impl Disk {
    /// Takes in what one event led to.
    pub(crate) fn append(&mut self, effects: &Effects) {
        let mut archived = effects.archive.iter().cloned();
        for record in &effects.records {
            let bytes = record::to_bytes(record).expect("a record fits its limit");
            let ends = matches!(record, Record::JobEnded { .. });
            let archived = ends.then(|| archived.next().expect("a job that ended goes to the archive"));
            self.pending.push_back(Entry { bytes, archived });
        }
        assert!(archived.next().is_none(), "only jobs that ended go to the archive");
    }

    /// Confirms the next `count` records, or as many as there are.
    pub(crate) fn confirm(&mut self, count: usize) {
        for entry in self.pending.drain(..count.min(self.pending.len())) {
            let record: Record = record::from_bytes(&entry.bytes).expect("a record reads back");
            let ended = self.durable.apply(&record).expect("a record fits");
            assert_eq!(ended, entry.archived, "replay hands out the job that went to the archive");
            if let Some(job) = entry.archived {
                let before = self.archive.insert(job.id, *job);
                assert!(before.is_none(), "a job ended twice");
            }
            self.journal.push(entry.bytes);
        }
    }

    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn confirmed(&self) -> Seq {
        self.durable.seq
    }

    /// The process dies. Of the records that were not confirmed, the first `written` are on the disk all the same.
    pub(crate) fn crash(&mut self, written: usize) {
        self.confirm(written);
        self.pending.clear();
    }

    /// What a start reads: the next epoch, and the fold over the whole journal.
    pub(crate) fn open(&mut self) -> (Epoch, State) {
        let mut state = State::default();
        for bytes in &self.journal {
            let record: Record = record::from_bytes(bytes).expect("a record reads back");
            state.apply(&record).expect("a record fits");
        }
        assert_eq!(state, self.durable, "replay of the journal gives the state that was lived through");
        self.epoch += 1;
        (Epoch(self.epoch), state)
    }

    pub(crate) fn durable(&self) -> &State {
        &self.durable
    }

    pub(crate) fn archive(&self) -> &BTreeMap<JobId, Job> {
        &self.archive
    }

    /// Whether the job was accepted, on the disk, exactly once.
    pub(crate) fn has(&self, job: JobId) -> bool {
        let (live, ended) = (self.durable.jobs.contains_key(&job), self.archive.contains_key(&job));
        assert!(!(live && ended), "{job} is live and archived");
        live || ended
    }
}

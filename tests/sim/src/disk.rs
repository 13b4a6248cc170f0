//! The store: confirms records some time after they were made, in commits; after a crash it has a prefix of those that
//! it had not confirmed. What is confirmed is folded at once, as the snapshotter does.

use std::collections::{BTreeMap, VecDeque};

use rushes_core::job::Job;
use rushes_core::record::Record;
use rushes_core::state::State;
use rushes_shared::id::{Epoch, JobId, Seq};
use rushes_shared::job::JobState;

use crate::laws::{Law, broken};

/// The store's double.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    epoch: u64,
    /// The fold over what is confirmed.
    durable: State,
    pending: VecDeque<Record>,
    archive: BTreeMap<JobId, JobState>,
}

/// A record that has just become durable, with the job that it ends.
pub(crate) type Written = (Record, Option<Box<Job>>);

impl Disk {
    /// Takes in what one event led to.
    pub(crate) fn append(&mut self, records: Vec<Record>) {
        self.pending.extend(records);
    }

    /// Confirms the next record, if one waits.
    pub(crate) fn confirm_one(&mut self) -> Result<Option<Written>, Law> {
        let Some(record) = self.pending.pop_front() else { return Ok(None) };
        let ended = self.durable.apply(&record).map_err(|misfit| broken!(ReplayEqualsLive, "{misfit}"))?;
        if let Some(job) = &ended {
            let state = job.ended.as_ref().map_or(JobState::Failed, |e| e.state);
            if self.archive.insert(job.id, state).is_some() {
                return Err(broken!(EndsOnce, "{} ended twice", job.id));
            }
        }
        Ok(Some((record, ended)))
    }

    /// How many records wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The process dies; what waited is gone.
    pub(crate) fn crash(&mut self) {
        self.pending.clear();
    }

    /// The last confirmed record.
    pub(crate) fn confirmed(&self) -> Seq {
        self.durable.seq
    }

    /// What a start reads: the next epoch and the state, folded anew from the records of a snapshot.
    pub(crate) fn open(&mut self) -> Result<(Epoch, State), Law> {
        let mut state = State::default();
        for record in self.durable.compact() {
            state.apply(&record).map_err(|misfit| broken!(ReplayEqualsLive, "{misfit}"))?;
        }
        state.seq = self.durable.seq;
        if state != self.durable {
            return Err(broken!(ReplayEqualsLive, "the fold over a snapshot is not the state"));
        }
        self.epoch += 1;
        Ok((Epoch(self.epoch), state))
    }

    /// Whether the fold over the records is this state. Asked for when every record is confirmed, so that nothing has to
    /// be copied.
    pub(crate) fn is_folded_to(&self, live: &State) -> Result<(), Law> {
        if self.pending.is_empty() && self.durable == *live {
            Ok(())
        } else {
            Err(broken!(ReplayEqualsLive, "the fold over the records is not the live state"))
        }
    }

    pub(crate) fn durable(&self) -> &State {
        &self.durable
    }

    /// Whether the job is on the disk, live or ended.
    pub(crate) fn has(&self, job: JobId) -> bool {
        self.durable.jobs.contains_key(&job) || self.archive.contains_key(&job)
    }
}

//! The durable state and the only place that changes it: [`State::apply`], live and on replay.

use std::collections::BTreeMap;

use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::{Epoch, JobId, Seq, TaskId, TenantId, WorkerId};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use crate::job::{Ended, Failed, Job, Published, Success, Task};
use crate::record::{IdempotencyKey, Record, Verdict};

/// An idempotency key that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKey {
    /// Whose.
    pub tenant: TenantId,
    /// What the client sent.
    pub key: IdempotencyKey,
    /// The job that it made.
    pub job: JobId,
    /// When.
    pub at: WallMs,
}

/// A worker that has connected before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownWorker {
    /// Its id.
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// Whether a restart should wait for it to re-attach.
    pub expected: bool,
    /// Whether an operator drains it.
    pub draining: bool,
    /// When it last connected or went.
    pub at: WallMs,
}

/// A record that does not fit the state: the journal is not this program's, or it is damaged in a way that no checksum saw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It speaks of a job that is not live.
    #[error(
        "record {0:?} speaks of {1}, which is not a live job; restore a backup, or report this with an export of the journal"
    )]
    NoJob(Seq, JobId),
    /// It speaks of a task that its job does not have.
    #[error(
        "record {0:?} speaks of {1}, which its job does not have; restore a backup, or report this with an export of the journal"
    )]
    NoTask(Seq, TaskId),
    /// An epoch that does not rise.
    #[error(
        "record {0:?} begins {1:?}, but {2:?} was there before; two coordinators may have written one journal"
    )]
    Epoch(Seq, Epoch, Epoch),
}

/// Everything that survives a restart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The reign.
    pub epoch: Epoch,
    /// The last record that was applied.
    pub seq: Seq,
    /// Jobs that have not ended.
    pub jobs: BTreeMap<JobId, Job>,
    /// Idempotency keys in use, by tenant and key.
    pub keys: BTreeMap<(TenantId, String), KeptKey>,
    /// Workers that have connected before.
    pub workers: BTreeMap<WorkerId, KnownWorker>,
}

impl State {
    /// Applies the next record. A job that it ends is handed out: it leaves the live state for the archive.
    ///
    /// # Errors
    /// [`Misfit`] where the record does not fit; the state is as before, except that nothing may be applied after it.
    pub fn apply(&mut self, record: &Record) -> Result<Option<Job>, Misfit> {
        let seq = self.seq.next();
        let ended = self.change(seq, record)?;
        self.seq = seq;
        Ok(ended)
    }

    fn change(&mut self, seq: Seq, record: &Record) -> Result<Option<Job>, Misfit> {
        match record {
            Record::EpochBegan { epoch, .. } => {
                if *epoch <= self.epoch {
                    return Err(Misfit::Epoch(seq, *epoch, self.epoch));
                }
                self.epoch = *epoch;
            }
            Record::JobAccepted { job, tenant, submitter, spec, key, at } => {
                if let Some(key) = key {
                    let kept = KeptKey { tenant: tenant.clone(), key: key.clone(), job: *job, at: *at };
                    self.keys.insert((tenant.clone(), key.key.clone()), kept);
                }
                let accepted = Job {
                    id: *job,
                    tenant: tenant.clone(),
                    submitter: submitter.clone(),
                    spec: spec.clone(),
                    accepted_at: *at,
                    tasks: Vec::new(),
                    published: Vec::new(),
                    ended: None,
                };
                self.jobs.insert(*job, accepted);
            }
            Record::TasksPlanned { job, tasks } => {
                self.job(seq, *job)?.tasks.extend(tasks.iter().cloned().map(Task::new));
            }
            Record::AttemptFailed { task, attempt, worker, failure, verdict, at, .. } => {
                let entry = self.task(seq, *task)?;
                entry.failures += 1;
                if brings_down_node(failure.code) {
                    entry.died_on.insert(*worker);
                }
                if brings_down_node(failure.code) || failure.class == FailureClass::NodeFault {
                    entry.bad_on.insert(*worker);
                }
                entry.given_up = *verdict == Verdict::GiveUp;
                entry.last_failure =
                    Some(Failed { attempt: *attempt, worker: *worker, failure: failure.clone(), at: *at });
            }
            Record::TaskSucceeded { task, attempt, worker, value, usage, queued_ms, at } => {
                self.task(seq, *task)?.success = Some(Success {
                    attempt: *attempt,
                    worker: *worker,
                    value: value.clone(),
                    usage: *usage,
                    queued_ms: *queued_ms,
                    at: *at,
                });
            }
            Record::OutputPublished { job, output, artifact, at } => {
                let published = Published { output: *output, artifact: artifact.clone(), at: *at };
                self.job(seq, *job)?.published.push(published);
            }
            Record::JobEnded { job, state, failure, at } => {
                let mut ended = self.jobs.remove(job).ok_or(Misfit::NoJob(seq, *job))?;
                ended.ended = Some(Ended { state: *state, failure: failure.clone(), at: *at });
                return Ok(Some(ended));
            }
            Record::WorkerSeen { worker, name, at } => {
                let draining = self.workers.get(worker).is_some_and(|w| w.draining);
                let seen = KnownWorker { id: *worker, name: name.clone(), expected: true, draining, at: *at };
                self.workers.insert(*worker, seen);
            }
            Record::WorkerGone { worker, at } => {
                if let Some(known) = self.workers.get_mut(worker) {
                    known.expected = false;
                    known.at = *at;
                }
            }
            Record::WorkerDrained { worker, draining } => {
                if let Some(known) = self.workers.get_mut(worker) {
                    known.draining = *draining;
                }
            }
            Record::KeysForgotten { before } => self.keys.retain(|_, kept| kept.at >= *before),
            Record::JobCarried(job) => {
                self.jobs.insert(job.id, job.clone());
            }
            Record::KeyCarried(kept) => {
                self.keys.insert((kept.tenant.clone(), kept.key.key.clone()), kept.clone());
            }
            Record::WorkerCarried(known) => {
                self.workers.insert(known.id, known.clone());
            }
        }
        Ok(None)
    }

    /// The shortest records that rebuild this state, as a snapshot keeps them. The sequence number is kept apart.
    pub fn compact(&self) -> impl Iterator<Item = Record> + '_ {
        let epoch =
            (self.epoch > Epoch(0)).then_some(Record::EpochBegan { epoch: self.epoch, at: WallMs(0) });
        epoch
            .into_iter()
            .chain(self.workers.values().cloned().map(Record::WorkerCarried))
            .chain(self.keys.values().cloned().map(Record::KeyCarried))
            .chain(self.jobs.values().cloned().map(Record::JobCarried))
    }

    fn job(&mut self, seq: Seq, job: JobId) -> Result<&mut Job, Misfit> {
        self.jobs.get_mut(&job).ok_or(Misfit::NoJob(seq, job))
    }

    fn task(&mut self, seq: Seq, task: TaskId) -> Result<&mut Task, Misfit> {
        let job = self.job(seq, task.job)?;
        job.tasks.get_mut(task.index as usize).ok_or(Misfit::NoTask(seq, task))
    }
}

/// Whether the task may have brought its process or its whole node down.
pub(crate) fn brings_down_node(code: FailureCode) -> bool {
    matches!(code, FailureCode::WorkerLost | FailureCode::ProcessDied)
}

//! The durable state and the only place that changes it: [`State::apply`], live and on replay.

mod amend;
mod common;
mod failing;
mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;

use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::{Epoch, JobId, Seq, TaskId, TenantId, WorkerId};
use rushes_shared::job::{Class, Priority};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use crate::id_map::JobMap;
use crate::job::{Ended, Failed, Job, Published, Success, Task, Trouble};
use crate::order::fair::USUAL_WEIGHT;
use crate::promise::late::{Late, LateBy};
use crate::record::{Record, Verdict};
pub(crate) use amend::amend;
use common::Common;
pub use failing::Failing;
pub use keys::{KeptKey, Keys};

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
    /// What is known of its speed, in thousandths; 1000 is what predictions are made for.
    pub speed_permille: u32,
}

/// A node that fails what others can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Until when it gets nothing; then one task shows whether it works.
    pub until: WallMs,
    /// How often in a row it was quarantined.
    pub times: u32,
}

/// What a tenant may have. Changed live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantLimits {
    /// Its share of a class beside other tenants' weights, 1 to 1000.
    pub weight: u32,
    /// Most tasks that run at once.
    pub max_running: u32,
    /// Most jobs that have not ended.
    pub max_jobs: u64,
    /// The highest class that it may ask for.
    pub max_class: Class,
    /// The highest priority that it may ask for or earn by value.
    pub max_priority: Priority,
    /// Most jobs with a deadline that have not ended.
    pub max_deadline_jobs: u64,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            weight: USUAL_WEIGHT,
            max_running: 1_000_000,
            max_jobs: 200_000,
            max_class: Class::Emergency,
            max_priority: Priority::new(Priority::MAX).unwrap_or_default(),
            max_deadline_jobs: 200_000,
        }
    }
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
    /// It speaks of a stage that its job does not have.
    #[error(
        "record {0:?} speaks of stage {2} of {1}, which that job does not have; restore a backup, or report this with an export of the journal"
    )]
    NoStage(Seq, JobId, u32),
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
    pub jobs: JobMap<Box<Job>>,
    /// Idempotency keys in use.
    pub keys: Keys,
    /// Workers that have connected before.
    pub workers: BTreeMap<WorkerId, KnownWorker>,
    /// Nodes that have failed what others can do and have not shown since that they work.
    pub quarantined: BTreeMap<WorkerId, Quarantine>,
    /// Nodes whose hardware encoder has failed task after task and has not shown since that it works.
    pub encoders_shut: BTreeMap<WorkerId, Quarantine>,
    /// Jobs whose latest attempts have failed.
    pub failing: Failing,
    /// Tenants whose limits are not the policy's.
    pub tenants: BTreeMap<TenantId, TenantLimits>,
    /// Named limits.
    pub limits: BTreeMap<String, u32>,
    common: Common,
}

impl State {
    /// Applies the next record. A job that it ends is handed out: it leaves the live state for the archive.
    ///
    /// # Errors
    /// [`Misfit`] where the record does not fit; the state is as before, except that nothing may be applied after it.
    pub fn apply(&mut self, record: &Record) -> Result<Option<Box<Job>>, Misfit> {
        let seq = self.seq.next();
        let ended = self.change(seq, record)?;
        self.seq = seq;
        Ok(ended)
    }

    fn change(&mut self, seq: Seq, record: &Record) -> Result<Option<Box<Job>>, Misfit> {
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
                    self.keys.keep(kept);
                }
                let (tenant, submitter) = (self.tenant(tenant), self.common.name(submitter));
                let accepted = Job::new(*job, tenant, submitter, self.common.spec(spec), *at);
                self.jobs.insert(*job, Box::new(accepted));
            }
            Record::StagesPlanned { job, stages } => {
                let first = self.common.plan(stages);
                let job = self.job(seq, *job)?;
                let more: u32 = stages.iter().map(|s| s.count).sum();
                if job.stages.is_empty() {
                    job.stages = first;
                } else {
                    job.stages_mut().extend(stages.iter().cloned());
                }
                job.tasks.grow(more as usize);
            }
            Record::JobAmended { job, change, .. } => {
                let job = self.job(seq, *job)?;
                amend(Arc::make_mut(&mut job.spec), change);
                if change.deadline.is_some() {
                    job.late = None;
                }
            }
            Record::Traded { job, trade } => {
                let id = *job;
                let job = self.job(seq, id)?;
                if trade.stage as usize >= job.stages.len() {
                    return Err(Misfit::NoStage(seq, id, trade.stage));
                }
                trade.change(job.stages_mut());
                job.trades.push(*trade);
            }
            Record::TradeUndone { job, number, at } => {
                let job = self.job(seq, *job)?;
                if let Some(trade) = job.trades.get_mut(*number as usize) {
                    trade.undone = Some(*at);
                    trade.change_back(Arc::make_mut(&mut job.stages).as_mut_slice());
                }
            }
            Record::StageDropped { job, stage, .. } => {
                let stages = self.job(seq, *job)?.stages_mut();
                if let Some(stage) = stages.get_mut(*stage as usize) {
                    stage.dropped = true;
                }
            }
            Record::PromiseLate { job, at, .. } => {
                let late = Late { since: *at, because: LateBy::Itself };
                self.job(seq, *job)?.late = Some(Box::new(late));
            }
            Record::PromiseGivenUp { job, because, at, .. } => {
                let late = Late { since: *at, because: *because };
                self.job(seq, *job)?.late = Some(Box::new(late));
            }
            Record::PromiseRestored { job, .. } => self.job(seq, *job)?.late = None,
            Record::TenantSet { tenant, limits } => {
                self.tenants.insert(tenant.clone(), *limits);
            }
            Record::LimitSet { name, most: Some(most) } => {
                self.limits.insert(name.clone(), *most);
            }
            Record::LimitSet { name, most: None } => {
                self.limits.remove(name);
            }
            Record::AttemptFailed { task, attempt, worker, failure, verdict, at, .. } => {
                let last = Failed { attempt: *attempt, worker: *worker, failure: failure.clone(), at: *at };
                let entry = self.task(seq, *task)?;
                let before = entry.trouble.take();
                let mut trouble = before.unwrap_or_else(|| Box::new(Trouble::of(last.clone())));
                trouble.failures += 1;
                match failure.code {
                    FailureCode::ProcessDied => drop(trouble.died_on.insert(*worker)),
                    FailureCode::WorkerLost => trouble.lost += 1,
                    _ => {}
                }
                let is_bad_here = matches!(failure.code, FailureCode::WorkerLost | FailureCode::ProcessDied);
                if is_bad_here || failure.class == FailureClass::NodeFault {
                    trouble.bad_on.insert(*worker);
                }
                trouble.given_up = *verdict == Verdict::GiveUp;
                trouble.last = last;
                entry.trouble = Some(trouble);
                self.failing.failed(task.job, failure);
            }
            Record::TaskSucceeded { task, attempt, worker, value, usage, queued_ms, speed_permille, at } => {
                self.task(seq, *task)?.success = Some(Box::new(Success {
                    attempt: *attempt,
                    worker: *worker,
                    value: value.clone(),
                    usage: *usage,
                    queued_ms: *queued_ms,
                    at: *at,
                }));
                self.failing.forget(task.job);
                if let Some(known) = self.workers.get_mut(worker) {
                    known.speed_permille = *speed_permille;
                }
            }
            Record::OutputPublished { job, output, artifact, at } => {
                let published = Published { output: *output, artifact: artifact.clone(), at: *at };
                self.job(seq, *job)?.published.push(published);
            }
            Record::JobEnded { job, state, failure, at } => {
                let mut ended = self.jobs.remove(job).ok_or(Misfit::NoJob(seq, *job))?;
                self.failing.forget(*job);
                ended.ended = Some(Box::new(Ended { state: *state, failure: failure.clone(), at: *at }));
                return Ok(Some(ended));
            }
            Record::WorkerSeen { worker, name, at } => {
                let before = self.workers.get(worker);
                let seen = KnownWorker {
                    id: *worker,
                    name: name.clone(),
                    expected: true,
                    draining: before.is_some_and(|w| w.draining),
                    at: *at,
                    speed_permille: before.map_or(1_000, |w| w.speed_permille),
                };
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
            Record::NodeQuarantined { worker, quarantine } => {
                self.quarantined.insert(*worker, *quarantine);
            }
            Record::NodeReadmitted { worker } => {
                self.quarantined.remove(worker);
            }
            Record::EncoderFellBack { job, stage, .. } => {
                if let Some(stage) = self.job(seq, *job)?.stages_mut().get_mut(*stage as usize) {
                    stage.step = stage.step.in_software();
                }
            }
            Record::StageSized { job, stage, demand, prediction } => {
                if let Some(stage) = self.job(seq, *job)?.stages_mut().get_mut(*stage as usize) {
                    (stage.demand, stage.prediction) = (*demand, *prediction);
                }
            }
            Record::EncoderShut { worker, quarantine } => {
                self.encoders_shut.insert(*worker, *quarantine);
            }
            Record::WorkerForgotten { worker } => {
                self.workers.remove(worker);
                self.quarantined.remove(worker);
                self.encoders_shut.remove(worker);
            }
            Record::EncoderReadmitted { worker } => {
                self.encoders_shut.remove(worker);
            }
            Record::KeysForgotten { before } => self.keys.forget(*before),
            Record::JobCarried(job) => {
                let mut job = job.clone();
                job.tenant = self.tenant(&job.tenant);
                job.submitter = self.common.name(&job.submitter);
                job.spec = self.common.spec(&job.spec);
                job.stages = self.common.plan(&job.stages);
                self.jobs.insert(job.id, job);
            }
            Record::FailuresCarried { job, in_row } => {
                self.job(seq, *job)?;
                self.failing.set(*job, *in_row);
            }
            Record::KeyCarried(kept) => self.keys.keep(kept.clone()),
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
            .chain(self.quarantined.iter().map(|(worker, quarantine)| Record::NodeQuarantined {
                worker: *worker,
                quarantine: *quarantine,
            }))
            .chain(
                self.encoders_shut.iter().map(|(worker, quarantine)| Record::EncoderShut {
                    worker: *worker,
                    quarantine: *quarantine,
                }),
            )
            .chain(self.tenants.iter().map(|(t, l)| Record::TenantSet { tenant: t.clone(), limits: *l }))
            .chain(self.limits.iter().map(|(n, m)| Record::LimitSet { name: n.clone(), most: Some(*m) }))
            .chain(self.keys.values().cloned().map(Record::KeyCarried))
            .chain(self.jobs.values().cloned().map(Record::JobCarried))
            .chain(self.failing.iter().map(|(job, in_row)| Record::FailuresCarried { job, in_row }))
    }

    /// The same, without a copy of each job.
    pub fn into_compact(mut self) -> impl Iterator<Item = Record> {
        let (jobs, failing) = (std::mem::take(&mut self.jobs), std::mem::take(&mut self.failing));
        let others: Vec<Record> = self.compact().collect();
        let failing: Vec<(JobId, u32)> = failing.iter().collect();
        let jobs = jobs.into_values().map(Record::JobCarried);
        let behind = failing.into_iter().map(|(job, in_row)| Record::FailuresCarried { job, in_row });
        others.into_iter().chain(jobs).chain(behind)
    }

    fn job(&mut self, seq: Seq, job: JobId) -> Result<&mut Job, Misfit> {
        self.jobs.get_mut(&job).map(|j| &mut **j).ok_or(Misfit::NoJob(seq, job))
    }

    fn tenant(&mut self, tenant: &TenantId) -> TenantId {
        TenantId::sharing(self.common.name(tenant.text()))
    }

    fn task(&mut self, seq: Seq, task: TaskId) -> Result<&mut Task, Misfit> {
        let job = self.job(seq, task.job)?;
        job.tasks.get_mut(task.index as usize).ok_or(Misfit::NoTask(seq, task))
    }
}

//! Submits and cancels: what comes in from people and programs.

use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{JobSpec, JobState};
use rushes_shared::units::{Now, WallMs};

use super::{Engine, JobRun, Timer, Turn};
use crate::event::{Command, FarmNews, Refusal, Reply, ReplyTo};
use crate::queue::OrderKey;
use crate::record::{IdempotencyKey, Record};

/// A request to do a job.
pub(super) struct Submit {
    pub(super) reply: ReplyTo,
    pub(super) job: JobId,
    pub(super) tenant: TenantId,
    pub(super) submitter: String,
    pub(super) spec: JobSpec,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) space_left: bool,
}

impl Engine {
    pub(super) fn submitted(&mut self, turn: &mut Turn, submit: Submit) {
        let to = submit.reply;
        let reply = match self.admit(&submit) {
            Ok(None) => {
                let job = submit.job;
                self.accept(turn, submit);
                Reply::Accepted { job, created: true }
            }
            Ok(Some(job)) => Reply::Accepted { job, created: false },
            Err(refusal) => Reply::Refused(refusal),
        };
        self.command(turn, Command::Answer { to, reply });
    }

    /// `Ok(None)`: a new job; `Ok(Some)`: the job that the same key made before.
    fn admit(&self, submit: &Submit) -> Result<Option<JobId>, Refusal> {
        if let Some(key) = &submit.key
            && let Some(kept) = self.state.keys.get(&(submit.tenant.clone(), key.key.clone()))
        {
            let same = kept.key.fingerprint == key.fingerprint;
            return if same { Ok(Some(kept.job)) } else { Err(Refusal::KeyReused(kept.job)) };
        }
        if !submit.space_left {
            return Err(Refusal::DiskNearlyFull);
        }
        if self.state.jobs.len() as u64 >= self.policy.max_jobs {
            return Err(Refusal::FarmFull { limit: self.policy.max_jobs });
        }
        let limit = self.policy.max_jobs_per_tenant;
        if self.tenants.get(&submit.tenant).copied().unwrap_or(0) >= limit {
            return Err(Refusal::TenantFull { tenant: submit.tenant.clone(), limit });
        }
        Ok(None)
    }

    fn accept(&mut self, turn: &mut Turn, submit: Submit) {
        let Submit { job, tenant, submitter, spec, key, .. } = submit;
        if key.is_some() && self.state.keys.is_empty() {
            self.wake_to_forget_keys(turn.now);
        }
        *self.tenants.entry(tenant.clone()).or_default() += 1;
        self.runs.insert(job, JobRun::default());
        let at = turn.now.wall;
        self.emit(turn, Record::JobAccepted { job, tenant, submitter, spec, key, at });
        self.notify(turn, Some(job), FarmNews::JobAccepted);
        self.advance(turn, job);
    }

    pub(super) fn cancel_asked(&mut self, turn: &mut Turn, reply: ReplyTo, job: JobId) {
        let Some(run) = self.runs.get_mut(&job) else {
            let answer = Reply::Refused(Refusal::NoJob(job));
            return self.command(turn, Command::Answer { to: reply, reply: answer });
        };
        run.cancels.push(reply);
        let live: Vec<_> = run.live.values().flatten().map(|l| (l.worker, l.attempt)).collect();
        self.cancel_if_waiting(turn, job);
        if self.runs.contains_key(&job) {
            // A publish is under way. What runs is stopped meanwhile; the job ends with the depot's answer.
            for (worker, attempt) in live {
                self.command(turn, Command::CancelTask { worker, attempt });
            }
            self.unqueue(job);
        }
    }

    /// Ends a job that is to be canceled, once the depot has answered every publish that it was asked for.
    pub(super) fn cancel_if_waiting(&mut self, turn: &mut Turn, job: JobId) {
        let Some(run) = self.runs.get(&job) else { return };
        if !run.cancels.is_empty() && run.publishes_in_flight.is_empty() {
            self.end_job(turn, job, JobState::Canceled, None);
        }
    }

    fn unqueue(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        for (task, index) in job.tasks.iter().zip(0_u32..) {
            self.queue.remove(OrderKey::of(job, index), task.plan.step.kind());
        }
    }

    pub(super) fn wake_to_forget_keys(&mut self, now: Now) {
        self.wake_at(now.mono.plus((self.policy.idempotency_ms / 24).max(1_000)), Timer::ForgetKeys);
    }

    pub(super) fn forget_keys(&mut self, turn: &mut Turn) {
        let before = WallMs(turn.now.wall.0.saturating_sub(self.policy.idempotency_ms));
        if self.state.keys.values().any(|k| k.at < before) {
            self.emit(turn, Record::KeysForgotten { before });
        }
        if !self.state.keys.is_empty() {
            self.wake_to_forget_keys(turn.now);
        }
    }
}

//! Submits and cancels: what comes in from people and programs.

use std::sync::Arc;

use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobSpec, JobState, Priority};
use rushes_shared::units::Now;

use super::run::JobRun;
use super::tenants::TenantRun;
use super::{Engine, Turn};
use crate::event::{Command, FarmNews, Refusal, Reply, ReplyTo};
use crate::job::Stage;
use crate::policy::Admission;
use crate::promise::Forecast;
use crate::record::{IdempotencyKey, Record};

/// A request to do a job.
pub(super) struct Submit {
    pub(super) reply: ReplyTo,
    pub(super) job: JobId,
    pub(super) tenant: TenantId,
    pub(super) submitter: Arc<str>,
    pub(super) spec: Arc<JobSpec>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) space_left: bool,
}

/// What becomes of a submit.
struct Admitted {
    /// The job that the same key made before.
    before: Option<JobId>,
    forecast: Forecast,
    /// The stages that the job begins with, if its forecast needed them.
    plan: Vec<Stage>,
}

impl Engine {
    pub(super) fn submitted(&mut self, turn: &mut Turn, submit: Submit) {
        self.know_cap(&submit.tenant);
        let to = submit.reply;
        let reply = match self.admit(turn.now, &submit) {
            Ok(Admitted { before: None, forecast, plan }) => {
                let job = submit.job;
                self.accept(turn, submit, plan);
                Reply::Accepted { job, created: true, forecast }
            }
            Ok(Admitted { before: Some(job), forecast, .. }) => {
                Reply::Accepted { job, created: false, forecast }
            }
            Err(refusal) => Reply::Refused(refusal),
        };
        self.command(turn, Command::Answer { to, reply });
    }

    /// Says what would come of a submit.
    pub(super) fn dry_run_asked(&mut self, turn: &mut Turn, submit: &Submit) {
        self.know_cap(&submit.tenant);
        let reply = match self.admit(turn.now, submit) {
            Ok(Admitted { forecast, .. }) => Reply::Forecast(forecast),
            Err(refusal) => Reply::Refused(refusal),
        };
        self.command(turn, Command::Answer { to: submit.reply, reply });
    }

    /// What is expected of a new job, or the job that the same key made before.
    fn admit(&self, now: Now, submit: &Submit) -> Result<Admitted, Refusal> {
        if let Some(key) = &submit.key
            && let Some(kept) = self.state.keys.get(&submit.tenant, &key.key)
        {
            let same = kept.key.fingerprint == key.fingerprint;
            let forecast =
                self.state.jobs.get(&kept.job).map_or_else(Forecast::default, |j| self.forecast(j, now));
            let known = Admitted { before: Some(kept.job), forecast, plan: Vec::new() };
            return if same { Ok(known) } else { Err(Refusal::KeyReused(kept.job)) };
        }
        if !submit.space_left {
            return Err(Refusal::DiskNearlyFull);
        }
        let spec = &submit.spec;
        self.has_room_for(now, spec.class)?;
        let limit = self.limits_of(&submit.tenant).max_jobs;
        if let Some(TenantRun { jobs, .. }) = self.tenants.get(&submit.tenant).filter(|t| t.jobs >= limit) {
            let retry_s = self.room_in_s(now, jobs - limit + 1, *jobs);
            return Err(Refusal::TenantFull { tenant: submit.tenant.clone(), limit, retry_s });
        }
        let priority = self.policy.order.value.priority_of(spec);
        let has_deadline = spec.deadline.is_some();
        self.within_ceilings(now, &submit.tenant, Some(spec.class), Some(priority), has_deadline)?;
        self.places_are_free(submit)?;
        self.needs_can_be_met(now, spec)?;
        let (forecast, plan) = self.forecast_of(submit, now);
        self.demands_are_known(now, submit, &plan)?;
        // What was only assumed refuses nobody.
        if let (Admission::Refuse, Some(deadline), Some(false), None) =
            (self.policy.promise.admission, spec.deadline, forecast.can_keep, &forecast.assumes)
        {
            let Forecast { expected_finish: expected, barred, .. } = forecast;
            return Err(Refusal::CannotKeep { deadline, expected, barred });
        }
        Ok(Admitted { before: None, forecast, plan })
    }

    /// Whether a tenant may ask for this.
    pub(super) fn within_ceilings(
        &self,
        now: Now,
        tenant: &TenantId,
        class: Option<Class>,
        priority: Option<Priority>,
        adds_deadline: bool,
    ) -> Result<(), Refusal> {
        let limits = self.limits_of(tenant);
        if let Some(asked) = class.filter(|c| *c > limits.max_class) {
            return Err(Refusal::ClassTooHigh { tenant: tenant.clone(), asked, most: limits.max_class });
        }
        if let Some(asked) = priority.filter(|p| *p > limits.max_priority) {
            return Err(Refusal::PriorityTooHigh {
                tenant: tenant.clone(),
                asked,
                most: limits.max_priority,
            });
        }
        let limit = limits.max_deadline_jobs;
        let has = self.tenants.get(tenant).map_or(0, |t| t.deadline_jobs);
        if adds_deadline && has >= limit {
            let retry_s = self.room_in_s(now, has - limit + 1, has);
            return Err(Refusal::TooManyDeadlines { tenant: tenant.clone(), limit, retry_s });
        }
        Ok(())
    }

    fn needs_can_be_met(&self, now: Now, spec: &JobSpec) -> Result<(), Refusal> {
        let Some(needs) = &spec.needs else { return Ok(()) };
        for (name, asked) in &needs.limits {
            if let Some(most) = self.state.limits.get(name).copied().filter(|most| asked > most) {
                return Err(Refusal::LimitTooLow { name: name.clone(), asked: *asked, most });
            }
        }
        let limit = self.policy.order.max_needs;
        if self.needs.len() >= limit && !self.needs.contains_key(&**needs) {
            let retry_s = self.room_in_s(now, 1, limit as u64);
            return Err(Refusal::TooManyNeeds { limit, retry_s });
        }
        Ok(())
    }

    fn accept(&mut self, turn: &mut Turn, submit: Submit, plan: Vec<Stage>) {
        let Submit { job, tenant, submitter, spec, key, .. } = submit;
        if key.is_some() && self.state.keys.is_empty() {
            self.wake_to_forget_keys(turn.now);
        } else if key.is_some() && self.state.keys.len() == self.policy.max_keys {
            self.forget_keys_at(turn.now.mono.plus(1));
        }
        let (at, has_deadline) = (turn.now.wall, spec.deadline.is_some());
        self.emit(turn, Record::JobAccepted { job, tenant, submitter, spec, key, at });
        self.enter_run(job);
        self.watch(turn.now);
        self.notify(turn, Some(job), FarmNews::JobAccepted);
        if !plan.is_empty() {
            self.plan(turn, job, plan);
        }
        self.advance(turn, job);
        if has_deadline && self.runs.contains_key(&job) {
            self.look_at_promise(turn, job);
        }
    }

    /// Gives a live job what is known of it only in memory.
    pub(super) fn enter_run(&mut self, id: JobId) {
        let spec = &self.state.jobs[&id].spec;
        let priority = self.policy.order.value.priority_of(spec).value();
        let has_deadline = spec.deadline.is_some();
        if let Some(needs) = &spec.needs {
            *self.needs.entry((**needs).clone()).or_default() += 1;
        }
        let tenant = self.tenant_ix(&self.state.jobs[&id].tenant.clone());
        let counts = self.tenants.at_mut(tenant);
        counts.jobs += 1;
        counts.deadline_jobs += u64::from(has_deadline);
        self.runs.insert(id, Box::new(JobRun::new(tenant, priority)));
        self.enter_gates(id);
        self.take_places(id);
        self.refile(id);
    }

    /// Forgets it again: the job is about to end.
    pub(super) fn leave_run(&mut self, id: JobId) -> Box<JobRun> {
        self.unfile(id);
        self.give_places_back(id);
        let mut run = self.runs.remove(&id).expect("a live job has a run");
        self.unbook_job(id, &run);
        self.leave_gates(id, &mut run);
        run.stages.iter().for_each(|s| self.order.sigs.give_back(s.sig));
        self.jobs_started -= u64::from(run.is_started);
        if run.is_unplanned {
            self.usual.count_unplanned(false);
        }
        let spec = &self.state.jobs[&id].spec;
        let counts = self.tenants.at_mut(run.tenant);
        counts.jobs -= 1;
        counts.deadline_jobs -= u64::from(spec.deadline.is_some());
        if let Some(needs) = &spec.needs
            && let Some(count) = self.needs.get_mut(&**needs)
        {
            *count -= 1;
            if *count == 0 {
                self.needs.remove(&**needs);
            }
        }
        self.aside.forget(id);
        if let Some(window) = &mut self.reattach {
            window.jobs.remove(&id);
        }
        self.anomalies.failing.remove(&id);
        run
    }

    pub(super) fn cancel_asked(&mut self, turn: &mut Turn, reply: ReplyTo, job: JobId) {
        let Some(run) = self.runs.get_mut(&job) else {
            let answer = Reply::Refused(Refusal::NoJob(job));
            return self.command(turn, Command::Answer { to: reply, reply: answer });
        };
        run.rare_mut().cancels.push(reply);
        let live: Vec<_> = run.live.values().flatten().map(|l| (l.worker, l.attempt)).collect();
        self.cancel_if_waiting(turn, job);
        if self.runs.contains_key(&job) {
            // A publish is under way. What runs is stopped meanwhile; the job ends with the depot's answer.
            for (worker, attempt) in live {
                self.stop_attempt(turn, worker, attempt);
            }
            self.unfile(job);
        }
    }

    /// Ends a job that is to be canceled, once the depot has answered every publish that it was asked for.
    pub(super) fn cancel_if_waiting(&mut self, turn: &mut Turn, job: JobId) {
        let Some(run) = self.runs.get(&job) else { return };
        if !run.rare().cancels.is_empty() && run.rare().publishes_in_flight.is_empty() {
            self.end_job(turn, job, JobState::Canceled, None);
        }
    }
}

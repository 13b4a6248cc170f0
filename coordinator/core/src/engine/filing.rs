//! Puts jobs where they belong in the queue, and moves them when that changes.

use rushes_shared::id::{JobId, TaskId};
use rushes_shared::job::{Class, JobChange, JobSpec};
use rushes_shared::units::MonoMs;

use super::run::{JobRun, Promise};
use super::{Engine, Turn};
use crate::event::{Command, Decision, Refusal, Reply, ReplyTo};
use crate::job::Job;
use crate::order::signature::SigIx;
use crate::order::{OrderRule, Spot};
use crate::record::Record;
use crate::state::amend;

impl Engine {
    /// Where a job belongs now; `None` while nothing of it may start.
    fn spot_of(&self, job: &Job, run: &JobRun) -> Option<Spot> {
        if job.spec.paused || !run.rare().cancels.is_empty() {
            return None;
        }
        // Of one that is held back, one task is tried at a time.
        if run.rare().is_held_back && !run.live.is_empty() {
            return None;
        }
        let order = &self.policy.order;
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let accepted = signed(job.accepted_at.0);
        let (class, priority) = (job.spec.class, i64::from(run.priority));
        let deadline = job.spec.deadline.map_or(i64::MAX, |d| signed(d.0));
        match order.rule {
            OrderRule::Value => {}
            OrderRule::Fifo => return Some(Spot::Plain(run.tenant, (accepted, 0))),
            OrderRule::StrictPriority => {
                return Some(Spot::Plain(run.tenant, (-(class as i64) * 1_000 - priority, accepted)));
            }
            OrderRule::Edf => return Some(Spot::Plain(run.tenant, (deadline, accepted))),
        }
        if class == Class::Emergency {
            return Some(Spot::Emergency(run.tenant, (-priority, accepted)));
        }
        let aged = accepted.saturating_sub(priority.saturating_mul(signed(order.age_ms_per_point)));
        if run.promise == Promise::AtRisk {
            return Some(Spot::AtRisk(run.tenant, (deadline, accepted)));
        }
        let width = |light| order.width(class, priority_of(run), self.fleet.slots(light));
        if run.live.light() >= width(true) || run.live.cpu() >= u64::from(width(false)) * 1_000 {
            return Some(Spot::Wide(run.tenant, (-(class as i64), aged)));
        }
        Some(Spot::Fair(class, run.tenant, aged))
    }

    /// Brings a job to its place in the queue.
    pub(super) fn refile(&mut self, id: JobId) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get(&id)) else { return };
        let spot = self.spot_of(job, run);
        if spot == run.spot {
            return;
        }
        let run = self.runs.get_mut(&id).expect("it was just seen");
        let before = std::mem::replace(&mut run.spot, spot);
        for sig in run.ready_sigs() {
            if let Some(before) = before {
                self.order.remove(sig, before, id);
            }
        }
        for sig in run.ready_sigs() {
            if let Some(spot) = spot {
                self.order.insert(sig, spot, id);
            }
        }
    }

    /// Enters or removes a job for a signature, as it has ready tasks of it or not.
    pub(super) fn file(&mut self, id: JobId, sig: SigIx) {
        let Some(run) = self.runs.get(&id) else { return };
        let Some(spot) = run.spot else { return };
        if run.has_ready(sig) {
            self.order.insert(sig, spot, id);
        } else {
            self.order.remove(sig, spot, id);
        }
    }

    /// Takes a job out of the queue for good.
    pub(super) fn unfile(&mut self, id: JobId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if let Some(spot) = run.spot.take() {
            for sig in run.ready_sigs() {
                self.order.remove(sig, spot, id);
            }
        }
        for stage in run.stages.iter_mut() {
            self.ready.sub(stage.kind, stage.ready);
            stage.clear();
        }
    }

    /// Makes the tasks of a stage ready that were never started.
    pub(super) fn release_stage(&mut self, now: MonoMs, id: JobId, at: usize) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let stage = &mut run.stages[at];
        let before = stage.ready;
        stage.release(now, &job.tasks);
        self.ready.add(stage.kind, stage.ready - before);
        let sig = stage.sig;
        self.file(id, sig);
    }

    /// Leaves a stage out, or takes it in again, as the state has it.
    pub(super) fn set_dropped(&mut self, now: MonoMs, id: JobId, at: usize) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let (dropped, is_advice) = (job.stages[at].dropped, job.stages[at].is_advice());
        let stage = &mut run.stages[at];
        if dropped && stage.open > 0 {
            run.open -= stage.open;
            stage.open = 0;
            self.ready.sub(stage.kind, stage.ready);
            stage.clear();
            let (sig, tasks) = (stage.sig, stage.first..stage.first + stage.count);
            self.file(id, sig);
            self.aside.forget_some(id, tasks);
            if is_advice {
                self.release_after(now, id, at);
            }
        } else if !dropped && stage.open == 0 && stage.is_left_out {
            stage.open = stage.count;
            run.open += stage.count;
            if stage.waits == 0 && !stage.is_held {
                self.release_stage(now, id, at);
            }
            if is_advice {
                self.hold_after(id, at);
            }
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.stages[at].is_left_out = dropped;
        }
    }

    /// Releases the stages that only waited for this one, which is complete or left out.
    pub(super) fn release_after(&mut self, now: MonoMs, id: JobId, at: usize) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let done = u32::try_from(at).expect("a job has far fewer than 2^32 stages");
        let mut released = Vec::new();
        for (later, (stage, entered)) in job.stages.iter().zip(run.stages.iter_mut()).enumerate() {
            if stage.after.contains(&done) {
                entered.waits -= 1;
                if entered.waits == 0 && entered.open > 0 {
                    released.push(later);
                }
            }
        }
        released.into_iter().for_each(|later| self.release_stage(now, id, later));
    }

    /// Has the stages that come after this one, of which nothing has been started, wait for it again.
    fn hold_after(&mut self, id: JobId, at: usize) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let again = u32::try_from(at).expect("a job has far fewer than 2^32 stages");
        let mut sigs = Vec::new();
        for (stage, entered) in job.stages.iter().zip(run.stages.iter_mut()) {
            if stage.after.contains(&again) {
                entered.waits += 1;
                self.ready.sub(entered.kind, entered.ready);
                entered.clear();
                sigs.push(entered.sig);
            }
        }
        sigs.into_iter().for_each(|sig| self.file(id, sig));
    }

    /// Queues a task if it still wants an attempt.
    pub(super) fn make_ready(&mut self, now: MonoMs, task: TaskId) {
        let Some(job) = self.state.jobs.get(&task.job) else { return };
        let Some(entry) = job.tasks.get(task.index as usize) else { return };
        let Some(run) = self.runs.get_mut(&task.job) else { return };
        if entry.is_over() || run.live.contains_key(&task.index) || !run.rare().cancels.is_empty() {
            return;
        }
        let stage = run.stage_of(task.index);
        if stage.is_left_out || stage.is_ready(task.index) {
            return;
        }
        stage.put_back(task.index, now);
        self.ready.add(stage.kind, 1);
        let sig = stage.sig;
        self.file(task.job, sig);
    }

    /// Takes a task out of the ready ones, if it is among them.
    pub(super) fn withdraw(&mut self, task: TaskId) {
        let Some(run) = self.runs.get_mut(&task.job) else { return };
        let stage = run.stage_of(task.index);
        if stage.withdraw(task.index) {
            self.ready.sub(stage.kind, 1);
        }
        let sig = stage.sig;
        self.file(task.job, sig);
    }

    pub(super) fn amend_asked(&mut self, turn: &mut Turn, reply: ReplyTo, id: JobId, change: JobChange) {
        let answer = match self.amend(turn, id, change) {
            Ok(()) => Reply::Amended { job: id },
            Err(refusal) => Reply::Refused(refusal),
        };
        self.command(turn, Command::Answer { to: reply, reply: answer });
    }

    fn amend(&mut self, turn: &mut Turn, id: JobId, change: JobChange) -> Result<(), Refusal> {
        let Some(job) = self.state.jobs.get(&id) else { return Err(Refusal::NoJob(id)) };
        let mut amended = JobSpec::clone(&job.spec);
        amend(&mut amended, &change);
        // A class can make a value count for more.
        let wanted = self.policy.order.value.priority_of(&amended);
        let before = self.policy.order.value.priority_of(&job.spec);
        let asks = change.priority.is_some() || change.value.is_some() || wanted > before;
        let wanted = asks.then_some(wanted);
        let had_deadline = job.spec.deadline.is_some();
        let has_deadline = change.deadline.unwrap_or(job.spec.deadline).is_some();
        let tenant = job.tenant.clone();
        let adds_deadline = has_deadline && !had_deadline;
        self.within_ceilings(turn.now, &tenant, change.class, wanted, adds_deadline)?;
        let at = turn.now.wall;
        self.unpark_job(id);
        self.emit(turn, Record::JobAmended { job: id, change: change.clone(), at });
        if change.class.is_some() {
            self.note_class(id);
        }
        let priority = self.policy.order.value.priority_of(&self.state.jobs[&id].spec).value();
        let run = self.runs.get_mut(&id).expect("a live job has a run");
        run.priority = priority;
        run.is_judged &= change.deadline.is_none();
        let count = &mut self.tenants.at_mut(run.tenant).deadline_jobs;
        *count = *count + u64::from(has_deadline) - u64::from(had_deadline);
        self.decided(turn, Some(id), Decision::JobAmended { change: Box::new(change) });
        self.rebook(id);
        self.refile(id);
        self.rerank_ahead(id);
        if self.runs[&id].spot.is_none() {
            self.recall_job(turn, id);
        }
        self.rank(turn.now, id);
        self.note_room();
        self.look_at_promise(turn, id);
        Ok(())
    }
}

fn priority_of(run: &JobRun) -> rushes_shared::job::Priority {
    rushes_shared::job::Priority::new(run.priority).unwrap_or_default()
}

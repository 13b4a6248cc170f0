//! What a job needs next, from its durable state alone: more tasks, a publish, or its end. The same code runs after
//! each result and at a restart, so that nothing depends on having seen the event.

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureClass};
use rushes_shared::id::{AttemptId, JobId, TaskId};
use rushes_shared::job::{JobState, Work};
use rushes_shared::task::{TaskKind, TaskValue};
use rushes_shared::units::Now;

use super::{Engine, JobRun, Timer, Turn};
use crate::event::{Command, FarmNews, Refusal, Reply};
use crate::job::{Job, Step};
use crate::planner;
use crate::queue::{OrderKey, Waiting};
use crate::record::Record;

impl Engine {
    /// Does for a live job what can be done now.
    pub(super) fn advance(&mut self, turn: &mut Turn, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        match planner::next_tasks(job) {
            Err(failure) => return self.end_job(turn, id, JobState::Failed, Some(failure)),
            Ok(tasks) if !tasks.is_empty() => self.plan(turn, id, tasks),
            Ok(_) => {}
        }
        for output in self.unpublished(id) {
            let run = self.runs.get_mut(&id).expect("a live job has a run");
            if let std::collections::btree_map::Entry::Vacant(entry) = run.publishing.entry(output) {
                entry.insert(0);
                self.publish(turn, id, output);
            }
        }
        if self.is_complete(id) {
            self.end_job(turn, id, JobState::Succeeded, None);
        }
    }

    /// Takes up a job of the reign before.
    pub(super) fn adopt_job(&mut self, turn: &mut Turn, id: JobId) {
        let job = &self.state.jobs[&id];
        *self.tenants.entry(job.tenant.clone()).or_default() += 1;
        let mut run = JobRun::default();
        let mut ready = Vec::new();
        for (task, index) in job.tasks.iter().zip(0..) {
            if task.success.is_none() {
                run.open += 1;
                if job.is_ready(index) { ready.push(job.task_id(index)) } else { run.blocked.push(index) }
            }
        }
        self.runs.insert(id, run);
        self.count_started(id);
        match &mut self.reattach {
            Some(window) => window.tasks.extend(ready),
            None => ready.into_iter().for_each(|task| self.make_ready(turn.now, task)),
        }
        self.end_given_up(turn, id);
        self.advance(turn, id);
    }

    fn plan(&mut self, turn: &mut Turn, id: JobId, tasks: Vec<crate::job::PlannedTask>) {
        let first = self.state.jobs[&id].tasks.len();
        self.emit(turn, Record::TasksPlanned { job: id, tasks });
        let count = self.state.jobs[&id].tasks.len();
        for index in (first..count).map(|i| u32::try_from(i).expect("a job has far fewer than 2^32 tasks")) {
            let is_ready = self.state.jobs[&id].is_ready(index);
            let run = self.runs.get_mut(&id).expect("a live job has a run");
            run.open += 1;
            if is_ready {
                self.make_ready(turn.now, TaskId { job: id, index });
            } else {
                run.blocked.push(index);
            }
        }
    }

    /// Queues a task if it still wants an attempt.
    pub(super) fn make_ready(&mut self, now: Now, task: TaskId) {
        let Some(job) = self.state.jobs.get(&task.job) else { return };
        let Some(entry) = job.tasks.get(task.index as usize) else { return };
        let is_live = self
            .runs
            .get(&task.job)
            .is_some_and(|r| r.live.contains_key(&task.index) || !r.cancels.is_empty());
        if !entry.is_over() && !is_live {
            let waiting = Waiting { kind: entry.plan.step.kind(), since: now.mono };
            self.queue.insert(OrderKey::of(job, task.index), waiting);
        }
    }

    /// Queues the tasks that only waited for what has just succeeded.
    pub(super) fn unblock(&mut self, now: Now, id: JobId) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let (ready, blocked) = run.blocked.drain(..).partition::<Vec<u32>, _>(|i| job.is_ready(*i));
        run.blocked = blocked;
        ready.into_iter().for_each(|index| self.make_ready(now, TaskId { job: id, index }));
    }

    /// Outputs whose file is made but not at its place.
    fn unpublished(&self, id: JobId) -> Vec<u32> {
        let Some(job) = self.state.jobs.get(&id) else { return Vec::new() };
        if matches!(job.spec.work, Work::Noop { .. } | Work::Probe { .. }) {
            return Vec::new();
        }
        let made = job.tasks.iter().filter(|t| t.success.is_some()).filter_map(|t| match t.plan.step {
            Step::Encode { output } => Some(output),
            Step::Noop | Step::Probe => None,
        });
        made.filter(|output| !job.published.iter().any(|p| p.output == *output)).collect()
    }

    fn is_complete(&self, id: JobId) -> bool {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get(&id)) else { return false };
        let outputs = match &job.spec.work {
            Work::Encode { outputs, .. } => outputs.len(),
            Work::Noop { .. } | Work::Probe { .. } => 0,
        };
        run.open == 0 && job.published.len() == outputs
    }

    pub(super) fn publish(&mut self, turn: &mut Turn, id: JobId, output: u32) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let Some(from) = staged(job, output) else { return };
        if job.published.iter().any(|p| p.output == output) {
            return;
        }
        let to = job.output_place(output);
        self.runs.get_mut(&id).expect("a live job has a run").publishes_in_flight.insert(output);
        self.command(turn, Command::Publish { job: id, output, from, to });
    }

    pub(super) fn publish_ended(
        &mut self,
        turn: &mut Turn,
        id: JobId,
        output: u32,
        result: Result<(), Failure>,
    ) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let Some(from) = staged(job, output) else { return };
        if job.published.iter().any(|p| p.output == output) {
            return;
        }
        match result {
            Ok(()) => {
                let place = job.output_place(output);
                let artifact = Artifact { location: place.clone(), ..from };
                let at = turn.now.wall;
                self.emit(turn, Record::OutputPublished { job: id, output, artifact, at });
                let run = self.runs.get_mut(&id).expect("a live job has a run");
                run.publishing.remove(&output);
                run.publishes_in_flight.remove(&output);
                self.notify(turn, Some(id), FarmNews::OutputPublished { output, place });
                self.advance(turn, id);
            }
            Err(failure) => {
                let run = self.runs.get_mut(&id).expect("a live job has a run");
                run.publishes_in_flight.remove(&output);
                let tries = run.publishing.entry(output).or_default();
                *tries += 1;
                if failure.class == FailureClass::Permanent {
                    return self.end_job(turn, id, JobState::Failed, Some(failure));
                }
                let doublings = (*tries - 1).min(16);
                let backoff = self.policy.publish_retry_ms.saturating_mul(1 << doublings);
                let at = turn.now.mono.plus(backoff.min(self.policy.retry_max_ms));
                self.wake_at(at, Timer::Publish(id, output));
            }
        }
        self.cancel_if_waiting(turn, id);
    }

    /// Ends a job: what runs is stopped, what is staged and not published is dropped, the job leaves for the archive.
    pub(super) fn end_job(&mut self, turn: &mut Turn, id: JobId, state: JobState, failure: Option<Failure>) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let run = self.runs.remove(&id).expect("a live job has a run");
        self.jobs_started -= u64::from(run.is_started);
        let (tenant, accepted_at) = (job.tenant.clone(), job.accepted_at);
        let mut staged: Vec<AttemptId> = Vec::new();
        for (task, index) in job.tasks.iter().zip(0_u32..) {
            let kind = task.plan.step.kind();
            self.queue.remove(OrderKey::of(job, index), kind);
            if let Some(window) = &mut self.reattach {
                window.tasks.remove(&job.task_id(index));
            }
            if kind == TaskKind::Encode && state != JobState::Succeeded {
                staged.extend(task.success.iter().map(|s| s.attempt));
                staged.extend(run.live.get(&index).into_iter().flatten().map(|l| l.attempt));
            }
        }
        let at = turn.now.wall;
        self.emit(turn, Record::JobEnded { job: id, state, failure: failure.clone(), at });
        for live in run.live.values().flatten() {
            self.command(turn, Command::CancelTask { worker: live.worker, attempt: live.attempt });
        }
        if !staged.is_empty() {
            self.command(turn, Command::DropStaged { attempts: staged });
        }
        if let Some(count) = self.tenants.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.tenants.remove(&tenant);
            }
        }
        let total_ms = at.0.saturating_sub(accepted_at.0);
        self.notify_for(turn, Some(tenant), Some(id), FarmNews::JobEnded { state, failure, total_ms });
        for to in run.cancels {
            let canceled = state == JobState::Canceled;
            let reply =
                if canceled { Reply::Canceled { job: id } } else { Reply::Refused(Refusal::NoJob(id)) };
            self.command(turn, Command::Answer { to, reply });
        }
    }
}

/// The staged file of an output, once an attempt has made it.
fn staged(job: &Job, output: u32) -> Option<Artifact> {
    job.tasks.iter().find_map(|t| match (&t.success, t.plan.step) {
        (Some(success), Step::Encode { output: made }) if made == output => match &success.value {
            TaskValue::Encoded(encoded) => {
                debug_assert!(matches!(encoded.artifact.location, Location::Staged(..)));
                Some(encoded.artifact.clone())
            }
            TaskValue::Nothing | TaskValue::Probed { .. } => None,
        },
        _ => None,
    })
}

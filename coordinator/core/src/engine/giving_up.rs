//! What follows when a task is given up: its job ends, or goes on without the task's stage where that is optional.

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::JobState;

use super::{Engine, Turn};
use crate::event::{Command, Decision};
use crate::job::{Stage, Step};
use crate::record::Record;

impl Engine {
    /// Ends a job of which a task was given up, with that task's last failure as the cause, or goes on without the task's
    /// stage where that is optional. Read from the state alone: a crash may have kept the failure and lost what followed.
    pub(super) fn end_given_up(&mut self, turn: &mut Turn, id: JobId) {
        while let Some((stage, cause)) = self.given_up(id) {
            if !self.can_do_without(id, stage) {
                return self.end_job(turn, id, JobState::Failed, Some(cause));
            }
            self.go_on_without(turn, id, stage, &cause);
        }
    }

    /// The first stage with a task that was given up, of those that are not left out, and why it was.
    fn given_up(&self, id: JobId) -> Option<(usize, Failure)> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        if !run.touched {
            return None;
        }
        let tasks = (0..).zip(&job.tasks).filter(|(_, t)| t.is_given_up());
        let mut tasks = tasks.map(|(index, task)| (job.stage_of(index), index, task));
        let ((stage, _), index, task) = tasks.find(|((_, plan), ..)| !plan.dropped)?;
        let trouble = task.trouble.as_ref()?;
        let (cause, died_on) = (trouble.last.failure.clone(), trouble.died_on.len());
        let is_poison =
            cause.code == FailureCode::ProcessDied && died_on >= self.policy.poison_nodes as usize;
        let own = trouble.failures - trouble.lost.min(trouble.failures);
        let cause = match cause.code {
            FailureCode::WorkerLost if own < self.policy.max_attempts => {
                self.lost_too_often(TaskId { job: id, index }, trouble)
            }
            _ if is_poison => poison(cause, died_on),
            _ => counted(cause, own.max(1)),
        };
        Some((stage, cause))
    }

    /// Whether a stage, and all that comes after it, is optional, and something is left of the job.
    fn can_do_without(&self, id: JobId, stage: usize) -> bool {
        let stages = &self.state.jobs[&id].stages;
        let lost = stages_behind(stages, stage);
        let keeps_some =
            stages.iter().enumerate().any(|(i, s)| !s.dropped && !lost.contains(&i) && s.step != Step::Probe);
        lost.iter().all(|i| stages[*i].optional) && keeps_some
    }

    /// An output is made and cannot be put into its place: the job goes on without it where it may. Whether it does.
    pub(super) fn goes_on_without_output(
        &mut self,
        turn: &mut Turn,
        id: JobId,
        output: u32,
        made: &Artifact,
        cause: &Failure,
    ) -> bool {
        let stages = &self.state.jobs[&id].stages;
        let stage = stages.iter().position(|stage| stage.step.output() == Some(output) && !stage.dropped);
        let Some(stage) = stage.filter(|stage| self.can_do_without(id, *stage)) else { return false };
        self.runs.get_mut(&id).expect("a live job has a run").rare_mut().publishing.remove(&output);
        if let Location::Staged(attempt, _) = made.location {
            self.command(turn, Command::DropStaged { attempts: vec![attempt] });
        }
        self.go_on_without(turn, id, stage, cause);
        self.cancel_if_waiting(turn, id);
        true
    }

    fn go_on_without(&mut self, turn: &mut Turn, id: JobId, stage: usize, cause: &Failure) {
        for lost in stages_behind(&self.state.jobs[&id].stages, stage) {
            let number = u32::try_from(lost).expect("a job has far fewer than 2^32 stages");
            self.emit(turn, Record::StageDropped { job: id, stage: number, at: turn.now.wall });
            let failure = Box::new(cause.clone());
            self.decided(turn, Some(id), Decision::OptionalGivenUp { stage: number, failure });
            self.stop_stage(turn, id, lost);
            self.set_dropped(turn.now.mono, id, lost);
        }
        self.rebook(id);
        self.advance(turn, id);
    }

    /// Stops what runs of a stage; what it has staged is dropped.
    fn stop_stage(&mut self, turn: &mut Turn, id: JobId, stage: usize) {
        let run = &self.runs[&id];
        let range = run.stages[stage].first..run.stages[stage].first + run.stages[stage].count;
        let live: Vec<(u32, WorkerId, AttemptId)> = run
            .live
            .range(range)
            .flat_map(|(index, live)| live.iter().map(|l| (*index, l.worker, l.attempt)))
            .collect();
        for (index, worker, attempt) in live {
            self.take_live(worker, TaskId { job: id, index }, attempt);
            self.stop_attempt(turn, worker, attempt);
            self.command(turn, Command::DropStaged { attempts: vec![attempt] });
        }
    }
}

/// A stage that is given up, and the stages that come after it.
fn stages_behind(stages: &[Stage], first: usize) -> Vec<usize> {
    let mut lost = vec![first];
    if stages[first].is_advice() {
        return lost;
    }
    for (at, stage) in stages.iter().enumerate().skip(first + 1) {
        if !stage.dropped && stage.after.iter().any(|before| lost.contains(&(*before as usize))) {
            lost.push(at);
        }
    }
    lost
}

fn poison(cause: Failure, nodes: usize) -> Failure {
    let message =
        format!("the task brought down {nodes} different nodes and is not tried again: {}", cause.message);
    Failure { class: FailureClass::Permanent, message, ..cause }
}

fn counted(cause: Failure, failures: u32) -> Failure {
    if failures == 1 {
        return cause;
    }
    let message = format!("{} (given up after {failures} attempts)", cause.message);
    Failure { message, ..cause }
}

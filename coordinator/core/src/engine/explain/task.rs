//! Where one task is, and why.

use rushes_shared::id::TaskId;
use rushes_shared::units::{Now, WallMs};

use super::super::Engine;
use super::super::run::JobRun;
use super::Outlook;
use crate::explain::{Assumes, Start, TaskExplanation, TaskPlace, Waiting};
use crate::job::Job;

impl Engine {
    /// Why a task of a live job is where it is. `None` where the job has no such task, or not yet.
    #[must_use]
    pub fn explain_task(&self, now: Now, task: TaskId) -> Option<TaskExplanation> {
        let (job, run) = (self.state.jobs.get(&task.job)?, self.runs.get(&task.job)?);
        let entry = job.tasks.get(task.index as usize)?;
        let (at, stage) = job.stage_of(task.index);
        let (ahead, _) = self.ahead_of(job, run);
        let place = self.place_of(now, (job, run), task);
        let waits = matches!(place, TaskPlace::Waits(..));
        let number = u32::try_from(at).expect("a job has far fewer than 2^32 stages");
        Some(TaskExplanation {
            task,
            kind: stage.step.kind(),
            slot: stage.slot,
            stage: number,
            name: job.stage_name(at),
            standing: self.standing(job, run),
            ahead: ahead.map_or(0, |ahead| ahead.before + ahead.within),
            before: if waits { run.stages[at].ready_before(task.index) } else { 0 },
            place,
            failures: entry.failures(),
            last_failure: entry.last_failure().map(|last| Box::new(last.failure.clone())),
            avoids: entry.trouble.iter().flat_map(|t| t.bad_on.iter().copied()).collect(),
            trades: job.trades.iter().filter(|trade| trade.stage == number).cloned().collect(),
        })
    }

    fn place_of(&self, now: Now, (job, run): (&Job, &JobRun), task: TaskId) -> TaskPlace {
        let entry = &job.tasks[task.index as usize];
        let (at, stage) = job.stage_of(task.index);
        let entered = &run.stages[at];
        if let Some(success) = &entry.success {
            return TaskPlace::Done(success.worker, success.at);
        }
        let live = run.live.get(&task.index).map_or(&[][..], Vec::as_slice);
        if live.iter().any(|l| !l.is_ahead) {
            let running = live.iter().filter(|l| !l.is_ahead).map(|l| self.running(now, task, l));
            return TaskPlace::Runs(running.collect());
        }
        if let Some(sent) = live.first() {
            return TaskPlace::Sent(self.sent(now, task, sent));
        }
        if entry.is_given_up() {
            return TaskPlace::GivenUp;
        }
        if stage.dropped {
            return TaskPlace::LeftOut;
        }
        let why = if entered.waits > 0 {
            self.stages_before(stage, run)
        } else if entered.is_held {
            Waiting::Reattachment
        } else if self.aside.has(&task) {
            Waiting::AnotherNode
        } else if entered.is_ready(task.index) {
            self.why_not_started(run, entered.sig)
        } else {
            Waiting::Backoff
        };
        let start = self.start_of_task(now, (job, run), task.index, &why);
        TaskPlace::Waits(why, start)
    }

    fn start_of_task(&self, now: Now, of: (&Job, &JobRun), task: u32, why: &Waiting) -> Option<Start> {
        let (job, run) = of;
        let (at, stage) = job.stage_of(task);
        if *why == Waiting::Backoff {
            let at = self.retried_at(job, run, task)?.max(now.wall);
            return Some(Start { at, assumes: Assumes::Backoff });
        }
        let (_, before_ms) = self.ahead_of(job, run);
        let first = Outlook::new(self, now, of, before_ms).start_of_wait(at, why)?;
        // Its like are started before it, as many at once as there is room for.
        let before = run.stages[at].ready_before(task);
        let behind_ms =
            self.takes_ms(stage, before.saturating_add(1)).saturating_sub(self.takes_ms(stage, 1));
        Some(Start { at: WallMs(first.at.0.saturating_add(behind_ms)), ..first })
    }
}

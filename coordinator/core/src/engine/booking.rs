//! The books of the farm: what each job still takes of it, entered and taken off as its tasks come and go.

use rushes_shared::id::{JobId, TaskId};
use rushes_shared::job::Class;
use rushes_shared::units::MonoMs;

use super::Engine;
use super::gates::{Gates, work_of};
use super::run::JobRun;
use crate::job::Job;
use crate::promise::ledger::{Booking, Ledger, Load};
use crate::promise::path;

impl Engine {
    /// Enters what a job still takes into the books, in place of what it had booked before.
    pub(super) fn rebook(&mut self, id: JobId) {
        let Some(booking) = self.booking_of(id) else { return };
        self.note_unplanned(id);
        let before = self.runs.get_mut(&id).expect("just seen").rebook(booking);
        self.ledger.unbook(&before);
        self.ledger.book(&booking);
        self.rebook_gates(id);
        if booking.deadline.is_some() {
            self.tight_holds_until = MonoMs(0);
        }
    }

    /// What a job still takes that has not been started.
    pub(super) fn booking_of(&self, id: JobId) -> Option<Booking> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        let mut load = Load::default();
        if !job.spec.paused {
            for (stage, entered) in job.stages.iter().zip(&run.stages).filter(|(s, _)| !s.dropped) {
                let waiting = entered.open.saturating_sub(entered.running);
                load = load.plus(path::load_of(stage).times(waiting));
            }
        }
        let class = job.spec.class;
        // Emergencies go before all that is promised, whatever their deadline.
        let is_promise = job.late.is_none() && class != Class::Emergency;
        let deadline = job.spec.deadline.filter(|_| is_promise);
        Some(Booking { class, deadline, load })
    }

    /// Counts a task among those that run and takes it off the books, or the other way round, as what is live of it has
    /// changed.
    pub(super) fn note_running(&mut self, task: TaskId, before: bool, runs: bool) {
        if runs == before {
            return;
        }
        let (Some(job), Some(run)) = (self.state.jobs.get(&task.job), self.runs.get_mut(&task.job)) else {
            return;
        };
        let stage = run.stage_of(task.index);
        stage.running = if runs { stage.running + 1 } else { stage.running - 1 };
        book_one((&mut self.ledger, &mut self.gates), (job, run), task.index, !runs);
        run.count_started(&mut self.jobs_started);
    }

    /// Enters a task into the books that is to be started again, or takes one off that was started or is done.
    pub(super) fn book_task(&mut self, task: TaskId, more: bool) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&task.job), self.runs.get_mut(&task.job)) else {
            return;
        };
        book_one((&mut self.ledger, &mut self.gates), (job, run), task.index, more);
    }

    /// Takes the rest of an ending job off the books.
    pub(super) fn unbook_job(&mut self, id: JobId, run: &JobRun) {
        self.ledger.unbook(&run.booked());
        for stage in run.stages.iter().filter(|s| s.counts_wall) {
            self.ledger.count_stage(u64::from(stage.wall_ms), false);
        }
        self.promises_fine.remove(&(run.rare().fine_until, id));
        self.conflicts.leave(run.rare().worth, id);
    }
}

/// Enters what a task takes into the books under its job, or takes it off.
fn book_one(
    (ledger, gates): (&mut Ledger, &mut Gates),
    (job, run): (&Job, &mut JobRun),
    task: u32,
    more: bool,
) {
    let stage = job.stage_of(task).1;
    // A job that is held back, and a stage that is left out, have nothing in the books.
    if job.spec.paused || stage.dropped {
        return;
    }
    if run.rare().gated.is_some()
        && let Some(gated) = &mut run.rare_mut().gated
    {
        gates.shift(gated, work_of(stage), more);
    }
    let one = path::load_of(stage);
    if more {
        ledger.shift(&Booking { load: one, ..run.booked() }, true);
        run.load = run.load.plus(one);
        return;
    }
    let load =
        Load { cores_ms: one.cores_ms.min(run.load.cores_ms), light_ms: one.light_ms.min(run.load.light_ms) };
    ledger.shift(&Booking { load, ..run.booked() }, false);
    run.load = run.load.minus(load);
}

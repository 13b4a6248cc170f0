//! Quality for time over all jobs: where a promise does not fit beside others, the cheapest of all trades are taken, of
//! whichever job in its way has one, before anybody is declared late.
//!
//! Cheapest is what loses the least quality for the farm's time that it frees, times the value of the job that gives it
//! up; a lower class goes first. Nothing is given up below a job's floor, nor where all of it together would not help.

use std::collections::BTreeMap;

use rushes_shared::id::JobId;
use rushes_shared::job::QualityFloor;
use rushes_shared::units::{Now, WallMs};

use super::conflicts::{time, value};
use super::promises::MOST_TRADES;
use super::{Engine, Turn};
use crate::event::Decision;
use crate::job::Job;
use crate::promise::ledger::{Due, Load};
use crate::promise::path;
use crate::promise::trade::{self, Trade};
use crate::record::Record;

/// Jobs whose trades are looked at for one promise.
const MOST_GIVERS: usize = 16;

/// A trade that would be taken.
pub(super) struct Step {
    giver: JobId,
    trade: Trade,
    frees: Due,
}

impl Engine {
    /// Whether a job may give something up for others: it has a promise, which it keeps, and a floor below what it gets.
    pub(super) fn may_give(job: &Job) -> bool {
        job.spec.floor != QualityFloor::default() && job.late_since.is_none() && !job.spec.paused
    }

    /// Takes trades, of this job or of others, so that its promise fits beside theirs. Whether that was enough.
    pub(super) fn ease(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        let fits = |without: &[Due]| self.fits_beside(turn.now, &self.runs[&id], deadline, without);
        let Some(steps) = self.cheapest_steps(turn.now, id, fits) else { return false };
        self.take_steps(turn, id, steps);
        true
    }

    /// Takes trades for the sake of a job.
    pub(super) fn take_steps(&mut self, turn: &mut Turn, id: JobId, steps: Vec<Step>) {
        for Step { giver, trade, .. } in steps {
            self.emit(turn, Record::Traded { job: giver, trade });
            let sake_of = (giver != id).then_some(id);
            self.decided(turn, Some(giver), Decision::Traded { trade: Box::new(trade), sake_of });
            self.after_trade(turn, giver, trade.stage);
            self.wake_for_promise(turn.now, giver, self.policy.promise.look_ms.max(1));
        }
    }

    /// The cheapest trades with which `fits` holds; `None` where all together do not help.
    pub(super) fn cheapest_steps(
        &self,
        now: Now,
        id: JobId,
        fits: impl Fn(&[Due]) -> bool,
    ) -> Option<Vec<Step>> {
        let dues = |steps: &[Step]| steps.iter().map(|step| step.frees).collect::<Vec<_>>();
        let mut givers: BTreeMap<JobId, Job> = self.givers(id);
        let mut steps: Vec<Step> = Vec::new();
        loop {
            let next =
                givers.values().filter_map(|job| self.cheapest_step(now.wall, job)).min_by_key(|s| s.0);
            let (_, step) = next.filter(|_| steps.len() < MOST_TRADES)?;
            let giver = givers.get_mut(&step.giver).expect("the step is one of theirs");
            step.trade.change(giver.stages_mut());
            giver.trades.push(step.trade);
            steps.push(step);
            if fits(&dues(&steps)) {
                break;
            }
        }
        // What a job would give up without helping is not given up.
        for giver in givers.keys().rev() {
            let (spared, rest): (Vec<Step>, Vec<Step>) =
                std::mem::take(&mut steps).into_iter().partition(|step| step.giver == *giver);
            steps = rest;
            if !spared.is_empty() && !fits(&dues(&steps)) {
                steps.extend(spared);
            }
        }
        Some(steps)
    }

    /// The jobs that are asked: this one, and the cheapest of those that have promises.
    fn givers(&self, id: JobId) -> BTreeMap<JobId, Job> {
        let others = self.conflicts.givers().filter(|other| *other != id).take(MOST_GIVERS);
        let jobs = others.chain([id]).filter_map(|id| Some((id, &**self.state.jobs.get(&id)?)));
        jobs.filter(|(_, job)| Self::may_give(job)).map(|(id, job)| (id, job.clone())).collect()
    }

    /// A job's cheapest next trade and its price: by class, then quality times value for each second that is freed.
    fn cheapest_step(&self, now: WallMs, job: &Job) -> Option<((u8, u64), Step)> {
        let run = self.runs.get(&job.id)?;
        let deadline = job.spec.deadline?;
        let options = trade::options(job, |at| run.stages[at].is_untouched(), 0, now);
        let steps = options.into_iter().filter_map(|trade| {
            let frees = freed(job, &trade);
            let price = u64::from(trade.loss) * value(run.priority) * 1_000_000 / time(frees).max(1);
            let step = Step { giver: job.id, trade, frees: Due { deadline, load: frees } };
            (time(frees) > 0).then_some(((job.spec.class as u8, price), step))
        });
        steps.min_by_key(|(price, step)| (*price, step.trade.stage))
    }

    /// Whether the farm has room for what a trade freed, and half as much again, so that it is not given up again at once.
    pub(super) fn has_room_without(&self, now: Now, job: &Job, trade: &Trade) -> bool {
        let Some(deadline) = job.spec.deadline else { return true };
        let freed = freed(job, trade);
        let more = Load { cores_ms: freed.cores_ms / 2 * 3, light_ms: freed.light_ms / 2 * 3 };
        self.can_take(now, job.spec.class, Due { deadline, load: more }, &[])
    }
}

/// The farm's time that a trade frees.
fn freed(job: &Job, trade: &Trade) -> Load {
    let stage = &job.stages[trade.stage as usize];
    let load = |prediction| path::load_with(stage, prediction).times(stage.count);
    load(trade.before).minus(load(trade.after))
}

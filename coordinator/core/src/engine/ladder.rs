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
/// The cheapest givers among which those are looked for.
const MOST_SCANNED: usize = 1_024;

/// A trade that would be taken.
pub(super) struct Step {
    giver: JobId,
    trade: Trade,
    pub(super) frees: Due,
}

impl Engine {
    /// Whether a job may give something up for others: it has a promise, which it keeps, and a floor below what it gets.
    pub(super) fn may_give(job: &Job) -> bool {
        job.spec.floor != QualityFloor::default() && job.late_since.is_none() && !job.spec.paused
    }

    /// Takes trades, of this job or of others, so that its promise fits beside theirs. Whether that was enough.
    pub(super) fn ease(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        let misses = |without: &[Due]| self.miss_beside(turn.now, &self.runs[&id], deadline, without);
        let Some(steps) = self.cheapest_steps(turn.now, id, misses) else { return false };
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

    /// The cheapest trades with which nothing is missed, of all who may give something up, or else of the job alone; `None`
    /// where all together do not help.
    pub(super) fn cheapest_steps(
        &self,
        now: Now,
        id: JobId,
        misses: impl Fn(&[Due]) -> Option<WallMs>,
    ) -> Option<Vec<Step>> {
        let missed = misses(&[])?;
        let others = self.steps_of(now.wall, self.givers(id, missed), &misses);
        others.or_else(|| {
            let own = self.state.jobs.get(&id).filter(|job| Self::may_give(job))?;
            self.steps_of(now.wall, [(id, (**own).clone())].into(), &misses)
        })
    }

    /// All that a job may give up, the cheapest first.
    pub(super) fn own_steps(&self, now: Now, id: JobId) -> Vec<Step> {
        let mut steps = Vec::new();
        let Some(mut job) = self.state.jobs.get(&id).filter(|j| Self::may_give(j)).map(|j| (**j).clone())
        else {
            return steps;
        };
        while let Some((_, step)) = self.cheapest_step(now.wall, &job).filter(|_| steps.len() < MOST_TRADES) {
            take(&mut job, &step.trade);
            steps.push(step);
        }
        steps
    }

    /// The cheapest trades of these jobs with which nothing is missed.
    fn steps_of(
        &self,
        now: WallMs,
        mut givers: BTreeMap<JobId, Job>,
        misses: &impl Fn(&[Due]) -> Option<WallMs>,
    ) -> Option<Vec<Step>> {
        let dues = |steps: &[Step]| steps.iter().map(|step| step.frees).collect::<Vec<_>>();
        let mut steps: Vec<Step> = Vec::new();
        loop {
            let next = givers.values().filter_map(|job| self.cheapest_step(now, job)).min_by_key(|s| s.0);
            let (_, step) = next.filter(|_| steps.len() < MOST_TRADES)?;
            let giver = givers.get_mut(&step.giver).expect("the step is one of theirs");
            take(giver, &step.trade);
            steps.push(step);
            if misses(&dues(&steps)).is_none() {
                break;
            }
        }
        // What a job would give up without helping is not given up.
        for giver in givers.keys().rev() {
            let (spared, rest): (Vec<Step>, Vec<Step>) =
                std::mem::take(&mut steps).into_iter().partition(|step| step.giver == *giver);
            steps = rest;
            if !spared.is_empty() && misses(&dues(&steps)).is_some() {
                steps.extend(spared);
            }
        }
        Some(steps)
    }

    /// The jobs that are asked: this one, and the cheapest of those whose promises are due by what is missed.
    fn givers(&self, id: JobId, missed: WallMs) -> BTreeMap<JobId, Job> {
        let in_the_way = |id: &JobId| self.due_of(*id).is_some_and(|due| due.deadline <= missed);
        let others = self.conflicts.givers().take(MOST_SCANNED).filter(|other| *other != id);
        let others = others.filter(in_the_way).take(MOST_GIVERS);
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
        self.miss_with(now, job.spec.class, Due { deadline, load: more }, &[]).is_none()
    }
}

/// The farm's time that a trade frees.
fn freed(job: &Job, trade: &Trade) -> Load {
    let stage = &job.stages[trade.stage as usize];
    let (before, after) = trade::demands(job, trade);
    let load = |demand, prediction| path::load_with(stage.slot, demand, prediction).times(stage.count);
    load(before, trade.before).minus(load(after, trade.after))
}

/// Takes a trade of a job that is only tried.
fn take(job: &mut Job, trade: &Trade) {
    trade.change(job.stages_mut());
    job.trades.push(*trade);
    if let Some(demand) = trade::demand_of(job, trade.stage) {
        job.stages_mut()[trade.stage as usize].demand = demand;
    }
}

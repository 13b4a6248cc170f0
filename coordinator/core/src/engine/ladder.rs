//! Quality for time over all jobs: where a promise does not fit beside others, the cheapest of all trades are taken, of
//! whichever job in its way has one, before anybody is declared late.
//!
//! Cheapest is what loses the least quality for the farm's time that it frees, times the value of the job that gives it
//! up; a lower class goes first. Nothing is given up below a job's floor, nor where all of it together would not help.

use rushes_shared::id::JobId;
use rushes_shared::units::{Now, WallMs};

use super::conflicts::{time, value};
use super::promises::{MOST_TRADES, spare};
use super::{Engine, Turn};
use crate::event::Decision;
use crate::job::{Job, Stage};
use crate::promise::gate::Work;
use crate::promise::ledger::{Due, Load, Miss};
use crate::promise::offer::{self, Cause, Giver};
use crate::promise::path::Path;
use crate::promise::trade::{Sake, Trade};
use crate::record::Record;

/// Jobs whose trades are looked at for one promise.
const MOST_GIVERS: usize = 16;
/// The cheapest givers among which those are looked for.
const MOST_SCANNED: usize = 1_024;

/// A trade that would be taken.
#[derive(Debug, Clone)]
pub(super) struct Step {
    giver: JobId,
    trade: Trade,
    pub(super) frees: Due,
    /// Stages that the traded one comes after; what waits is left out before what it waits for.
    after: Vec<u32>,
}

/// A job that is asked what it could give up.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    pub(super) giver: Giver<'a>,
    pub(super) priority: u8,
    pub(super) deadline: WallMs,
}

impl Asked<'_> {
    fn id(&self) -> JobId {
        self.giver.job().id
    }

    /// Its cheapest next trade and the price of that: by class, then quality times value for each second that is freed.
    fn cheapest(&self, cause: Cause) -> Option<((u8, u64), Step)> {
        let steps = self.giver.options(cause).into_iter().filter_map(|trade| {
            let frees = self.giver.freed(&trade);
            let price = u64::from(trade.loss) * value(self.priority) * 1_000_000 / time(frees).max(1);
            let after = self.giver.stages()[trade.stage as usize].after.clone();
            let frees = Due { deadline: self.deadline, load: frees };
            let step = Step { giver: self.id(), trade, frees, after };
            (time(step.frees.load) > 0).then_some(((self.giver.job().spec.class as u8, price), step))
        });
        steps.min_by_key(|(price, step)| (*price, step.trade.stage))
    }
}

/// For whose sake trades are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum For {
    /// This job's.
    Job(JobId),
    /// What was promised on nodes that were lost; of those the dearest.
    LostNodes(JobId),
}

impl For {
    fn job(self) -> JobId {
        let (Self::Job(id) | Self::LostNodes(id)) = self;
        id
    }

    fn sake(self, giver: JobId) -> Sake {
        match self {
            Self::LostNodes(_) => Sake::LostNodes,
            Self::Job(id) if id == giver => Sake::Own,
            Self::Job(id) => Sake::Job(id),
        }
    }
}

impl Engine {
    /// Whether a job may give something up for others: it has a promise, which it keeps, and a floor below what it gets.
    pub(super) fn may_give(job: &Job) -> bool {
        Giver::may_give(&job.spec) && job.late.is_none()
    }

    /// A live job, to be asked.
    pub(super) fn asked(&self, id: JobId) -> Option<Asked<'_>> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        let deadline = job.spec.deadline.filter(|_| Giver::may_give(&job.spec))?;
        let giver = Giver::live(job, |at| run.stages.get(at).is_some_and(|stage| stage.is_untouched()));
        Some(Asked { giver, priority: run.priority, deadline })
    }

    /// Takes trades, of this job or of others, so that its promise fits beside theirs. Whether that was enough.
    pub(super) fn ease(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        let misses = |without: &[Due]| self.miss_beside(turn.now, &self.runs[&id], deadline, without);
        let own = self.asked(id);
        let Some(steps) = self.cheapest_steps(turn.now, For::Job(id), own.as_ref(), misses) else {
            return false;
        };
        self.take_steps(turn, steps);
        true
    }

    /// Takes trades.
    pub(super) fn take_steps(&mut self, turn: &mut Turn, steps: Vec<Step>) {
        for Step { giver, trade, .. } in steps {
            self.take_trade(turn, giver, trade);
            self.wake_for_promise(turn.now, giver, self.policy.promise.look_ms.max(1));
        }
    }

    pub(super) fn take_trade(&mut self, turn: &mut Turn, giver: JobId, trade: Trade) {
        self.emit(turn, Record::Traded { job: giver, trade });
        self.decided(turn, Some(giver), Decision::Traded { trade: Box::new(trade) });
        self.after_trade(turn, giver, trade.stage);
    }

    /// The cheapest trades with which nothing is missed, of all who may give something up, or else of the job's `own`
    /// alone; `None` where all together do not help.
    pub(super) fn cheapest_steps(
        &self,
        now: Now,
        whose: For,
        own: Option<&Asked<'_>>,
        misses: impl Fn(&[Due]) -> Option<Miss>,
    ) -> Option<Vec<Step>> {
        let missed = misses(&[])?;
        let mut all = self.others(whose.job(), missed);
        if all.is_empty() && own.is_none() {
            return None;
        }
        all.extend(own.cloned());
        let cause = |giver| Cause { sake: whose.sake(giver), missing_ms: missed.by_ms, at: now.wall };
        steps_of(all, &cause, &misses).or_else(|| steps_of(vec![own?.clone()], &cause, &misses))
    }

    /// The fewest of the cheapest trades of the job's own with which `enough` finds something, and that.
    pub(super) fn own_steps_for<T>(
        &self,
        now: Now,
        mut own: Asked<'_>,
        missed: Miss,
        enough: impl Fn(&[Due]) -> Option<T>,
    ) -> Option<(Vec<Step>, T)> {
        let cause = Cause { sake: Sake::Own, missing_ms: missed.by_ms, at: now.wall };
        let mut steps: Vec<Step> = Vec::new();
        while let Some((_, step)) = own.cheapest(cause).filter(|_| steps.len() < MOST_TRADES) {
            own.giver.take(&step.trade);
            steps.push(step);
            if let Some(found) = enough(&dues(&steps)) {
                return Some((steps, found));
            }
        }
        None
    }

    /// The cheapest of those whose promises are due by what is missed.
    fn others(&self, id: JobId, missed: Miss) -> Vec<Asked<'_>> {
        let in_the_way = |id: &JobId| self.due_of(*id).is_some_and(|due| due.deadline <= missed.deadline);
        let others = self.conflicts.givers().take(MOST_SCANNED).filter(|other| *other != id);
        let others = others.filter(in_the_way).take(MOST_GIVERS);
        let mut all: Vec<Asked<'_>> = others.filter_map(|id| self.asked(id)).collect();
        all.sort_by_key(Asked::id);
        all
    }

    /// What a job gives up, the cheapest first, until it can be done in time or nothing is left that would help. Going
    /// ahead of others comes first: nothing is given up while that is enough.
    pub(super) fn trades_in_time(
        &self,
        giver: &Giver<'_>,
        path_of: impl Fn(&[Stage]) -> Path,
        now: WallMs,
        deadline: WallMs,
    ) -> Vec<Trade> {
        let wanted = i64::try_from(self.policy.promise.margin_ms).unwrap_or(i64::MAX);
        let (mut giver, mut trades, mut helped) = (giver.clone(), Vec::new(), 0);
        let mut shortest = path_of(giver.stages()).p90_ms;
        while trades.len() < MOST_TRADES {
            let path = path_of(giver.stages()).p90_ms;
            let missing = wanted.saturating_sub(spare(now, deadline, path));
            if missing <= 0 {
                break;
            }
            let options =
                giver.options(Cause { sake: Sake::Own, missing_ms: missing.unsigned_abs(), at: now });
            let with = |change: &dyn Fn(&mut Vec<Stage>)| {
                let mut tried = giver.stages().to_vec();
                change(&mut tried);
                path_of(&tried).p90_ms
            };
            let shortens = |option: &&Trade| with(&|stages| option.change(stages)) < path;
            // Of stages that are equally long, the time is saved only once each of them has given something up.
            let is_in_the_way = |option: &&Trade| {
                let longer = |stages: &mut Vec<Stage>| {
                    let wall_ms = &mut stages[option.stage as usize].prediction.wall_ms;
                    *wall_ms = wall_ms.saturating_add(*wall_ms / 100 + 10);
                };
                with(&longer) > path
            };
            let mut useful: Vec<Trade> = options.iter().filter(shortens).copied().collect();
            if useful.is_empty() {
                useful = options.iter().filter(is_in_the_way).copied().collect();
            }
            let Some(trade) = offer::cheapest(&useful) else { break };
            giver.take(&trade);
            trades.push(trade);
            let path = path_of(giver.stages()).p90_ms;
            if path < shortest {
                (shortest, helped) = (path, trades.len());
            }
        }
        trades.truncate(helped);
        trades
    }

    /// Whether the farm has room for what a trade freed, and half as much again, so that it is not given up again at once.
    pub(super) fn has_room_without(&self, now: Now, job: &Job, trade: &Trade) -> bool {
        let Some(deadline) = job.spec.deadline else { return true };
        let freed = Giver::live(job, |_| false).freed(trade);
        let more = Load { cores_ms: freed.cores_ms / 2 * 3, light_ms: freed.light_ms / 2 * 3 };
        let work = Work { load: more, wall_ms: wall_ms_of(job, trade) / 2 * 3 };
        self.miss_with(now, job.spec.class, Due { deadline, load: more }, &[]).is_none()
            && self.pass_more(now, job.id, deadline, work)
    }
}

/// The wall time of tasks that a trade saves, in milliseconds.
fn wall_ms_of(job: &Job, trade: &Trade) -> u64 {
    let count = job.stages.get(trade.stage as usize).map_or(0, |stage| u64::from(stage.count));
    trade.before.wall_ms.saturating_sub(trade.after.wall_ms).saturating_mul(count)
}

pub(super) fn dues(steps: &[Step]) -> Vec<Due> {
    steps.iter().map(|step| step.frees).collect()
}

/// The cheapest trades of these jobs with which nothing is missed.
fn steps_of(
    mut givers: Vec<Asked<'_>>,
    cause: &impl Fn(JobId) -> Cause,
    misses: &impl Fn(&[Due]) -> Option<Miss>,
) -> Option<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let next =
            givers.iter().zip(0..).filter_map(|(asked, at)| Some((asked.cheapest(cause(asked.id()))?, at)));
        let ((_, step), at) =
            next.min_by_key(|((price, _), _)| *price).filter(|_| steps.len() < MOST_TRADES)?;
        let at: usize = at;
        givers[at].giver.take(&step.trade);
        steps.push(step);
        if misses(&dues(&steps)).is_none() {
            break;
        }
    }
    // What a job would give up without helping is not given up.
    for giver in givers.iter().rev().map(Asked::id) {
        let (spared, rest): (Vec<Step>, Vec<Step>) =
            std::mem::take(&mut steps).into_iter().partition(|step| step.giver == giver);
        steps = rest;
        if !spared.is_empty() && misses(&dues(&steps)).is_some() {
            steps.extend(spared);
        }
    }
    Some(without_idle(steps, |rest| misses(&dues(rest)).is_none()))
}

/// The same trades without those that are not needed, the latest first. A trade on which a later one builds stays.
pub(super) fn without_idle(mut steps: Vec<Step>, is_enough: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    for at in (0..steps.len()).rev() {
        let is_built_upon = steps[at + 1..].iter().any(|later| {
            let (this, later_stage) = (&steps[at], later.trade.stage);
            later.giver == this.giver
                && (later_stage == this.trade.stage || this.after.contains(&later_stage))
        });
        if is_built_upon {
            continue;
        }
        let spared = steps.remove(at);
        if !is_enough(&steps) {
            steps.insert(at, spared);
        }
    }
    steps
}

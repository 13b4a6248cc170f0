//! Settles conflicts between promises that cannot all be kept: the one is declared late whose loss costs the least value
//! for the time that it frees (Moore 1968, with values), not whoever came last. It gets its promise back when room appears.
//!
//! **Invariant:** a promise yields to another only where less value is lost, or as much and more time is won; a job of a
//! higher class never yields to one of a lower.

use std::collections::BTreeSet;
use std::ops::Bound;

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{MonoMs, Now};

use super::beside::Claim;
use super::ladder::Asked;
use super::promises::spare;
use super::{Engine, Timer, Turn};
use crate::event::Decision;
use crate::job::Stage;
use crate::promise::ledger::{Due, Load, Miss};
use crate::record::Record;

/// Promises that are looked at to settle one conflict.
const MOST_LOOKS: usize = 64;
/// The cheapest promises among which those are looked for.
const MOST_SCANNED: usize = 4_096;
/// Late jobs that are looked at in one turn.
const MOST_LATE: usize = 8;
/// Late jobs are not looked at more often than this, in milliseconds.
const SHORTEST_LOOK_MS: u64 = 50;

/// What a promise is worth beside others: the lowest yields first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Worth {
    is_late: bool,
    class: Class,
    /// Value for each millisecond of the farm's time that it takes, times 2^32.
    price: u64,
}

/// Promises by what they are worth.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    by_worth: BTreeSet<(Worth, JobId)>,
    /// Those that have a floor below what they get.
    givers: BTreeSet<(Worth, JobId)>,
    /// Where the last look at late jobs ended.
    looked_to: Option<(Worth, JobId)>,
    /// When it was,
    looked_at: Option<MonoMs>,
    /// and when the next one is due at the latest.
    looks_at: Option<MonoMs>,
    /// Whether there may be room for them since.
    has_room: bool,
    /// Whether nodes were lost since it was last seen that what is left can keep all promises.
    pub(super) is_short: bool,
    /// When that was looked at,
    pub(super) short_looked_at: Option<MonoMs>,
    /// How often it was looked for what could be given up for promises that did not fit any more.
    pub(super) eased: u64,
}

/// Where late jobs begin.
const FIRST_LATE: (Worth, JobId) = (Worth { is_late: true, class: Class::Bulk, price: 0 }, JobId(0));

impl Conflicts {
    pub(super) fn leave(&mut self, worth: Option<Worth>, id: JobId) {
        if let Some(worth) = worth {
            self.by_worth.remove(&(worth, id));
            self.givers.remove(&(worth, id));
        }
    }

    /// Jobs with promises that may yield, the cheapest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = JobId> + '_ {
        self.by_worth.range(..FIRST_LATE).map(|(_, id)| *id)
    }

    /// Jobs with promises that may give quality up, the cheapest first.
    pub(super) fn givers(&self) -> impl Iterator<Item = JobId> + '_ {
        self.givers.iter().map(|(_, id)| *id)
    }
}

/// The value of a promise: one more than its priority, so that no job is worth nothing.
pub(super) fn value(priority: u8) -> u64 {
    u64::from(priority) + 1
}

/// The time that work takes of the kind of slot that it takes most of.
pub(super) fn time(load: Load) -> u64 {
    load.cores_ms.max(load.light_ms)
}

fn price(priority: u8, load: Load) -> u64 {
    (value(priority) << 32) / time(load).max(1)
}

impl Engine {
    /// Brings a job to its place among the promises that may yield, or among those that wait to be given again.
    pub(super) fn rank(&mut self, now: Now, id: JobId) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let is_late = job.late.is_some();
        let ranks = job.spec.deadline.is_some_and(|due| due > now.wall) && !job.spec.paused;
        let worth = (ranks && (is_late || run.is_judged)).then(|| Worth {
            is_late,
            class: job.spec.class,
            price: price(run.priority, run.booked().load),
        });
        let before = run.rare().worth;
        if before != worth {
            run.rare_mut().worth = worth;
        }
        self.conflicts.leave(before, id);
        self.conflicts.by_worth.extend(worth.map(|worth| (worth, id)));
        self.conflicts.givers.extend(worth.filter(|_| Self::may_give(job)).map(|worth| (worth, id)));
        if is_late && ranks {
            self.wake_for_late(now);
        }
    }

    /// The promises that have to yield so that a job fits, if their loss costs less than the job's own.
    pub(super) fn cheapest_to_yield(
        &self,
        claim: &Claim<'_>,
        load: Load,
        misses: impl Fn(&[Due]) -> Option<Miss>,
    ) -> Option<Vec<(JobId, Due)>> {
        let Claim { id, class, priority, .. } = *claim;
        let own = Worth { is_late: false, class, price: price(priority, load) };
        let mut cheaper = self.conflicts.by_worth.range(..=(own, JobId(u128::MAX))).take(MOST_SCANNED);
        let mut yielding: Vec<(JobId, Due)> = Vec::new();
        let dues = |yielding: &[(JobId, Due)]| yielding.iter().map(|(_, due)| *due).collect::<Vec<_>>();
        let mut end = misses(&[]);
        // Those that are due later than what is missed, which does not come of them; they count once that is later.
        let mut later: Vec<(JobId, Due)> = Vec::new();
        while let Some(missed) = end.filter(|_| yielding.len() < MOST_LOOKS) {
            let in_the_way = |due: &Due| due.deadline <= missed.deadline;
            let next =
                later.iter().position(|(_, due)| in_the_way(due)).map(|at| later.remove(at)).or_else(|| {
                    cheaper.find_map(|(_, other)| {
                        let due = self.due_of(*other).filter(|_| *other != id)?;
                        if in_the_way(&due) {
                            return Some((*other, due));
                        }
                        later.push((*other, due));
                        None
                    })
                });
            let Some(next) = next else { break };
            yielding.push(next);
            end = misses(&dues(&yielding));
        }
        let enough = end.is_none();
        // Those whose loss does not help are kept, the dearest first.
        for at in (0..yielding.len()).rev() {
            let spared = yielding.remove(at);
            if misses(&dues(&yielding)).is_some() {
                yielding.insert(at, spared);
            }
        }
        let same = yielding.iter().filter(|(other, _)| self.state.jobs[other].spec.class == class);
        let lost: u64 = same.map(|(other, _)| value(self.runs[other].priority)).sum();
        let freed = yielding.iter().fold(Load::default(), |sum, (_, due)| sum.plus(due.load));
        let is_worth_it = lost < value(priority) || (lost == value(priority) && time(freed) > time(load));
        (enough && is_worth_it).then_some(yielding)
    }

    /// What a promise has booked that may yield.
    pub(super) fn due_of(&self, id: JobId) -> Option<Due> {
        let booked = self.runs.get(&id)?.booked();
        let deadline = booked.deadline.filter(|_| booked.load != Load::default())?;
        Some(Due { deadline, load: booked.load })
    }

    /// Looks at late jobs before anything else is started, if there may be room: the dearest first, on from where the
    /// last look ended.
    pub(super) fn look_at_late(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        let conflicts = &mut self.conflicts;
        if !conflicts.has_room || conflicts.looked_at.is_some_and(|at| now.since(at) < SHORTEST_LOOK_MS) {
            return;
        }
        (conflicts.has_room, conflicts.looked_at) = (false, Some(now));
        let end = conflicts.looked_to.take().map_or(Bound::Unbounded, Bound::Excluded);
        let late: Vec<(Worth, JobId)> = conflicts
            .by_worth
            .range((Bound::Included(FIRST_LATE), end))
            .rev()
            .take(MOST_LATE)
            .copied()
            .collect();
        if late.len() == MOST_LATE {
            conflicts.looked_to = late.last().copied();
        }
        for (worth, id) in late {
            match self.is_late_for_good(turn, id) {
                Some(false) => self.give_again(turn, id),
                Some(true) => {
                    self.conflicts.leave(Some(worth), id);
                    self.runs.get_mut(&id).expect("a ranked job has a run").rare_mut().worth = None;
                }
                None => {}
            }
        }
        self.wake_for_late(turn.now);
    }

    /// Whether a late job's deadline has passed, or it can be kept again, if need be at its floor. `None`: neither.
    fn is_late_for_good(&self, turn: &Turn, id: JobId) -> Option<bool> {
        let (job, run, now) = (&self.state.jobs[&id], &self.runs[&id], turn.now.wall);
        let deadline = job.spec.deadline?;
        if now > deadline {
            return Some(true);
        }
        let path_of = |stages: &[Stage]| self.path_of(stages, run, now);
        let (mut path, mut own, mut freed) = (path_of(&job.stages), self.asked(id), Load::default());
        if let Some(Asked { giver, .. }) = &mut own {
            for trade in self.trades_in_time(giver, path_of, now, deadline) {
                freed = freed.plus(giver.freed(&trade));
                giver.take(&trade);
            }
            path = path_of(giver.stages());
        }
        let wanted = i64::try_from(self.policy.promise.margin_ms).unwrap_or(i64::MAX);
        let path_ms = path.p90_ms.max(self.gates_due_ms(turn.now, run, deadline));
        if !self.knows_power() || spare(now, deadline, path_ms) < wanted {
            return None;
        }
        if self.barred_by(id).is_some() || !self.passes_again(turn.now, id, deadline) {
            return None;
        }
        let class = run.booked().class;
        // An emergency is booked as one, late or not.
        let is_first = class == Class::Emergency;
        let load = if is_first { Load::default() } else { run.booked().load.minus(freed) };
        let misses = |without: &[Due]| self.miss_with(turn.now, class, Due { deadline, load }, without);
        let Some(missed) = misses(&[]) else { return Some(false) };
        let enough = |given: &[Due]| misses(given).is_none().then_some(());
        self.own_steps_for(turn.now, own.filter(|_| !is_first)?, missed, enough).map(|_| false)
    }

    fn give_again(&mut self, turn: &mut Turn, id: JobId) {
        let deadline = self.state.jobs[&id].spec.deadline.expect("a late job has a deadline");
        self.emit(turn, Record::PromiseRestored { job: id, at: turn.now.wall });
        self.decided(turn, Some(id), Decision::PromiseRestored { deadline });
        let run = self.runs.get_mut(&id).expect("a ranked job has a run");
        run.is_judged = true;
        self.rebook(id);
        self.trade(turn, id, deadline);
        if !self.fits_beside(turn.now, &self.runs[&id], deadline) {
            self.ease(turn, id, deadline);
        }
        self.rank(turn.now, id);
        self.look_at_promise(turn, id);
    }

    /// There may be room for late jobs: they are looked at in this turn or the next.
    pub(super) fn note_room(&mut self) {
        self.conflicts.has_room = true;
    }

    /// Looks at late jobs after a while, as long as there are any: work may take less than was predicted.
    fn wake_for_late(&mut self, now: Now) {
        let has_late = self.conflicts.by_worth.last().is_some_and(|(worth, _)| worth.is_late);
        let at = now.mono.plus(self.policy.promise.look_ms.max(1));
        if has_late && self.conflicts.looks_at.is_none_or(|before| before <= now.mono) {
            self.conflicts.looks_at = Some(at);
            self.wake_at(at, Timer::Late);
        }
    }
}

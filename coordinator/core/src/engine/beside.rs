//! Whether promises fit beside each other, on what the farm can be counted on for, and what is done where one does not.

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{Now, WallMs};

use super::ladder::{Asked, For, Step, dues, without_idle};
use super::run::{JobRun, Promise};
use super::{Engine, Turn};
use crate::policy::Admission;
use crate::promise::late::LateBy;
use crate::promise::ledger::{Due, Load, Miss, Power};
use crate::promise::path::Path;

impl Engine {
    /// Whether it is known what the farm gets done: some workers are there, and those of the reign before are back or not
    /// waited for any more.
    pub(super) fn knows_power(&self) -> bool {
        self.reattach.is_none() && self.fleet.counted_on() != Power::default()
    }

    /// What promises may take of the farm.
    pub(super) fn promised_power(&self) -> Power {
        self.fleet.counted_on().share(self.policy.promise.load_permille)
    }

    /// The first deadline that would be missed with work that is not booked among the promises, beside those except these.
    pub(super) fn miss_with(&self, now: Now, class: Class, more: Due, without: &[Due]) -> Option<Miss> {
        let (power, running) = (self.promised_power(), self.fleet.running_left(now.mono));
        match class {
            Class::Emergency => self.ledger.miss_of_emergency(now.wall, more, running, power),
            _ => self.ledger.miss_with(now.wall, more, running, power, without),
        }
    }

    /// Whether the job fits beside the promises that were given before.
    pub(super) fn fits_beside(&self, now: Now, run: &JobRun, deadline: WallMs) -> bool {
        self.miss_beside(now, run, deadline, &[]).is_none()
    }

    /// The first deadline that is missed with the job beside the promises that were given before, except these.
    pub(super) fn miss_beside(
        &self,
        now: Now,
        run: &JobRun,
        deadline: WallMs,
        without: &[Due],
    ) -> Option<Miss> {
        let booked = run.booked();
        if booked.class == Class::Emergency {
            return self.miss_with(now, booked.class, Due { deadline, load: Load::default() }, without);
        }
        let own = Due { deadline, load: booked.load };
        let running = self.fleet.running_left(now.mono);
        self.ledger.miss_of(now.wall, own, running, self.promised_power(), without)
    }

    /// How long the job takes if that is past its deadline, whatever it gives up, in milliseconds.
    pub(super) fn is_hopeless(&self, now: WallMs, deadline: WallMs, path: Path) -> Option<u64> {
        (now.0.saturating_add(path.p50_ms) > deadline.0).then_some(path.p50_ms)
    }

    /// Judges once, as soon as the job's plan is known, whether the promise can be kept beside those that were given
    /// before. Where it cannot, the one is declared late at once whose loss costs least, so that it does not drag others
    /// down.
    pub(super) fn judge(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        let run = &self.runs[&id];
        if run.is_judged {
            return true;
        }
        self.runs.get_mut(&id).expect("just seen").is_judged = true;
        if !self.judge_at_gates(turn, id, deadline) {
            return false;
        }
        let run = &self.runs[&id];
        let booked = run.booked();
        let misses = |without: &[Due]| self.miss_beside(turn.now, run, deadline, without);
        let claim =
            Claim { id, class: booked.class, priority: run.priority, load: booked.load, own: self.asked(id) };
        let room = self.room_for(turn.now, &claim, misses);
        let Some(Room { steps, yielding }) = room else {
            self.give_up(turn, id, deadline, LateBy::Itself);
            return false;
        };
        for (other, due) in yielding {
            self.give_up(turn, other, due.deadline, LateBy::Other(id));
        }
        self.take_steps(turn, steps);
        self.rank(turn.now, id);
        true
    }

    /// What makes room for a promise beside the others: nothing, trades, promises that are worth less, or both. `None`
    /// where nothing does.
    pub(super) fn room_for(
        &self,
        now: Now,
        claim: &Claim<'_>,
        misses: impl Fn(&[Due]) -> Option<Miss>,
    ) -> Option<Room> {
        let Some(missed) = misses(&[]) else { return Some(Room::default()) };
        // Whatever others give up, an emergency was before them.
        if claim.class == Class::Emergency {
            return None;
        }
        if let Some(steps) = self.cheapest_steps(now, For::Job(claim.id), claim.own.as_ref(), &misses) {
            return Some(Room { steps, yielding: Vec::new() });
        }
        // A promise that was given where others are refused is kept.
        if self.policy.promise.admission != Admission::Advise {
            return None;
        }
        if let Some(yielding) = self.cheapest_to_yield(claim, claim.load, &misses) {
            return Some(Room { steps: Vec::new(), yielding });
        }
        let own = claim.own.clone()?;
        let (steps, yielding) = self.own_steps_for(now, own, missed, |given| {
            let load = given.iter().fold(claim.load, |load, due| load.minus(due.load));
            self.cheapest_to_yield(claim, load, |without| misses(&[without, given].concat()))
        })?;
        let gone: Vec<Due> = yielding.iter().map(|(_, due)| *due).collect();
        let is_enough = |rest: &[Step]| misses(&[gone.as_slice(), &dues(rest)].concat()).is_none();
        Some(Room { steps: without_idle(steps, is_enough), yielding })
    }

    /// Where a promise at risk does not fit any more, because a node was lost or tasks take longer, quality is given up
    /// by whoever loses least.
    pub(super) fn ease_if_crowded(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) {
        let run = &self.runs[&id];
        let is_first = run.booked().class == Class::Emergency;
        if run.promise != Promise::AtRisk || is_first || self.fits_beside(turn.now, run, deadline) {
            return;
        }
        // With the same books and the same nodes it would fail again.
        let tried = (self.ledger.changes(), self.promised_power());
        if run.rare().eased_in_vain == Some(tried) {
            return;
        }
        self.conflicts.eased += 1;
        if !self.ease(turn, id, deadline) {
            self.runs.get_mut(&id).expect("just seen").rare_mut().eased_in_vain = Some(tried);
        }
    }
}

/// A job that wants its promise kept beside others.
#[derive(Debug, Clone)]
pub(super) struct Claim<'a> {
    pub(super) id: JobId,
    pub(super) class: Class,
    pub(super) priority: u8,
    pub(super) load: Load,
    /// The job, if it may give something up itself.
    pub(super) own: Option<Asked<'a>>,
}

/// What makes room for it.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Trades.
    pub(super) steps: Vec<Step>,
    /// Promises that are given up.
    pub(super) yielding: Vec<(JobId, Due)>,
}

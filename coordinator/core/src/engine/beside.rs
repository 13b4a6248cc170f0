//! Whether promises fit beside each other, on what the farm can be counted on for, and what is done where one does not.

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{Now, WallMs};

use super::run::{JobRun, Promise};
use super::{Engine, Turn};
use crate::event::LateBy;
use crate::promise::ledger::{Due, Load, Power};

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
    pub(super) fn miss_with(&self, now: Now, class: Class, more: Due, without: &[Due]) -> Option<WallMs> {
        let (power, running) = (self.promised_power(), self.fleet.running_left(now.mono));
        match class {
            Class::Emergency if self.ledger.can_hurry(now.wall, more, running, power) => None,
            Class::Emergency => Some(more.deadline),
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
    ) -> Option<WallMs> {
        let booked = run.booked();
        if booked.class == Class::Emergency {
            return self.miss_with(now, booked.class, Due { deadline, load: Load::default() }, without);
        }
        let own = Due { deadline, load: booked.load };
        let running = self.fleet.running_left(now.mono);
        self.ledger.miss_of(now.wall, own, running, self.promised_power(), without)
    }

    /// Judges once, as soon as the job's plan is known, whether the promise can be kept beside those that were given
    /// before. Where it cannot, the one is declared late at once whose loss costs least, so that it does not drag others
    /// down.
    pub(super) fn judge(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        let run = &self.runs[&id];
        if run.is_judged {
            return true;
        }
        // Whatever others give up, an emergency was before them.
        let is_first = run.booked().class == Class::Emergency;
        let fits =
            self.fits_beside(turn.now, run, deadline) || (!is_first && self.find_room(turn, id, deadline));
        self.runs.get_mut(&id).expect("just seen").is_judged = true;
        if fits {
            self.rank(turn.now, id);
        } else {
            self.give_up(turn, id, deadline, LateBy::Itself);
        }
        fits
    }

    /// Makes room for a promise that does not fit beside the others: by trades, or by promises that are worth less. Whether
    /// that was enough.
    fn find_room(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) -> bool {
        self.ease(turn, id, deadline)
            || self.others_yield(turn, id, deadline, &[])
            || self.both_yield(turn, id, deadline)
    }

    /// Where a promise at risk does not fit any more, because a node was lost or tasks take longer, quality is given up
    /// by whoever loses least.
    pub(super) fn ease_if_crowded(&mut self, turn: &mut Turn, id: JobId, deadline: WallMs) {
        let run = &self.runs[&id];
        let is_first = run.booked().class == Class::Emergency;
        if run.promise == Promise::AtRisk && !is_first && !self.fits_beside(turn.now, run, deadline) {
            self.ease(turn, id, deadline);
        }
    }
}

//! What is promised is more than the farm can do, because nodes were lost: quality is given up first, then the promises
//! whose loss costs the least value, until the others can be kept. They are told at once, and get their promise back when
//! there is room (see `conflicts`).
//!
//! Nothing is given up while a worker is only silent: it may be back within its lease.

use rushes_shared::id::JobId;
use rushes_shared::units::WallMs;

use super::ladder::For;
use super::{Engine, Turn};
use crate::promise::gate::Gate;
use crate::promise::late::LateBy;
use crate::promise::ledger::{Due, Miss};

/// Promises that are looked at for one deadline at a time; where all of them are not enough, the next ones follow.
const MOST_LOOKS: usize = 64;
/// Deadlines that are looked at in one turn; the next turn takes more.
const MOST_DEADLINES: usize = 16;
/// The farm is not looked at more often than this, in milliseconds.
const SHORTEST_LOOK_MS: u64 = 50;

impl Engine {
    /// Nodes are gone, or get nothing for a while: it is to be seen whether the others can keep what was promised.
    pub(super) fn note_loss(&mut self) {
        self.conflicts.is_short = true;
        self.gates.look_at_all(|gate| matches!(gate, Gate::Nodes { .. }));
    }

    /// Brings what is promised down to what the farm can do, if nodes were lost.
    pub(super) fn shed(&mut self, turn: &mut Turn) {
        let now = turn.now.mono;
        let conflicts = &mut self.conflicts;
        if !conflicts.is_short || conflicts.short_looked_at.is_some_and(|at| now.since(at) < SHORTEST_LOOK_MS)
        {
            return;
        }
        conflicts.short_looked_at = Some(now);
        let is_silent = self.fleet.values().any(|node| node.link.is_none());
        if is_silent || !self.knows_power() {
            return;
        }
        for _ in 0..MOST_DEADLINES {
            let Some(missed) = self.first_overload(turn, &[], WallMs(u64::MAX)) else {
                self.conflicts.is_short = false;
                return;
            };
            if !self.shed_until(turn, missed.deadline) {
                // What is left to do by then was not promised: emergencies, and what runs.
                self.conflicts.is_short = false;
                return;
            }
        }
    }

    fn first_overload(&self, turn: &Turn, without: &[Due], until: WallMs) -> Option<Miss> {
        let running = self.fleet.running_left(turn.now.mono);
        self.ledger.first_overload(turn.now.wall, running, self.fleet.counted_on(), without, until)
    }

    /// Has what is due by `end` fit again: by trades if they are enough, else by giving up promises, the cheapest first,
    /// and of those only what it takes. Whether anything was given up.
    fn shed_until(&mut self, turn: &mut Turn, end: WallMs) -> bool {
        let due = |id: JobId| self.due_of(id).filter(|due| due.deadline <= end).map(|due| (id, due));
        let candidates: Vec<(JobId, Due)> = self.conflicts.kept().filter_map(due).take(MOST_LOOKS).collect();
        let misses = |without: &[Due]| self.first_overload(turn, without, end);
        let fits = |without: &[Due]| misses(without).is_none();
        let Some((dearest, _)) = candidates.last().copied() else { return false };
        let own = self.asked(dearest);
        if let Some(steps) = self.cheapest_steps(turn.now, For::LostNodes(dearest), own.as_ref(), misses) {
            self.take_steps(turn, steps);
            return true;
        }
        let dues = |given: &[(JobId, Due)]| given.iter().map(|(_, due)| *due).collect::<Vec<_>>();
        let mut given: Vec<(JobId, Due)> = Vec::new();
        for candidate in candidates {
            given.push(candidate);
            if fits(&dues(&given)) {
                break;
            }
        }
        for at in (0..given.len()).rev() {
            let spared = given.remove(at);
            if !fits(&dues(&given)) {
                given.insert(at, spared);
            }
        }
        for (id, due) in &given {
            self.give_up(turn, *id, due.deadline, LateBy::LostNodes);
        }
        !given.is_empty()
    }
}

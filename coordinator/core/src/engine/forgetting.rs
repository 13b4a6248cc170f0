//! Forgets what nobody needs any more, a bounded number in a turn: idempotency keys, and workers that are gone.

use rushes_shared::id::WorkerId;
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::{Engine, Timer, Turn};
use crate::record::Record;
use crate::state::KnownWorker;

/// Idempotency keys that are forgotten in one turn, at about.
const KEYS_A_TURN: usize = 1_000;

/// Workers that are forgotten in one turn at most.
const WORKERS_A_TURN: usize = 1_000;

impl Engine {
    pub(super) fn wake_to_forget_keys(&mut self, now: Now) {
        self.forget_keys_at(now.mono.plus((self.policy.idempotency_ms / 24).max(1_000)));
    }

    /// One look is due at a time, the earliest that is wanted.
    pub(super) fn forget_keys_at(&mut self, at: MonoMs) {
        if self.forgets_keys_at.is_none_or(|due| at < due) {
            if let Some(due) = self.forgets_keys_at.replace(at) {
                self.timers.remove(&(due, Timer::ForgetKeys));
            }
            self.wake_at(at, Timer::ForgetKeys);
        }
    }

    /// Forgets keys that were kept for long enough, and the oldest where there are too many: a bounded number in a turn.
    pub(super) fn forget_keys(&mut self, turn: &mut Turn) {
        self.forgets_keys_at = None;
        let old = WallMs(turn.now.wall.0.saturating_sub(self.policy.idempotency_ms));
        let over = self.state.keys.len().saturating_sub(self.policy.max_keys);
        let (before, is_more) = self.state.keys.forgettable(old, over, KEYS_A_TURN);
        if let Some(before) = before {
            self.emit(turn, Record::KeysForgotten { before });
        }
        if is_more {
            self.forget_keys_at(turn.now.mono.plus(1));
        } else if !self.state.keys.is_empty() {
            self.wake_to_forget_keys(turn.now);
        }
    }

    /// Looks from time to time for workers that were away for long.
    pub(super) fn wake_to_forget_workers(&mut self, now: Now) {
        if !std::mem::replace(&mut self.forgets_workers, true) {
            let often_ms = (self.policy.forget_workers_ms / 24).max(1_000);
            self.wake_at(now.mono.plus(often_ms), Timer::ForgetWorkers);
        }
    }

    /// Forgets workers that nobody waits for and that were not here for long: in a farm that grows and shrinks by itself
    /// each start of a node may be a new one.
    pub(super) fn forget_workers(&mut self, turn: &mut Turn) {
        self.forgets_workers = false;
        let before = turn.now.wall.0.saturating_sub(self.policy.forget_workers_ms);
        let is_old = |w: &&KnownWorker| !w.expected && w.at.0 <= before && self.fleet.get(&w.id).is_none();
        let old = self.state.workers.values().filter(is_old).map(|w| w.id);
        let old: Vec<WorkerId> = old.take(WORKERS_A_TURN).collect();
        let is_more = old.len() == WORKERS_A_TURN;
        for worker in old {
            self.emit(turn, Record::WorkerForgotten { worker });
        }
        if is_more {
            self.forgets_workers = true;
            self.wake_at(turn.now.mono.plus(1), Timer::ForgetWorkers);
        } else if !self.state.workers.is_empty() {
            self.wake_to_forget_workers(turn.now);
        }
    }
}

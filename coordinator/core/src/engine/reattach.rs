//! The window after a start in which tasks of the reign before wait for the workers that may be on them.

use std::collections::BTreeSet;

use rushes_shared::id::{JobId, WorkerId};
use rushes_shared::units::{MonoMs, Now};

use super::{Engine, Timer, Turn};
use crate::event::FarmNews;
use crate::record::Record;

/// Tasks of the reign before that wait for their workers, and those workers.
#[derive(Debug)]
pub(super) struct Reattach {
    pub(super) jobs: BTreeSet<JobId>,
    pub(super) workers: BTreeSet<WorkerId>,
    /// When it closes.
    pub(super) until: MonoMs,
}

impl Engine {
    /// Waits for the workers that were connected when the last reign ended.
    pub(super) fn open_reattach_window(&mut self, now: Now) {
        let workers: BTreeSet<WorkerId> =
            self.state.workers.values().filter(|w| w.expected).map(|w| w.id).collect();
        if !workers.is_empty() {
            let until = now.mono.plus(self.policy.reattach_ms);
            self.reattach = Some(Reattach { jobs: BTreeSet::new(), workers, until });
            self.wake_at(until, Timer::Reattach);
        }
    }

    /// Whoever has not come back by now is not waited for; tasks that nobody claimed are queued.
    pub(super) fn close_reattach_window(&mut self, turn: &mut Turn) {
        let Some(window) = self.reattach.take() else { return };
        for worker in window.workers {
            let at = turn.now.wall;
            self.emit(turn, Record::WorkerGone { worker, at });
            self.notify(turn, None, FarmNews::WorkerGone { worker, lost: false });
        }
        for job in window.jobs {
            self.release_held(turn.now.mono, job);
            self.undo_if_late(turn, job);
        }
        // What could not be judged meanwhile is judged now, by what the farm has come back with.
        self.note_loss();
        self.note_room();
        self.power_is_back(turn);
        self.look_for_strays(turn, None);
    }
}

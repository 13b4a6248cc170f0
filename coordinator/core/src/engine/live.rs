//! The live attempts of a job. A job that only waits has none, and there may be a million of those.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Deref;

use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::{Demand, SlotKind};

use crate::job::LiveTask;

static NONE: Under = Under { attempts: BTreeMap::new(), ahead: 0, light: 0, cpu: 0 };

/// What entering or taking out an attempt has changed about its task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    /// Whether an attempt at it ran before, and did not only wait on its worker for room.
    pub(super) ran: bool,
    /// Whether one does now.
    pub(super) runs: bool,
    /// How many it has now.
    pub(super) attempts: usize,
}

/// Live attempts by task index.
#[derive(Debug, Default)]
pub(super) struct Live(Option<Box<Under>>);

#[derive(Debug, Default)]
struct Under {
    attempts: BTreeMap<u32, Vec<LiveTask>>,
    /// How many of them wait on their workers for room.
    ahead: u32,
    /// Light slots that they take.
    light: u32,
    /// Cores that they take, in millicores.
    cpu: u64,
}

impl Live {
    fn under(&self) -> &Under {
        self.0.as_deref().unwrap_or(&NONE)
    }

    fn under_mut(&mut self) -> &mut Under {
        self.0.get_or_insert_default()
    }

    /// Enters an attempt.
    pub(super) fn push(&mut self, task: u32, live: LiveTask) -> Shift {
        let attempts = self.under_mut().attempts.entry(task).or_insert_with(|| Vec::with_capacity(1));
        let ran = any_runs(attempts);
        let runs = ran || !live.is_ahead;
        attempts.push(live);
        Shift { ran, runs, attempts: attempts.len() }
    }

    /// Takes an attempt of this worker out.
    pub(super) fn take(
        &mut self,
        task: u32,
        worker: WorkerId,
        attempt: AttemptId,
    ) -> Option<(LiveTask, Shift)> {
        let under = self.0.as_mut()?;
        let Entry::Occupied(mut entry) = under.attempts.entry(task) else { return None };
        let attempts = entry.get_mut();
        let at = attempts.iter().position(|l| l.attempt == attempt && l.worker == worker)?;
        let ran = any_runs(attempts);
        let taken = attempts.swap_remove(at);
        let shift = Shift { ran, runs: any_runs(attempts), attempts: attempts.len() };
        if shift.attempts == 0 {
            entry.remove();
        }
        under.ahead -= u32::from(taken.is_ahead);
        Some((taken, shift))
    }

    /// The attempts at a task, to change them.
    pub(super) fn get_mut(&mut self, task: u32) -> Option<&mut Vec<LiveTask>> {
        self.0.as_mut()?.attempts.get_mut(&task)
    }

    /// Takes the attempts at a task out.
    pub(super) fn remove(&mut self, task: u32) -> Option<Vec<LiveTask>> {
        self.0.as_mut()?.attempts.remove(&task)
    }

    /// How many wait on their workers for room.
    pub(super) fn ahead(&self) -> u32 {
        self.under().ahead
    }

    /// Counts one in that waits on its worker for room.
    pub(super) fn count_ahead(&mut self) {
        self.under_mut().ahead += 1;
    }

    /// Counts some out that have waited.
    pub(super) fn uncount_ahead(&mut self, fewer: u32) {
        if fewer > 0 {
            self.under_mut().ahead -= fewer;
        }
    }

    /// Light slots that they take.
    pub(super) fn light(&self) -> u32 {
        self.under().light
    }

    /// Cores that they take, in millicores.
    pub(super) fn cpu(&self) -> u64 {
        self.under().cpu
    }

    /// Counts what one takes in or out.
    pub(super) fn count(&mut self, slot: SlotKind, demand: Demand, more: bool) {
        let light = u32::from(slot.is_light());
        let cpu = if slot.is_light() { 0 } else { u64::from(demand.cpu.0) };
        let under = self.under_mut();
        if more {
            under.light += light;
            under.cpu += cpu;
        } else {
            under.light -= light;
            under.cpu -= cpu;
        }
    }
}

impl Deref for Live {
    type Target = BTreeMap<u32, Vec<LiveTask>>;

    fn deref(&self) -> &Self::Target {
        &self.under().attempts
    }
}

/// Whether one runs, and does not only wait on its worker for room.
pub(super) fn any_runs(attempts: &[LiveTask]) -> bool {
    attempts.iter().any(|live| !live.is_ahead)
}

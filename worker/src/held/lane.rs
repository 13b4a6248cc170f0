//! What is held on the lane: tasks that the worker answers itself, until their outcomes are collected.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rushes_shared::id::{AttemptId, TaskId};
use rushes_shared::task::{TaskOutcome, TaskValue, Usage};
use rushes_shared::wire::{HeldAttempt, LaneOrder};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::slots::Share;

/// A task that holds a place for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneTask {
    /// Which task.
    pub task: TaskId,
    /// How long it holds its place, in milliseconds.
    pub hold_ms: u64,
    /// When it has succeeded.
    pub due: Instant,
    /// Whether it was stopped before.
    pub is_canceled: bool,
}

impl LaneTask {
    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(&self, now: Instant) -> Option<TaskOutcome> {
        if self.is_canceled {
            return Some(TaskOutcome::Cancelled);
        }
        let usage = Usage { wall_ms: self.hold_ms, run_ms: self.hold_ms, ..Usage::default() };
        (self.due <= now).then_some(TaskOutcome::Succeeded { value: TaskValue::Nothing, usage })
    }
}

/// All of them.
#[derive(Debug)]
pub struct LaneTasks {
    tasks: Mutex<BTreeMap<AttemptId, (LaneTask, Option<Share>)>>,
    count: watch::Sender<usize>,
}

impl Default for LaneTasks {
    fn default() -> Self {
        Self { tasks: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl LaneTasks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptId, (LaneTask, Option<Share>)>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a task from now on, with its share of the node where it takes one. The same order may come twice; its time
    /// runs from the first.
    pub fn enter(&self, order: LaneOrder, share: Option<Share>, now: Instant) -> LaneTask {
        let LaneOrder { task, attempt, hold_ms } = order;
        let due = now + Duration::from_millis(hold_ms);
        let new = LaneTask { task, hold_ms, due, is_canceled: false };
        self.lock().entry(attempt).or_insert((new, share)).0
    }

    /// Gives a task's share of the node back: it has ended.
    pub fn release(&self, attempt: AttemptId) {
        let share = self.lock().get_mut(&attempt).and_then(|(_, share)| share.take());
        // What waits for it may begin in this very call, so nothing is locked.
        drop(share);
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, attempt: AttemptId) -> Option<LaneTask> {
        self.lock().get(&attempt).map(|(task, _)| *task)
    }

    /// Stops one. `None` where it has ended already or is unknown: that was told or collected.
    #[must_use]
    pub fn cancel(&self, attempt: AttemptId, now: Instant) -> Option<LaneTask> {
        let mut tasks = self.lock();
        let (task, _) = tasks.get_mut(&attempt).filter(|(t, _)| t.outcome(now).is_none())?;
        task.is_canceled = true;
        Some(*task)
    }

    /// Those that have not ended.
    #[must_use]
    pub fn running(&self, now: Instant) -> Vec<AttemptId> {
        self.lock().iter().filter(|(_, (t, _))| t.outcome(now).is_none()).map(|(a, _)| *a).collect()
    }

    /// Forgets some: their outcomes are on the coordinator's disk, or nobody wants them.
    pub fn forget(&self, attempts: &[AttemptId]) {
        let mut tasks = self.lock();
        let gone: Vec<_> = attempts.iter().filter_map(|attempt| tasks.remove(attempt)).collect();
        self.count.send_replace(tasks.len());
        drop(tasks);
        drop(gone);
    }

    /// Takes one off the lane, with its share of the node.
    #[must_use]
    pub fn take(&self, attempt: AttemptId) -> Option<(LaneTask, Option<Share>)> {
        let mut tasks = self.lock();
        let task = tasks.remove(&attempt);
        self.count.send_replace(tasks.len());
        task
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// All of them, as the coordinator wants to hear it.
    #[must_use]
    pub fn list(&self) -> Vec<HeldAttempt> {
        let now = Instant::now();
        let held = |(attempt, (task, _)): (&AttemptId, &(LaneTask, Option<Share>))| HeldAttempt {
            task: task.task,
            attempt: *attempt,
            finished: task.outcome(now).is_some(),
        };
        self.lock().iter().map(held).collect()
    }

    /// Waits until there is none.
    pub async fn until_none(&self) {
        let mut changed = self.count.subscribe();
        while !self.is_empty() {
            // The sender lives as long as this.
            let _changed = changed.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use rushes_shared::id::{Epoch, JobId};

    use super::*;

    #[test]
    fn a_task_ends_at_its_time_or_by_its_cancel_and_never_twice() {
        let lane = LaneTasks::default();
        let now = Instant::now();
        let attempt = |counter| AttemptId { epoch: Epoch(1), counter };
        let order = |counter, hold_ms| LaneOrder {
            task: TaskId { job: JobId(1), index: 0 },
            attempt: attempt(counter),
            hold_ms,
        };
        assert!(lane.enter(order(1, 0), None, now).outcome(now).is_some(), "nothing to hold for");
        let held = lane.enter(order(2, 50), None, now);
        assert_eq!(held.outcome(now), None);
        assert_eq!(lane.enter(order(2, 50), None, held.due).due, held.due, "the same order twice");
        assert!(held.outcome(held.due).is_some());
        assert_eq!(lane.cancel(attempt(1), now), None, "it has ended");
        assert_eq!(lane.running(now), [attempt(2)]);
        assert!(lane.cancel(attempt(2), now).is_some());
        assert_eq!(lane.cancel(attempt(2), now), None, "it was stopped before");
        assert_eq!(lane.find(attempt(2)).and_then(|t| t.outcome(now)), Some(TaskOutcome::Cancelled));
        lane.forget(&[attempt(1), attempt(2)]);
        assert!(lane.is_empty());
    }
}

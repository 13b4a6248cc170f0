//! What is held on the lane: tasks that the worker answers itself, until their outcomes are collected.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rushes_shared::id::{AttemptId, TaskId};
use rushes_shared::task::{TaskOutcome, TaskValue, Usage};
use rushes_shared::wire::{HeldAttempt, LaneOrder};
use tokio::sync::watch;
use tokio::time::Instant;

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
    tasks: Mutex<BTreeMap<AttemptId, LaneTask>>,
    count: watch::Sender<usize>,
}

impl Default for LaneTasks {
    fn default() -> Self {
        Self { tasks: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl LaneTasks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptId, LaneTask>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a task from now on. The same order may come twice; its time runs from the first.
    pub fn enter(&self, order: LaneOrder, now: Instant) -> LaneTask {
        let LaneOrder { task, attempt, hold_ms } = order;
        let due = now + Duration::from_millis(hold_ms);
        *self.lock().entry(attempt).or_insert(LaneTask { task, hold_ms, due, is_canceled: false })
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, attempt: AttemptId) -> Option<LaneTask> {
        self.lock().get(&attempt).copied()
    }

    /// Stops one. `None` where it has ended already or is unknown: that was told or collected.
    #[must_use]
    pub fn cancel(&self, attempt: AttemptId, now: Instant) -> Option<LaneTask> {
        let mut tasks = self.lock();
        let task = tasks.get_mut(&attempt).filter(|t| t.outcome(now).is_none())?;
        task.is_canceled = true;
        Some(*task)
    }

    /// Those that have not ended.
    #[must_use]
    pub fn running(&self, now: Instant) -> Vec<AttemptId> {
        self.lock().iter().filter(|(_, t)| t.outcome(now).is_none()).map(|(a, _)| *a).collect()
    }

    /// Forgets some: their outcomes are on the coordinator's disk, or nobody wants them.
    pub fn forget(&self, attempts: &[AttemptId]) {
        let mut tasks = self.lock();
        for attempt in attempts {
            tasks.remove(attempt);
        }
        self.count.send_replace(tasks.len());
    }

    /// Takes one off the lane.
    #[must_use]
    pub fn take(&self, attempt: AttemptId) -> Option<LaneTask> {
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
        let held = |(attempt, task): (&AttemptId, &LaneTask)| HeldAttempt {
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
        assert!(lane.enter(order(1, 0), now).outcome(now).is_some(), "nothing to hold for");
        let held = lane.enter(order(2, 50), now);
        assert_eq!(held.outcome(now), None);
        assert_eq!(lane.enter(order(2, 50), held.due).due, held.due, "the same order twice");
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

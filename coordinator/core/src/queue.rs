//! Tasks that are ready, in the order in which they are to start: one queue for heavy tasks, one for light ones, so
//! that a probe is never stuck behind encodes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use rushes_shared::id::TaskId;
use rushes_shared::task::TaskKind;
use rushes_shared::units::MonoMs;

use crate::job::Job;

/// Integers only, so that the order is total and the same everywhere: priority (higher first), then deadline (earlier
/// first, none last), then submission, then the plan's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderKey {
    priority: Reverse<u8>,
    deadline_ms: u64,
    task: TaskId,
}

impl OrderKey {
    /// The key of a job's task.
    #[must_use]
    pub fn of(job: &Job, index: u32) -> Self {
        Self {
            priority: Reverse(job.spec.priority.value()),
            deadline_ms: job.spec.deadline.map_or(u64::MAX, |d| d.0),
            task: job.task_id(index),
        }
    }

    /// The task.
    #[must_use]
    pub fn task(self) -> TaskId {
        self.task
    }
}

/// Whether a kind takes a light slot instead of a share of the cores.
#[must_use]
pub fn is_light(kind: TaskKind) -> bool {
    match kind {
        TaskKind::Noop | TaskKind::Probe => true,
        TaskKind::Encode => false,
    }
}

/// What the queue keeps of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its kind.
    pub kind: TaskKind,
    /// Since when it is ready.
    pub since: MonoMs,
}

/// The ready tasks.
#[derive(Debug, Default)]
pub struct ReadyQueue {
    light: BTreeMap<OrderKey, Waiting>,
    heavy: BTreeMap<OrderKey, Waiting>,
    counts: BTreeMap<TaskKind, u64>,
}

impl ReadyQueue {
    /// Adds a task.
    pub fn insert(&mut self, key: OrderKey, waiting: Waiting) {
        if self.side_mut(waiting.kind).insert(key, waiting).is_none() {
            *self.counts.entry(waiting.kind).or_default() += 1;
        }
    }

    /// Takes a task out, if it is in.
    pub fn remove(&mut self, key: OrderKey, kind: TaskKind) -> Option<Waiting> {
        let waiting = self.side_mut(kind).remove(&key)?;
        *self.counts.get_mut(&waiting.kind).expect("what was added was counted") -= 1;
        Some(waiting)
    }

    /// The first task of one side in order of start, or the first one behind `passed`.
    #[must_use]
    pub fn next(&self, light: bool, passed: Option<OrderKey>) -> Option<(OrderKey, Waiting)> {
        let side = if light { &self.light } else { &self.heavy };
        let behind = passed.map_or(Bound::Unbounded, Bound::Excluded);
        side.range((behind, Bound::Unbounded)).next().map(|(key, waiting)| (*key, *waiting))
    }

    /// Number of ready tasks of a kind.
    #[must_use]
    pub fn count(&self, kind: TaskKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.light.is_empty() && self.heavy.is_empty()
    }

    fn side_mut(&mut self, kind: TaskKind) -> &mut BTreeMap<OrderKey, Waiting> {
        if is_light(kind) { &mut self.light } else { &mut self.heavy }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rushes_shared::id::JobId;

    use super::*;

    fn key(priority: u8, deadline_ms: u64, job: u128) -> OrderKey {
        OrderKey { priority: Reverse(priority), deadline_ms, task: TaskId { job: JobId(job), index: 0 } }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_naive_sort(jobs in prop::collection::vec((0_u8..4, 0_u64..4), 0..40)) {
            let mut queue = ReadyQueue::default();
            let mut naive: Vec<(u8, u64, u128)> =
                jobs.iter().zip(1_u128..).map(|((priority, deadline), job)| (*priority, *deadline, job)).collect();
            for (priority, deadline, job) in &naive {
                let waiting = Waiting { kind: TaskKind::Noop, since: MonoMs(0) };
                queue.insert(key(*priority, *deadline, *job), waiting);
            }
            naive.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
            let mut passed = None;
            for (n, (priority, deadline, job)) in naive.iter().enumerate() {
                prop_assert_eq!(queue.count(TaskKind::Noop), (naive.len() - n / 2) as u64);
                let (next, waiting) = queue.next(true, passed).expect("as many as were added");
                prop_assert_eq!(next, key(*priority, *deadline, *job));
                passed = Some(next);
                // Every other one is taken out: the order of the rest does not change.
                if n % 2 == 1 {
                    queue.remove(next, waiting.kind);
                }
            }
            prop_assert!(queue.next(true, passed).is_none());
        }
    }
}

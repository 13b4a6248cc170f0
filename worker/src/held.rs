//! The attempts that a worker holds: running ones, and results that wait to be collected.
//!
//! An attempt outlives the connection that brought it. Whoever reports about it (a task stream, after a reconnect
//! another one) looks at its [`Report`]; whoever runs it writes there.

mod lane;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rushes_shared::id::{AttemptId, TaskId};
use rushes_shared::task::{Progress, TaskKind, TaskOutcome};
use rushes_shared::wire::HeldAttempt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::slots::Share;

pub use lane::{LaneTask, LaneTasks};

/// Log text of one attempt that waits to be sent, in bytes; older text goes first.
const LOG_BACKLOG: usize = 64 << 10;

/// What is to be told about an attempt.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Whether it has its share of the node; until then it waits for room.
    pub started: bool,
    /// How far it is.
    pub progress: Option<Progress>,
    /// Changes with each line of log, so that a watcher wakes.
    pub log_count: u64,
    /// How it ended.
    pub outcome: Option<Arc<TaskOutcome>>,
}

/// Why an attempt is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The coordinator cancelled it or gave it up.
    Unwanted,
    /// The worker stops.
    Shutdown,
}

/// One attempt.
#[derive(Debug)]
pub struct Held {
    task: TaskId,
    attempt: AttemptId,
    report: watch::Sender<Report>,
    log: Mutex<VecDeque<String>>,
    stop: CancellationToken,
    reason: Mutex<Option<StopReason>>,
}

impl Held {
    fn new(task: TaskId, attempt: AttemptId) -> Self {
        Self {
            task,
            attempt,
            report: watch::Sender::default(),
            log: Mutex::default(),
            stop: CancellationToken::new(),
            reason: Mutex::default(),
        }
    }

    /// Which task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Which try.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Follows it.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Report> {
        let mut receiver = self.report.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Notes that it has its share of the node.
    pub fn start(&self) {
        self.report.send_modify(|report| report.started = true);
    }

    /// Whether it has its share of the node.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.report.borrow().started
    }

    /// Notes how far it has come; what it does while it waits for room is nobody's business.
    pub fn progress(&self, progress: Progress) {
        self.report.send_if_modified(|report| {
            report.progress = report.started.then_some(progress);
            report.started
        });
    }

    /// Notes a line of its log.
    pub fn log(&self, text: String) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push_back(text);
        while log.iter().map(String::len).sum::<usize>() > LOG_BACKLOG {
            log.pop_front();
        }
        drop(log);
        self.report.send_modify(|report| report.log_count += 1);
    }

    /// Takes the lines that nobody has sent yet.
    #[must_use]
    pub fn take_log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Notes its end.
    pub fn finish(&self, outcome: TaskOutcome) {
        self.report.send_modify(|report| report.outcome = Some(Arc::new(outcome)));
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Arc<TaskOutcome>> {
        self.report.borrow().outcome.clone()
    }

    /// Stops it at once; its first reason stands.
    pub fn stop(&self, reason: StopReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stop.cancel();
    }

    /// Cancelled when it is to stop.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Why it was stopped, if it was.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All of them.
#[derive(Debug, Clone)]
pub struct HeldAttempts {
    held: Arc<Mutex<HashMap<AttemptId, Arc<Held>>>>,
    /// Counts them, so that a shutdown can wait.
    count: watch::Sender<usize>,
    /// Those that this worker answers itself; they count apart from the others.
    pub lane: Arc<LaneTasks>,
}

impl Default for HeldAttempts {
    fn default() -> Self {
        Self { held: Arc::default(), count: watch::Sender::new(0), lane: Arc::default() }
    }
}

impl HeldAttempts {
    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds an attempt from now on. The flag says whether it is new; the same order may come twice.
    #[must_use]
    pub fn hold(&self, task: TaskId, attempt: AttemptId) -> (Arc<Held>, bool) {
        let mut all = self.lock();
        let mut new = false;
        let held = all.entry(attempt).or_insert_with(|| {
            new = true;
            Arc::new(Held::new(task, attempt))
        });
        let held = Arc::clone(held);
        self.count.send_replace(all.len());
        (held, new)
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, attempt: AttemptId) -> Option<Arc<Held>> {
        self.lock().get(&attempt).cloned()
    }

    /// One of them, taken off the lane if it is there.
    #[must_use]
    pub fn find_anywhere(&self, attempt: AttemptId) -> Option<Arc<Held>> {
        if let Some(held) = self.find(attempt) {
            return Some(held);
        }
        let task = self.lane.take(attempt)?;
        let (task, share) = task;
        let (held, _) = self.hold(task.task, attempt);
        held.start();
        match task.outcome(Instant::now()) {
            Some(outcome) => held.finish(outcome),
            None => drop(tokio::spawn(hold_on(Arc::clone(&held), task, share))),
        }
        Some(held)
    }

    /// Forgets one: its outcome is on the coordinator's disk, or nobody wants it.
    pub fn forget(&self, attempt: AttemptId) {
        let mut all = self.lock();
        all.remove(&attempt);
        self.count.send_replace(all.len());
    }

    /// How many are held, those on the lane included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len() + self.lane.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by attempt, as the coordinator wants to hear it.
    #[must_use]
    pub fn list(&self) -> Vec<HeldAttempt> {
        let mut list: Vec<_> = self
            .lock()
            .values()
            .map(|h| HeldAttempt { task: h.task, attempt: h.attempt, finished: h.outcome().is_some() })
            .collect();
        list.extend(self.lane.list());
        list.sort_by_key(|h| h.attempt);
        list
    }

    /// Those that wait for room.
    #[must_use]
    pub fn waiting(&self) -> Vec<Arc<Held>> {
        self.lock().values().filter(|held| !held.is_started()).cloned().collect()
    }

    /// Stops every one that still runs.
    pub fn stop_all(&self, reason: StopReason) {
        for held in self.lock().values() {
            held.stop(reason);
        }
    }

    /// Waits until none is left that `counts`.
    pub async fn until_none(&self, counts: impl Fn(&Held) -> bool) {
        let mut changed = self.count.subscribe();
        loop {
            // Followed first and judged then, so that no change slips between.
            let followed: Vec<_> =
                self.lock().values().map(|h| (Arc::clone(h), h.report.subscribe())).collect();
            let Some((_, mut report)) = followed.into_iter().find(|(held, _)| counts(held)) else { return };
            tokio::select! {
                _ = changed.changed() => {}
                _ = report.changed() => {}
            }
        }
    }
}

/// Holds a place for what is left of a task's time.
async fn hold_on(held: Arc<Held>, task: LaneTask, share: Option<Share>) {
    let stop = held.stop_token();
    let outcome = tokio::select! {
        () = stop.cancelled() => TaskOutcome::Cancelled,
        () = sleep_until(task.due) => task.outcome(task.due).expect("its time has come"),
    };
    metrics::task_ended(TaskKind::Noop, &outcome);
    drop(share);
    held.finish(outcome);
}

#[cfg(test)]
mod tests {
    use rushes_shared::id::{Epoch, JobId};

    use super::*;

    fn ids() -> (TaskId, AttemptId) {
        (TaskId { job: JobId(1), index: 0 }, AttemptId { epoch: Epoch(1), counter: 1 })
    }

    #[test]
    fn the_same_order_is_held_once_and_the_first_reason_stands() {
        let all = HeldAttempts::default();
        let (task, attempt) = ids();
        let (first, new) = all.hold(task, attempt);
        assert!(new);
        assert!(!all.hold(task, attempt).1);
        first.stop(StopReason::Unwanted);
        all.stop_all(StopReason::Shutdown);
        assert_eq!(first.stop_reason(), Some(StopReason::Unwanted));
        first.finish(TaskOutcome::Cancelled);
        assert!(all.list()[0].finished);
        all.forget(attempt);
        assert!(all.is_empty() && all.find(attempt).is_none());
    }

    #[test]
    fn a_flood_of_log_keeps_its_end() {
        let all = HeldAttempts::default();
        let (task, attempt) = ids();
        let (held, _) = all.hold(task, attempt);
        for n in 0..100 {
            held.log(format!("{n}{}", "x".repeat(4000)));
        }
        let lines = held.take_log();
        assert!(lines.len() < 20 && lines.last().is_some_and(|l| l.starts_with("99")));
        assert!(held.take_log().is_empty());
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_one_that_counts() {
        let all = HeldAttempts::default();
        let (task, attempt) = ids();
        let (held, _) = all.hold(task, attempt);
        let waiting = all.until_none(|h| h.outcome().is_none());
        let finishing = async { held.finish(TaskOutcome::Cancelled) };
        tokio::join!(waiting, finishing);
        assert_eq!(all.len(), 1, "it is still to be collected");
    }
}

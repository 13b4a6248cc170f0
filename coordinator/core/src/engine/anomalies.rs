//! Notices what is out of the ordinary and reacts where that makes sense: a task that stands still is tried elsewhere as
//! well, a slow node gets less. What takes a look at all nodes happens on a timer of its own, never when a task ends.

use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::task::Progress;
use rushes_shared::units::{MonoMs, Now};

use super::health::Doubling;
use super::{Engine, Timer, Turn};
use crate::anomaly::{Anomaly, Bursts, Growth};
use crate::event::Decision;
use crate::health::Health;

/// A node is compared with its peers only where there are so many.
const FEWEST_PEERS: usize = 3;
/// Most failures of one kind that are kept to find a burst.
const MOST_FAILURES: usize = 10_000;

/// Most jobs that are told of one by one.
const MOST_TOLD: usize = 100;

/// What is out of the ordinary now.
#[derive(Debug, Default)]
pub(super) struct Anomalies {
    bursts: Bursts,
    growth: Growth,
    /// Attempts that have stopped coming further.
    stalled: std::collections::BTreeSet<(TaskId, AttemptId)>,
    /// Jobs that are held back because all of their latest attempts have failed.
    pub(super) failing: std::collections::BTreeSet<JobId>,
    median_permille: u32,
    is_watched: bool,
}

impl Anomalies {
    /// Whether more work comes than the farm gets done.
    pub(super) fn is_growing(&self) -> bool {
        self.growth.growing.is_some()
    }
}

/// Whether an attempt has come further since.
fn has_moved(before: &Progress, after: &Progress) -> bool {
    (before.phase, before.media_ns, before.frames, before.permille)
        != (after.phase, after.media_ns, after.frames, after.permille)
}

impl Engine {
    /// Looks at the farm from time to time, while it has jobs.
    pub(super) fn watch(&mut self, now: Now) {
        if !std::mem::replace(&mut self.anomalies.is_watched, true) {
            self.wake_at(now.mono.plus(self.policy.health.watch_ms.max(100)), Timer::Watch);
        }
    }

    pub(super) fn watch_due(&mut self, turn: &mut Turn) {
        self.anomalies.is_watched = false;
        let health = &self.policy.health;
        let most = health.burst_failures.min(MOST_FAILURES);
        self.anomalies.bursts.pass(turn.now.mono, most, health.burst_window_ms);
        self.compare_nodes(turn);
        self.measure_queue(turn);
        if self.runs.is_empty() {
            self.anomalies.growth.forget();
        } else {
            self.watch(turn.now);
        }
    }

    /// Notes how far an attempt has come. The first word of it begins the watch: what never tells has its limits.
    pub(super) fn note_progress(
        &mut self,
        now: MonoMs,
        task: TaskId,
        attempt: AttemptId,
        progress: Progress,
    ) {
        let stalled_ms = self.policy.health.stalled_ms;
        let live = self.runs.get_mut(&task.job).and_then(|run| run.live.get_mut(task.index));
        let Some(live) = live.and_then(|live| live.iter_mut().find(|l| l.attempt == attempt)) else { return };
        let is_first = live.moved_at.is_none();
        if is_first || has_moved(&live.progress, &progress) {
            live.moved_at = Some(now);
            self.anomalies.stalled.remove(&(task, attempt));
            if stalled_ms > 0 && is_first {
                self.wake_at(now.plus(stalled_ms), Timer::Stall(task, attempt));
            }
        }
    }

    /// An attempt that has not come further for too long is told of, and tried elsewhere as well.
    pub(super) fn stall_due(&mut self, turn: &mut Turn, task: TaskId, attempt: AttemptId) {
        let stalled_ms = self.policy.health.stalled_ms;
        let live = self.runs.get(&task.job).and_then(|run| run.live.get(&task.index));
        let Some(live) = live.and_then(|live| live.iter().find(|l| l.attempt == attempt)) else { return };
        let (worker, Some(moved_at)) = (live.worker, live.moved_at) else { return };
        let still_ms = turn.now.mono.since(moved_at);
        if still_ms < stalled_ms {
            return self.wake_at(moved_at.plus(stalled_ms), Timer::Stall(task, attempt));
        }
        if self.anomalies.stalled.insert((task, attempt)) {
            self.decided(turn, Some(task.job), Decision::TaskStalled { task, worker, still_ms });
        }
        // Looked at again in either case: a second attempt may fail and leave this one alone.
        self.try_elsewhere(turn, task, attempt, Doubling::Stalled);
        self.wake_at(turn.now.mono.plus(stalled_ms.max(1)), Timer::Stall(task, attempt));
    }

    /// An attempt is over: it stands still no longer.
    pub(super) fn forget_stall(&mut self, task: TaskId, attempt: AttemptId) {
        if !self.anomalies.stalled.is_empty() {
            self.anomalies.stalled.remove(&(task, attempt));
        }
    }

    /// Takes in a failure. Where many of one kind are of one node while others do better, the node is put in quarantine.
    /// What is the input's fault, an encoder's, or all of one job's, says nothing about the node.
    pub(super) fn note_failure(
        &mut self,
        turn: &mut Turn,
        (class, code): (FailureClass, FailureCode),
        of: (WorkerId, JobId),
    ) {
        let health = &self.policy.health;
        let (most, over_ms) = (health.burst_failures.min(MOST_FAILURES), health.burst_window_ms);
        if most == 0 || !self.anomalies.bursts.note((turn.now.mono, code), of, most, over_ms) {
            return;
        }
        let failures = u32::try_from(most).unwrap_or(u32::MAX);
        let source = self.anomalies.bursts.source_of(code);
        self.decided(turn, None, Decision::ErrorBurst { code, failures, over_ms, source });
        let may_be_the_nodes = class != FailureClass::Permanent && code != FailureCode::EncoderFailed;
        if let Some(worker) = source.worker.filter(|_| may_be_the_nodes && source.job.is_none()) {
            let is_good = self.fleet.get(&worker).is_some_and(|node| node.health == Health::Good);
            if is_good && self.others_do_better(worker) {
                self.quarantine(turn, worker);
            }
        }
    }

    /// Finds nodes that are much slower than the median, and those that are so no longer.
    fn compare_nodes(&mut self, turn: &mut Turn) {
        let is_peer = |n: &&crate::placement::node::Node| n.link.is_some() && n.health == Health::Good;
        let mut speeds: Vec<u32> = self.fleet.values().filter(is_peer).map(|n| n.speed_permille).collect();
        let middle = speeds.len() / 2;
        let has_peers = speeds.len() >= FEWEST_PEERS;
        let median = if has_peers { *speeds.select_nth_unstable(middle).1 } else { 0 };
        self.anomalies.median_permille = median;
        let bound = u64::from(median) * u64::from(self.policy.health.slow_permille) / 1_000;
        let changed: Vec<(WorkerId, u32, bool)> = self
            .fleet
            .iter()
            .filter_map(|(id, node)| {
                // One that is at the bound is not told of again and again.
                let bound = if node.slow { bound * 5 / 4 } else { bound };
                let slow = u64::from(node.speed_permille) < bound;
                (slow != node.slow).then_some((*id, node.speed_permille, slow))
            })
            .collect();
        for (worker, speed_permille, slow) in changed {
            self.fleet.change(worker, |node| node.slow = slow);
            let decision = if slow {
                Decision::NodeSlow { worker, speed_permille, median_permille: median }
            } else {
                Decision::NodeKeepsUp { worker, speed_permille }
            };
            self.decided(turn, None, decision);
        }
    }

    fn measure_queue(&mut self, turn: &mut Turn) {
        let Some(backlog_ms) = self.fleet.power().time_for(self.ledger.all()) else {
            return self.anomalies.growth.forget();
        };
        let (over_ms, permille) = (self.policy.health.growth_window_ms, self.policy.health.growth_permille);
        let decision = match self.anomalies.growth.note(turn.now.mono, backlog_ms, over_ms, permille) {
            Some(true) => {
                Decision::QueueGrowing { permille: self.anomalies.growth.growing.unwrap_or(0), over_ms }
            }
            Some(false) => Decision::QueueSettled,
            None => return,
        };
        self.decided(turn, None, decision);
    }

    /// What is out of the ordinary now.
    #[must_use]
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let it = &self.anomalies;
        let tasks = u32::try_from(it.stalled.len()).unwrap_or(u32::MAX);
        let stalled = (tasks > 0).then_some(Anomaly::TasksStalled { tasks });
        let growing = it.growth.growing.map(|permille| Anomaly::QueueGrowing { permille });
        let slow = self.fleet.iter().filter(|(_, n)| n.slow).map(|(id, node)| Anomaly::NodeSlow {
            worker: *id,
            speed_permille: node.speed_permille,
            median_permille: it.median_permille,
        });
        let failing = it.failing.iter().take(MOST_TOLD).map(|job| Anomaly::JobFailing { job: *job });
        stalled.into_iter().chain(growing).chain(failing).chain(it.bursts.lasting()).chain(slow).collect()
    }
}

//! Reacts to nodes and tasks that do not do as their peers: quarantine, second attempts for stragglers.

use rushes_shared::failure::FailureClass;
use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::task::TaskKind;
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::{Engine, Timer, Turn};
use crate::event::Decision;
use crate::explain::Because;
use crate::health::Health;
use crate::record::Record;
use crate::state::Quarantine;

/// Tasks shorter than this are not worth a second attempt.
const SHORTEST_STRAGGLER_MS: u64 = 500;

/// Why a task is tried on another node as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubling {
    /// It comes further, but has taken longer than nearly all should.
    Slow,
    /// It does not come further.
    Stalled,
}

impl Engine {
    /// Takes in what an attempt says about its node. Failures that the task would have anywhere say nothing.
    pub(super) fn note_outcome(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        task: TaskId,
        failed: Option<FailureClass>,
    ) {
        if failed == Some(FailureClass::Permanent) {
            return;
        }
        let policy = &self.policy.health;
        let (most, limit) = (policy.window, policy.failed);
        if let Some(failures) =
            self.fleet.note_outcome(worker, |history| history.note(task, failed.is_some(), most))
        {
            if failures >= limit && self.others_do_better(worker) {
                self.quarantine(turn, worker);
            }
            return;
        }
        let noted = self.fleet.change(worker, |node| {
            node.history.note(task, failed.is_some(), most);
            match (node.health, failed) {
                (Health::Probed, None) => {
                    node.health = Health::Good;
                    node.history.forget();
                    node.history.quarantines = 0;
                    (true, false)
                }
                (Health::Probed, Some(_)) => (false, true),
                (Health::Good | Health::Quarantined, _) => (false, false),
            }
        });
        let Some((readmitted, suspect)) = noted else { return };
        if readmitted {
            self.emit(turn, Record::NodeReadmitted { worker });
            self.decided(turn, None, Decision::NodeReadmitted { worker });
            self.node_changed(worker);
        }
        if suspect && self.others_do_better(worker) {
            self.quarantine(turn, worker);
        }
    }

    /// Whether the other nodes succeed at most of what they do: else the fault is not this node's.
    pub(super) fn others_do_better(&self, worker: WorkerId) -> bool {
        let others = self.fleet.iter().filter(|(id, n)| **id != worker && n.health == Health::Good);
        let (mut failed, mut succeeded) = (0, 0);
        for (_, node) in others {
            failed += node.history.failed();
            succeeded += node.history.succeeded();
        }
        succeeded > 0 && succeeded >= failed * 3
    }

    pub(super) fn quarantine(&mut self, turn: &mut Turn, worker: WorkerId) {
        let (base, most) = (self.policy.health.quarantine_ms, self.policy.health.max_quarantine_ms);
        let for_ms = self.fleet.change(worker, |node| {
            let for_ms = base.saturating_mul(1 << node.history.quarantines.min(20)).min(most);
            node.health = Health::Quarantined;
            node.history.quarantines += 1;
            (for_ms, node.history.quarantines)
        });
        let Some((for_ms, times)) = for_ms else { return };
        self.node_closed(worker);
        self.recall_all(turn, worker);
        let until = WallMs(turn.now.wall.0.saturating_add(for_ms));
        self.emit(turn, Record::NodeQuarantined { worker, quarantine: Quarantine { until, times } });
        self.decided(turn, None, Decision::NodeQuarantined { worker, for_ms });
        self.wake_at(turn.now.mono.plus(for_ms), Timer::Probation(worker));
    }

    /// A node that is new to this reign, or comes back, is where it was: the rest of its quarantine is still to come.
    pub(super) fn resume_quarantine(&mut self, now: Now, worker: WorkerId) {
        let Some(Quarantine { until, times }) = self.state.quarantined.get(&worker).copied() else { return };
        self.fleet.change(worker, |node| {
            node.health = Health::Quarantined;
            node.history.quarantines = times;
        });
        // The clock may have been set back since.
        let left_ms = until.0.saturating_sub(now.wall.0).min(self.policy.health.max_quarantine_ms);
        self.wake_at(now.mono.plus(left_ms), Timer::Probation(worker));
    }

    /// A quarantined node gets one task to show itself.
    pub(super) fn probation_due(&mut self, worker: WorkerId) {
        let probed = self.fleet.change(worker, |node| {
            let is_due = node.health == Health::Quarantined;
            if is_due {
                node.health = Health::Probed;
                node.history.forget();
            }
            is_due
        });
        if probed == Some(true) {
            self.node_changed(worker);
        }
    }

    /// Looks at an attempt that begins now when nearly all should be done; the kind of its task.
    pub(super) fn watch_for_straggler(
        &mut self,
        now: MonoMs,
        task: TaskId,
        (worker, attempt): (WorkerId, AttemptId),
    ) -> TaskKind {
        let plan = self.state.jobs[&task.job].stage_of(task.index).1;
        let (kind, wall_ms) = (plan.step.kind(), plan.prediction.wall_ms);
        if wall_ms >= SHORTEST_STRAGGLER_MS {
            let node = self.fleet.get(&worker).expect("an attempt begins on a known worker");
            let permille = u64::from(self.policy.health.straggler_permille);
            let late = node.expected_ms(wall_ms).saturating_mul(permille) / 1_000;
            self.wake_at(now.plus(late.max(1)), Timer::Straggler(task, attempt));
        }
        kind
    }

    /// Looks at an attempt that has taken longer than nearly all should: at its job's tail a second one is started
    /// elsewhere. The first one in wins.
    pub(super) fn straggler_due(&mut self, turn: &mut Turn, task: TaskId, attempt: AttemptId) {
        let Some(run) = self.runs.get(&task.job) else { return };
        let Some(live) = run.live.get(&task.index) else { return };
        let Some(this) = live.iter().find(|l| l.attempt == attempt) else { return };
        let is_tail = run.stages.iter().all(|s| s.ready == 0);
        let prediction = self.state.jobs[&task.job].stage_of(task.index).1.prediction;
        let wall_ms = prediction.wall_ms;
        // One that is nearly there by its own pace is there before another could be.
        let elsewhere_ms = self.predictor().expect(prediction, self.fleet.usual_speed()).p50_ms;
        let is_nearly_there = this.progress.eta_ms.is_some_and(|rest_ms| rest_ms <= elsewhere_ms);
        if is_tail && !is_nearly_there {
            self.try_elsewhere(turn, task, attempt, Doubling::Slow);
        }
        // Looked at again in either case: a second attempt may fail and leave this one alone.
        self.wake_at(turn.now.mono.plus(wall_ms.max(1_000) / 2), Timer::Straggler(task, attempt));
    }

    /// Starts a second attempt on another node, if there is one with room and the job may start another.
    pub(super) fn try_elsewhere(&mut self, turn: &mut Turn, task: TaskId, attempt: AttemptId, why: Doubling) {
        // Neither paused nor about to end.
        let Some(run) = self.runs.get(&task.job).filter(|run| run.spot.is_some()) else { return };
        let [only] = run.live.get(&task.index).map_or(&[][..], Vec::as_slice) else { return };
        let is_capped = self.tenants.at(run.tenant).is_capped();
        if only.attempt != attempt || is_capped || self.limit_reached(task.job).is_some() {
            return;
        }
        let (worker, since) = (only.worker, only.since);
        let Some(stage) = run.stages.iter().find(|s| task.index < s.first + s.count) else { return };
        let sig = stage.sig;
        let entry = &self.state.jobs[&task.job].tasks[task.index as usize];
        self.fleet.is_able(&mut self.order.sigs, sig);
        let is_local = |id: &WorkerId| self.fleet.get(id).is_some_and(|n| n.facts.is_local);
        // Two attempts on one machine only take each other's time; one that stands still takes none.
        let shares = |id: &WorkerId| why == Doubling::Slow && is_local(&worker) && is_local(id);
        let is_out = |id| id == worker || entry.is_bad_on(id) || shares(&id);
        let other = self.fleet.find(&self.order.sigs, sig, is_out);
        let has_lease = |id: &WorkerId| self.fleet.get(id).is_some_and(|n| n.lease_until > turn.now.mono);
        let Some(other) = other.filter(has_lease) else { return };
        let ran_ms = turn.now.wall.0.saturating_sub(since.0);
        self.decided(turn, Some(task.job), Decision::TaskDoubled { task, worker, ran_ms });
        self.launch(turn, task, (other, Because::Straggler), turn.now.mono);
    }
}

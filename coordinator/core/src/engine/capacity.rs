//! What attempts take and give back: room on nodes, named limits, tenants' running tasks. Whatever frees something opens
//! the signatures that waited for it, so that a turn in which nothing can start costs nothing.

use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::Class;
use rushes_shared::task::Demand;
use rushes_shared::units::MonoMs;

use super::{Engine, Turn};
use crate::event::Command;
use crate::order::signature::Closed;
use crate::placement::node::{Holding, Lined};

impl Engine {
    /// Takes what an attempt at a task needs; the demand that is met. The job is live.
    pub(super) fn hold(
        &mut self,
        now: MonoMs,
        worker: WorkerId,
        attempt: AttemptId,
        task: TaskId,
        hardware: bool,
    ) -> Demand {
        let holding = self.holding_of(now, worker, task, hardware);
        self.count_holding(&holding);
        let met = self.fleet.hold(worker, attempt, holding);
        self.ahead.look_again(worker);
        met
    }

    /// What an attempt at a task takes on a node.
    pub(super) fn holding_of(&self, now: MonoMs, worker: WorkerId, task: TaskId, hardware: bool) -> Holding {
        let job = &self.state.jobs[&task.job];
        let stage = job.stage_of(task.index).1;
        let tenant = self.runs[&task.job].tenant;
        let node = self.fleet.get(&worker).expect("a task is held by a known node");
        let limits = job.spec.needs.as_ref().filter(|n| !n.limits.is_empty());
        Holding {
            task,
            kind: stage.step.kind(),
            slot: stage.slot,
            demand: node.clamped(stage.demand),
            since: now,
            until: now.plus(node.expected_ms(stage.prediction.wall_ms)),
            tenant,
            hardware,
            is_emergency: job.spec.class == Class::Emergency,
            is_ending: false,
            limits: limits.map(|n| Box::new(n.limits.clone())),
        }
    }

    /// Counts what an attempt takes, beside its node's room. [`Self::after_release`] is the opposite.
    pub(super) fn count_holding(&mut self, holding: &Holding) {
        for (name, count) in holding.limits.iter().flat_map(|l| l.iter()) {
            *self.limits_held.entry(name.clone()).or_default() += count;
        }
        let run = self.runs.get_mut(&holding.task.job).expect("a live job has a run");
        run.live.count(holding.slot, holding.demand, true);
        self.count_running(holding.tenant, true);
    }

    /// Has a worker stop an attempt, which takes its room until it is gone.
    pub(super) fn stop_attempt(&mut self, turn: &mut Turn, worker: WorkerId, attempt: AttemptId) {
        self.fleet.change_holding(worker, attempt, |holding| holding.is_ending = true);
        self.command(turn, Command::CancelTask { worker, attempt });
    }

    /// Whether a live job is an emergency.
    pub(super) fn is_emergency(&self, job: JobId) -> bool {
        self.state.jobs.get(&job).is_some_and(|job| job.spec.class == Class::Emergency)
    }

    /// What runs of a job may be stopped for others, or not, as its class has become another.
    pub(super) fn note_class(&mut self, job: JobId) {
        let is_emergency = self.is_emergency(job);
        let Some(run) = self.runs.get(&job) else { return };
        let live: Vec<_> = run.live.values().flatten().map(|live| (live.worker, live.attempt)).collect();
        for (worker, attempt) in live {
            self.fleet.change_holding(worker, attempt, |holding| holding.is_emergency = is_emergency);
        }
    }

    /// Gives back what an attempt took.
    pub(super) fn free(&mut self, worker: WorkerId, attempt: AttemptId) -> Option<Box<Holding>> {
        if let Some(entry) = self.take_ahead(worker, attempt) {
            self.after_release(&entry.holding);
            // What waited behind it may have begun.
            self.freed.insert(worker);
            return Some(Box::new(entry.holding));
        }
        let holding = self.fleet.release(worker, attempt)?;
        self.ahead.look_again(worker);
        self.note_gone(worker, attempt);
        self.after_release(&holding);
        if self.ahead.lined(worker) != Lined::default() {
            // What the worker has started by itself goes before anything else.
            self.freed.insert(worker);
        } else {
            self.open_for(worker);
        }
        Some(holding)
    }

    /// What is left to give back once a node has let go of a holding, or is gone with it.
    pub(super) fn after_release(&mut self, holding: &Holding) {
        self.count_running(holding.tenant, false);
        if let Some(run) = self.runs.get_mut(&holding.task.job) {
            run.live.count(holding.slot, holding.demand, false);
            self.refile(holding.task.job);
        }
        for (name, count) in holding.limits.iter().flat_map(|l| l.iter()) {
            if let Some(held) = self.limits_held.get_mut(name) {
                *held -= count;
                if *held == 0 {
                    self.limits_held.remove(name);
                }
            }
            self.open_limit(name);
        }
    }

    /// Opens the signatures that this node has room for now, and takes another look at tasks that avoid some nodes.
    pub(super) fn open_for(&mut self, worker: WorkerId) {
        let Some(node) = self.fleet.get(&worker).filter(|n| n.is_open()) else { return };
        self.ahead.look_again(worker);
        self.order.sigs.open_where(|_, signature, why| {
            !matches!(why, Closed::Limit(_))
                && node.can_do(signature)
                && node.fits(signature.slot, signature.demand())
        });
        self.unpark(worker);
    }

    /// Opens the signatures that waited for a named limit.
    pub(super) fn open_limit(&mut self, name: &str) {
        self.order.sigs.open_where(|_, _, why| matches!(why, Closed::Limit(limit) if limit == name));
    }

    /// The first named limit that another task of the job would exceed.
    pub(super) fn limit_reached(&self, job: JobId) -> Option<&str> {
        let needs = self.state.jobs.get(&job)?.spec.needs.as_ref()?;
        let is_over = |(name, count): &(&String, &u32)| {
            let held = self.limits_held.get(*name).copied().unwrap_or(0);
            self.state.limits.get(*name).is_some_and(|most| held.saturating_add(**count) > *most)
        };
        needs.limits.iter().find(is_over).map(|(name, _)| name.as_str())
    }
}

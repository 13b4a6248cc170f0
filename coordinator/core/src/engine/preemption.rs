//! Stops running work for emergencies that fit nowhere: the cheapest set on one node whose end makes room, and none where
//! that room would not be used.

use std::collections::BTreeSet;

use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::Class;
use rushes_shared::task::Demand;
use rushes_shared::units::{Bytes, Millicores};

use super::{Engine, Turn};
use crate::event::{Command, Decision};
use crate::order::signature::{Closed, SigIx, Signature};
use crate::placement::cheapest::{self, Stoppable};
use crate::placement::node::Node;

/// Nodes that are looked at by what was started on them last, and as many by what is free on them.
const MOST_LOOKS: usize = 32;
/// Jobs in the emergency lane for which work is stopped at once.
const MOST_EMERGENCIES: usize = 8;

/// An attempt that was stopped and still takes room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopped {
    /// The emergency.
    by: JobId,
    /// Where.
    worker: WorkerId,
    /// The first of those that were stopped for the same task of it.
    room: AttemptId,
    /// What that task takes there.
    wanted: Demand,
}

/// What is to be stopped on a node.
struct Stop {
    worker: WorkerId,
    attempts: Vec<(AttemptId, TaskId)>,
    wanted: Demand,
}

impl Engine {
    /// Stops the work that is cheapest to lose for tasks of the emergency lane that fit nowhere.
    pub(super) fn preempt_for_emergencies(&mut self, turn: &mut Turn) {
        if !self.order.has_emergencies() {
            return;
        }
        for (job, sig) in self.short_of_room() {
            while self.rooms_for(&|by| by == job) < self.wants_room(job, sig) {
                let Some(stop) = self.cheapest_to_lose(turn, sig) else { break };
                self.stop_for(turn, job, stop);
            }
        }
    }

    fn stop_for(&mut self, turn: &mut Turn, by: JobId, stop: Stop) {
        let Stop { worker, attempts, wanted } = stop;
        let room = attempts.first().expect("something is stopped").0;
        // What waits there would take the room.
        self.recall_all(turn, worker);
        if attempts.len() > 1 {
            // The first that is gone leaves room for what is smaller.
            self.fleet.change(worker, |node| node.is_clearing = true);
        }
        for (attempt, task) in attempts {
            self.preempting.insert(attempt, Stopped { by, worker, room, wanted });
            let live = self.take_live(worker, task, attempt).expect("it was just found live");
            let lost_ms = turn.now.wall.0.saturating_sub(live.since.0);
            self.command(turn, Command::CancelTask { worker, attempt });
            self.decided(turn, Some(task.job), Decision::Preempted { task, by, lost_ms });
            self.make_ready(turn.now.mono, task);
            self.came_back(turn, task);
        }
    }

    /// Jobs of the emergency lane that could start more if there were room; at most [`MOST_EMERGENCIES`].
    pub(super) fn short_of_room(&self) -> Vec<(JobId, SigIx)> {
        if !self.order.has_emergencies() {
            return Vec::new();
        }
        let short =
            self.order.emergencies(MOST_EMERGENCIES).filter(|(job, sig)| self.wants_room(*job, *sig) > 0);
        short.take(MOST_EMERGENCIES).collect()
    }

    /// Tasks of a job in the emergency lane that would start if there were room: no more than the tenant's cap and named
    /// limits let, less what room is made for already for others under the same.
    fn wants_room(&self, job: JobId, sig: SigIx) -> usize {
        if self.order.sigs.why_closed(sig) != Some(&Closed::Full) {
            return 0;
        }
        let run = &self.runs[&job];
        let ready: u32 = run.stages.iter().filter(|s| s.sig == sig).map(|s| s.ready).sum();
        // One whose attempts all fail is tried a task at a time.
        let ready = if run.rare().is_held_back { ready.min(1) } else { ready };
        let others = |shares: &dyn Fn(JobId) -> bool| {
            u32::try_from(self.rooms_for(&|by| by != job && shares(by))).unwrap_or(u32::MAX)
        };
        let is_same_tenant = |by: JobId| self.runs.get(&by).is_some_and(|r| r.tenant == run.tenant);
        let tenant = self.tenants.at(run.tenant);
        let cap = tenant.limits.max_running.saturating_sub(tenant.running);
        let mut most = ready.min(cap.saturating_sub(others(&is_same_tenant)));
        let limits_of = |id: &JobId| self.state.jobs.get(id).and_then(|job| job.spec.needs.as_ref());
        for (name, count) in limits_of(&job).iter().flat_map(|needs| &needs.limits) {
            let Some(limit) = self.state.limits.get(name) else { continue };
            let held = self.limits_held.get(name).copied().unwrap_or(0);
            let shares = |by: JobId| limits_of(&by).is_some_and(|needs| needs.limits.contains_key(name));
            let free = limit.saturating_sub(held) / (*count).max(1);
            most = most.min(free.saturating_sub(others(&shares)));
        }
        most as usize
    }

    /// An attempt does not take room any more that may have been stopped for an emergency.
    pub(super) fn note_gone(&mut self, worker: WorkerId, attempt: AttemptId) {
        if self.preempting.remove(&attempt).is_none() {
            return;
        }
        let is_clear = self.preempting.values().all(|stopped| stopped.worker != worker);
        if is_clear && self.fleet.get(&worker).is_some_and(|node| node.is_clearing) {
            self.fleet.change(worker, |node| node.is_clearing = false);
        }
    }

    /// Tasks for which room is being made, of these emergencies.
    fn rooms_for(&self, by: &dyn Fn(JobId) -> bool) -> usize {
        let rooms = self.preempting.values().filter(|stopped| by(stopped.by)).map(|stopped| stopped.room);
        rooms.collect::<BTreeSet<_>>().len()
    }

    /// The running attempts on one node that lose the least core time, of those whose end would make room there.
    fn cheapest_to_lose(&mut self, turn: &Turn, sig: SigIx) -> Option<Stop> {
        self.fleet.is_able(&mut self.order.sigs, sig);
        let signature = self.order.sigs.get(sig);
        let nodes = self.fleet.stoppable(&self.order.sigs, sig, MOST_LOOKS);
        // What is kept for others is not given to an emergency once it is free.
        let is_kept = |node: &Node| node.reserved.is_some_and(|(kept_for, _)| kept_for != sig);
        let mut best: Option<(u64, Stop)> = None;
        for worker in nodes {
            let Some(node) = self.fleet.get(&worker).filter(|node| !is_kept(node)) else { continue };
            let Some((lost, stop)) = self.cheapest_on(turn, signature, (worker, node)) else { continue };
            if best.as_ref().is_none_or(|(least, _)| lost < *least) {
                best = Some((lost, stop));
            }
        }
        best.map(|(_, stop)| stop)
    }

    /// The same on one node, and what is lost.
    fn cheapest_on(
        &self,
        turn: &Turn,
        signature: &Signature,
        (worker, node): (WorkerId, &Node),
    ) -> Option<(u64, Stop)> {
        let is_light = signature.slot.is_light();
        let wanted = node.clamped(signature.demand());
        let mut all = Vec::new();
        for (attempt, holding) in node.holdings.iter().filter(|(_, h)| h.slot.is_light() == is_light) {
            let Some(job) = self.state.jobs.get(&holding.task.job) else { continue };
            let live = self.runs[&holding.task.job].live.get(&holding.task.index);
            let Some(live) = live.and_then(|l| l.iter().find(|l| l.attempt == *attempt)) else { continue };
            if job.spec.class == Class::Emergency {
                continue;
            }
            let ran_ms = turn.now.wall.0.saturating_sub(live.since.0);
            let lost = ran_ms.saturating_mul(u64::from(holding.demand.cpu.0.max(1_000)));
            let frees = if is_light { ONE_SLOT } else { holding.demand };
            all.push(Stoppable { lost, frees, what: (*attempt, holding.task) });
        }
        let missing = if is_light { ONE_SLOT } else { self.missing_on(worker, node, wanted) };
        let (lost, attempts) = cheapest::set(all, missing)?;
        (!attempts.is_empty()).then_some((lost, Stop { worker, attempts, wanted }))
    }

    /// What a node lacks for another task, beside those for which room is being made there already.
    fn missing_on(&self, worker: WorkerId, node: &Node, wanted: Demand) -> Demand {
        let (mut cpu, mut memory) = (i64::from(wanted.cpu.0), signed(wanted.memory.0));
        cpu -= i64::from(node.cpu_free());
        memory -= signed(node.memory_free());
        let mut rooms = BTreeSet::new();
        for (attempt, stopped) in self.preempting.iter().filter(|(_, stopped)| stopped.worker == worker) {
            if let Some(holding) = node.holdings.get(attempt) {
                cpu -= i64::from(holding.demand.cpu.0);
                memory -= signed(holding.demand.memory.0);
            }
            if rooms.insert(stopped.room) {
                cpu += i64::from(stopped.wanted.cpu.0);
                memory += signed(stopped.wanted.memory.0);
            }
        }
        Demand {
            cpu: Millicores(u32::try_from(cpu.max(0)).unwrap_or(u32::MAX)),
            memory: Bytes(memory.max(0).unsigned_abs()),
        }
    }
}

/// A light slot, of which each such task takes one.
const ONE_SLOT: Demand = Demand { cpu: Millicores(1), memory: Bytes(0) };

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

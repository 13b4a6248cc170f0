//! Where the least is lost: the nodes that matter, the cheapest set on each.
//!
//! The freest nodes are looked at, and those on which something began last, in that order: what began before has cost
//! more to this moment, so that the look ends where no later node can be cheaper.

use std::collections::BTreeSet;

use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::task::Demand;
use rushes_shared::units::{Bytes, Millicores, MonoMs};

use super::super::Engine;
use crate::order::signature::{SigIx, Signature};
use crate::placement::cheapest::{self, Stoppable};
use crate::placement::node::Node;

/// Nodes that are looked at by what began there last.
const MOST_LOOKS: usize = 256;
/// Nodes that are looked at by what is free there, and those on which room is being made already.
const MOST_FREEST: usize = 32;
/// Attempts of a node that are looked at, those that began last; all where these are not enough.
const MOST_VICTIMS: usize = 64;
/// A light slot, of which each such task takes one.
const ONE_SLOT: Demand = Demand { cpu: Millicores(1), memory: Bytes(0) };

/// What is to be stopped on a node; nothing where the room that is being made there is enough for one more.
#[derive(Debug)]
pub(super) struct Stop {
    /// Core time that is lost with it, in milliseconds times millicores.
    pub(super) lost: u64,
    pub(super) worker: WorkerId,
    pub(super) attempts: Vec<(AttemptId, TaskId)>,
    pub(super) wanted: Demand,
}

/// What could be stopped for tasks with one need, the cheapest last.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<Stop>);

impl Found {
    fn add(&mut self, stop: Stop) {
        let key = |stop: &Stop| (std::cmp::Reverse(stop.lost), stop.worker);
        let at = self.0.partition_point(|other| key(other) < key(&stop));
        self.0.insert(at, stop);
    }

    /// The cheapest, which is taken out.
    pub(super) fn take(&mut self) -> Option<Stop> {
        self.0.pop()
    }

    /// Whether so many cost no more than this.
    fn has_cheaper(&self, count: usize, bound: u64) -> bool {
        let dearest = self.0.len().checked_sub(count).and_then(|at| self.0.get(at));
        dearest.is_some_and(|stop| stop.lost <= bound)
    }
}

impl Engine {
    /// What could be stopped for tasks of this signature, so many of them, on nodes other than these.
    pub(super) fn cheapest_to_lose(
        &mut self,
        now: MonoMs,
        sig: SigIx,
        tasks: usize,
        not: &[WorkerId],
    ) -> Found {
        self.fleet.is_able(&mut self.order.sigs, sig);
        let signature = self.order.sigs.get(sig);
        let (mut found, mut seen) = (Found::default(), BTreeSet::new());
        let cleared = self.rooms.workers().take(MOST_FREEST).filter(|_| !signature.slot.is_light());
        let freest = if signature.slot.is_light() {
            Vec::new()
        } else {
            self.fleet.freest(&self.order.sigs, sig, MOST_FREEST)
        };
        let free = freest.last().filter(|_| freest.len() == MOST_FREEST);
        let free = free.and_then(|id| self.fleet.get(id)).map_or(0, Node::cpu_free);
        // Whatever is stopped takes a whole core at least, by what is counted as lost.
        let missing = u64::from(signature.cpu.saturating_sub(free).max(1_000));
        let mut look = |found: &mut Found, worker: WorkerId| {
            if not.contains(&worker) || !seen.insert(worker) {
                return;
            }
            if let Some(stop) = self.cheapest_on(now, sig, worker) {
                found.add(stop);
            }
        };
        for worker in cleared.chain(freest) {
            look(&mut found, worker);
        }
        for worker in self.fleet.stoppable(&self.order.sigs, sig, MOST_LOOKS) {
            let latest =
                self.fleet.get(&worker).and_then(|node| node.stoppable(signature.slot.is_light()).next());
            let age_ms = latest.map_or(0, |(_, holding)| now.since(holding.since));
            if found.has_cheaper(tasks, age_ms.saturating_mul(missing)) {
                break;
            }
            look(&mut found, worker);
        }
        found
    }

    /// Adds what else could be stopped on a node, now that something is being stopped there.
    pub(super) fn look_again_at(&self, now: MonoMs, sig: SigIx, worker: WorkerId, found: &mut Found) {
        if let Some(stop) = self.cheapest_on(now, sig, worker) {
            found.add(stop);
        }
    }

    /// The attempts on one node that lose the least, of those whose end would make room there.
    fn cheapest_on(&self, now: MonoMs, sig: SigIx, worker: WorkerId) -> Option<Stop> {
        let signature = self.order.sigs.get(sig);
        let light = signature.slot.is_light();
        let node = self.fleet.get(&worker).filter(|node| node.is_open() && node.can_do(signature))?;
        // What is kept for another emergency is not given to this one once it is free.
        let is_kept = |kept_for: SigIx| kept_for != sig && !self.order.yields_to_emergencies(kept_for);
        if !light && node.reserved.is_some_and(|(kept_for, _)| is_kept(kept_for)) {
            return None;
        }
        let wanted = node.clamped(signature.demand());
        let missing = if light { ONE_SLOT } else { self.missing_on(worker, node, signature) };
        if missing == Demand::default() {
            // It takes no more than to wait, if something is stopped there, or given back from there, at all.
            let is_cleared = self.rooms.on(worker).next().is_some() || self.ahead.gives_back(worker, light);
            return is_cleared.then(|| Stop { lost: 0, worker, attempts: Vec::new(), wanted });
        }
        let all = || {
            node.stoppable(light).map(|(attempt, holding)| {
                let cpu = u64::from(holding.demand.cpu.0.max(1_000));
                let lost = now.since(holding.since).saturating_mul(cpu);
                let frees = if light { ONE_SLOT } else { holding.demand };
                Stoppable { lost, frees, what: (attempt, holding.task) }
            })
        };
        let latest = cheapest::set(all().take(MOST_VICTIMS).collect(), missing);
        let (lost, attempts) = latest.or_else(|| cheapest::set(all().collect(), missing))?;
        Some(Stop { lost, worker, attempts, wanted })
    }

    /// What a node lacks for another task, beside those for which room is being made there already.
    fn missing_on(&self, worker: WorkerId, node: &Node, signature: &Signature) -> Demand {
        let wanted = node.clamped(signature.demand());
        let (mut cpu, mut memory) = (i64::from(wanted.cpu.0), signed(wanted.memory.0));
        cpu -= i64::from(node.cpu_free());
        memory -= signed(node.memory_free());
        let mut ending = BTreeSet::new();
        for room in self.rooms.on(worker) {
            cpu += i64::from(room.wanted.cpu.0);
            memory += signed(room.wanted.memory.0);
            ending.extend(&room.left);
        }
        for holding in ending.iter().filter_map(|attempt| node.holdings.get(attempt)) {
            cpu -= i64::from(holding.demand.cpu.0);
            memory -= signed(holding.demand.memory.0);
        }
        Demand {
            cpu: Millicores(u32::try_from(cpu.max(0)).unwrap_or(u32::MAX)),
            memory: Bytes(memory.max(0).unsigned_abs()),
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

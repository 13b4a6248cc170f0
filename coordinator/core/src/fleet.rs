//! Workers of this reign: their links, leases, and what each holds.

use std::collections::BTreeMap;

use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Demand, TaskKind};
use rushes_shared::units::{Bytes, Millicores, MonoMs};

use crate::event::LinkId;
use crate::queue::is_light;

/// An attempt that takes capacity on a node, whether or not it still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// The task.
    pub task: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// What it takes.
    pub demand: Demand,
}

/// A worker that has connected in this reign and is not gone.
#[derive(Debug)]
pub struct Node {
    /// Its name for people.
    pub name: String,
    /// Its present connection.
    pub link: Option<LinkId>,
    /// Its newest connection, present or broken.
    pub newest_link: LinkId,
    /// Tells a reconnect from a restart.
    pub instance: u64,
    /// Its node.
    pub facts: NodeFacts,
    /// Until when its attempts are its own.
    pub lease_until: MonoMs,
    /// Since when its link is broken.
    pub silent_since: Option<MonoMs>,
    /// Whether it said that it leaves.
    pub leaving: bool,
    /// What it holds.
    pub holdings: BTreeMap<AttemptId, Holding>,
    cpu_used: u32,
    memory_used: u64,
    light_used: u32,
}

impl Node {
    /// A node that has just connected and holds nothing.
    #[must_use]
    pub fn new(link: LinkId, instance: u64, facts: NodeFacts, lease_until: MonoMs) -> Self {
        Self {
            name: facts.name.clone(),
            link: Some(link),
            newest_link: link,
            instance,
            facts,
            lease_until,
            silent_since: None,
            leaving: false,
            holdings: BTreeMap::new(),
            cpu_used: 0,
            memory_used: 0,
            light_used: 0,
        }
    }

    /// Whether the demand fits what is free. A task larger than the whole node fits an idle node.
    #[must_use]
    pub fn fits(&self, kind: TaskKind, demand: Demand) -> bool {
        if is_light(kind) {
            return self.light_used < self.facts.light_slots;
        }
        let taken = self.clamped(demand);
        self.cpu_used + taken.cpu.0 <= self.facts.cpu.0
            && self.memory_used + taken.memory.0 <= self.facts.memory.0
    }

    /// What a task takes of this node: its demand, at most the whole node. Light tasks take a light slot only.
    #[must_use]
    pub fn clamped(&self, demand: Demand) -> Demand {
        Demand {
            cpu: Millicores(demand.cpu.0.min(self.facts.cpu.0)),
            memory: Bytes(demand.memory.0.min(self.facts.memory.0)),
        }
    }

    /// Takes capacity for an attempt.
    pub fn hold(&mut self, attempt: AttemptId, task: TaskId, kind: TaskKind, demand: Demand) {
        let demand = if is_light(kind) { Demand::default() } else { self.clamped(demand) };
        self.cpu_used += demand.cpu.0;
        self.memory_used += demand.memory.0;
        self.light_used += u32::from(is_light(kind));
        let before = self.holdings.insert(attempt, Holding { task, kind, demand });
        assert!(before.is_none(), "attempt {attempt} is held twice on {}", self.name);
    }

    /// Gives an attempt's capacity back.
    pub fn release(&mut self, attempt: AttemptId) -> Option<Holding> {
        let holding = self.holdings.remove(&attempt)?;
        self.cpu_used -= holding.demand.cpu.0;
        self.memory_used -= holding.demand.memory.0;
        self.light_used -= u32::from(is_light(holding.kind));
        Some(holding)
    }

    /// CPU that is free.
    #[must_use]
    pub fn cpu_free(&self) -> u32 {
        self.facts.cpu.0.saturating_sub(self.cpu_used)
    }

    /// Light slots that are free.
    #[must_use]
    pub fn light_free(&self) -> u32 {
        self.facts.light_slots.saturating_sub(self.light_used)
    }

    /// CPU and memory in use.
    #[must_use]
    pub fn used(&self) -> Demand {
        Demand { cpu: Millicores(self.cpu_used), memory: Bytes(self.memory_used) }
    }

    /// Whether it has a working encoder for the kind of task.
    #[must_use]
    pub fn can_do(&self, kind: TaskKind) -> bool {
        let works = |codec: &str| self.facts.encoders.iter().any(|e| e.works && e.codec == codec);
        match kind {
            TaskKind::Noop | TaskKind::Probe => true,
            TaskKind::Encode => works("h264"),
        }
    }
}

/// The workers of this reign.
pub type Fleet = BTreeMap<WorkerId, Node>;

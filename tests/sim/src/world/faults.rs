//! What breaks, and when: Poisson processes that strike while uploads arrive.

use rushes_core::event::{Event, ReplyTo};

use super::{Happening, Step, World};
use crate::agenda::At;

/// Marks replies that nobody waits for.
const NOBODY: u64 = 1 << 63;

/// Something that breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    NodeDies,
    LinkBreaks,
    Partition,
    CoordinatorDies,
    ClockSteps,
    Drain,
}

const ALL: [Fault; 6] = [
    Fault::NodeDies,
    Fault::LinkBreaks,
    Fault::Partition,
    Fault::CoordinatorDies,
    Fault::ClockSteps,
    Fault::Drain,
];

impl World<'_> {
    pub(super) fn plan_faults(&mut self) {
        for fault in ALL {
            self.plan(fault);
        }
    }

    fn plan(&mut self, fault: Fault) {
        let faults = &self.scenario.faults;
        #[expect(clippy::cast_precision_loss, reason = "nodes are far fewer than 2^53")]
        let nodes = self.nodes.len() as f64;
        let per_hour = match fault {
            Fault::NodeDies => faults.node_deaths * nodes,
            Fault::LinkBreaks => faults.link_breaks * nodes,
            Fault::Partition => faults.partitions,
            Fault::CoordinatorDies => faults.crashes,
            Fault::ClockSteps => faults.clock_steps,
            Fault::Drain => faults.drains,
        };
        if per_hour > 0.0 {
            let at = self.agenda.now().plus(At::from_s(self.fault_chance.wait(3600.0 / per_hour)));
            if at < self.disturbed_until() {
                self.agenda.enter(at, Happening::Strike(fault));
            }
        }
    }

    fn some_node(&mut self) -> usize {
        let node = self.fault_chance.below(self.nodes.len() as u64);
        usize::try_from(node).expect("it is below the number of nodes")
    }

    pub(super) fn strike(&mut self, fault: Fault) -> Step {
        self.plan(fault);
        match fault {
            Fault::NodeDies => {
                let node = self.some_node();
                self.node_dies(node);
            }
            Fault::LinkBreaks => {
                let node = self.some_node();
                self.link_breaks(node)?;
            }
            Fault::Partition => self.partition(),
            Fault::CoordinatorDies => self.coordinator_dies()?,
            Fault::ClockSteps => {
                let most = self.scenario.faults.clock_step_s * 1000.0;
                let step = self.fault_chance.between([-most, most]);
                #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
                let step = step as i64;
                self.clock_offset_ms += step;
                self.trace.world(self.agenda.now(), "the wall clock steps", 0);
            }
            Fault::Drain => {
                let node = self.some_node();
                self.drain(node, true)?;
                let pause = self.fault_chance.between(self.scenario.faults.repair_s);
                let at = self.agenda.now().plus(At::from_s(pause));
                self.agenda.enter(at, Happening::Undrain(node));
            }
        }
        Ok(())
    }

    /// A node's process dies, and with it what it held; half of the time the whole machine does, and nobody is told.
    fn node_dies(&mut self, node: usize) {
        let now = self.agenda.now();
        if !self.nodes[node].alive {
            return;
        }
        self.trace.world(now, "a node dies", node as u64 + 1);
        self.ledger.node_died();
        let told = self.fault_chance.happens(0.5);
        let silence =
            if told { self.scenario.link.delay_ms / 1000.0 } else { self.scenario.link.idle_timeout_s };
        if let Some(link) = self.nodes[node].link {
            let at = now.plus(At::from_s(silence));
            self.agenda.enter(at, Happening::FarmSeesLoss { node, link });
        }
        let attempts: Vec<_> = self.nodes[node].held.keys().copied().collect();
        for attempt in attempts {
            self.forget(node, attempt);
        }
        let place = &mut self.nodes[node];
        place.alive = false;
        place.unlink();
        let pause = self.fault_chance.between(self.scenario.faults.repair_s);
        self.agenda.enter(now.plus(At::from_s(pause)), Happening::Revive(node));
    }

    pub(super) fn revive(&mut self, node: usize) {
        let instance = self.number() + 1;
        let place = &mut self.nodes[node];
        place.alive = true;
        place.instance = instance;
        place.pause_s = 0.0;
        self.connect(node);
    }

    /// A connection ends, and both sides know it.
    fn link_breaks(&mut self, node: usize) -> Step {
        let Some(link) = self.nodes[node].link else { return Ok(()) };
        self.trace.world(self.agenda.now(), "a link breaks", node as u64 + 1);
        self.node_sees_loss(node, link);
        self.farm_sees_loss(node, link)
    }

    /// Some nodes are cut off. A short cut delays words; a long one ends the links, unseen by either side until its idle
    /// timeout.
    fn partition(&mut self) {
        let now = self.agenda.now();
        let lasts = At::from_s(self.fault_chance.between(self.scenario.faults.partition_s));
        let timeout = At::from_s(self.scenario.link.idle_timeout_s);
        self.trace.world(now, "a partition", 0);
        for node in 0..self.nodes.len() {
            let is_in = self.fault_chance.happens(self.scenario.faults.partition_share);
            if !is_in || self.nodes[node].cut_until > now {
                continue;
            }
            self.nodes[node].cut_since = now;
            self.nodes[node].cut_until = now.plus(lasts);
            if let Some(link) = self.nodes[node].link.filter(|_| lasts >= timeout) {
                let at = now.plus(timeout);
                self.agenda.enter(at, Happening::NodeSeesLoss { node, link });
                self.agenda.enter(at, Happening::FarmSeesLoss { node, link });
            }
        }
    }

    /// The coordinator dies at once, with some of its last records written; or right after its next commit, having sent
    /// nothing, or a part, of what waited for it.
    fn coordinator_dies(&mut self) -> Step {
        if self.engine.is_none() {
            return Ok(());
        }
        self.ledger.coordinator_died();
        match self.fault_chance.below(3) {
            0 => {
                let written = self.fault_chance.below(self.disk.pending() as u64 + 1);
                self.crash(written)
            }
            1 => {
                self.dies_after = Some(0);
                Ok(())
            }
            _ => {
                self.dies_after = Some(1 + self.fault_chance.below(4));
                Ok(())
            }
        }
    }

    pub(super) fn drain(&mut self, node: usize, draining: bool) -> Step {
        let worker = self.nodes[node].id;
        if self.engine.is_none() && !draining {
            // An operator whose request fails asks again.
            let at = self.agenda.now().plus(At::from_ms(2_000));
            self.agenda.enter(at, Happening::Undrain(node));
            return Ok(());
        }
        self.tell(Event::DrainAsked { reply: ReplyTo(NOBODY), worker, draining })
    }
}

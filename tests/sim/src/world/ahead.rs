//! What nodes hold ahead: orders that wait for room, until an attempt ends, they are recalled, or the link breaks.

use std::collections::{BTreeMap, BTreeSet};

use rushes_core::event::{Event, LinkId};
use rushes_shared::id::AttemptId;
use rushes_shared::task::{TaskOrder, TaskOutcome};
use rushes_shared::wire::AheadOffer;

use super::{Step, World};
use crate::agenda::At;
use crate::laws::broken;
use crate::node::Room;

/// The longest time for a word to arrive on a farm that nothing disturbs.
const LATEST_WORD: At = At(30_000_000_000);

impl World<'_> {
    /// A node that was welcomed says how much it holds ahead, and how much it encodes in hardware.
    pub(super) fn offer_ahead(&mut self, node: usize, link: LinkId) {
        let place = &self.nodes[node];
        let (worker, process) = (place.id, place.ahead);
        if process > 0 {
            let most = process.saturating_mul(place.room.light.max(place.room.cpu / 1_000));
            let offer = AheadOffer { process, lane: most, round_trip_ms: 5 };
            self.say(node, Event::AheadOffered { worker, link, offer });
        }
        let sessions = self.nodes[node].sessions;
        if sessions > 0 {
            self.say(node, Event::HardwareOffered { worker, link, sessions });
        }
    }

    /// Begins an attempt, or has it wait where the node holds orders ahead.
    pub(super) fn enter(&mut self, node: usize, order: Box<TaskOrder>) -> Step {
        let place = &mut self.nodes[node];
        if place.ahead == 0 {
            return self.begin(node, order);
        }
        place.line.insert(order.attempt, order);
        self.start_next(node)
    }

    /// Starts what waits and has room, light tasks and others each in their order.
    pub(super) fn start_next(&mut self, node: usize) -> Step {
        for light in [true, false] {
            loop {
                let place = &mut self.nodes[node];
                let first = place.line.iter().find(|(_, order)| order.slot.is_light() == light);
                let Some((attempt, order)) = first else { break };
                if !place.used.plus(Room::of(order)).fits_in(place.room) {
                    break;
                }
                let attempt = *attempt;
                let order = place.line.remove(&attempt).expect("it was just found");
                self.begin(node, order)?;
            }
        }
        Ok(())
    }

    /// The coordinator wants an attempt back.
    pub(super) fn give_back(&mut self, node: usize, attempt: AttemptId) -> Step {
        let place = &mut self.nodes[node];
        let worker = place.id;
        if let Some(order) = place.line.remove(&attempt) {
            self.say_of(node, attempt, Event::TaskRecalled { worker, task: order.task, attempt });
        }
        // What waited behind it may be small enough.
        self.start_next(node)
    }

    /// The coordinator wants an attempt stopped that waits. Whether it did.
    pub(super) fn stop_waiting(&mut self, node: usize, attempt: AttemptId) -> bool {
        let place = &mut self.nodes[node];
        let worker = place.id;
        let Some(order) = place.line.remove(&attempt) else { return false };
        let outcome = Box::new(TaskOutcome::Cancelled);
        self.say_of(node, attempt, Event::TaskEnded { worker, task: order.task, attempt, outcome });
        true
    }

    /// Compares what nodes and the engine make of the one rule by which both start what waits: what the engine has counted
    /// as running for long, on a farm that nothing disturbs, does not wait for room on its node.
    pub(super) fn check_starts(&mut self) -> Step {
        let now = self.agenda.now();
        let Some(engine) = self.engine.as_ref().filter(|_| now.since(self.calm_since()) > LATEST_WORD) else {
            self.waits_unseen.clear();
            return Ok(());
        };
        let mut waits = BTreeMap::new();
        let lined: BTreeMap<_, _> =
            self.nodes.iter().filter(|n| !n.line.is_empty()).map(|n| (n.id, n)).collect();
        let docs = if lined.is_empty() { Vec::new() } else { engine.workers() };
        for doc in docs {
            let Some(place) = lined.get(&doc.id) else { continue };
            let counted: BTreeSet<_> = doc.running.iter().map(|(_, attempt, _)| *attempt).collect();
            let mut runs = place.held.iter().filter(|(_, held)| held.outcome.is_none());
            // An order may overtake another on the way and have its room.
            if runs.any(|(attempt, _)| !counted.contains(attempt)) {
                continue;
            }
            for (_, attempt, _) in doc.running.iter().filter(|(_, a, _)| place.line.contains_key(a)) {
                let since = self.waits_unseen.get(attempt).copied().unwrap_or(now);
                if now.since(since) > LATEST_WORD {
                    return Err(broken!(
                        StartsByOneRule,
                        "{attempt} has waited on {} for {:.0} s and is counted as running",
                        doc.name,
                        now.since(since).s()
                    ));
                }
                waits.insert(*attempt, since);
            }
        }
        self.waits_unseen = waits;
        Ok(())
    }
}

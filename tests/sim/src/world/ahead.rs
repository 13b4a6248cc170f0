//! What nodes hold ahead: orders that wait for room, until an attempt ends, they are recalled, or the link breaks.

use rushes_core::event::{Event, LinkId};
use rushes_shared::id::AttemptId;
use rushes_shared::task::{TaskOrder, TaskOutcome};
use rushes_shared::wire::AheadOffer;

use super::{Step, World};
use crate::node::Room;

impl World<'_> {
    /// A node that was welcomed says how much it holds ahead.
    pub(super) fn offer_ahead(&mut self, node: usize, link: LinkId) {
        let place = &self.nodes[node];
        let (worker, process) = (place.id, place.ahead);
        if process > 0 {
            let most = process.saturating_mul(place.room.light.max(place.room.cpu / 1_000));
            let offer = AheadOffer { process, lane: most, round_trip_ms: 5 };
            self.say(node, Event::AheadOffered { worker, link, offer });
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
    pub(super) fn give_back(&mut self, node: usize, attempt: AttemptId) {
        let place = &mut self.nodes[node];
        let worker = place.id;
        if let Some(order) = place.line.remove(&attempt) {
            self.say_of(node, attempt, Event::TaskRecalled { worker, task: order.task, attempt });
        }
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
}

//! What is on its way between the coordinator and its nodes. Words of one stream stay in order, streams overtake one
//! another, and a link that breaks takes what is on it along.

use rushes_core::event::{Event, LinkId};
use rushes_shared::id::{AttemptId, Epoch, WorkerId};
use rushes_shared::task::TaskOrder;

use super::{Happening, Step, World};
use crate::agenda::At;

/// On its way to the coordinator.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) node: usize,
    pub(super) link: LinkId,
    pub(super) event: Event,
}

/// On its way to a node.
#[derive(Debug)]
pub(super) struct Down {
    pub(super) node: usize,
    pub(super) link: LinkId,
    pub(super) order: Order,
}

/// What the coordinator says to a node.
#[derive(Debug)]
pub(super) enum Order {
    Welcome { epoch: Epoch, give_up: Vec<AttemptId> },
    Start(Box<TaskOrder>),
    Attach(AttemptId),
    Cancel(AttemptId),
    Recall(AttemptId),
    Collected(AttemptId),
    Draining,
}

/// Which way a word goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Down = 0,
    Up = 1,
}

pub(super) fn index(worker: WorkerId) -> usize {
    usize::try_from(worker.0).expect("nodes are counted from 1") - 1
}

impl World<'_> {
    /// When a word that is sent now arrives; `None` where the link is cut for so long that it never does.
    fn transit(&mut self, node: usize) -> Option<At> {
        let link = self.scenario.link;
        let mut delay_ms = link.delay_ms;
        if link.jitter_ms > 0.0 {
            delay_ms += self.link_chance.share() * link.jitter_ms;
        }
        while self.link_chance.happens(link.loss) {
            delay_ms += link.resend_ms;
        }
        let now = self.agenda.now();
        let arrives = now.plus(At::from_s(delay_ms / 1000.0));
        let cut_until = self.nodes[node].cut_until;
        if cut_until <= now {
            return Some(arrives);
        }
        self.outlasts(node).then(|| arrives.max(cut_until.plus(At::from_s(delay_ms / 1000.0))))
    }

    /// Whether a connection to a node that is cut off will be given up before the cut ends: both ends had the same
    /// silence.
    fn outlasts(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        let silence = node.cut_until.since(node.cut_since);
        silence < At::from_s(self.scenario.link.idle_timeout_s)
    }

    /// Puts an order on a link, if that link still stands.
    pub(super) fn order(&mut self, worker: WorkerId, link: LinkId, stream: Option<AttemptId>, order: Order) {
        let node = index(worker);
        if self.nodes[node].served_on != Some(link) {
            return;
        }
        let Some(arrives) = self.transit(node) else { return };
        // The engine's own time for the event comes before what it sends.
        let arrives = arrives.plus(self.free_at.since(self.agenda.now()));
        let place = &mut self.nodes[node];
        let clear = match stream {
            None => &mut place.control_clear[Way::Down as usize],
            Some(attempt) => match place.streams.get_mut(&attempt) {
                Some(clear) => clear,
                None => return,
            },
        };
        *clear = arrives.max(*clear);
        let at = *clear;
        if let (Order::Collected(attempt), Some(_)) = (&order, stream) {
            place.streams.remove(attempt);
        }
        self.agenda.enter(at, Happening::Down(Down { node, link, order }));
    }

    /// Puts a word on an attempt's stream on the worker's newest link, if there is one.
    pub(super) fn order_newest(&mut self, worker: WorkerId, attempt: AttemptId, order: Order) {
        if let Some(link) = self.nodes[index(worker)].served_on {
            self.order(worker, link, Some(attempt), order);
        }
    }

    pub(super) fn open_stream(&mut self, worker: WorkerId, link: LinkId, attempt: AttemptId) {
        let place = &mut self.nodes[index(worker)];
        if place.served_on == Some(link) {
            place.streams.insert(attempt, At(0));
        }
    }

    /// A node says something on its control stream.
    pub(super) fn say(&mut self, node: usize, event: Event) {
        let Some(link) = self.nodes[node].link else { return };
        let Some(arrives) = self.transit(node) else { return };
        let clear = &mut self.nodes[node].control_clear[Way::Up as usize];
        *clear = arrives.max(*clear);
        let at = *clear;
        self.agenda.enter(at, Happening::Up(Up { node, link, event }));
    }

    /// A node says something about an attempt, if it has a stream for it.
    pub(super) fn say_of(&mut self, node: usize, attempt: AttemptId, event: Event) {
        let place = &self.nodes[node];
        let Some(link) = place.link.filter(|_| place.welcomed) else { return };
        if !place.held.get(&attempt).is_none_or(|held| held.attached) {
            return;
        }
        let Some(mut at) = self.transit(node) else { return };
        if let Some(held) = self.nodes[node].held.get_mut(&attempt) {
            held.clear = at.max(held.clear);
            at = held.clear;
        }
        if self.link_chance.happens(self.scenario.link.duplicates) {
            self.agenda.enter(at, Happening::Up(Up { node, link, event: event.clone() }));
        }
        self.agenda.enter(at, Happening::Up(Up { node, link, event }));
    }

    pub(super) fn word_up(&mut self, up: Up) -> Step {
        let Up { node, link, event } = up;
        let place = &mut self.nodes[node];
        if matches!(event, Event::WorkerJoined { .. }) {
            if self.engine.is_none() {
                // Nobody listens there any more.
                self.agenda.enter(self.agenda.now(), Happening::NodeSeesLoss { node, link });
                return Ok(());
            }
            place.unserve();
            place.served_on = Some(link);
        } else if place.served_on != Some(link) {
            return Ok(());
        }
        self.tell(event)
    }

    /// The coordinator closes a connection; the node learns it, if anything gets through.
    pub(super) fn close_link(&mut self, worker: WorkerId, link: LinkId) -> Step {
        let node = index(worker);
        let at = self.transit(node).unwrap_or_else(|| self.node_gives_up(node));
        self.agenda.enter(at, Happening::NodeSeesLoss { node, link });
        self.farm_sees_loss(node, link)
    }

    /// When a node that hears nothing gives its connection up.
    pub(super) fn node_gives_up(&self, node: usize) -> At {
        self.nodes[node].cut_since.plus(At::from_s(self.scenario.link.idle_timeout_s))
    }

    pub(super) fn farm_sees_loss(&mut self, node: usize, link: LinkId) -> Step {
        let place = &mut self.nodes[node];
        if place.served_on != Some(link) {
            return Ok(());
        }
        place.unserve();
        let worker = place.id;
        self.tell(Event::LinkLost { worker, link })
    }

    pub(super) fn node_sees_loss(&mut self, node: usize, link: LinkId) {
        if self.nodes[node].link == Some(link) {
            self.nodes[node].unlink();
            self.connect_soon(node);
        }
    }

    /// The node tries again after a pause that grows.
    pub(super) fn connect_soon(&mut self, node: usize) {
        let [shortest, longest] = self.scenario.link.reconnect_s;
        let jitter = 0.5 + 0.5 * self.link_chance.share();
        let place = &mut self.nodes[node];
        let pause = place.pause_s.max(shortest);
        place.pause_s = (pause * 2.0).min(longest);
        let at = self.agenda.now().plus(At::from_s(pause * jitter));
        self.agenda.enter(at, Happening::Connect(node));
    }

    pub(super) fn connect(&mut self, node: usize) {
        let now = self.agenda.now();
        let place = &self.nodes[node];
        if !place.alive || place.link.is_some() {
            return;
        }
        if self.engine.is_none() || place.cut_until > now {
            return self.connect_soon(node);
        }
        let link = LinkId(self.number());
        let place = &mut self.nodes[node];
        place.link = Some(link);
        place.welcomed = false;
        // What it has not started it forgets.
        place.line.clear();
        place.control_clear[Way::Up as usize] = At(0);
        for held in place.held.values_mut() {
            (held.attached, held.clear) = (false, At(0));
        }
        let event = Event::WorkerJoined {
            worker: place.id,
            link,
            instance: place.instance,
            facts: Box::new(place.facts.clone()),
            held: place.holds(),
        };
        self.say(node, event);
        // Nodes do not beat in step.
        let beat = self.policy.heartbeat_ms * (1 + node as u64 % 7) / 7;
        self.agenda.enter(now.plus(At::from_ms(beat + 2)), Happening::Beat { node, link });
    }

    pub(super) fn beat(&mut self, node: usize, link: LinkId) -> Step {
        let place = &self.nodes[node];
        if place.link != Some(link) || !place.alive {
            return Ok(());
        }
        let now = self.agenda.now();
        self.agenda.enter(now.plus(At::from_ms(self.policy.heartbeat_ms)), Happening::Beat { node, link });
        if place.cut_until > now || !place.welcomed || place.served_on != Some(link) {
            return Ok(());
        }
        let worker = place.id;
        self.tell(Event::HeartbeatCame { worker, link })
    }

    /// The coordinator's process is gone: nodes see it at once or when nothing comes any more.
    pub(super) fn links_break(&mut self) {
        let now = self.agenda.now();
        for node in 0..self.nodes.len() {
            self.nodes[node].unserve();
            if let Some(link) = self.nodes[node].link {
                let silence = self.link_chance.share() * self.scenario.link.idle_timeout_s;
                let at = now.plus(At::from_s(silence));
                self.agenda.enter(at, Happening::NodeSeesLoss { node, link });
            }
        }
    }
}

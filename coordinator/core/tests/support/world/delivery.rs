//! Time passes, and what is on its way arrives: words of workers, orders, requests to the depot.

use rushes_core::engine::Engine;
use rushes_core::event::Event;
use rushes_shared::id::WorkerId;

use super::{Up, World};
use crate::support::depot::Asked;
use crate::support::worker::Order;

impl World {
    pub(crate) fn beat(&mut self, id: WorkerId) {
        let worker = &self.workers[&id];
        if let Some(link) = worker.link.filter(|_| worker.welcomed) {
            self.up.push(Up { link, stream: None, event: Event::HeartbeatCame { worker: id, link } });
        }
    }

    pub(crate) fn leave(&mut self, id: WorkerId) {
        if let Some(link) = self.workers[&id].link {
            self.up.push(Up { link, stream: None, event: Event::WorkerLeaving { worker: id, link } });
        }
    }

    /// Time passes at once, and the engine's alarm rings if its time has come.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus(ms);
        self.now.wall.0 += ms;
        for _ in 0..1_000 {
            if self.engine.as_ref().and_then(Engine::next_wake).is_none_or(|at| at > self.now.mono) {
                break;
            }
            self.tell(Event::TimeCame);
        }
    }

    /// Delivers the oldest message of the stream that the message at `at` belongs to.
    pub(crate) fn deliver_up(&mut self, at: usize) {
        let (link, stream) = (self.up[at].link, self.up[at].stream);
        let first = self.up.iter().position(|u| u.link == link && u.stream == stream);
        let up = self.up.remove(first.expect("there is at least the one at `at`"));
        if let Event::WorkerJoined { worker, link, .. } = &up.event {
            let newest = self.links.entry(*worker).or_insert(*link);
            *newest = (*newest).max(*link);
        }
        if let Event::LinkLost { worker, link } = &up.event {
            self.streams.retain(|(l, _)| l != link);
            if self.links.get(worker) == Some(link) {
                self.links.remove(worker);
            }
        }
        self.tell(up.event);
    }

    /// The same for orders. A worker takes no task streams before it was welcomed.
    pub(crate) fn deliver_down(&mut self, at: usize) {
        let (link, worker) = (self.down[at].link, self.down[at].worker);
        let stream = self.down[at].stream.filter(|_| self.workers[&worker].welcomed);
        let first = self.down.iter().position(|d| d.link == link && d.stream == stream);
        let Some(first) = first else { return };
        let down = self.down.remove(first);
        if matches!(down.order, Order::Welcome { .. })
            && let Some(offer) = self.workers[&worker].offer
        {
            self.up.push(Up { link, stream: None, event: Event::AheadOffered { worker, link, offer } });
        }
        if matches!(down.order, Order::Welcome { .. })
            && let Some(sessions) = self.workers[&worker].sessions
        {
            self.up.push(Up { link, stream: None, event: Event::HardwareOffered { worker, link, sessions } });
        }
        match self.workers.get_mut(&worker).expect("a known worker").take(down.order) {
            Ok(words) => {
                for (task, attempt, said) in words {
                    self.say(worker, task, attempt, said);
                }
            }
            Err(()) => self.cut(worker, true),
        }
    }

    pub(crate) fn deliver_asked(&mut self, at: usize) {
        let asked = self.asked.remove(at);
        self.serve(asked);
    }

    pub(super) fn serve(&mut self, asked: Asked) {
        match asked {
            Asked::Drop(attempts) => self.depot.drop_staged(&attempts),
            Asked::Find { before, after } => {
                let attempts = self.depot.find_staged(before, after);
                self.inbox.push_back(Event::StagedFound { attempts });
            }
            Asked::Publish { job, output, from, to } => {
                let result = self.depot.publish(&from, &to);
                self.inbox.push_back(Event::PublishEnded { job, output, result });
            }
        }
    }

    /// Delivers everything and confirms everything until nothing is on its way.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.disk.pending() > 0 {
                self.confirm(usize::MAX);
            } else if let Some(event) = self.inbox.pop_front() {
                self.tell(event);
            } else if !self.asked.is_empty() {
                self.deliver_asked(0);
            } else if !self.up.is_empty() {
                self.deliver_up(0);
            } else if !self.down.is_empty() {
                self.deliver_down(0);
            } else {
                return;
            }
        }
        panic!("the world does not come to rest");
    }
}

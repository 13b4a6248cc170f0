//! The workers' connections: who has one, which of several is the present one, and what their beginning and end mean.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rushes_core::event::{Event, LinkId};
use rushes_shared::id::WorkerId;
use rushes_shared::task::TaskOutcome;
use tokio::sync::mpsc;

use super::{EngineActor, Farewell, LinkClosed, LinkOpened, Removed, WorkerRemoved};
use crate::link_actor::{LinkActor, LinkOrder, LinkOrders, Overrun};

/// How long it is remembered that a worker was removed: far longer than a handshake or the end of a connection lasts.
const REMOVED_FOR: Duration = Duration::from_secs(3_600);

/// Connections.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By worker; a newer one has a higher number.
    open: BTreeMap<(WorkerId, LinkId), Addr<LinkActor>>,
    /// Workers that were removed lately, and when. One may have been let in a moment before; later its certificate is
    /// refused.
    removed: BTreeMap<WorkerId, Instant>,
    /// Orders that leave together, each connection's in order.
    waiting: BTreeMap<(WorkerId, LinkId), Vec<LinkOrder>>,
}

impl Links {
    /// Ends a removed worker's connections, and any that it still makes.
    pub(super) fn remove(&mut self, worker: WorkerId) {
        let now = Instant::now();
        self.removed.retain(|_, at| now.duration_since(*at) < REMOVED_FOR);
        self.removed.insert(worker, now);
        for (_, addr) in self.open.range(all_of(worker)) {
            // Closing the connection needs no order of orders, and may not wait behind a full mailbox.
            addr.do_send(LinkOrders(vec![LinkOrder::Removed]));
        }
    }

    /// Has every worker told that the coordinator stops; `heard` is dropped when the last has heard it.
    pub(super) fn farewell(&self, heard: &mpsc::Sender<Infallible>) {
        for addr in self.open.values() {
            addr.do_send(LinkOrders(vec![LinkOrder::Goodbye(heard.clone())]));
        }
    }

    pub(super) fn is_removed(&self, worker: WorkerId) -> bool {
        self.removed.contains_key(&worker)
    }

    /// The present connection of a worker.
    pub(super) fn newest(&self, worker: WorkerId) -> Option<LinkId> {
        self.open.range(all_of(worker)).next_back().map(|((_, link), _)| *link)
    }

    /// A connection is ready for orders; older ones of the same worker are told that it took their place.
    pub(super) fn open(&mut self, worker: WorkerId, link: LinkId, addr: Addr<LinkActor>) {
        let older: Vec<_> = self
            .open
            .range((worker, LinkId(0))..(worker, link))
            .map(|(key, addr)| (*key, addr.clone()))
            .collect();
        for (key, addr) in older {
            self.open.remove(&key);
            self.waiting.remove(&key);
            drop(addr.try_send(LinkOrders(vec![LinkOrder::Replaced])));
        }
        self.open.insert((worker, link), addr);
    }

    /// A connection is gone.
    pub(super) fn close(&mut self, worker: WorkerId, link: LinkId) {
        self.open.remove(&(worker, link));
        self.waiting.remove(&(worker, link));
    }

    /// Has an order for a worker's connection leave with the next [`Self::flush`]: for the given one, or for its newest.
    pub(super) fn hand(&mut self, worker: WorkerId, link: Option<LinkId>, order: LinkOrder) {
        let found = match link {
            Some(link) => self.open.contains_key(&(worker, link)).then_some((worker, link)),
            None => self.open.range(all_of(worker)).next_back().map(|(key, _)| *key),
        };
        // A missing link is a lost one: the worker will say what it holds when it is back.
        if let Some(key) = found {
            self.waiting.entry(key).or_default().push(order);
        }
    }

    /// Lets out what was handed in since the last time.
    pub(super) fn flush(&mut self) {
        while let Some((key, orders)) = self.waiting.pop_first() {
            let Some(addr) = self.open.get(&key) else { continue };
            if let Err(SendError::Full(_)) = addr.try_send(LinkOrders(orders)) {
                let worker = key.0;
                tracing::warn!(%worker, "the worker's connection does not take orders fast enough and is closed");
                // Closing drops the connection's streams; the worker reconnects and the engine compares notes with it.
                addr.do_send(Overrun);
            }
        }
    }
}

fn all_of(worker: WorkerId) -> std::ops::RangeInclusive<(WorkerId, LinkId)> {
    (worker, LinkId(0))..=(worker, LinkId(u64::MAX))
}

impl EngineActor {
    /// Takes from a removed worker what it holds, uncounted, as from one that shuts down; how many tasks that were.
    fn let_go(&mut self, worker: WorkerId, link: Option<LinkId>, ctx: &mut Context<Self>) -> usize {
        if let Some(link) = link {
            // Nothing new for it from here on.
            self.take_in(Event::WorkerLeaving { worker, link }, ctx);
        }
        let held = self.engine.workers().into_iter().find(|doc| doc.id == worker);
        let held = held.map(|doc| doc.running).unwrap_or_default();
        for (task, attempt, _) in &held {
            let (task, attempt, outcome) = (*task, *attempt, Box::new(TaskOutcome::Cancelled));
            self.take_in(Event::TaskEnded { worker, task, attempt, outcome }, ctx);
        }
        held.len()
    }
}

impl Handler<LinkOpened> for EngineActor {
    type Result = Result<(), Removed>;

    fn handle(&mut self, message: LinkOpened, _: &mut Self::Context) -> Self::Result {
        let LinkOpened { worker, link, addr } = message;
        if self.links.is_removed(worker) {
            return Err(Removed);
        }
        self.links.open(worker, link, addr);
        Ok(())
    }
}

impl Handler<WorkerRemoved> for EngineActor {
    type Result = usize;

    fn handle(&mut self, message: WorkerRemoved, ctx: &mut Self::Context) -> usize {
        let worker = message.0;
        let moved = self.let_go(worker, self.links.newest(worker), ctx);
        self.links.remove(worker);
        moved
    }
}

impl Handler<Farewell> for EngineActor {
    type Result = ();

    fn handle(&mut self, message: Farewell, _: &mut Self::Context) {
        self.links.farewell(&message.0);
    }
}

impl Handler<LinkClosed> for EngineActor {
    type Result = ();

    fn handle(&mut self, message: LinkClosed, ctx: &mut Self::Context) {
        let LinkClosed { worker, link } = message;
        if self.links.is_removed(worker) {
            // A word of it may have come in behind its removal.
            self.let_go(worker, Some(link), ctx);
        }
        self.links.close(worker, link);
        self.take_in(Event::LinkLost { worker, link }, ctx);
    }
}

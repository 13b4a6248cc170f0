//! The workers' connections: who has one, and which of several is the present one.

use std::collections::BTreeMap;

use actix::prelude::*;
use rushes_core::event::LinkId;
use rushes_shared::id::WorkerId;

use crate::link_actor::{LinkActor, LinkOrder, LinkOrders, Overrun};

/// Connections by worker; a newer one has a higher number.
#[derive(Debug, Default)]
pub(super) struct Links {
    open: BTreeMap<(WorkerId, LinkId), Addr<LinkActor>>,
    /// Orders that leave together, each connection's in order.
    waiting: BTreeMap<(WorkerId, LinkId), Vec<LinkOrder>>,
}

impl Links {
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
        let newest = (worker, LinkId(0))..=(worker, LinkId(u64::MAX));
        let found = match link {
            Some(link) => self.open.contains_key(&(worker, link)).then_some((worker, link)),
            None => self.open.range(newest).next_back().map(|(key, _)| *key),
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

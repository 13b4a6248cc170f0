//! The workers' connections: who has one, and which of several is the present one.

use std::collections::BTreeMap;

use actix::prelude::*;
use rushes_core::event::LinkId;
use rushes_shared::id::WorkerId;

use crate::link_actor::{LinkActor, LinkOrder, Overrun};

/// Connections by worker; a newer one has a higher number.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<(WorkerId, LinkId), Addr<LinkActor>>);

impl Links {
    /// A connection is ready for orders; older ones of the same worker are told that it took their place.
    pub(super) fn open(&mut self, worker: WorkerId, link: LinkId, addr: Addr<LinkActor>) {
        let older: Vec<_> = self
            .0
            .range((worker, LinkId(0))..(worker, link))
            .map(|(key, addr)| (*key, addr.clone()))
            .collect();
        for (key, addr) in older {
            self.0.remove(&key);
            drop(addr.try_send(LinkOrder::Replaced));
        }
        self.0.insert((worker, link), addr);
    }

    /// A connection is gone.
    pub(super) fn close(&mut self, worker: WorkerId, link: LinkId) {
        self.0.remove(&(worker, link));
    }

    /// Hands an order to a worker's connection: to the given one, or to its newest.
    pub(super) fn hand(&self, worker: WorkerId, link: Option<LinkId>, order: LinkOrder) {
        let newest = (worker, LinkId(0))..=(worker, LinkId(u64::MAX));
        let found = match link {
            Some(link) => self.0.get(&(worker, link)),
            None => self.0.range(newest).next_back().map(|(_, addr)| addr),
        };
        // A missing link is a lost one: the worker will say what it holds when it is back.
        let Some(addr) = found else { return };
        if let Err(SendError::Full(_)) = addr.try_send(order) {
            tracing::warn!(%worker, "the worker's connection does not take orders fast enough and is closed");
            // Closing drops the connection's streams; the worker reconnects and the engine compares notes with it.
            addr.do_send(Overrun);
        }
    }
}

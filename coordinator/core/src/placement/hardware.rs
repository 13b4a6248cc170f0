//! A node's hardware encoders: which one is used, how many sessions are free, and whether it can be trusted.
//!
//! An encoder that fails several tasks in a row gets nothing for a while, then one task as a probe. The node goes on with
//! everything else meanwhile: its software encoder is not to blame.

use std::sync::Arc;

use rushes_shared::node::NodeFacts;

use crate::health::Health;

/// The hardware encoders of a node.
#[derive(Debug, Default)]
pub struct Hardware {
    /// How many tasks may encode at once; 0 until the worker has said that it takes such orders.
    pub sessions: u32,
    /// How they stand.
    pub health: Health,
    /// Tasks that they failed since the last one that they did.
    pub failed_in_row: u32,
    /// How often in a row they were shut.
    pub shut_times: u32,
    used: u32,
}

impl Hardware {
    /// Whether another task may encode with it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self.health {
            Health::Good => self.used < self.sessions,
            Health::Quarantined => false,
            Health::Probed => self.used == 0 && self.sessions > 0,
        }
    }

    /// A task encodes with it, or does not any more.
    pub(super) fn count(&mut self, more: bool) {
        self.used = if more { self.used + 1 } else { self.used - 1 };
    }

    /// Sessions in use.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used
    }
}

/// The hardware encoder for a codec that a node has proven: the first that its worker names.
#[must_use]
pub fn proven(facts: &NodeFacts, codec: &str) -> Option<Arc<str>> {
    let found = facts.encoders.iter().find(|e| e.hardware && e.works && e.codec == codec);
    found.map(|e| e.element.as_str().into())
}

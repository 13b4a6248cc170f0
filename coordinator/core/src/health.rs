//! What attempts say about the node that they ran on.
//!
//! A node that fails what others can do is quarantined: it gets nothing new for a while, then one task as a probe, and is
//! readmitted when that succeeds.

use std::collections::VecDeque;

use rushes_shared::id::TaskId;

/// How a node stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    /// It works as others do.
    #[default]
    Good,
    /// It gets nothing new.
    Quarantined,
    /// It gets one task at a time, until one tells.
    Probed,
}

/// The latest outcomes on one node.
#[derive(Debug, Default)]
pub struct History {
    latest: VecDeque<(TaskId, bool)>,
    /// Quarantines so far without a success between them.
    pub quarantines: u32,
}

impl History {
    /// Takes in an outcome, of at most `most` different tasks; of one task the latest counts.
    pub fn note(&mut self, task: TaskId, failed: bool, most: usize) {
        self.latest.retain(|(known, _)| *known != task);
        self.latest.push_back((task, failed));
        while self.latest.len() > most {
            self.latest.pop_front();
        }
    }

    /// Failed tasks among the latest.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.latest.iter().filter(|(_, failed)| *failed).count()
    }

    /// Tasks among the latest that did not fail.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.latest.len() - self.failed()
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        self.latest.clear();
    }
}

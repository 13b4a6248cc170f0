//! A task's durable part: how it succeeded, or what has gone wrong with it.

use std::collections::BTreeSet;

use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::{TaskValue, Usage};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

/// A success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Success {
    /// The attempt that did it.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// What it found or made; `None` for a no-op, of which there may be very many.
    pub value: Option<Box<TaskValue>>,
    /// What it used.
    pub usage: Usage,
    /// How long the task waited for its start, in milliseconds.
    pub queued_ms: u64,
    /// When it ended.
    pub at: WallMs,
}

/// A failed attempt, as the state remembers the latest one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which try.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// Why.
    pub failure: Failure,
    /// When.
    pub at: WallMs,
}

/// What has gone wrong with a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Failed attempts so far.
    pub failures: u32,
    /// The latest failure.
    pub last: Failed,
    /// Workers on which an attempt failed by the node's fault or with the process or worker lost.
    pub bad_on: BTreeSet<WorkerId>,
    /// Those of them that were lost, or whose task process died, while they ran it.
    pub died_on: BTreeSet<WorkerId>,
    /// Set once it was given up.
    pub given_up: bool,
}

impl Trouble {
    /// Nothing counted yet; `last` is what is about to be.
    pub(crate) fn of(last: Failed) -> Self {
        Self { failures: 0, last, bad_on: BTreeSet::new(), died_on: BTreeSet::new(), given_up: false }
    }
}

/// A task's durable part. What few tasks have is kept apart: there may be a million that only wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Set once it succeeded.
    pub success: Option<Box<Success>>,
    /// Set once an attempt failed.
    pub trouble: Option<Box<Trouble>>,
}

impl Task {
    /// Failed attempts so far.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |t| t.failures)
    }

    /// The latest failure.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failed> {
        self.trouble.as_ref().map(|t| &t.last)
    }

    /// Whether it was given up.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.trouble.as_ref().is_some_and(|t| t.given_up)
    }

    /// Whether it needs no further attempt.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.success.is_some() || self.is_given_up()
    }

    /// Whether there is such a worker.
    #[must_use]
    pub fn has_bad_nodes(&self) -> bool {
        self.trouble.as_ref().is_some_and(|t| !t.bad_on.is_empty())
    }

    /// Whether an attempt on this worker failed by the node's fault or brought it down.
    #[must_use]
    pub fn is_bad_on(&self, worker: WorkerId) -> bool {
        self.trouble.as_ref().is_some_and(|t| t.bad_on.contains(&worker))
    }
}

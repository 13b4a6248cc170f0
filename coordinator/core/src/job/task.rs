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
#[serde(from = "Coded", into = "Coded")]
pub struct Trouble {
    /// Failed attempts so far.
    pub failures: u32,
    /// The latest failure.
    pub last: Failed,
    /// Workers on which an attempt failed by the node's fault or with the process or worker lost.
    pub bad_on: BTreeSet<WorkerId>,
    /// Those of them on which its process died.
    pub died_on: BTreeSet<WorkerId>,
    /// Set once it was given up.
    pub given_up: bool,
    /// Those of the failed attempts that were lost with their node.
    pub lost: u32,
}

impl Trouble {
    /// Nothing counted yet; `last` is what is about to be.
    pub(crate) fn of(last: Failed) -> Self {
        Self {
            failures: 0,
            last,
            bad_on: BTreeSet::new(),
            died_on: BTreeSet::new(),
            given_up: false,
            lost: 0,
        }
    }
}

/// [`Trouble`] as bytes.
#[derive(Serialize, Deserialize)]
struct Coded {
    failures: u32,
    last: Failed,
    bad_on: BTreeSet<WorkerId>,
    died_on: BTreeSet<WorkerId>,
    end: CodedEnd,
}

/// Its end was whether it was given up, one byte, before attempts lost with their nodes were counted: those stand behind a number
/// that this byte did not have.
#[derive(Serialize, Deserialize)]
enum CodedEnd {
    GoesOn,
    GivenUp,
    Lost { given_up: bool, lost: u32 },
}

impl From<Trouble> for Coded {
    fn from(trouble: Trouble) -> Self {
        let Trouble { failures, last, bad_on, died_on, given_up, lost } = trouble;
        let end = match (lost, given_up) {
            (0, false) => CodedEnd::GoesOn,
            (0, true) => CodedEnd::GivenUp,
            (lost, given_up) => CodedEnd::Lost { given_up, lost },
        };
        Self { failures, last, bad_on, died_on, end }
    }
}

impl From<Coded> for Trouble {
    fn from(coded: Coded) -> Self {
        let Coded { failures, last, bad_on, died_on, end } = coded;
        let (given_up, lost) = match end {
            CodedEnd::GoesOn => (false, 0),
            CodedEnd::GivenUp => (true, 0),
            CodedEnd::Lost { given_up, lost } => (given_up, lost),
        };
        Self { failures, last, bad_on, died_on, given_up, lost }
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

    /// Those of them that were lost with their node.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |t| t.lost)
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

#[cfg(test)]
mod tests {
    use rushes_shared::codec;
    use rushes_shared::failure::FailureCode;

    use super::*;

    #[test]
    fn trouble_without_lost_nodes_keeps_its_bytes_and_lost_ones_are_carried() {
        let failure = Failure::new(FailureCode::WorkerLost, "gone", "look");
        let attempt = AttemptId { epoch: rushes_shared::id::Epoch(1), counter: 2 };
        let last = Failed { attempt, worker: WorkerId(3), failure, at: WallMs(4) };
        for (given_up, lost, end) in [(false, 0, &[0][..]), (true, 0, &[1]), (true, 7, &[2, 1, 7])] {
            let trouble = Trouble { failures: 9, given_up, lost, ..Trouble::of(last.clone()) };
            let bytes = codec::encode(&trouble).unwrap();
            assert!(bytes.ends_with(end), "{bytes:?}");
            assert_eq!(codec::decode::<Trouble>(&bytes).unwrap(), trouble);
        }
    }
}

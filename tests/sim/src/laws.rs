//! What must hold after every event, whatever happens, by name.

use std::fmt;

use crate::agenda::At;

/// The invariants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invariant {
    /// A submit that was answered is on the disk, live or ended, from then on.
    AcceptedIsDurable,
    /// Every task of a live job is done, waits for others, waits for a slot, or runs; and none that could run waits while
    /// a slot for it stays free.
    NoTaskLost,
    /// A task succeeds once.
    SucceedsOnce,
    /// An output is announced once, and one file is at its place.
    PublishedOnce,
    /// A job ends once.
    EndsOnce,
    /// A job that succeeded has done every task that it could not leave out, and published what they made.
    SuccessIsComplete,
    /// Only a job whose owner asked for it is canceled.
    CanceledIsAsked,
    /// No node runs more than it has room for.
    CapacityIsKept,
    /// What waits for room on a node is not counted as running there.
    StartsByOneRule,
    /// An attempt's id is used once.
    AttemptIsUnique,
    /// A command waits for a record that exists.
    CommandFollowsRecord,
    /// The fold over the records is the live state.
    ReplayEqualsLive,
    /// A ready task waits no longer than its class may.
    WaitingIsBounded,
    /// No timer that has come stays.
    TimersAreWorkedOff,
    /// After healing, every accepted job ends.
    AcceptedEnds,
    /// At rest no node holds an attempt and no file stays staged.
    RestIsClean,
}

impl Invariant {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AcceptedIsDurable => "accepted-is-durable",
            Self::NoTaskLost => "no-task-lost",
            Self::SucceedsOnce => "succeeds-once",
            Self::PublishedOnce => "published-once",
            Self::EndsOnce => "ends-once",
            Self::SuccessIsComplete => "success-is-complete",
            Self::CanceledIsAsked => "canceled-is-asked",
            Self::CapacityIsKept => "capacity-is-kept",
            Self::StartsByOneRule => "starts-by-one-rule",
            Self::AttemptIsUnique => "attempt-is-unique",
            Self::CommandFollowsRecord => "command-follows-record",
            Self::ReplayEqualsLive => "replay-equals-live",
            Self::WaitingIsBounded => "waiting-is-bounded",
            Self::TimersAreWorkedOff => "timers-are-worked-off",
            Self::AcceptedEnds => "accepted-ends",
            Self::RestIsClean => "rest-is-clean",
        }
    }
}

/// An invariant that does not hold, before it is known when and in which run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Law {
    pub(crate) invariant: Invariant,
    pub(crate) detail: String,
}

macro_rules! broken {
    ($invariant:ident, $($text:tt)*) => {
        $crate::laws::Law {
            invariant: $crate::laws::Invariant::$invariant,
            detail: format!($($text)*),
        }
    };
}
pub(crate) use broken;

/// An invariant that did not hold in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// The scenario.
    pub scenario: String,
    /// Runs it again.
    pub seed: u64,
    /// When, in virtual time.
    pub at: At,
    /// What was seen.
    pub detail: String,
    /// What happened right before, oldest first.
    pub recent: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} does not hold in scenario '{}' with seed {}, {:.6} s after its start: {}",
            self.invariant.as_str(),
            self.scenario,
            self.seed,
            self.at.s(),
            self.detail
        )?;
        self.recent.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Violation {}

//! What the coordinator's own work costs in virtual time. The engine takes one event after another, so these times add
//! up: a farm too large for its coordinator shows as such.
//!
//! The defaults are the engine's own part, measured on `configs/scenarios/day.toml` on a busy server with two cores
//! (submit 20 us, start 0.2 us, progress 0.5 us, end of a task 10 us, heartbeat 0.2 us, timer 1 us), and on top of it an
//! allowance, not measured, for the link's and the journal's work in the same process. `rushes sim SCENARIO.toml --measure`
//! prints the engine's part on another machine.

use rushes_core::event::Event;
use serde::{Deserialize, Serialize};

use super::ScenarioError;
use super::bounds::within;

/// Longest that anything may take the coordinator: a minute.
const MAX_NS: u64 = 60_000_000_000;

/// Nanoseconds by kind of event; milliseconds for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// A submit, with the starts that it leads to.
    pub submit_ns: u64,
    /// A word that a task was started.
    pub started_ns: u64,
    /// A word of progress.
    pub progress_ns: u64,
    /// The end of a task, with the starts that it leads to.
    pub ended_ns: u64,
    /// A heartbeat.
    pub heartbeat_ns: u64,
    /// A worker that connects.
    pub joined_ns: u64,
    /// A timer.
    pub timer_ns: u64,
    /// Anything else.
    pub other_ns: u64,
    /// One commit of the store, in microseconds; all records that wait go with it.
    pub commit_us: u64,
    /// What each record adds to its commit.
    pub record_ns: u64,
    /// A publish or drop at the depot, in milliseconds.
    pub depot_ms: u64,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            submit_ns: 30_000,
            started_ns: 4_000,
            progress_ns: 4_000,
            ended_ns: 20_000,
            heartbeat_ns: 3_000,
            joined_ns: 60_000,
            timer_ns: 10_000,
            other_ns: 10_000,
            commit_us: 300,
            record_ns: 2_000,
            depot_ms: 5,
        }
    }
}

/// The kinds that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EventKind {
    Submit,
    Started,
    Progress,
    Ended,
    Heartbeat,
    Joined,
    Timer,
    Other,
}

impl EventKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Submit,
        Self::Started,
        Self::Progress,
        Self::Ended,
        Self::Heartbeat,
        Self::Joined,
        Self::Timer,
        Self::Other,
    ];

    pub(crate) fn of(event: &Event) -> Self {
        match event {
            Event::JobSubmitted { .. } => Self::Submit,
            Event::TaskStarted { .. } => Self::Started,
            Event::TaskProgressed { .. } => Self::Progress,
            Event::TaskEnded { .. } => Self::Ended,
            Event::HeartbeatCame { .. } => Self::Heartbeat,
            Event::WorkerJoined { .. } => Self::Joined,
            Event::TimeCame => Self::Timer,
            _ => Self::Other,
        }
    }
}

impl Cost {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        for (field, ns) in [
            ("cost.submit_ns", self.submit_ns),
            ("cost.started_ns", self.started_ns),
            ("cost.progress_ns", self.progress_ns),
            ("cost.ended_ns", self.ended_ns),
            ("cost.heartbeat_ns", self.heartbeat_ns),
            ("cost.joined_ns", self.joined_ns),
            ("cost.timer_ns", self.timer_ns),
            ("cost.other_ns", self.other_ns),
            ("cost.record_ns", self.record_ns),
        ] {
            within(field, ns, 0..=MAX_NS)?;
        }
        within("cost.commit_us", self.commit_us, 0..=MAX_NS / 1_000)?;
        within("cost.depot_ms", self.depot_ms, 0..=MAX_NS / 1_000_000)
    }

    pub(crate) fn of(&self, kind: EventKind) -> u64 {
        match kind {
            EventKind::Submit => self.submit_ns,
            EventKind::Started => self.started_ns,
            EventKind::Progress => self.progress_ns,
            EventKind::Ended => self.ended_ns,
            EventKind::Heartbeat => self.heartbeat_ns,
            EventKind::Joined => self.joined_ns,
            EventKind::Timer => self.timer_ns,
            EventKind::Other => self.other_ns,
        }
    }

    pub(crate) fn set(&mut self, kind: EventKind, ns: u64) {
        match kind {
            EventKind::Submit => self.submit_ns = ns,
            EventKind::Started => self.started_ns = ns,
            EventKind::Progress => self.progress_ns = ns,
            EventKind::Ended => self.ended_ns = ns,
            EventKind::Heartbeat => self.heartbeat_ns = ns,
            EventKind::Joined => self.joined_ns = ns,
            EventKind::Timer => self.timer_ns = ns,
            EventKind::Other => self.other_ns = ns,
        }
    }
}

//! Why a job is where it is: what it waits for, its place, when it should be done, what was traded. Read from the same
//! data that the engine decides by.

use std::fmt;
use std::sync::Arc;

use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::{Class, JobState};
use rushes_shared::task::SlotKind;
use rushes_shared::units::WallMs;

use crate::promise::Forecast;
use crate::promise::late::Late;
use crate::promise::trade::Trade;

/// Where a job stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of it waits for a start.
    NotQueued,
    /// An operator or user holds it back.
    Paused,
    /// Ahead of everything.
    Emergency,
    /// Ahead of the classes, because its deadline is near.
    AtRisk,
    /// In its tenant's line within its class.
    InClass,
    /// Behind all who want slots: it runs as many tasks as its width allows while others wait.
    BeyondWidth,
    /// In the line of a rule without classes.
    Plain,
}

/// Why tasks of a stage do not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// These stages have to be complete before.
    Stages(Vec<u32>),
    /// Workers of the reign before may still hold them.
    Reattachment,
    /// Every node that could run them is full.
    Room,
    /// The same, and this node's cores are kept for them.
    Reserved(WorkerId),
    /// No known node can run them.
    NoNode,
    /// Those that could run them are of a version that has no such work.
    OldNodes,
    /// Those that can run them get no new tasks: drained, in quarantine, or not connected.
    ShutNodes,
    /// A named limit is reached.
    Limit(String),
    /// The tenant runs as many tasks as it may.
    TenantCap,
    /// They failed on the nodes that have room and wait for another.
    AnotherNode,
    /// They failed and wait before they are tried again.
    Backoff,
    /// The job is paused.
    Pause,
    /// Others are ahead.
    Turn,
}

impl Standing {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotQueued => "not_queued",
            Self::Paused => "paused",
            Self::Emergency => "emergency",
            Self::AtRisk => "at_risk",
            Self::InClass => "in_class",
            Self::BeyondWidth => "beyond_width",
            Self::Plain => "plain",
        }
    }
}

impl Waiting {
    /// The name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stages(_) => "stages",
            Self::Reattachment => "reattachment",
            Self::Room => "room",
            Self::Reserved(_) => "reserved",
            Self::NoNode => "no_node",
            Self::OldNodes => "old_nodes",
            Self::ShutNodes => "shut_nodes",
            Self::Limit(_) => "limit",
            Self::TenantCap => "tenant_cap",
            Self::AnotherNode => "another_node",
            Self::Backoff => "backoff",
            Self::Pause => "pause",
            Self::Turn => "turn",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stages(stages) => {
                let list: Vec<String> = stages.iter().map(ToString::to_string).collect();
                write!(f, "stages {} have to be complete before", list.join(", "))
            }
            Self::Reattachment => {
                f.write_str("workers of before the coordinator's start may still hold them")
            }
            Self::Room => f.write_str("every worker that could run them is full"),
            Self::Reserved(worker) => write!(f, "they fit nowhere yet; {worker} is being kept free for them"),
            Self::NoNode => f.write_str("no worker can run them (encoder, tags or pool)"),
            Self::OldNodes => f.write_str(
                "the workers that could run them are of a version that has no such work; update one of them",
            ),
            Self::ShutNodes => f.write_str(
                "the workers that could run them are drained, in quarantine or not connected; 'rushes worker list' shows which",
            ),
            Self::Limit(name) => write!(f, "the limit '{name}' is reached"),
            Self::TenantCap => f.write_str("the tenant runs as many tasks as it may"),
            Self::AnotherNode => {
                f.write_str("they failed on the workers that have room and wait for another")
            }
            Self::Backoff => f.write_str("they failed and wait before they are tried again"),
            Self::Pause => f.write_str("the job is paused or about to end"),
            Self::Turn => f.write_str("others are ahead"),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserved => "was kept free for it",
            Self::HasInput => "has the job's input",
            Self::HasEncoder => "has a hardware encoder free, which the job asks for",
            Self::FastestFreest => "the fastest of the workers with room, and of those the freest",
            Self::Backfill => "is kept for a larger task, which this one does not delay",
            Self::Straggler => "a second attempt, elsewhere than the first",
            Self::Held => "held it when it connected",
        })
    }
}

/// Why an attempt went to its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Because {
    /// The node's cores were kept for tasks like it.
    Reserved,
    /// The node has the job's input.
    HasInput,
    /// The node has a hardware encoder free, which the job asks for.
    HasEncoder,
    /// The fastest of the nodes with room, and of those the freest.
    #[default]
    FastestFreest,
    /// The node is kept for a larger task, and this one ends before that can begin.
    Backfill,
    /// A second attempt, elsewhere than the first.
    Straggler,
    /// The worker held it when it connected.
    Held,
}

/// Tasks of one stage that wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageWait {
    /// The stage's index.
    pub stage: u32,
    /// The slots that its tasks take.
    pub slot: SlotKind,
    /// How many tasks wait.
    pub tasks: u32,
    /// For what.
    pub why: Waiting,
}

/// An attempt that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The task.
    pub task: TaskId,
    /// The try.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// Why there.
    pub because: Because,
    /// The hardware encoder that it works with.
    pub encoder: Option<Arc<str>>,
    /// When it should end.
    pub expected_end: Option<WallMs>,
}

/// Everything that can be said about a live job.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The job.
    pub job: JobId,
    /// Its state.
    pub state: JobState,
    /// Its class.
    pub class: Class,
    /// Its priority, computed where its content's value decides.
    pub priority: u8,
    /// Where it stands.
    pub standing: Standing,
    /// Jobs ahead of it where it stands: in its lane, or in its tenant's line within its class.
    pub ahead: u64,
    /// When it should be done, and whether its deadline can be kept.
    pub forecast: Forecast,
    /// Since when its deadline is given up, and why.
    pub late: Option<Late>,
    /// What waits, and for what.
    pub waits: Vec<StageWait>,
    /// What runs; at most [`Explanation::MOST_RUNNING`].
    pub running: Vec<Running>,
    /// What was given up for the deadline, and taken back.
    pub trades: Vec<Trade>,
    /// Stages that are encoded in software because a hardware encoder failed.
    pub fell_back: Vec<u32>,
    /// Why an output that is made is not in its place yet.
    pub held_up: Option<Box<Failure>>,
}

impl Explanation {
    /// Most running attempts that are told.
    pub const MOST_RUNNING: usize = 100;
}

/// What holds a stage of work up over the whole farm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bottleneck {
    /// The slots that are wanted.
    pub slot: SlotKind,
    /// Jobs that wait for it.
    pub jobs: u32,
    /// For what they wait.
    pub why: Waiting,
}

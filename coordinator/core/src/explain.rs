//! Why a job is where it is: what it waits for, its place, when it should be done, what was traded. Read from the same
//! data that the engine decides by.

mod waiting;

use std::sync::Arc;

use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::{Class, JobState};
use rushes_shared::task::{SlotKind, TaskKind};
use rushes_shared::units::WallMs;

pub use waiting::{Assumes, Because, Start, Waiting};

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
    /// Its latest attempts have all failed: one task at a time is tried.
    HeldBack,
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

impl Standing {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotQueued => "not_queued",
            Self::Paused => "paused",
            Self::HeldBack => "held_back",
            Self::Emergency => "emergency",
            Self::AtRisk => "at_risk",
            Self::InClass => "in_class",
            Self::BeyondWidth => "beyond_width",
            Self::Plain => "plain",
        }
    }
}

/// Tasks of one stage that wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageWait {
    /// The stage's index.
    pub stage: u32,
    /// The stage in a word or two.
    pub name: String,
    /// The slots that its tasks take.
    pub slot: SlotKind,
    /// How many tasks wait.
    pub tasks: u32,
    /// For what.
    pub why: Waiting,
    /// When the first of them should start; `None` where nothing can be said, as for a limit, a pause or a missing node.
    pub start: Option<Start>,
}

/// An attempt that its worker holds and has not begun, because there is no room there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The task.
    pub task: TaskId,
    /// The try.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// Why there.
    pub because: Because,
    /// How many wait before it on that worker, for light slots or for cores as it does.
    pub before: u32,
    /// Whether it is asked back, as something else should have its place or it can start sooner elsewhere.
    pub is_recalled: bool,
    /// When it should start.
    pub start: Option<Start>,
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
    /// Jobs that stand before it and want the same kind of room: in the lanes before its own, before it in its lane, or in
    /// its class those of its tenant and of each other tenant as many as that tenant's weight lets pass. No more than
    /// [`crate::order::MOST_COUNTED`] are counted in one lane. What a lower class is owed comes on top.
    pub ahead: u64,
    /// How long all connected nodes together need for the work that stands before it, in milliseconds; `None` where none
    /// is there, or nothing waits for a start.
    pub ahead_ms: Option<u64>,
    /// When the first of its tasks that wait should start, as far as that can be said.
    pub start: Option<Start>,
    /// When it should be done, and whether its deadline can be kept.
    pub forecast: Forecast,
    /// Since when its deadline is given up, and why.
    pub late: Option<Late>,
    /// What waits, and for what.
    pub waits: Vec<StageWait>,
    /// What workers hold and have not begun; at most [`Explanation::MOST_RUNNING`].
    pub sent: Vec<Sent>,
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

/// Where a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskPlace {
    /// It waits for this, and should start then.
    Waits(Waiting, Option<Start>),
    /// A worker holds it and has not begun it.
    Sent(Sent),
    /// It runs; more than one attempt where it is tried elsewhere as well.
    Runs(Vec<Running>),
    /// It is done, by this worker, at this time.
    Done(WorkerId, WallMs),
    /// It was given up.
    GivenUp,
    /// Its stage is left out of the job.
    LeftOut,
}

impl TaskPlace {
    /// The name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waits(..) => "waits",
            Self::Sent(_) => "sent_ahead",
            Self::Runs(_) => "runs",
            Self::Done(..) => "done",
            Self::GivenUp => "given_up",
            Self::LeftOut => "left_out",
        }
    }
}

/// Everything that can be said about a task of a live job.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskExplanation {
    /// Which.
    pub task: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// The slots that it takes.
    pub slot: SlotKind,
    /// Its stage's index.
    pub stage: u32,
    /// Its stage in a word or two.
    pub name: String,
    /// Where its job stands.
    pub standing: Standing,
    /// Jobs before its own, see [`Explanation::ahead`].
    pub ahead: u64,
    /// Tasks of its own stage that start before it.
    pub before: u32,
    /// Where it is.
    pub place: TaskPlace,
    /// Failed attempts so far.
    pub failures: u32,
    /// Why the latest of them failed.
    pub last_failure: Option<Box<Failure>>,
    /// Nodes that it avoids because it failed there by their fault.
    pub avoids: Vec<WorkerId>,
    /// What of its stage was given up for a deadline, and taken back.
    pub trades: Vec<Trade>,
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

//! When waiting work should start, what workers hold ahead, and where a single task is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FailureView, PlacedView, TradeView};
use crate::id::{TaskId, WorkerId};
use crate::task::{SlotKind, TaskKind};

/// When something should start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StartView {
    /// When.
    pub at: String,
    /// What that takes for granted, for scripts: `queue`, `worker`, `stages`, `backoff` or `reattachment`.
    pub assumes: String,
    /// What that takes for granted, in words.
    pub detail: String,
}

/// An attempt that its worker holds and has not begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentAheadView {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// The try.
    pub attempt: String,
    /// Where.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// Why there, in words.
    pub because: String,
    /// How many wait before it on that worker.
    pub before: u32,
    /// Whether it is asked back, as something else should have its place or it can start sooner elsewhere.
    pub recalled: bool,
    /// When it should start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
}

/// Why a task of a job that has not ended is where it is, from the scheduler's own decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskExplainView {
    /// The task.
    #[schema(value_type = String)]
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// The slots that it takes.
    pub slot: SlotKind,
    /// Its stage's index.
    pub stage: u32,
    /// Its stage in a word or two.
    #[serde(default)]
    pub name: String,
    /// Where it is: `waits`, `sent_ahead`, `runs`, `done`, `given_up` or `left_out`.
    pub place: String,
    /// For what it waits, for scripts, as in a job's explanation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For what it waits, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it should start, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
    /// Where its job stands, as in a job's explanation.
    pub standing: String,
    /// Jobs before its own.
    pub ahead: u64,
    /// Tasks of its own stage that start before it.
    pub before: u32,
    /// The worker that holds it and has not begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_ahead: Option<SentAheadView>,
    /// Attempts that run: more than one where it is tried elsewhere as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<PlacedView>,
    /// The worker that has done it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub done_on: Option<WorkerId>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<String>,
    /// Failed attempts so far.
    pub failures: u32,
    /// Why the latest of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureView>,
    /// Workers that it avoids because it failed there by their fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub avoids: Vec<WorkerId>,
    /// What of its stage was given up for a deadline, and taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trades: Vec<TradeView>,
}

//! What a job's task processes wrote.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::TaskId;
use crate::task::TaskKind;

/// The logs of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogsView {
    /// One for each attempt that wrote something and is still kept, in the order of tasks and attempts.
    pub items: Vec<AttemptLogView>,
}

/// The log of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptLogView {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// The output that it makes, if it makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The try.
    pub attempt: String,
    /// Bytes in all.
    pub bytes: u64,
    /// Their end: lines, each behind the time at which it reached the coordinator.
    pub text: String,
}

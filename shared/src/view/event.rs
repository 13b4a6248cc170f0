//! News of the farm, as the event streams carry them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FailureView, ProgressView};
use crate::id::{JobId, TaskId, WorkerId};
use crate::job::JobState;
use crate::task::TaskKind;

/// One piece of news. `type` says what; the other fields are there where they apply.
///
/// Types: `job_accepted`, `job_ended`, `task_dispatched`, `task_adopted`, `task_progressed`, `task_succeeded`,
/// `attempt_failed`, `output_published`, `worker_joined`, `worker_silent`, `worker_gone`, `worker_drained`, decisions of
/// the scheduler such as `job_amended` or `task_preempted`, and `resync`: news were missed, so read the present state again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// What happened.
    pub r#type: String,
    /// When.
    pub at: String,
    /// The job that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub job: Option<JobId>,
    /// A decision of the scheduler, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The task that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub task: Option<TaskId>,
    /// That task's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TaskKind>,
    /// The attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The worker that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub worker: Option<WorkerId>,
    /// The emergency for which a task was stopped, of `task_preempted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub for_job: Option<JobId>,
    /// How long the attempt had run whose work is lost, of `task_preempted`, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_ms: Option<u64>,
    /// The worker's name, of `worker_joined`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_name: Option<String>,
    /// The job's final state, of `job_ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Why, of `attempt_failed`, and of `job_ended` where the job failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// How far, of `task_progressed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// How long the task waited, of `task_dispatched`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// From dispatch to the outcome, of `task_succeeded`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_ms: Option<u64>,
    /// From acceptance to the end, of `job_ended`, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u64>,
    /// The delay before another attempt, of `attempt_failed`, in milliseconds; absent where the task is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// The output's index, of `output_published`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u32>,
    /// The output's name, of `output_published`; a set of files has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// The output's size in bytes, of `output_published`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The output's place, of `output_published`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether the worker gets no new tasks, of `worker_drained`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draining: Option<bool>,
    /// Whether the worker's lease ran out while it held work, of `worker_gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<bool>,
}

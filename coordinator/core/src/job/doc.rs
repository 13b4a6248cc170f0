//! A job with what is known of it only in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::{JobState, TaskState};
use rushes_shared::task::Progress;
use rushes_shared::units::{MonoMs, WallMs};

use super::Job;
use crate::explain::Because;

/// An attempt that runs now; known only in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTask {
    /// Which try.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// The worker's name for people.
    pub worker_name: Arc<str>,
    /// When it was dispatched (or adopted after a restart).
    pub since: WallMs,
    /// How long the task had waited before, in milliseconds.
    pub queued_ms: u64,
    /// Why there.
    pub because: Because,
    /// The hardware encoder that it works with; `None` for software, and for one that was adopted.
    pub encoder: Option<Arc<str>>,
    /// Whether it waits on its worker for room.
    pub is_ahead: bool,
    /// Whether the worker confirmed that it is on it.
    pub started: bool,
    /// How far it has come.
    pub progress: Progress,
    /// When it last came further, by the monotonic clock; `None` before its first word.
    pub moved_at: Option<MonoMs>,
}

/// What was stopped of a job for emergencies since the coordinator's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// How many attempts.
    pub times: u32,
    /// How long all of them had run together, in milliseconds.
    pub lost_ms: u64,
    /// The last task.
    pub task: TaskId,
    /// Where it ran.
    pub worker: WorkerId,
    /// The emergency for which it was stopped.
    pub by: JobId,
    /// When.
    pub at: WallMs,
}

impl Stopped {
    /// One attempt that was stopped.
    #[must_use]
    pub fn once(task: TaskId, worker: WorkerId, by: JobId, lost_ms: u64, at: WallMs) -> Self {
        Self { times: 1, lost_ms, task, worker, by, at }
    }

    /// The same behind those before it.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        let times = self.times.saturating_add(before.times);
        Self { times, lost_ms: self.lost_ms.saturating_add(before.lost_ms), ..self }
    }
}

/// A job with what is known of it only in memory: what `show` and `list` answer from.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDoc {
    /// The durable part.
    pub job: Job,
    /// The live attempt of each task that has one, by index. Empty for a job from the archive.
    pub live: BTreeMap<u32, LiveTask>,
    /// What was stopped of it for emergencies. Nothing for a job from the archive.
    pub stopped: Option<Box<Stopped>>,
    /// Why an output that is made is not in its place yet.
    pub held_up: Option<Box<Failure>>,
}

impl JobDoc {
    /// A job that has ended, as the archive keeps it.
    #[must_use]
    pub fn archived(job: Job) -> Self {
        Self { job, live: BTreeMap::new(), stopped: None, held_up: None }
    }

    /// The job's state.
    #[must_use]
    pub fn state(&self) -> JobState {
        if let Some(ended) = &self.job.ended {
            return ended.state;
        }
        let touched = self.job.tasks.iter().any(|t| t.success.is_some() || t.trouble.is_some());
        if touched || !self.live.is_empty() { JobState::Running } else { JobState::Queued }
    }

    /// The live attempt of a task.
    #[must_use]
    pub fn live_of(&self, index: usize) -> Option<&LiveTask> {
        self.live.get(&u32::try_from(index).ok()?)
    }

    /// A task's state.
    ///
    /// # Panics
    /// When the job has no task with that index.
    #[must_use]
    pub fn task_state(&self, index: usize) -> TaskState {
        let task = &self.job.tasks[index];
        match (&task.success, task.is_given_up(), &self.job.ended) {
            (Some(_), _, _) => TaskState::Succeeded,
            (None, true, _) => TaskState::Failed,
            (None, false, Some(ended)) if ended.state == JobState::Canceled => TaskState::Canceled,
            (None, false, Some(_)) => TaskState::Aborted,
            (None, false, None) => {
                if self.live_of(index).is_some() {
                    TaskState::Running
                } else {
                    TaskState::Queued
                }
            }
        }
    }
}

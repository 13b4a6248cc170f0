//! A job and its tasks as the state keeps them.

use std::collections::BTreeSet;

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{Destination, JobSpec, JobState, TaskState, Work};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Demand, Progress, TaskKind, TaskValue, TaskWork, Usage};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

/// A task's place in its job: small, because there may be a million of them; the order is assembled at dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// Nothing.
    Noop,
    /// Probe the job's input.
    Probe,
    /// Make the output with this index in the job's spec.
    Encode {
        /// Index into the outputs.
        output: u32,
    },
}

impl Step {
    /// The kind of task that it is.
    #[must_use]
    pub fn kind(self) -> TaskKind {
        match self {
            Self::Noop => TaskKind::Noop,
            Self::Probe => TaskKind::Probe,
            Self::Encode { .. } => TaskKind::Encode,
        }
    }
}

/// What a task was expected to cost when it was planned, and by which model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// Single-core CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Version of the model; 0 is the physical estimate.
    pub model: u32,
}

/// A task as the planner made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// What it does.
    pub step: Step,
    /// Tasks of the same job, by index, that must have succeeded before.
    pub after: Vec<u32>,
    /// What it needs of a node.
    pub demand: Demand,
    /// What it should cost.
    pub prediction: Prediction,
}

/// A success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Success {
    /// The attempt that did it.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// What it found or made.
    pub value: TaskValue,
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

/// A task's durable part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What it is.
    pub plan: PlannedTask,
    /// Failed attempts so far.
    pub failures: u32,
    /// The latest failure.
    pub last_failure: Option<Failed>,
    /// Workers on which an attempt failed by the node's fault or with the process or worker lost.
    pub bad_on: BTreeSet<WorkerId>,
    /// Those of them that were lost, or whose task process died, while they ran it.
    pub died_on: BTreeSet<WorkerId>,
    /// Set once it succeeded.
    pub success: Option<Success>,
    /// Set once it was given up.
    pub given_up: bool,
}

impl Task {
    /// A task that nothing has happened to.
    #[must_use]
    pub fn new(plan: PlannedTask) -> Self {
        Self {
            plan,
            failures: 0,
            last_failure: None,
            bad_on: BTreeSet::new(),
            died_on: BTreeSet::new(),
            success: None,
            given_up: false,
        }
    }

    /// Whether it needs no further attempt.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.success.is_some() || self.given_up
    }
}

/// An output at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Index of the output in the job's spec.
    pub output: u32,
    /// The file.
    pub artifact: Artifact,
    /// When.
    pub at: WallMs,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `succeeded`, `failed` or `canceled`.
    pub state: JobState,
    /// The first cause, for `failed`.
    pub failure: Option<Failure>,
    /// When.
    pub at: WallMs,
}

/// A job's durable part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The principal who submitted it.
    pub submitter: String,
    /// What it asks for.
    pub spec: JobSpec,
    /// When it was accepted.
    pub accepted_at: WallMs,
    /// Its tasks, in the order of planning.
    pub tasks: Vec<Task>,
    /// Outputs at their places.
    pub published: Vec<Published>,
    /// Set once it ended.
    pub ended: Option<Ended>,
}

impl Job {
    /// What the probe found, once it did.
    #[must_use]
    pub fn probed(&self) -> Option<(&Artifact, &MediaFacts)> {
        self.tasks.iter().find_map(|t| match &t.success.as_ref()?.value {
            TaskValue::Probed { input, facts } => Some((input, facts)),
            TaskValue::Nothing | TaskValue::Encoded(_) => None,
        })
    }

    /// Its input, as far as it is known.
    #[must_use]
    pub fn input(&self) -> Option<Artifact> {
        if let Some((artifact, _)) = self.probed() {
            return Some(artifact.clone());
        }
        match &self.spec.work {
            Work::Noop { .. } => None,
            Work::Probe { input } | Work::Encode { input, .. } => Some(Artifact::unseen(input.clone())),
        }
    }

    /// The place of an output.
    ///
    /// # Panics
    /// When the job has no such output; indices come from the job's own plan.
    #[must_use]
    pub fn output_place(&self, output: u32) -> Location {
        let Work::Encode { outputs, .. } = &self.spec.work else {
            panic!("{} has no outputs, yet output {output} was asked for", self.id)
        };
        let spec = &outputs[output as usize];
        match &spec.destination {
            Destination::Depot => Location::Output(self.tenant.clone(), self.id, spec.name.clone()),
            Destination::Place(place) => place.clone(),
        }
    }

    /// The work of a task, complete. `None` where what it depends on is not known yet.
    #[must_use]
    pub fn work_of(&self, index: u32) -> Option<TaskWork> {
        let task = self.tasks.get(index as usize)?;
        match (task.plan.step, &self.spec.work) {
            (Step::Noop, _) => Some(TaskWork::Noop),
            (Step::Probe, _) => Some(TaskWork::Probe { input: self.input()? }),
            (Step::Encode { output }, Work::Encode { outputs, .. }) => {
                let (input, source) = self.probed()?;
                let spec = outputs.get(output as usize)?;
                Some(TaskWork::Encode {
                    input: input.clone(),
                    source: source.clone(),
                    settings: spec.settings.clone(),
                    output: spec.name.clone(),
                })
            }
            (Step::Encode { .. }, Work::Noop { .. } | Work::Probe { .. }) => None,
        }
    }

    /// Whether everything that the task depends on has succeeded.
    #[must_use]
    pub fn is_ready(&self, index: u32) -> bool {
        self.tasks.get(index as usize).is_some_and(|t| {
            t.plan.after.iter().all(|i| self.tasks.get(*i as usize).is_some_and(|d| d.success.is_some()))
        })
    }

    /// The same job without the long texts of its tasks' failures.
    #[must_use]
    pub fn without_details(&self) -> Self {
        let mut slim = self.clone();
        for failed in slim.tasks.iter_mut().filter_map(|t| t.last_failure.as_mut()) {
            failed.failure.detail.clear();
            failed.failure.advice.clear();
            failed.failure.message = failed.failure.message.chars().take(80).collect();
        }
        slim
    }

    /// The identity of a task.
    #[must_use]
    pub fn task_id(&self, index: u32) -> TaskId {
        TaskId { job: self.id, index }
    }
}

/// An attempt that runs now; known only in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveTask {
    /// Which try.
    pub attempt: AttemptId,
    /// Where.
    pub worker: WorkerId,
    /// The worker's name for people.
    pub worker_name: String,
    /// When it was dispatched (or adopted after a restart).
    pub since: WallMs,
    /// How long the task had waited before, in milliseconds.
    pub queued_ms: u64,
    /// Whether the worker confirmed that it is on it.
    pub started: bool,
    /// How far it has come.
    pub progress: Progress,
}

/// A job with what is known of it only in memory: what `show` and `list` answer from.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDoc {
    /// The durable part.
    pub job: Job,
    /// Per task, its live attempt. Empty for a job from the archive.
    pub live: Vec<Option<LiveTask>>,
}

impl JobDoc {
    /// A job that has ended, as the archive keeps it.
    #[must_use]
    pub fn archived(job: Job) -> Self {
        Self { job, live: Vec::new() }
    }

    /// The job's state.
    #[must_use]
    pub fn state(&self) -> JobState {
        if let Some(ended) = &self.job.ended {
            return ended.state;
        }
        let touched = self.job.tasks.iter().any(|t| t.success.is_some() || t.failures > 0);
        if touched || self.live.iter().any(Option::is_some) { JobState::Running } else { JobState::Queued }
    }

    /// A task's state.
    ///
    /// # Panics
    /// When the job has no task with that index.
    #[must_use]
    pub fn task_state(&self, index: usize) -> TaskState {
        let task = &self.job.tasks[index];
        match (&task.success, task.given_up, &self.job.ended) {
            (Some(_), _, _) => TaskState::Succeeded,
            (None, true, _) => TaskState::Failed,
            (None, false, Some(ended)) if ended.state == JobState::Canceled => TaskState::Canceled,
            (None, false, Some(_)) => TaskState::Aborted,
            (None, false, None) => {
                if self.live.get(index).is_some_and(Option::is_some) {
                    TaskState::Running
                } else {
                    TaskState::Queued
                }
            }
        }
    }
}

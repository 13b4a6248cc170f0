//! Jobs, their tasks and outputs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::failure::{Failure, FailureClass, FailureCode};
use crate::id::{JobId, TaskId, WorkerId};
use crate::job::{Class, ContentValue, JobState, TaskState};
use crate::media::{CheckReport, MediaFacts};
use crate::request::JobKind;
use crate::task::{Demand, Phase, Progress, TaskKind, Usage};
use crate::view::{FilesView, ForecastView, SetView, StageView, TradeView};

/// Answer to a submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmittedView {
    /// The job.
    #[schema(value_type = String, example = "job_01jv2c8k3q5w7x9z0a2b4c6d8e")]
    pub id: JobId,
    /// Whether this request made it; `false` for a repeated request with the same `Idempotency-Key`.
    pub created: bool,
    /// What is expected of it.
    #[serde(default)]
    pub forecast: ForecastView,
    /// What of the request was not taken over as it was, for people: a deadline that had passed when a job was retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    /// The jobs, without their tasks.
    pub items: Vec<JobView>,
    /// Give it as `cursor` for the page after this one; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its id; sorts by the time of submission.
    #[schema(value_type = String, example = "job_01jv2c8k3q5w7x9z0a2b4c6d8e")]
    pub id: JobId,
    /// A name for people; may be empty.
    pub name: String,
    /// What it does.
    pub kind: JobKind,
    /// Its state.
    pub state: JobState,
    /// Whose it is.
    pub tenant: String,
    /// The principal who submitted it.
    pub submitter: String,
    /// How much it matters.
    #[serde(default)]
    pub class: Class,
    /// 0 to 100; higher is sooner.
    pub priority: u8,
    /// What its content is worth; the priority is computed from it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ContentValue>,
    /// Whether nothing more of it is started for now.
    #[serde(default)]
    pub paused: bool,
    /// When it should be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Since when its deadline is given up: it cannot be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_since: Option<String>,
    /// Why: `itself` even at its floor, `another_job`, or `lost_nodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_reason: Option<String>,
    /// The job for whose deadline it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub yields_to: Option<JobId>,
    /// What was given up for the deadline, and taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trades: Vec<TradeView>,
    /// What was stopped of it for emergencies since the coordinator's start; of a job that has ended, nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StoppedView>,
    /// Why an output that is made is not in its place yet, and until when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up: Option<FailureView>,
    /// Labels for filters.
    pub labels: BTreeMap<String, String>,
    /// When it was accepted.
    pub submitted_at: String,
    /// When its first task was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// From acceptance to the first task's start, or until now or its end without one, in milliseconds.
    pub queue_ms: u64,
    /// From the first task's start to the end, or until now, in milliseconds; 0 before the start.
    pub run_ms: u64,
    /// How far it has come.
    pub progress: ProgressView,
    /// The source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<ArtifactView>,
    /// What the probe found in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaFacts>,
    /// Of a `probe` job with `inputs`: how many files were read. What was found lies in its outputs, in the order of the
    /// inputs, a line of JSON a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesView>,
    /// Number of tasks in each state.
    pub task_counts: TaskCounts,
    /// Its tasks in the order of planning; empty in lists. At most the first 1,000.
    pub tasks: Vec<TaskView>,
    /// What it makes. Of a `stream` job, once it is made: the top manifests, the stills and the report.
    pub outputs: Vec<OutputView>,
    /// The stages of a `stream` job, in the order of planning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageView>,
    /// What a `stream` job has made, once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<SetView>,
    /// The first cause, for `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// What was stopped of a job to make room for emergencies. It is queued again and counts as no failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoppedView {
    /// How many attempts.
    pub times: u32,
    /// How long all of them had run together, in milliseconds: work that is lost.
    pub lost_ms: u64,
    /// The last task that was stopped.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Where it ran.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// The emergency for which it was stopped.
    #[schema(value_type = String)]
    pub for_job: JobId,
    /// When.
    pub at: String,
}

/// Number of a job's tasks in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[expect(missing_docs, reason = "the names are the states'")]
pub struct TaskCounts {
    pub queued: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub canceled: u32,
    pub aborted: u32,
}

/// How far a job or an attempt has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProgressView {
    /// Share that is done, in thousandths.
    pub permille: u16,
    /// The phase of an attempt; absent for a job as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Frames done in this phase.
    pub frames: u64,
    /// Frames in all; 0 where unknown.
    pub frames_total: u64,
    /// Media time done in this phase, in milliseconds.
    pub media_ms: u64,
    /// Media time in all, in milliseconds; 0 where unknown.
    pub media_total_ms: u64,
    /// Media time per wall time: 1 is real time; 0 where unknown.
    pub speed: f64,
    /// Estimated time to the end, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_ms: Option<u64>,
}

impl From<Progress> for ProgressView {
    fn from(p: Progress) -> Self {
        Self {
            permille: p.permille.min(1000),
            phase: Some(p.phase),
            frames: p.frames,
            frames_total: p.frames_total,
            media_ms: p.media_ns / 1_000_000,
            media_total_ms: p.media_total_ns / 1_000_000,
            speed: f64::from(p.speed_permille) / 1000.0,
            eta_ms: p.eta_ms,
        }
    }
}

/// What a task needs of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NeedsView {
    /// Thousandths of a core.
    pub cpu_millicores: u32,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
}

impl From<Demand> for NeedsView {
    fn from(demand: Demand) -> Self {
        Self { cpu_millicores: demand.cpu.0, memory_bytes: demand.memory.0 }
    }
}

/// A task of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    #[schema(value_type = String, example = "job_01jv2c8k3q5w7x9z0a2b4c6d8e.1")]
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// Its state.
    pub state: TaskState,
    /// The output that it makes, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The hardware encoder that its running attempt works with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// Whether a hardware encoder has failed at it, so that it is encoded in software.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fell_back: bool,
    /// Attempts so far, the live one among them.
    pub attempts: u32,
    /// Attempts that failed.
    pub failures: u32,
    /// The live or the successful attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// Where that attempt runs or ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub worker: Option<WorkerId>,
    /// That worker's name, while the attempt runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_name: Option<String>,
    /// When the live attempt was handed to its worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How long it waited for that attempt's start once it was ready, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<u64>,
    /// How far the live attempt has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// What an attempt needs of its node: the scheduler keeps so much for it, and a worker ends one that holds more than
    /// `sandbox.memory_percent` of its memory.
    #[serde(default)]
    pub needs: NeedsView,
    /// What the successful attempt used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The latest failed attempt's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<FailureView>,
}

/// State of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputState {
    /// Not made yet.
    Pending,
    /// At its place.
    Published,
    /// It will not be made: its task was given up, it was left out, or the job ended without it.
    Missing,
}

/// An output of a job. The figures are there once the file is made and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutputView {
    /// Its name, unique within the job.
    pub name: String,
    /// Its state.
    pub state: OutputState,
    /// Its place.
    #[schema(example = "file:///srv/out/film.mp4")]
    pub url: String,
    /// Where it can be fetched with a `GET`, for files that the depot keeps and that are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<String>,
    /// Size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// BLAKE3 hash in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Length in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Mean bit rate of the whole file in bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitrate_bps: Option<u64>,
    /// Frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Wall time of the encode alone in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode_ms: Option<u64>,
    /// Media time per wall time of the encode alone: 1 is real time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encode_speed: Option<f64>,
    /// The encoder that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<String>,
    /// What a probe of it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaFacts>,
    /// What its check found: frames and lengths held against the source's, and what is worth knowing all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckReport>,
    /// When it was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// Bytes somewhere, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    /// Where.
    pub url: String,
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Their BLAKE3 hash in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// What failed, a stable code for scripts.
    pub code: FailureCode,
    /// Whether a retry can help.
    pub class: FailureClass,
    /// What failed and where, one line.
    pub message: String,
    /// What the user can do about it; may be empty.
    pub advice: String,
    /// Technical detail, several lines; may be empty.
    pub detail: String,
}

impl From<&Failure> for FailureView {
    fn from(f: &Failure) -> Self {
        Self {
            code: f.code,
            class: f.class,
            message: f.message.clone(),
            advice: f.advice.clone(),
            detail: f.detail.clone(),
        }
    }
}

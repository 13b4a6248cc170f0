//! A task as it travels to a worker, and what comes back.

mod coded;
mod stream;
mod work;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::failure::Failure;
use crate::id::{AttemptId, TaskId};
use crate::ladder::Scan;
use crate::media::{CheckReport, MediaFacts};
use crate::units::{Bytes, Millicores};

use coded::CodedValue;

pub use stream::{
    PackageWork, PartMade, REPORT, STILLS, SetFile, SetMade, SetReport, StreamStep, StreamWork, Took,
};
pub use work::{JoinWork, TaskWork};

/// Which stage of a job a task is; metrics are labelled with it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Answered by the worker itself; shows that the farm works and measures its path.
    Noop,
    /// Reads a file's facts.
    Probe,
    /// Decodes, encodes, checks the result.
    Encode,
    /// Does nothing in a task process: shows that the node's sandbox works and measures what a process costs.
    Trial,
    /// Encodes the sound of a streaming set.
    Sound,
    /// Takes the stills of a streaming set.
    Stills,
    /// Encodes a part of a film into all rungs of a streaming set.
    Chunk,
    /// Joins, packages and checks a streaming set.
    Package,
    /// Joins the pieces of an output with the film's sound and checks the file.
    Join,
    /// Looks for cuts in a part of a film.
    Scan,
    /// Reads the facts of several files.
    Probes,
}

impl TaskKind {
    /// Every kind, in order.
    pub const ALL: [Self; 11] = [
        Self::Noop,
        Self::Probe,
        Self::Encode,
        Self::Trial,
        Self::Sound,
        Self::Stills,
        Self::Chunk,
        Self::Package,
        Self::Join,
        Self::Scan,
        Self::Probes,
    ];

    /// The name in metrics, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Probe => "probe",
            Self::Encode => "encode",
            Self::Trial => "trial",
            Self::Sound => "sound",
            Self::Stills => "stills",
            Self::Chunk => "chunk",
            Self::Package => "package",
            Self::Join => "join",
            Self::Scan => "scan",
            Self::Probes => "probes",
        }
    }

    /// Whether its attempts leave a file in staging.
    #[must_use]
    pub fn leaves_file(self) -> bool {
        match self {
            Self::Noop | Self::Probe | Self::Trial | Self::Scan => false,
            Self::Encode | Self::Sound | Self::Stills | Self::Chunk => true,
            Self::Package | Self::Join | Self::Probes => true,
        }
    }

    /// Whether its tasks do nothing: they come by the thousand a second, and none of them is worth a line of its own.
    #[must_use]
    pub fn is_idle(self) -> bool {
        matches!(self, Self::Noop | Self::Trial)
    }
}

/// The slots of a node that a task takes. Capacity moves between the kinds of one resource by need.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SlotKind {
    /// A light slot: no-ops, trials, probes.
    #[default]
    Light,
    /// A share of the cores, for what others wait for.
    Analyse,
    /// A share of the cores.
    Encode,
    /// A light slot, ahead of other light work: joins, packages, delivers. Never behind an encode.
    Finish,
}

impl SlotKind {
    /// Every kind, in order.
    pub const ALL: [Self; 4] = [Self::Light, Self::Analyse, Self::Encode, Self::Finish];

    /// The name in metrics, JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Analyse => "analyse",
            Self::Encode => "encode",
            Self::Finish => "finish",
        }
    }

    /// Whether it takes a light slot instead of a share of the cores.
    #[must_use]
    pub fn is_light(self) -> bool {
        matches!(self, Self::Light | Self::Finish)
    }
}

/// What a task's end means for delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Delivery {
    /// Batch work: recorded, retried, survives a crash.
    #[default]
    Durable,
    /// A synchronous answer: given or refused, never recorded.
    Ephemeral,
    /// No end of its own; restarted rather than retried; reserves capacity.
    Service,
}

/// What a process that works on media is told of the C library's allocator, which reads it from its environment: frames come and
/// go many times a second, and giving their pages back to the system each time costs a tenth of an encode. The process
/// lives for one task, and its end gives them back.
pub const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "33554432"), ("MALLOC_TRIM_THRESHOLD_", "2000000000")];

/// What a task needs of its node while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// CPU share.
    pub cpu: Millicores,
    /// Resident memory.
    pub memory: Bytes,
}

/// Bounds on one attempt. Reaching one ends the attempt with [`crate::failure::FailureCode::LimitReached`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// CPU time in seconds, over all threads.
    pub cpu_s: u64,
    /// Address space of the task process.
    pub address_space: Bytes,
    /// Largest file that it may write.
    pub file_size: Bytes,
    /// Longest time without progress, in milliseconds.
    pub stall_ms: u64,
}

/// A dispatch: everything a worker needs to run one attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskOrder {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// How its end is delivered.
    pub delivery: Delivery,
    /// The slots that it takes.
    pub slot: SlotKind,
    /// What it needs.
    pub demand: Demand,
    /// Its bounds.
    pub limits: TaskLimits,
    /// What to do.
    pub work: TaskWork,
}

/// The phase that an attempt is in.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The input is on its way to the node.
    #[default]
    Fetching,
    /// The operation itself runs.
    Running,
    /// The finished output is decoded and compared with the source's facts.
    Checking,
    /// The output is on its way to the depot.
    Storing,
}

/// How far an attempt has come. Counted in media time and frames; never journalled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// The phase; the numbers below count within it (bytes as media time 0 while fetching and storing).
    pub phase: Phase,
    /// Media time done, in nanoseconds.
    pub media_ns: u64,
    /// Media time in all, in nanoseconds; 0 where unknown.
    pub media_total_ns: u64,
    /// Frames done.
    pub frames: u64,
    /// Frames in all; 0 where unknown.
    pub frames_total: u64,
    /// Share of the whole attempt that is done, all phases weighed by their usual cost, in thousandths.
    pub permille: u16,
    /// Media time per wall time in thousandths: 1000 is real time; 0 where unknown.
    pub speed_permille: u32,
    /// Estimated wall time to the end of the attempt, in milliseconds.
    pub eta_ms: Option<u64>,
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// From the order's arrival on the worker to its result, in milliseconds.
    pub wall_ms: u64,
    /// Of this, in the operation itself (running and checking), in milliseconds.
    pub run_ms: u64,
    /// CPU time of the task process, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// Peak resident memory of the task process, in bytes.
    pub max_rss_bytes: u64,
    /// Bytes fetched.
    pub bytes_in: u64,
    /// Bytes stored.
    pub bytes_out: u64,
}

/// What a finished encode left behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncodedOutput {
    /// The file in staging, with its size and hash.
    pub artifact: Artifact,
    /// What a probe of the output says.
    pub facts: MediaFacts,
    /// What its check found; without problems.
    pub check: CheckReport,
    /// Wall time of the encode alone, in milliseconds.
    pub encode_ms: u64,
    /// Media time per wall time of the encode alone, in thousandths.
    pub speed_permille: u32,
    /// The encoder that did it, with its library's version where known.
    pub encoder: String,
}

/// A result by kind of task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "CodedValue", into = "CodedValue")]
pub enum TaskValue {
    /// Of a no-op or a trial.
    Nothing,
    /// Of a probe.
    Probed {
        /// The input, with the size and hash that were read.
        input: Artifact,
        /// Its facts.
        facts: MediaFacts,
    },
    /// Of an encode.
    Encoded(EncodedOutput),
    /// Of a step of a streaming set that leaves a file, but the package.
    Part(PartMade),
    /// Of the package of a streaming set.
    Set(Box<SetMade>),
    /// Of a scan.
    Scanned(Scan),
    /// Of a probe of several files.
    ProbedFiles(ProbedFiles),
}

/// What a probe of several files has left: their facts lie in a file, a line of JSON for each
/// ([`FileFacts`](crate::view::FileFacts)), and only their numbers are kept here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbedFiles {
    /// The file in staging, with its size and hash.
    pub artifact: Artifact,
    /// Files whose facts are known.
    pub read: u32,
    /// Files that could not be read; why stands in the file's line.
    pub failed: u32,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "made once per task")]
pub enum TaskOutcome {
    /// It did its work.
    Succeeded {
        /// What it found or made.
        value: TaskValue,
        /// What it used.
        usage: Usage,
    },
    /// It did not.
    Failed {
        /// Why.
        failure: Failure,
        /// What it used until then.
        usage: Usage,
    },
    /// It was stopped because the coordinator said so.
    Cancelled,
}

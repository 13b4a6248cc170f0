//! A job as a user writes it: one TOML or JSON document, with defaults left out.
//!
//! Parsing it yields a [`JobSpec`] in which nothing is open any more; what is wrong with it is told once, here, with the
//! field's path, its line where the document is TOML, and what may stand there instead. The schema that the API and
//! `rushes job schema` publish is made from these types.
//!
//! ```text
//! text -> reading (TOML or JSON, lines, unknown keys) -> JobRequest -> settling (ranges, defaults, names) -> JobSpec
//! ```

mod amend;
mod check;
mod deadline;
mod extract;
mod fields;
mod graph;
mod keys;
mod making;
mod output;
mod preset;
mod reading;
mod schema;
mod settling;
mod standing;
mod stream;
mod wording;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::TenantId;
use crate::job::{Class, ContentValue, JobSpec, QualityFloor};
use crate::sequence::FrameRate;
use crate::units::WallMs;

pub use amend::AmendRequest;
pub use check::{CheckRequest, StreamCheckRequest};
pub use extract::{
    PictureFormat, PosterRequest, PreviewFormat, PreviewRequest, SpriteRequest, ThumbnailsRequest,
    WaveformRequest,
};
pub use fields::{AudioChoice, BitRate, Choice, Part, VideoChoice};
pub use graph::StageRequest;
pub use output::{AudioRequest, AudioVariant, OutputRequest, RateMode, VideoRequest};
pub use preset::{Preset, Presets};
pub use schema::job_schema;
pub use stream::{CodecRequest, StreamRequest};
pub use wording::codec_of;

/// Largest number of outputs of one job.
pub const MAX_OUTPUTS: usize = 32;
/// Largest number of labels of one job.
pub const MAX_LABELS: usize = 32;
/// Longest name of a job, in characters.
pub const MAX_NAME: usize = 200;
/// Longest label key or value, in characters.
pub const MAX_LABEL: usize = 100;
/// Largest number of tasks of a no-op, a trial or a graph.
pub const MAX_NOOP_TASKS: i64 = 10_000;
/// Largest number of stages of a graph.
pub const MAX_GRAPH_STAGES: usize = 256;
/// Largest number of files that one job probes.
pub const MAX_INPUTS: usize = 10_000;
/// Files that a task of such a job probes: enough that its process costs little beside them, and few enough that many nodes
/// share a job and little is done again where one is lost.
pub const FILES_OF_A_TASK: u32 = 64;
/// Largest number of tags and named limits of one job.
pub const MAX_NEEDS: usize = 16;
/// Largest width or height of a picture, in pixels.
pub const MAX_SIDE: i64 = 16_384;

/// What a job does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Makes one or more files from one.
    #[default]
    Encode,
    /// Reads the facts of a file, or of many: container, streams, codecs, durations, colours, tags.
    Probe,
    /// Does nothing, once per task: shows that the farm works and measures its path.
    Noop,
    /// A graph of stages of the job's own.
    Graph,
    /// Does nothing in a contained process of its own, once per task: shows that a node's task processes and their sandbox
    /// work, and measures what they cost.
    Trial,
    /// Makes a streaming set of a film: a ladder of renditions as CMAF segments with HLS and DASH manifests.
    Stream,
}

impl JobKind {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Probe => "probe",
            Self::Noop => "noop",
            Self::Graph => "graph",
            Self::Trial => "trial",
            Self::Stream => "stream",
        }
    }
}

/// A job to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// What to do. Default: `encode`.
    #[serde(default)]
    #[schema(default = "encode")]
    pub kind: JobKind,
    /// A name for people, at most 200 characters. Default: the input's file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// 0 to 100; higher is sooner. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100, default = 50)]
    pub priority: Option<i64>,
    /// How much it matters: `bulk`, `standard`, `premium` or `emergency`. Default: `standard`.
    #[serde(default)]
    #[schema(default = "standard")]
    pub class: Class,
    /// What the content is worth; the priority is computed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ContentValue>,
    /// What may be given up to keep the deadline. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<QualityFloor>,
    /// Tags that a node must carry to work for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The pool of nodes that it runs on: those with the tag `pool:NAME`. Default: nodes without such a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Named limits, such as licences, of which each task holds so many while it runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, i64>,
    /// Whether nothing of it is to be started until it is resumed.
    #[serde(default)]
    pub paused: bool,
    /// When it should be done: a time such as `2026-12-01T12:00:00Z`, or a span from now such as `+2h`, `+1h 30m` or `+2d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+2h")]
    pub deadline: Option<String>,
    /// At most 32 labels for filters; keys and values at most 100 characters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The source: an absolute path or `file://` URL on the depot's host within its allowed roots, or a file of the
    /// farm such as `farm://uploads/TENANT/HASH`. Of an image sequence the pattern of its files. Needed by `encode`, `probe` and `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "file:///srv/in/film.mov")]
    pub input: Option<String>,
    /// The sources of a `probe` job instead of `input`, 1 to 10,000, each as `input` is written. What is found is told file by
    /// file; one that cannot be read fails none of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10_000)]
    pub inputs: Vec<String>,
    /// Pictures a second where the input is an image sequence: a path with a pattern such as `/srv/shot.%04d.exr` or
    /// `shot.####.exr`, or a tar archive of numbered pictures. Default: 24. Films keep their own rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "24000/1001")]
    pub frame_rate: Option<FrameRate>,
    /// The preset that says which files to make, instead of `outputs`; for `encode` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "web")]
    pub preset: Option<String>,
    /// The files to make, 1 to 32, of any kinds beside each other; for `encode` only. Default: one MP4 (H.264, AAC) that the depot keeps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub outputs: Vec<OutputRequest>,
    /// Number of tasks of a `noop` or `trial` job, 1 to 10,000. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000, default = 1)]
    pub tasks: Option<i64>,
    /// The stages of a `graph` job, 1 to 256; each comes after those that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 256)]
    pub stages: Vec<StageRequest>,
    /// How a `stream` job makes its set. Default: each of its fields' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamRequest>,
}

/// The document's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// Guesses from the first character that is not white space: a JSON job begins with `{`, which no TOML job does.
    #[must_use]
    pub fn guess(text: &str) -> Self {
        if text.trim_start().starts_with('{') { Self::Json } else { Self::Toml }
    }
}

/// Why a job document is refused. The text is one line: place, field, what is wrong, what may stand there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", .line.map(|l| format!("line {l}: ")).unwrap_or_default(), if .path.is_empty() { String::new() } else { format!("{}: ", .path) })]
pub struct BadRequest {
    /// The line in the document, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, such as `outputs[0].video.crf`; empty for the document as a whole.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl BadRequest {
    fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, path: path.into(), message: message.into() }
    }
}

/// What settling a request needs to know besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The principal's tenant: files of another one are refused.
    pub tenant: &'a TenantId,
    /// For deadlines relative to now.
    pub now: WallMs,
    /// Those that the job may name.
    pub presets: &'a Presets,
}

impl JobRequest {
    /// Reads a document.
    ///
    /// # Errors
    /// [`BadRequest`] for other syntax, an unknown key (with the nearest known one) or a value of a wrong type.
    pub fn read(format: Format, text: &str) -> Result<Self, BadRequest> {
        reading::read(format, text)
    }

    /// The job that this asks for, complete.
    ///
    /// # Errors
    /// [`BadRequest`] for a value out of its range, a field that the kind does not have, or names that clash.
    pub fn settle(&self, asking: Asking<'_>) -> Result<JobSpec, BadRequest> {
        settling::settle(self, asking)
    }

    /// Reads a document and settles it; an error of either step carries its line where the document is TOML.
    ///
    /// # Errors
    /// [`BadRequest`].
    pub fn parse(format: Format, text: &str, asking: Asking<'_>) -> Result<JobSpec, BadRequest> {
        let request = Self::read(format, text)?;
        request.settle(asking).map_err(|bad| reading::with_line(bad, format, text))
    }
}

#[cfg(test)]
mod tests;

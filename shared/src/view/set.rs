//! Streaming sets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check::Check;
use crate::ladder::Rendition;
use crate::task::{TaskKind, Took};
use crate::view::OutputState;

/// Equal tasks of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// What each does.
    pub kind: TaskKind,
    /// How many there are.
    pub tasks: u32,
    /// How many are done.
    pub succeeded: u32,
    /// How many run now.
    pub running: u32,
}

/// One rung or sound of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenditionView {
    /// Its name and its directory in the set.
    pub name: String,
    /// Its codec as RFC 6381 writes it.
    pub codecs: String,
    /// Width in pixels; 0 for sound.
    pub width: u32,
    /// Height in pixels; 0 for sound.
    pub height: u32,
    /// Frames or packets.
    pub packets: u64,
    /// Segments.
    pub segments: u32,
    /// Bits a second over the whole.
    pub average_bps: u64,
    /// Most bits a second of a row of segments (RFC 8216, 4.3.4.2).
    pub peak_bps: u64,
}

impl From<&Rendition> for RenditionView {
    fn from(made: &Rendition) -> Self {
        Self {
            name: made.name.clone(),
            codecs: made.codecs.clone(),
            width: made.size.0,
            height: made.size.1,
            packets: made.packets,
            segments: made.segments,
            average_bps: made.average_bps,
            peak_bps: made.peak_bps,
        }
    }
}

/// The set of files that a `stream` job makes. Beside the state, it is there once the set is made and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SetView {
    /// Its state.
    pub state: OutputState,
    /// The directory.
    #[schema(example = "file:///srv/out/film/")]
    pub url: String,
    /// Length in milliseconds.
    pub duration_ms: u64,
    /// Pictures, the best first, then sound.
    pub renditions: Vec<RenditionView>,
    /// Manifests, by their paths in the set, the top ones last.
    pub manifests: Vec<String>,
    /// What was checked; nothing that has failed.
    pub checks: Vec<Check>,
    /// Files in all.
    pub files: u32,
    /// Their bytes together.
    pub size_bytes: u64,
    /// What the steps took.
    pub took: Took,
    /// The encoder of the pictures.
    pub encoder: String,
    /// When it was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
}

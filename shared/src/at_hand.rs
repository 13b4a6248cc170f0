//! Media operations on this machine, without a farm: what the command line asks a contained process to do, and what
//! that answers. One order a process, as a line of JSON on its standard input; replies are lines of JSON on its standard
//! output. Both ends are of one release, so there is one version.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::ladder::{LadderSettings, PackageReport, PackageSettings};
use crate::measure::{CompareSettings, Comparison, Loudness, WaveformSettings};
use crate::media::MediaFacts;
use crate::sequence::FrameRate;
use crate::still::{MovingFormat, PreviewSettings, SpriteSettings, ThumbnailSettings};
use crate::task::{Progress, TaskLimits};

/// Longest line either way, in bytes.
pub const LINE_LIMIT: u64 = 4 << 20;

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The file to read, or the pattern of an image sequence's files; absolute.
    pub input: PathBuf,
    /// Pictures a second, where a file is an image sequence. Without it the usual rate.
    pub frame_rate: Option<FrameRate>,
    /// The operation.
    pub work: Work,
    /// Where files are made; absolute, there, and empty.
    pub directory: PathBuf,
    /// Bounds that the kernel enforces, and the longest time without anything moving. The wall limit is the asker's.
    pub limits: TaskLimits,
}

/// An operation of the media library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The file's facts.
    Probe,
    /// Its loudness.
    Loudness,
    /// Its waveform: the file `waveform.json` or `waveform.png`.
    Waveform(WaveformSettings),
    /// Thumbnails: the files `0.jpg`, `1.jpg`, … or the same as PNG.
    Thumbnail(ThumbnailSettings),
    /// A sprite sheet: the files `sprite.jpg` or `sprite.png`, and `sprite.vtt`.
    Sprite(SpriteSettings),
    /// A moving preview: the file `preview.gif` or `preview.webp`.
    Preview(PreviewSettings, MovingFormat),
    /// How close another file is to this one.
    Compare {
        /// That file; an absolute path.
        other: PathBuf,
        /// How.
        settings: CompareSettings,
    },
    /// A package for streaming in the directory `out`, of this rung and others.
    Package {
        /// The other rungs; absolute paths.
        rungs: Vec<PathBuf>,
        /// Files with sound; without one, the first rung's own.
        sound: Vec<PathBuf>,
        /// How.
        settings: PackageSettings,
    },
    /// A ladder of the film, packaged in the directory `out`.
    Ladder(LadderSettings),
    /// Manifests of a set, which is the order's input, in the directory `out`.
    Manifests {
        /// Whether every segment is decoded.
        decode: bool,
    },
}

/// The directory that a package is made in, within the order's.
pub const PACKAGE: &str = "out";

/// Process to asker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How far it is.
    Progress(Progress),
    /// The end.
    Done(Outcome),
    /// The other end.
    Failed(Failure),
}

/// What an operation gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Of a probe.
    Facts(MediaFacts),
    /// Of a measurement of loudness.
    Loudness(Loudness),
    /// Of a comparison.
    Comparison(Box<Comparison>),
    /// Of a package.
    Package(PackageReport),
    /// Files in the order's directory, by name.
    Files(Vec<String>),
}

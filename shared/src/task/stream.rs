//! The steps of a streaming set: the film's sound, its chunks, its stills, and the package of them all.
//!
//! ```text
//! source --+--> sound ------------------------------+
//!          +--> scan, scan, … --> chunk, chunk, … --+--> package: one set of files
//!          +--> stills -----------------------------+
//! ```
//! Each but a scan leaves one file in staging; where that is several, they stand in one [bundle](crate::bundle). Scans are
//! made where chunks begin at cuts, and say all that they have found in their results.

use serde::{Deserialize, Serialize};

use super::TaskKind;
use crate::artifact::{Artifact, ContentHash, FileName, FilePath};
use crate::encode::AudioSettings;
use crate::ladder::{ChunkRange, LadderSettings, PackageReport, Rung};
use crate::measure::VmafTally;
use crate::media::MediaFacts;
use crate::wire::WireVersion;

/// The report's path in a set of files.
pub const REPORT: &str = "report.json";
/// The poster, the sprite sheet and the sheet's index, by their paths in a set of files.
pub const STILLS: [&str; 3] = ["poster.jpg", "sprite.jpg", "sprite.vtt"];

/// What a task of a streaming set does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StreamStep {
    /// Encodes the film's sound in one piece.
    Sound,
    /// Takes the poster and the sprite sheet.
    Stills,
    /// Encodes a part of the film into all rungs, from one decode.
    Chunk,
    /// Joins the chunks of each rung, cuts segments, writes manifests and checks them.
    Package,
    /// Looks for cuts in a cell of the chunks' grid.
    Scan,
}

impl StreamStep {
    /// The kind of its tasks.
    #[must_use]
    pub fn kind(self) -> TaskKind {
        match self {
            Self::Sound => TaskKind::Sound,
            Self::Stills => TaskKind::Stills,
            Self::Chunk => TaskKind::Chunk,
            Self::Package => TaskKind::Package,
            Self::Scan => TaskKind::Scan,
        }
    }

    /// The name of the file that it leaves in staging, if it leaves one.
    ///
    /// # Panics
    /// Never: the names are file names.
    #[must_use]
    pub fn output(self) -> FileName {
        let name = match self {
            Self::Sound => "sound.m4a",
            Self::Stills => "stills.bundle",
            Self::Chunk => "chunk.bundle",
            Self::Package => "package.bundle",
            Self::Scan => "scan",
        };
        name.parse().expect("it is a file name")
    }
}

/// A step of a streaming set with all that it works on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StreamWork {
    /// The film's sound; the output is one MP4 file.
    Sound {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// How to encode.
        settings: AudioSettings,
    },
    /// Poster and sprite sheet; the output is a bundle.
    Stills {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
    },
    /// A part of the film in every rung; the output is a bundle of `RUNG.mp4`.
    Chunk {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// Which part.
        range: ChunkRange,
        /// Where key frames lie.
        settings: LadderSettings,
        /// The rungs, with the bounds that a chunk has to keep.
        rungs: Vec<Rung>,
    },
    /// The package; the output is a bundle of the whole set.
    Package(PackageWork),
    /// A look at a cell of the chunks' grid; there is no output. Only to workers that have said that they take such orders.
    Scan {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// Which cell.
        range: ChunkRange,
    },
    /// A chunk of a film whose rungs have mean rates. Only to workers that have said that they take such orders.
    MeanChunk {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// Which part.
        range: ChunkRange,
        /// Where key frames lie.
        settings: LadderSettings,
        /// The rungs, with the bounds that a chunk has to keep.
        rungs: Vec<Rung>,
        /// What each rung has of its film's bits here, in their order.
        bits: Vec<u64>,
    },
    /// A chunk of a film that is divided at its cuts. Only to workers that have said that they take such orders.
    CutChunk {
        /// What to read.
        input: Artifact,
        /// What the probe found.
        source: MediaFacts,
        /// Which part.
        range: ChunkRange,
        /// Where key frames lie.
        settings: LadderSettings,
        /// The rungs, with the bounds that a chunk has to keep.
        rungs: Vec<Rung>,
        /// What each rung has of its film's bits here, in their order; none where its rate factor decides.
        bits: Vec<u64>,
        /// Cuts at which groups of pictures begin, in order, in nanoseconds of the film.
        cuts: Vec<u64>,
    },
}

/// What a package is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackageWork {
    /// What the probe found in the film.
    pub source: MediaFacts,
    /// How the ladder is made.
    pub settings: LadderSettings,
    /// The rungs, with the bounds that the whole has to keep.
    pub rungs: Vec<Rung>,
    /// How many frames each rung has to have.
    pub frames: u64,
    /// The staged sound, if the set has one.
    pub sound: Option<Artifact>,
    /// The staged stills, if the set has some.
    pub stills: Option<Artifact>,
    /// The staged chunks in the film's order.
    pub chunks: Vec<Artifact>,
    /// What the steps before took, for the report.
    pub took: Took,
    /// The same sound staged at lower rates, the best first.
    pub more_sounds: Vec<Artifact>,
    /// Scores of the rungs, in their order; none where VMAF is not measured.
    pub vmaf: Vec<VmafTally>,
}

/// What the steps of a set took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Took {
    /// Wall time of the sound's encode, in milliseconds.
    pub sound_ms: u64,
    /// Wall time of the stills, in milliseconds.
    pub stills_ms: u64,
    /// Wall time of the chunks, one after the other, in milliseconds.
    pub chunks_ms: u64,
    /// CPU time of the chunks over all threads, in milliseconds.
    pub chunks_cpu_ms: u64,
    /// Wall time of joins, package and check, in milliseconds; 0 while that is not known.
    pub package_ms: u64,
}

impl StreamWork {
    /// Its step.
    #[must_use]
    pub fn step(&self) -> StreamStep {
        match self {
            Self::Sound { .. } => StreamStep::Sound,
            Self::Stills { .. } => StreamStep::Stills,
            Self::Chunk { .. } | Self::MeanChunk { .. } | Self::CutChunk { .. } => StreamStep::Chunk,
            Self::Package(_) => StreamStep::Package,
            Self::Scan { .. } => StreamStep::Scan,
        }
    }

    /// The film, where it is read.
    #[must_use]
    pub fn input(&self) -> Option<&Artifact> {
        match self {
            Self::Sound { input, .. }
            | Self::Stills { input, .. }
            | Self::Chunk { input, .. }
            | Self::MeanChunk { input, .. }
            | Self::CutChunk { input, .. }
            | Self::Scan { input, .. } => Some(input),
            Self::Package(_) => None,
        }
    }

    /// The first version of the worker protocol in which a worker understands it.
    #[must_use]
    pub fn since(&self) -> WireVersion {
        let settings = match self {
            Self::Chunk { settings, .. }
            | Self::MeanChunk { settings, .. }
            | Self::CutChunk { settings, .. } => Some(settings),
            Self::Package(work) => Some(&work.settings),
            Self::Sound { .. } | Self::Stills { .. } | Self::Scan { .. } => None,
        };
        WireVersion::needed_for_set(self.step(), settings)
    }

    /// What other attempts have staged for it.
    pub fn parts(&self) -> impl Iterator<Item = &Artifact> + '_ {
        let work = if let Self::Package(work) = self { Some(work) } else { None };
        work.into_iter().flat_map(|work| {
            work.sound.iter().chain(&work.more_sounds).chain(&work.stills).chain(&work.chunks)
        })
    }
}

/// What a step but the package leaves behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartMade {
    /// The file in staging, with its size and hash.
    pub artifact: Artifact,
    /// Frames of a chunk in every rung.
    pub frames: u64,
    /// How long a chunk or the sound is, in nanoseconds.
    pub duration_ns: u64,
    /// Scores of a chunk's rungs, in their order and in times of the film; none where VMAF is not measured.
    pub vmaf: Vec<VmafTally>,
}

/// A file of a finished set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFile {
    /// Where it lies in the set.
    pub path: FilePath,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// BLAKE3 of its content.
    pub hash: ContentHash,
}

/// A finished set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetMade {
    /// The bundle in staging, with its size and hash.
    pub artifact: Artifact,
    /// Renditions and checks. Its files are the manifests alone; the whole list is in the set's report.
    pub report: PackageReport,
    /// Files beside the renditions' directories: the top manifests, the stills, the report.
    pub top: Vec<SetFile>,
    /// Files in all.
    pub files: u32,
    /// Their bytes together.
    pub size_bytes: u64,
    /// What the steps took.
    pub took: Took,
    /// The encoder of the pictures, with its library's version where known.
    pub encoder: String,
}

/// `report.json` of a set: what it is, what was checked, what it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetReport {
    /// Renditions and checks, with every file of the package.
    pub package: PackageReport,
    /// What the probe found in the source.
    pub source: MediaFacts,
    /// How the ladder was made.
    pub settings: LadderSettings,
    /// What the steps took.
    pub took: Took,
    /// The encoder of the pictures, with its library's version where known.
    pub encoder: String,
    /// The version of Rushes.
    pub made_by: String,
    /// Every file of the set but this one, with size and hash.
    pub files: Vec<SetFile>,
}

//! Ladders for streaming: which rungs a film gets, where their key frames and segments lie, and what a package holds.
//!
//! Key frames of all rungs stand at the same frames, so that a player changes the rung at any of them.

mod bucket;
mod budget;
mod coded;
mod limits;
mod pieces;
mod rate;
mod rung;
mod scenes;
mod split;

use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::encode::{AudioSettings, SpeedPreset, VideoCodec, VmafLimits};
use crate::media::MediaFacts;

pub use bucket::{ALL, ChunkBound};
pub use limits::{LoudnessLimit, SetLimits};
pub use pieces::{Pieces, pieces};
pub use rate::{LEAST_MEAN_BPS, LadderRate, MOST_MEAN_BPS};
pub use rung::{CODECS, RateCap, Rung, ladder};
pub use scenes::{COSTS, KeyTimes, MAX_CUTS, Scan, keys_at_cuts, split_at_cuts};
pub use split::{ChunkRange, Keys, MAX_CHUNKS, split};

/// Least bits a second of a channel of sound, for more than two channels.
const LEAST_OF_A_CHANNEL_BPS: u32 = 48_000;

/// Where key frames, segments and chunks lie, in nanoseconds of the film; a constant frame rate rounds the distance of
/// key frames to whole frames, and the others to whole distances of key frames. A chunk need not hold whole segments: these
/// are cut once the chunks are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// From key frame to key frame. Default: 2 s, as Apple's HLS authoring specification asks for (1.13).
    pub key_ns: u64,
    /// Key frames to a segment. Default: 3, segments of 6 s (the same, 7.5).
    pub keys_to_segment: u32,
    /// Key frames to a chunk, which is encoded on its own. Default: 30, chunks of a minute.
    pub keys_to_chunk: u32,
}

impl Default for Grid {
    fn default() -> Self {
        Self { key_ns: 2_000_000_000, keys_to_segment: 3, keys_to_chunk: 30 }
    }
}

impl Grid {
    /// Key frames every two seconds, or every segment where those are shorter or odd; chunks of whole distances of key
    /// frames.
    #[must_use]
    pub fn of(segment_s: u32, chunk_s: u32) -> Self {
        let key_s = if segment_s.is_multiple_of(2) { 2 } else { segment_s.max(1) };
        Self {
            key_ns: u64::from(key_s) * 1_000_000_000,
            keys_to_segment: segment_s / key_s,
            keys_to_chunk: (chunk_s / key_s).max(1),
        }
    }

    /// Length of a segment in nanoseconds.
    #[must_use]
    pub fn segment_ns(&self) -> u64 {
        self.key_ns.saturating_mul(u64::from(self.keys_to_segment))
    }

    /// Length of a chunk in nanoseconds.
    #[must_use]
    pub fn chunk_ns(&self) -> u64 {
        self.key_ns.saturating_mul(u64::from(self.keys_to_chunk))
    }
}

/// Where chunks begin.
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
pub enum Borders {
    /// On a fixed grid of the chunk's length.
    #[default]
    Grid,
    /// At the film's cuts near the lines of that grid, which a scan of the film finds before.
    Scenes,
}

/// A whole ladder of a film, from its source to its package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderSettings {
    /// Where key frames, segments and chunks lie.
    pub grid: Grid,
    /// Constant rate factor of every rung of the first codec, under the rung's own bound on the rate.
    pub crf: u8,
    /// How much time the encoder of the first codec takes.
    pub preset: SpeedPreset,
    /// Short side in pixels of the largest rung; `None` for the source's.
    pub max_height: Option<u32>,
    /// Bit rate of the best sound in bits a second; `None` leaves sound out.
    pub sound_bps: Option<u32>,
    /// Whether every segment is decoded after it is written.
    pub decode: bool,
    /// The first codec: one of [`CODECS`].
    pub codec: VideoCodec,
    /// The same film in further codecs, each another than those before.
    pub more: Vec<CodecLadder>,
    /// Bit rates of further sounds in bits a second, each lower than the one before.
    pub more_sounds: Vec<u32>,
    /// VMAF of every rung against the source, measured chunk by chunk; limits are those of the best rung.
    pub vmaf: VmafLimits,
    /// Where chunks begin.
    pub borders: Borders,
    /// What else the set has to keep.
    pub limits: SetLimits,
    /// What decides the bits.
    pub rate: LadderRate,
}

/// The rungs of a further codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecLadder {
    /// The codec.
    pub codec: VideoCodec,
    /// Constant rate factor on its own scale.
    pub crf: u8,
    /// How much time its encoder takes.
    pub preset: SpeedPreset,
    /// Short side in pixels of its largest rung; `None` for the source's.
    pub max_height: Option<u32>,
}

impl Default for LadderSettings {
    fn default() -> Self {
        let codec = VideoCodec::H264;
        Self {
            grid: Grid::default(),
            crf: codec.usual_crf(),
            preset: SpeedPreset::Medium,
            max_height: None,
            sound_bps: Some(128_000),
            decode: true,
            codec,
            more: Vec::new(),
            more_sounds: Vec::new(),
            vmaf: VmafLimits::default(),
            borders: Borders::Grid,
            limits: SetLimits::default(),
            rate: LadderRate::Factor,
        }
    }
}

impl LadderSettings {
    /// The parts of the film that are encoded on their own. `cuts` are times of first frames of scenes, in any order, and
    /// count where chunks begin at them.
    #[must_use]
    pub fn chunks(&self, source: &MediaFacts, cuts: &[u64]) -> Vec<ChunkRange> {
        match self.borders {
            Borders::Grid => split(source, &self.grid),
            Borders::Scenes => split_at_cuts(source, &self.grid, cuts),
        }
    }

    /// The parts of the film that are looked at before its chunks are known: the cells of the grid, or none where nothing
    /// depends on them, as a mean rate does not in a film that is one chunk.
    #[must_use]
    pub fn scans(&self, source: &MediaFacts) -> Vec<ChunkRange> {
        let cells = split(source, &self.grid);
        let has_cuts = source.video.first().is_some_and(|video| video.duration_ns > 0);
        let asks = match self.borders {
            Borders::Scenes => has_cuts,
            Borders::Grid => self.rate != LadderRate::Factor && cells.len() > 1,
        };
        if asks { cells } else { Vec::new() }
    }

    /// The cuts of a chunk at which groups of pictures begin, beside the one where it begins itself; `None` where key frames are on the
    /// grid.
    #[must_use]
    pub fn keys_at_cuts(&self, source: &MediaFacts, range: &ChunkRange, cuts: &[u64]) -> Option<Vec<u64>> {
        let at_cuts = || keys_at_cuts(source, &self.grid, range, cuts);
        (self.borders == Borders::Scenes).then(at_cuts)
    }

    /// The rungs that this source gets, codec by codec, the largest of each first; none where it has no picture.
    #[must_use]
    pub fn rungs(&self, source: &MediaFacts) -> Vec<Rung> {
        let mut rungs = self.own_rungs(source);
        self.bound_means(source, &mut rungs);
        rungs
    }

    /// The same with the bounds that the ladder gives them.
    fn own_rungs(&self, source: &MediaFacts) -> Vec<Rung> {
        let Some(video) = source.video.first() else { return Vec::new() };
        let Self { codec, crf, preset, max_height, .. } = *self;
        let first = CodecLadder { codec, crf, preset, max_height };
        let mut all = Vec::new();
        for (number, one) in std::iter::once(&first).chain(&self.more).enumerate() {
            let mut rungs = ladder(video.shown_size(), one.codec, one.crf, one.preset);
            let most = one.max_height.unwrap_or(u32::MAX).min(self.max_height.unwrap_or(u32::MAX));
            let small = |rung: &Rung| rung.max_size.0.min(rung.max_size.1) <= most;
            let from = rungs.iter().position(small).unwrap_or(rungs.len() - 1);
            rungs.drain(..from);
            if number > 0 {
                rungs.iter_mut().for_each(|rung| rung.name = format!("{}-{}", rung.name, one.codec.name()));
            }
            all.extend(rungs);
        }
        all
    }

    /// Bit rates of the sounds that this source gets, the best first.
    #[must_use]
    pub fn sounds(&self, source: &MediaFacts) -> Vec<u32> {
        let first = self.sound_bps.filter(|_| !source.audio.is_empty());
        first.map_or_else(Vec::new, |first| [&[first], self.more_sounds.as_slice()].concat())
    }

    /// How the sound of a rate is encoded: in stereo where the rate is too low for all the channels that the source has.
    #[must_use]
    pub fn sound_of(&self, source: &MediaFacts, bitrate_bps: u32) -> AudioSettings {
        let channels = source.audio.first().map_or(0, |audio| u32::from(audio.channels));
        let is_enough = channels <= 2 || bitrate_bps / channels >= LEAST_OF_A_CHANNEL_BPS;
        AudioSettings { bitrate_bps, channels: (!is_enough).then_some(2), ..AudioSettings::default() }
    }

    fn sound_names(&self) -> Vec<String> {
        let rates = self.sound_bps.iter().chain(&self.more_sounds).filter(|_| !self.more_sounds.is_empty());
        rates.map(|bps| format!("sound-{}k", bps / 1000)).collect()
    }

    /// The same with the bounds that each of these chunks has to keep.
    #[must_use]
    pub fn rungs_of_chunks(&self, source: &MediaFacts, chunks: &[ChunkRange]) -> Vec<Rung> {
        let mut rungs = self.rungs(source);
        if chunks.len() > 1 {
            // Nothing lies between the first chunk and the film's start, or the last one and its end.
            let inner =
                chunks.iter().filter(|_| self.borders == Borders::Scenes).filter(|chunk| chunk.start_ns > 0);
            let lengths = inner.filter_map(|chunk| Some(chunk.end_ns?.saturating_sub(chunk.start_ns)));
            let shortest_ns = lengths.min().unwrap_or(u64::MAX).min(self.grid.chunk_ns());
            let within = |cap: RateCap| cap.within_chunks(shortest_ns);
            rungs.iter_mut().for_each(|rung| rung.cap = rung.cap.map(within));
        }
        rungs
    }

    /// The film's own bounds of rungs whose bounds are those of [its chunks](Self::rungs_of_chunks). A rung of none of its
    /// names is a piece of an output, whose chunks have the grid's length.
    #[must_use]
    pub fn whole_caps(&self, source: &MediaFacts, rungs: &[Rung]) -> Vec<Option<RateCap>> {
        let all = self.rungs(source);
        let named = |name: &str| all.iter().find(|rung| rung.name == name);
        let of_piece = |cap: RateCap| cap.of_whole(self.grid.chunk_ns());
        let whole = |rung: &Rung| named(&rung.name).map_or_else(|| rung.cap.map(of_piece), |named| named.cap);
        rungs.iter().map(whole).collect()
    }

    /// What the package of these rungs is checked for.
    #[must_use]
    pub fn package(&self, rungs: &[Rung]) -> PackageSettings {
        let segment_ns = self.grid.segment_ns();
        let window_ns = self.limits.window_ms.map_or(segment_ns, |ms| u64::from(ms) * 1_000_000);
        let bound = |cap: RateCap| match self.limits.peak_percent {
            Some(percent) => cap.max_bps.saturating_mul(u64::from(percent)) / 100,
            None => cap.peak_bps(window_ns),
        };
        PackageSettings {
            segment_ns,
            names: rungs.iter().map(|rung| rung.name.clone()).collect(),
            max_bps: rungs.iter().map(|rung| rung.cap.map(bound)).collect(),
            window_ns,
            longest_ms: self.limits.segment_ms,
            decode: self.decode,
            sounds_are_variants: !self.more_sounds.is_empty(),
            sound_names: self.sound_names(),
            nearest: self.borders == Borders::Scenes,
            ..PackageSettings::default()
        }
    }
}

/// A whole streaming set: a ladder and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSettings {
    /// The ladder.
    pub ladder: LadderSettings,
    /// Whether a poster and a sprite sheet are made as well.
    pub stills: bool,
}

/// What a package is checked for; a limit of `None` is not held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSettings {
    /// Length of a segment in nanoseconds: each begins at the first key frame that is as late, or at the nearest.
    pub segment_ns: u64,
    /// Whether segments begin at the key frame that is nearest, which may be a little too early: for key frames that are on
    /// no grid.
    pub nearest: bool,
    /// Names of the rungs, in the order of their files; a file's own name where there are fewer.
    pub names: Vec<String>,
    /// Bounds on the bit rate of the rungs, in the same order.
    pub max_bps: Vec<Option<u64>>,
    /// Mean bit rates that the rungs were asked to have, in the same order: none may be more than a twentieth over its own.
    #[serde(default)]
    pub mean_bps: Vec<u64>,
    /// Over how long bits are counted for that bound, in nanoseconds.
    pub window_ns: u64,
    /// Longest segment, in thousandths of its length as asked for.
    pub longest_permille: u32,
    /// Longest segment in milliseconds, in place of the former.
    #[serde(default)]
    pub longest_ms: Option<u32>,
    /// Where sound should begin in relation to the picture, and most by which it may be off; not looked at without.
    #[serde(default)]
    pub sync: Option<SoundSync>,
    /// Whether every segment is decoded.
    pub decode: bool,
    /// Whether sounds are one sound at several rates, of which each rung is given one, and not several to choose from.
    pub sounds_are_variants: bool,
    /// Names of the sounds, in the order of their files; `sound` where there are fewer.
    pub sound_names: Vec<String>,
}

impl Default for PackageSettings {
    fn default() -> Self {
        let segment_ns = Grid::default().segment_ns();
        Self {
            segment_ns,
            nearest: false,
            names: Vec::new(),
            max_bps: Vec::new(),
            mean_bps: Vec::new(),
            window_ns: segment_ns,
            longest_permille: 1500,
            longest_ms: None,
            sync: None,
            decode: true,
            sounds_are_variants: false,
            sound_names: Vec::new(),
        }
    }
}

/// Where the sound of a set should begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundSync {
    /// After the picture, in nanoseconds; below zero for before it.
    pub offset_ns: i64,
    /// Most by which it may be off, in nanoseconds.
    pub limit_ns: u64,
}

/// A finished package.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PackageReport {
    /// From the film's start to its end, in nanoseconds.
    pub duration_ns: u64,
    /// Pictures, the best first.
    pub video: Vec<Rendition>,
    /// Sound.
    pub audio: Vec<Rendition>,
    /// Every file, relative to the package's directory, in the order in which they were written: the top manifest last.
    pub files: Vec<String>,
    /// What was checked; nothing that has failed.
    pub checks: Vec<Check>,
}

/// One rung or sound of a package.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its name and its directory.
    pub name: String,
    /// Its codec as RFC 6381 writes it.
    pub codecs: String,
    /// Width and height in pixels; zeros for sound.
    pub size: (u32, u32),
    /// Frames or packets.
    pub packets: u64,
    /// Segments.
    pub segments: u32,
    /// Bits a second over the whole; of the segments' files, boxes and all, as what is below.
    pub average_bps: u64,
    /// Most bits a second of any row of segments between half and one and a half times the set's target duration (RFC 8216,
    /// 4.3.4.2).
    pub peak_bps: u64,
}

//! Ladders for streaming: which rungs a film gets, where their key frames and segments lie, and what a package holds.
//!
//! Key frames of all rungs stand at the same frames, so that a player changes the rung at any of them.

mod split;

use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::encode::{SpeedPreset, VmafLimits};
use crate::media::MediaFacts;

pub use split::{ChunkRange, Keys, MAX_CHUNKS, split};

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

/// A bound on the bit rate, as a leaky bucket: what is sent in any time t is at most `max_bps * t` and what the buffer
/// holds (the VBV of H.264, annex C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RateCap {
    /// Bits a second.
    pub max_bps: u64,
    /// Size of the buffer, in milliseconds at that rate.
    pub buffer_ms: u32,
}

impl RateCap {
    /// The bound that each chunk of at least `chunk_ns` has to keep so that the whole keeps this one wherever its chunks
    /// meet: half of the buffer, and a rate at which a whole chunk, with what its buffer gives on top, sends no more than
    /// `max_bps` would. A time that begins in one chunk and ends in another is then a part, whole chunks and a part, and
    /// each of the two parts has one half of the buffer.
    #[must_use]
    pub fn within_chunks(&self, chunk_ns: u64) -> Self {
        let half_bits = u128::from(self.max_bps) * u128::from(self.buffer_ms) / 2000;
        let taken = half_bits * 1_000_000_000 / u128::from(chunk_ns.max(1));
        let max_bps = self.max_bps.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)).max(1000);
        let buffer_ms = half_bits * 1000 / u128::from(max_bps);
        Self { max_bps, buffer_ms: u32::try_from(buffer_ms).unwrap_or(u32::MAX) }
    }

    /// Most bits a second over a window.
    #[must_use]
    pub fn peak_bps(&self, window_ns: u64) -> u64 {
        let buffer_bits = u128::from(self.max_bps) * u128::from(self.buffer_ms) / 1000;
        let over = buffer_bits * 1_000_000_000 / u128::from(window_ns.max(1));
        self.max_bps.saturating_add(u64::try_from(over).unwrap_or(u64::MAX))
    }
}

/// One rung: H.264 at a constant rate factor under a bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rung {
    /// Its name, such as `1080p`: part of file names.
    pub name: String,
    /// Longest width and height in pixels; never above the source.
    pub max_size: (u32, u32),
    /// Constant rate factor on x264's scale, 0 (lossless) to 51.
    pub crf: u8,
    /// How much time the encoder takes.
    pub preset: SpeedPreset,
    /// Bound on the bit rate; `None` for no bound. Lossless has none.
    pub cap: Option<RateCap>,
}

/// Short side in pixels and bits a second of the ladder's rungs.
const LADDER: [(u32, u64); 5] =
    [(2160, 15_000_000), (1080, 5_000_000), (720, 2_500_000), (480, 1_000_000), (360, 600_000)];
/// The buffer of every rung.
const BUFFER_MS: u32 = 1000;

/// The rungs for a picture of `shown` width and height, the largest first: boxes of 16:9, upright for an upright film,
/// of which the first is the smallest that takes the source as it is. A source below the lowest has one rung of its own
/// size.
#[must_use]
pub fn ladder(shown: (u32, u32), crf: u8, preset: SpeedPreset) -> Vec<Rung> {
    let upright = shown.1 > shown.0;
    let size = |short: u32| {
        let long = (short * 16).div_ceil(9);
        if upright { (short, long) } else { (long, short) }
    };
    let takes = |short: u32| shown.0 <= size(short).0 && shown.1 <= size(short).1;
    let top = LADDER.iter().rposition(|(short, _)| takes(*short)).unwrap_or(0);
    let rung = |&(short, max_bps): &(u32, u64)| Rung {
        name: format!("{short}p"),
        max_size: size(short),
        crf,
        preset,
        cap: (crf > 0).then_some(RateCap { max_bps, buffer_ms: BUFFER_MS }),
    };
    LADDER[top..].iter().map(rung).collect()
}

/// A whole ladder of a film, from its source to its package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderSettings {
    /// Where key frames, segments and chunks lie.
    pub grid: Grid,
    /// Constant rate factor of every rung, 0 to 51, under the rung's own bound on the rate.
    pub crf: u8,
    /// How much time the encoder takes.
    pub preset: SpeedPreset,
    /// Short side in pixels of the largest rung; `None` for the source's.
    pub max_height: Option<u32>,
    /// Bit rate of the sound in bits a second; `None` leaves it out.
    pub sound_bps: Option<u32>,
    /// Whether every segment is decoded after it is written.
    pub decode: bool,
    /// VMAF of every rung against the source, measured chunk by chunk; limits are those of the best rung.
    pub vmaf: VmafLimits,
}

impl LadderSettings {
    /// The rungs that this source gets; none where it has no picture.
    #[must_use]
    pub fn rungs(&self, source: &MediaFacts) -> Vec<Rung> {
        let Some(video) = source.video.first() else { return Vec::new() };
        let mut rungs = ladder(video.shown_size(), self.crf, self.preset);
        if let Some(most) = self.max_height {
            let small = |rung: &Rung| rung.max_size.0.min(rung.max_size.1) <= most;
            let from = rungs.iter().position(small).unwrap_or(rungs.len() - 1);
            rungs.drain(..from);
        }
        rungs
    }

    /// The same with the bounds that each of so many chunks has to keep.
    #[must_use]
    pub fn rungs_of_chunks(&self, source: &MediaFacts, chunks: usize) -> Vec<Rung> {
        let mut rungs = self.rungs(source);
        if chunks > 1 {
            let within = |cap: RateCap| cap.within_chunks(self.grid.chunk_ns());
            rungs.iter_mut().for_each(|rung| rung.cap = rung.cap.map(within));
        }
        rungs
    }

    /// What the package of these rungs is checked for.
    #[must_use]
    pub fn package(&self, rungs: &[Rung]) -> PackageSettings {
        let segment_ns = self.grid.segment_ns();
        PackageSettings {
            segment_ns,
            names: rungs.iter().map(|rung| rung.name.clone()).collect(),
            max_bps: rungs.iter().map(|rung| rung.cap.map(|cap| cap.peak_bps(segment_ns))).collect(),
            window_ns: segment_ns,
            decode: self.decode,
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
    /// Length of a segment in nanoseconds: each begins at the first key frame that is as late.
    pub segment_ns: u64,
    /// Names of the rungs, in the order of their files; a file's own name where there are fewer.
    pub names: Vec<String>,
    /// Bounds on the bit rate of the rungs, in the same order.
    pub max_bps: Vec<Option<u64>>,
    /// Over how long bits are counted for that bound, in nanoseconds.
    pub window_ns: u64,
    /// Longest segment, in thousandths of its length as asked for.
    pub longest_permille: u32,
    /// Whether every segment is decoded.
    pub decode: bool,
}

impl Default for PackageSettings {
    fn default() -> Self {
        let segment_ns = Grid::default().segment_ns();
        Self {
            segment_ns,
            names: Vec::new(),
            max_bps: Vec::new(),
            window_ns: segment_ns,
            longest_permille: 1500,
            decode: true,
        }
    }
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
    /// Bits a second over the whole.
    pub average_bps: u64,
    /// Most bits a second of any row of segments between half and one and a half times a segment's length (RFC 8216,
    /// 4.3.4.2).
    pub peak_bps: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(shown: (u32, u32)) -> Vec<String> {
        ladder(shown, 23, SpeedPreset::Medium).into_iter().map(|rung| rung.name).collect()
    }

    #[test]
    fn a_ladder_begins_at_the_smallest_rung_that_takes_the_source() {
        assert_eq!(names((3840, 2160)), ["2160p", "1080p", "720p", "480p", "360p"]);
        assert_eq!(names((7680, 4320))[0], "2160p");
        assert_eq!(names((1920, 800)), ["1080p", "720p", "480p", "360p"], "a scope film of full width");
        assert_eq!(names((1080, 1920))[0], "1080p", "an upright film");
        assert_eq!(ladder((1080, 1920), 23, SpeedPreset::Medium)[1].max_size, (720, 1280));
        assert_eq!(names((1000, 700)), ["720p", "480p", "360p"]);
        assert_eq!(names((160, 120)), ["360p"]);
    }

    #[test]
    fn chunks_that_keep_their_bound_keep_that_of_the_whole_where_they_meet() {
        let whole = RateCap { max_bps: 5_000_000, buffer_ms: 1000 };
        let (chunk_ns, chunk_s) = (10_000_000_000, 10);
        let part = whole.within_chunks(chunk_ns);
        let buffer = |cap: RateCap| cap.max_bps * u64::from(cap.buffer_ms) / 1000;
        assert!(part.max_bps * chunk_s + buffer(part) <= whole.max_bps * chunk_s, "a whole chunk");
        assert!(2 * buffer(part) <= buffer(whole), "two parts");
        assert_eq!(whole.peak_bps(2_000_000_000), 7_500_000);
    }
}

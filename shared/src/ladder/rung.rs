//! Rungs: a size, a codec, a quality and a bound on the rate.

use serde::{Deserialize, Serialize};

use crate::encode::{SpeedPreset, VideoCodec};

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

    /// The bound of a whole whose chunks have this one by [`within_chunks`](Self::within_chunks); rounding makes it a little lower.
    #[must_use]
    pub fn of_whole(&self, chunk_ns: u64) -> Self {
        // A buffer's length is rounded down to milliseconds at the chunk's rate.
        let half_bits = u128::from(self.max_bps) * u128::from(self.buffer_ms) / 1000;
        let given = half_bits * 1_000_000_000 / u128::from(chunk_ns.max(1));
        let max_bps = self.max_bps.saturating_add(u64::try_from(given).unwrap_or(u64::MAX));
        let buffer_ms = 2 * half_bits * 1000 / u128::from(max_bps.max(1));
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

/// One rung: a codec at a constant rate factor under a bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rung {
    /// Its name, such as `1080p` or `1080p-hevc`: part of file names.
    pub name: String,
    /// Longest width and height in pixels; never above the source.
    pub max_size: (u32, u32),
    /// Constant rate factor on the codec's own scale, 0 to [its worst](VideoCodec::worst_crf).
    pub crf: u8,
    /// How much time the encoder takes.
    pub preset: SpeedPreset,
    /// Bound on the bit rate; `None` for no bound. Lossless has none.
    pub cap: Option<RateCap>,
    /// The codec: one of [`CODECS`].
    pub codec: VideoCodec,
}

/// Codecs that rungs may have: those that players of HLS and DASH know.
pub const CODECS: [VideoCodec; 4] = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Vp9, VideoCodec::Av1];

/// Short side in pixels of the ladder's rungs, and bits a second in H.264.
const LADDER: [(u32, u64); 5] =
    [(2160, 15_000_000), (1080, 5_000_000), (720, 2_500_000), (480, 1_000_000), (360, 600_000)];
/// The buffer of every rung.
const BUFFER_MS: u32 = 1000;

/// What of H.264's rate a codec is given for the same picture, in percent: below what each saves at equal quality, so that
/// the bound binds no sooner than H.264's.
fn percent(codec: VideoCodec) -> u64 {
    match codec {
        VideoCodec::Hevc => 60,
        VideoCodec::Vp9 => 70,
        VideoCodec::Av1 => 55,
        _ => 100,
    }
}

/// The rungs for a picture of `shown` width and height, the largest first: boxes of 16:9, upright for an upright film,
/// of which the first is the smallest that takes the source as it is. A source below the lowest has one rung of its own
/// size.
#[must_use]
pub fn ladder(shown: (u32, u32), codec: VideoCodec, crf: u8, preset: SpeedPreset) -> Vec<Rung> {
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
        cap: (crf > 0).then_some(RateCap { max_bps: max_bps * percent(codec) / 100, buffer_ms: BUFFER_MS }),
        codec,
    };
    LADDER[top..].iter().map(rung).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(shown: (u32, u32)) -> Vec<String> {
        ladder(shown, VideoCodec::H264, 23, SpeedPreset::Medium).into_iter().map(|rung| rung.name).collect()
    }

    #[test]
    fn a_ladder_begins_at_the_smallest_rung_that_takes_the_source() {
        assert_eq!(names((3840, 2160)), ["2160p", "1080p", "720p", "480p", "360p"]);
        assert_eq!(names((7680, 4320))[0], "2160p");
        assert_eq!(names((1920, 800)), ["1080p", "720p", "480p", "360p"], "a scope film of full width");
        assert_eq!(names((1080, 1920))[0], "1080p", "an upright film");
        assert_eq!(ladder((1080, 1920), VideoCodec::H264, 23, SpeedPreset::Medium)[1].max_size, (720, 1280));
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
        let again = part.of_whole(chunk_ns);
        assert!((4_995_000..=5_000_000).contains(&again.max_bps), "{again:?}");
        assert!(buffer(again) <= buffer(whole) && again.buffer_ms >= 995, "{again:?}");
    }
}

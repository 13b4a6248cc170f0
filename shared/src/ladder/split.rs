//! Where a film is divided, and how far its key frames are from each other.

use serde::{Deserialize, Serialize};

use super::Grid;
use crate::media::MediaFacts;
use crate::units::Ratio;

/// Most chunks of a film; those of a very long one are longer.
pub const MAX_CHUNKS: u64 = 2000;

/// How much earlier than its first frame a chunk of a film with a variable rate begins: times of one and the same frame
/// may differ by their rounding.
const SLACK_NS: u64 = 500_000;

/// A part of a film: the frames that begin in `[start_ns, end_ns)`, on the time line of the whole.
///
/// Borders lie between frames and not on them, so that no rounding moves a frame from one chunk into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRange {
    /// Where it begins, in nanoseconds; 0 for the film's first frame.
    pub start_ns: u64,
    /// Where the next one begins; `None` for the film's end.
    pub end_ns: Option<u64>,
}

impl ChunkRange {
    /// The film as one chunk.
    pub const WHOLE: Self = Self { start_ns: 0, end_ns: None };

    /// Whether a frame at this time, in nanoseconds of the film, is in it.
    #[must_use]
    pub fn holds(&self, at: u64) -> bool {
        at >= self.start_ns && self.end_ns.is_none_or(|end| at < end)
    }
}

/// Divides a film by a fixed grid. A last part of less than a quarter of a chunk goes with the one before. Where the
/// film's length is unknown, it is one chunk. Whatever a probe says of its length, there are at most [`MAX_CHUNKS`].
#[must_use]
pub fn split(source: &MediaFacts, grid: &Grid) -> Vec<ChunkRange> {
    let Some(cells) = Cells::of(source, grid) else { return vec![ChunkRange::WHOLE] };
    let starts: Vec<u64> = (1..cells.count).map(|n| cells.start(n)).collect();
    cells.ranges(&starts)
}

/// The cells of a fixed grid over a film.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) keys: Keys,
    /// How many there are, at least one.
    pub(super) count: u64,
    /// Length of each but the last, in nanoseconds.
    pub(super) length_ns: u64,
    /// Distances of key frames to each.
    step: u64,
    /// When the film begins and ends, in nanoseconds.
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
}

impl Cells {
    /// Nothing where the film has no picture.
    pub(super) fn of(source: &MediaFacts, grid: &Grid) -> Option<Self> {
        let video = source.video.first()?;
        let keys = Keys::of(source, grid);
        let count = |step: u64| {
            let (length, chunk) = (u128::from(video.duration_ns), u128::from(keys.time(step).max(1)));
            u64::try_from((length + chunk * 3 / 4) / chunk).unwrap_or(u64::MAX).max(1)
        };
        let mut step = u64::from(grid.keys_to_chunk.max(1));
        step = step.saturating_mul(count(step).div_ceil(MAX_CHUNKS));
        let (count, length_ns) = (count(step).min(MAX_CHUNKS), keys.time(step).max(1));
        let end_ns = video.start_ns.saturating_add(video.duration_ns);
        Some(Self { keys, count, length_ns, step, start_ns: video.start_ns, end_ns })
    }

    /// When the first frame of a cell is shown.
    pub(super) fn start(&self, number: u64) -> u64 {
        self.start_ns.saturating_add(self.keys.time(self.step.saturating_mul(number)))
    }

    /// Ranges whose first frames, but for the first range's, are shown at these times.
    pub(super) fn ranges(&self, starts: &[u64]) -> Vec<ChunkRange> {
        let slack_ns = self.keys.slack_ns.min(self.length_ns);
        let borders = || starts.iter().map(|at| at.saturating_sub(slack_ns));
        let ends = borders().map(Some).chain([None]);
        std::iter::once(0)
            .chain(borders())
            .zip(ends)
            .map(|(start_ns, end_ns)| ChunkRange { start_ns, end_ns })
            .collect()
    }
}

/// The distance of key frames.
#[derive(Debug, Clone, Copy)]
pub struct Keys {
    /// In frames of the rate: whole ones, where it is constant.
    frames: u64,
    rate: Ratio,
    /// How far before its first frame a chunk begins, in nanoseconds.
    pub slack_ns: u64,
}

/// A rate whose frame is a microsecond, for films without a constant one.
const MICROSECONDS: Ratio = Ratio { num: 1_000_000, den: 1 };

impl Keys {
    /// Those of a film on a grid.
    #[must_use]
    pub fn of(source: &MediaFacts, grid: &Grid) -> Self {
        let video = source.video.first();
        let constant = video.filter(|video| !video.vfr).and_then(|video| video.fps);
        let constant = constant.filter(|rate| rate.num > 0 && rate.den > 0);
        let rate = constant.unwrap_or(MICROSECONDS);
        let (num, den) = (u128::from(rate.num), u128::from(rate.den));
        let frames = (u128::from(grid.key_ns) * num + den * 500_000_000) / (den * 1_000_000_000);
        let frames = u64::try_from(frames).unwrap_or(u64::MAX).max(1);
        let half = scaled(500_000_000, u64::from(rate.den), u64::from(rate.num));
        Self { frames, rate, slack_ns: if constant.is_some() { half } else { SLACK_NS } }
    }

    /// When the key frame of that number is shown, from the first one on.
    pub(super) fn time(&self, number: u64) -> u64 {
        scaled(
            number.saturating_mul(1_000_000_000),
            self.frames.saturating_mul(u64::from(self.rate.den)),
            u64::from(self.rate.num),
        )
    }

    /// How many groups of pictures are made of so much time: as many as there are distances of key frames in it, rounded,
    /// so that chunks of any length have as many key frames together as the grid, and none further apart than a quarter
    /// more than the distance.
    pub(super) fn groups(&self, length_ns: u64) -> u64 {
        let frames = self.frames_in(length_ns);
        let nearest = (frames + self.frames / 2) / self.frames;
        nearest.max(frames.saturating_mul(4).div_ceil(self.frames.saturating_mul(5))).max(1)
    }

    fn frames_in(&self, length_ns: u64) -> u64 {
        let (num, den) = (u128::from(self.rate.num), u128::from(self.rate.den.max(1)));
        let frames = (u128::from(length_ns) * num + den * 500_000_000) / (den * 1_000_000_000);
        u64::try_from(frames).unwrap_or(u64::MAX / 8).min(u64::MAX / 8)
    }

    /// Frames from key frame to key frame; for a variable rate as many as there are in that time on average.
    #[must_use]
    pub fn frames_to_key(&self, source: &MediaFacts, grid: &Grid) -> u32 {
        if self.rate != MICROSECONDS {
            return u32::try_from(self.frames).unwrap_or(u32::MAX);
        }
        let mean =
            source.video.first().and_then(|video| video.fps).filter(|rate| rate.num > 0 && rate.den > 0);
        let mean = mean.unwrap_or(Ratio { num: 25, den: 1 });
        let frames = scaled(grid.key_ns, u64::from(mean.num), u64::from(mean.den) * 1_000_000_000);
        u32::try_from(frames.max(1)).unwrap_or(u32::MAX)
    }
}

/// `value * num / den`, rounded down; a `den` of 0 counts as 1.
fn scaled(value: u64, num: u64, den: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(num) / u128::from(den.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::media::VideoFacts;

    use super::*;

    fn film(rate: (u32, u32), frames: u64, vfr: bool) -> MediaFacts {
        let fps = Ratio::new(rate.0, rate.1);
        let duration_ns = scaled(frames * 1_000_000_000, u64::from(rate.1), u64::from(rate.0));
        let video = VideoFacts { fps, vfr, frames, duration_ns, ..VideoFacts::default() };
        MediaFacts { video: vec![video], ..MediaFacts::default() }
    }

    /// Which chunk each frame of a constant rate falls into.
    fn placed(rate: (u32, u32), frames: u64, grid: &Grid) -> Vec<usize> {
        let chunks = split(&film(rate, frames, false), grid);
        let place = |n: u64| {
            let at = scaled(n * 1_000_000_000, u64::from(rate.1), u64::from(rate.0));
            let mine: Vec<usize> = (0..chunks.len()).filter(|c| chunks[*c].holds(at)).collect();
            assert_eq!(mine.len(), 1, "frame {n} belongs to one chunk");
            mine[0]
        };
        (0..frames).map(place).collect()
    }

    #[test]
    fn chunks_hold_whole_groups_of_pictures_at_any_rate() {
        let grid = Grid { key_ns: 2_000_000_000, keys_to_segment: 2, keys_to_chunk: 2 };
        for (rate, group) in
            [((24_000, 1001), 48), ((30_000, 1001), 60), ((60_000, 1001), 120), ((25, 1), 50)]
        {
            let places = placed(rate, 1_000, &grid);
            for (n, chunk) in places.iter().enumerate() {
                assert_eq!(*chunk, (n / (2 * group)).min(places[999]), "frame {n} at {rate:?}");
            }
            let film = film(rate, 1_000, false);
            assert_eq!(Keys::of(&film, &grid).frames_to_key(&film, &grid) as usize, group);
        }
    }

    #[test]
    fn a_short_rest_goes_with_the_chunk_before_and_an_unknown_length_is_one_chunk() {
        let grid = Grid { key_ns: 1_000_000_000, keys_to_segment: 1, keys_to_chunk: 4 };
        assert_eq!(split(&film((25, 1), 220, false), &grid).len(), 2, "0.8 s remain");
        assert_eq!(split(&film((25, 1), 250, false), &grid).len(), 3, "2 s remain");
        assert_eq!(split(&film((25, 1), 0, false), &grid), [ChunkRange::WHOLE]);
        assert_eq!(split(&film((25, 1), 250, true), &grid)[1].start_ns, 4_000_000_000 - SLACK_NS);
    }

    /// What a probe of a hostile file says is no reason to fall over, or to plan for ever.
    #[test]
    fn the_longest_film_that_can_be_written_down_has_a_bounded_number_of_chunks() {
        let mut source = film((25, 1), 250, false);
        for (start_ns, duration_ns) in [(0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
            (source.video[0].start_ns, source.video[0].duration_ns) = (start_ns, duration_ns);
            assert!(split(&source, &Grid::default()).len() as u64 <= MAX_CHUNKS);
        }
        let day = film((25, 1), 25 * 86_400, false);
        let ten_seconds = Grid { keys_to_chunk: 5, ..Grid::default() };
        let chunks = split(&day, &ten_seconds);
        assert_eq!(chunks.len(), 1728, "a day in chunks of five times ten seconds");
        assert!(chunks.windows(2).all(|pair| pair[0].end_ns == Some(pair[1].start_ns)));
    }
}

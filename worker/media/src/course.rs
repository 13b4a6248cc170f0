//! How the work of an encode is spread over a film's frames, guessed before it begins: what took many bytes in the source takes an
//! encoder long as well, though not as much longer.

use std::path::Path;

use rushes_shared::media::MediaFacts;

use crate::mp4::read::{self, Kind, ReadTrack};

/// Frames on each side over which bytes are taken together: key frames are large, and take no longer for that.
const AROUND: usize = 25;
/// Fewer frames say nothing.
const LEAST_FRAMES: usize = 2 * AROUND;

/// Which share of the work lies before each frame.
#[derive(Debug)]
pub(crate) struct Course {
    /// By frame, in the order in which they are shown; the last is 1.
    over: Vec<f32>,
}

impl Course {
    /// Of a film whose index can be read; others are taken for even.
    pub(crate) fn of(input: &Path, source: &MediaFacts) -> Option<Self> {
        let is_indexed = matches!(source.container.as_str(), "mp4" | "mov");
        let tracks = if is_indexed { read::read(input).ok()? } else { return None };
        Self::of_track(tracks.iter().find(|track| track.kind == Kind::Video)?)
    }

    fn of_track(track: &ReadTrack) -> Option<Self> {
        let mut shown: Vec<(i64, u32)> = track.samples.iter().map(|s| (s.pts, s.size)).collect();
        shown.sort_unstable();
        let count = shown.len();
        if count < LEAST_FRAMES {
            return None;
        }
        let mut before = Vec::with_capacity(count + 1);
        before.push(0.0_f64);
        for (_, size) in &shown {
            before.push(before.last().copied().unwrap_or(0.0) + f64::from(*size));
        }
        let mut sum = 0.0_f64;
        let mut sums = Vec::with_capacity(count);
        for at in 0..count {
            let (from, to) = (at.saturating_sub(AROUND), (at + AROUND + 1).min(count));
            let frames = u32::try_from(to - from).unwrap_or(u32::MAX);
            sum += ((before[to] - before[from]) / f64::from(frames)).sqrt();
            sums.push(sum);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        let over = sums.iter().map(|own| (own / sum) as f32).collect();
        (sum > 0.0).then_some(Self { over })
    }

    /// Which share of the work is over once so many frames of `total` are.
    pub(crate) fn over(&self, frames: u64, total: u64) -> f64 {
        let count = u64::try_from(self.over.len()).unwrap_or(u64::MAX);
        // An edit list may show fewer frames than the index has.
        let at = crate::pace::scaled(frames.min(total), count, total.max(1));
        let index = usize::try_from(at).ok().and_then(|at| at.checked_sub(1));
        index.and_then(|index| self.over.get(index)).copied().map_or(0.0, f64::from)
    }
}

#[cfg(test)]
mod tests {
    use crate::mp4::read::Sample;

    use super::*;

    #[test]
    fn what_took_four_times_the_bytes_is_taken_for_twice_the_work() {
        let sample = |n: i64| Sample {
            offset: 0,
            size: if n < 1000 { 4000 } else { 1000 },
            pts: n,
            delay: 0,
            duration: 1,
            key: n % 50 == 0,
        };
        // In the order of decoding, which is another one.
        let samples = (0..2000).map(|n| sample(n ^ 1)).collect();
        let course = Course::of_track(&ReadTrack::for_tests(Kind::Video, 25, samples)).unwrap();
        let half = course.over(1000, 2000);
        assert!((half - 2.0 / 3.0).abs() < 0.01, "{half}");
        assert_eq!((course.over(0, 2000), course.over(2000, 2000)), (0.0, 1.0));
        assert!((course.over(500, 1000) - half).abs() < 1e-6, "a count of its own");
        assert_eq!(course.over(9, 0), course.over(0, 0), "nothing is divided by zero");
    }

    #[test]
    fn a_short_film_has_none() {
        let samples = (0..49)
            .map(|n| Sample { offset: 0, size: 9, pts: n, delay: 0, duration: 1, key: true })
            .collect();
        assert!(Course::of_track(&ReadTrack::for_tests(Kind::Video, 25, samples)).is_none());
    }
}

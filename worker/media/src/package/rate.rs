//! Bit rates of a track: over the whole, over rows of segments, and the most over a window.

use super::timeline::Segment;
use crate::mp4::read::ReadTrack;
use crate::pace;

/// Bits a second of that many bytes.
fn rate(bytes: u64, length_ns: u64) -> u64 {
    pace::scaled(bytes.saturating_mul(8), 1_000_000_000, length_ns)
}

/// Over the whole.
pub(super) fn average(segments: &[Segment], timescale: u32) -> u64 {
    let length = segments.iter().map(|segment| segment.length_ns(timescale)).sum();
    rate(segments.iter().map(|segment| segment.bytes).sum(), length)
}

/// The most of any row of segments whose length is between half and one and a half times `segment_ns` (RFC 8216,
/// 4.3.4.2); of a film that is shorter than that, its own.
pub(super) fn peak(segments: &[Segment], timescale: u32, segment_ns: u64) -> u64 {
    let mut most = 0;
    for first in 0..segments.len() {
        let (mut bytes, mut length) = (0, 0);
        for segment in &segments[first..] {
            bytes += segment.bytes;
            length += segment.length_ns(timescale);
            if length > segment_ns / 2 * 3 {
                // A single one that is longer counts as it is.
                if length == segment.length_ns(timescale) {
                    most = most.max(rate(bytes, length));
                }
                break;
            }
            if length >= segment_ns / 2 {
                most = most.max(rate(bytes, length));
            }
        }
    }
    most.max(average(segments, timescale))
}

/// The most bits a second within any `window_ns`, by decoding times, and where that window begins in nanoseconds. A film
/// that is shorter than the window counts as if it were as long.
pub(super) fn window(track: &ReadTrack, window_ns: u64) -> (u64, u64) {
    let mut order: Vec<i64> = track.samples.iter().map(|sample| sample.pts).collect();
    order.sort_unstable();
    let at = |n: usize| track.ns(order[n] - order[0]);
    let window = i64::try_from(window_ns).unwrap_or(i64::MAX);
    let (mut first, mut bytes, mut most, mut place) = (0, 0u64, 0, 0);
    for (n, sample) in track.samples.iter().enumerate() {
        bytes += u64::from(sample.size);
        while at(n) - at(first) >= window {
            bytes -= u64::from(track.samples[first].size);
            first += 1;
        }
        let found = rate(bytes, window_ns);
        if found > most {
            (most, place) = (found, u64::try_from(at(first)).unwrap_or(0));
        }
    }
    (most, place)
}

#[cfg(test)]
mod tests {
    use crate::mp4::read::{Kind, Sample};

    use super::*;

    #[test]
    fn the_peak_is_where_the_bits_are() {
        let sample = |n: u32| Sample {
            offset: 0,
            size: if (50..75).contains(&n) { 500 } else { 100 },
            pts: i64::from(n),
            duration: 1,
            key: n.is_multiple_of(25),
        };
        let track = ReadTrack::for_tests(Kind::Video, 25, (0..100).map(sample).collect());
        assert_eq!(window(&track, 1_000_000_000), (100_000, 2_000_000_000));
        let borders = super::super::timeline::borders(&track, 1_000_000_000);
        let segments = super::super::timeline::segments("film", &track, &borders).unwrap();
        assert_eq!((average(&segments, 25), peak(&segments, 25, 1_000_000_000)), (40_000, 100_000));
        assert_eq!(peak(&segments, 25, 2_000_000_000), 100_000, "a half of two seconds is a row");
        assert_eq!(peak(&segments, 25, 3_000_000_000), 60_000);
    }
}

//! Bit rates of a rendition: over the whole, over rows of segments, and the most over a window.

use crate::mp4::read::ReadTrack;
use crate::pace;

/// What a segment costs who fetches it: the bytes of its file, boxes and all, for that many nanoseconds of the film.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) bytes: u64,
    pub(super) length_ns: u64,
}

/// Bits a second of that many bytes.
pub(super) fn rate(bytes: u64, length_ns: u64) -> u64 {
    pace::scaled(bytes.saturating_mul(8), 1_000_000_000, length_ns)
}

/// The same rounded up, as what manifests promise is a bound.
fn bound(bytes: u64, length_ns: u64) -> u64 {
    let bits = u128::from(bytes) * 8_000_000_000;
    u64::try_from(bits.div_ceil(u128::from(length_ns.max(1)))).unwrap_or(u64::MAX)
}

/// Over the whole.
pub(super) fn average(segments: &[Cost]) -> u64 {
    let length = segments.iter().map(|segment| segment.length_ns).sum();
    bound(segments.iter().map(|segment| segment.bytes).sum(), length)
}

/// The most of any row of segments whose length is between half and one and a half times the target duration (RFC 8216,
/// 4.3.4.2); of a film that is shorter than that, its own.
pub(super) fn peak(segments: &[Cost], target_ns: u64) -> u64 {
    let mut most = average(segments);
    for first in 0..segments.len() {
        let (mut bytes, mut length) = (0, 0);
        for segment in &segments[first..] {
            bytes += segment.bytes;
            length += segment.length_ns;
            let is_long = length > target_ns / 2 * 3;
            // A single one that is longer counts as it is.
            if !is_long && length >= target_ns / 2 || is_long && length == segment.length_ns {
                most = most.max(bound(bytes, length));
            }
            if is_long {
                break;
            }
        }
    }
    most
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
    use super::super::timeline::Segment;
    use crate::mp4::read::{Kind, Sample};

    use super::*;

    #[test]
    fn the_peak_is_where_the_bits_are() {
        let sample = |n: u32| Sample {
            offset: 0,
            size: if (50..75).contains(&n) { 500 } else { 100 },
            pts: i64::from(n),
            delay: 0,
            duration: 1,
            key: n.is_multiple_of(25),
        };
        let track = ReadTrack::for_tests(Kind::Video, 25, (0..100).map(sample).collect());
        assert_eq!(window(&track, 1_000_000_000), (100_000, 2_000_000_000));
        let borders = super::super::timeline::borders(&track, 1_000_000_000);
        let segments = super::super::timeline::segments("film", &track, &borders).unwrap();
        let cost = |segment: &Segment| Cost { bytes: segment.bytes, length_ns: segment.length_ns(25) };
        let costs: Vec<Cost> = segments.iter().map(cost).collect();
        assert_eq!((average(&costs), peak(&costs, 1_000_000_000)), (40_000, 100_000));
        assert_eq!(peak(&costs, 2_000_000_000), 100_000, "a half of two seconds is a row");
        assert_eq!(peak(&costs, 3_000_000_000), 60_000);
    }
}

//! A stream's times, from an index or from its packets.

use rushes_shared::units::Ratio;

use crate::pace;

/// What is known of a stream's times.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Timing {
    /// Packets that are shown.
    pub(super) packets: u64,
    /// First one's start, in nanoseconds.
    pub(super) start_ns: u64,
    /// From the first one's start to the last one's end.
    pub(super) duration_ns: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Whether their distances differ by more than `step_ns`.
    pub(super) vfr: bool,
    /// The stream's language as the container's index has it; empty where it does not say.
    pub(super) language: String,
    /// From the first packet's start to the last one's start.
    pub(super) span_ns: u64,
}

impl Timing {
    /// From packets' start times (in any order) and the last one's duration. `step_ns` is the resolution of the times.
    pub(super) fn of(mut starts: Vec<u64>, last_duration: u64, bytes: u64, step_ns: u64) -> Self {
        starts.sort_unstable();
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else { return Self::default() };
        let vfr = distances(&starts).is_some_and(|(least, most)| most - least > step_ns + step_ns / 4);
        let packets = u64::try_from(starts.len()).unwrap_or(u64::MAX);
        let mean = if packets > 1 { (last - first) / (packets - 1) } else { 0 };
        let tail = if last_duration > 0 { last_duration } else { mean };
        Self {
            language: String::new(),
            packets,
            start_ns: first,
            duration_ns: last + tail - first,
            bytes,
            vfr,
            span_ns: last - first,
        }
    }

    /// Bits a second.
    pub(super) fn bitrate_bps(&self) -> u64 {
        if self.duration_ns == 0 { 0 } else { pace::scaled(self.bytes, 8_000_000_000, self.duration_ns) }
    }

    /// Packets a second: the declared rate where the packets agree with it, a common one where they are near it, else
    /// the mean.
    pub(super) fn rate(&self, declared: Option<Ratio>) -> Option<Ratio> {
        if self.packets < 2 || self.duration_ns == 0 {
            return declared;
        }
        if self.vfr {
            return mean(self.packets, self.duration_ns);
        }
        let near = |rate: &Ratio| {
            // How far the last packet would be off, in packets; half a packet's rounding is no other rate.
            let packets = u128::from(self.packets - 1) * 1_000_000_000 * u128::from(rate.den);
            let span = u128::from(self.span_ns) * u128::from(rate.num);
            packets.abs_diff(span) < 500_000_000 * u128::from(rate.den) && near_frame(*rate, self)
        };
        declared
            .filter(near)
            .or_else(|| COMMON.iter().map(|&(num, den)| Ratio { num, den }).find(near))
            .or_else(|| mean(self.packets - 1, self.span_ns))
    }
}

/// Whether the mean distance is a frame of this rate, to a five-hundredth or the millisecond of coarse containers.
fn near_frame(rate: Ratio, timing: &Timing) -> bool {
    let frame_ns = pace::scaled(1_000_000_000, u64::from(rate.den), u64::from(rate.num.max(1)));
    let mean_ns = timing.span_ns / (timing.packets - 1).max(1);
    mean_ns.abs_diff(frame_ns) <= (frame_ns / 500).max(1_000_000 / (timing.packets - 1).max(1) + 1)
}

/// Rates that cameras and screens have.
const COMMON: &[(u32, u32)] = &[
    (24_000, 1001),
    (24, 1),
    (25, 1),
    (30_000, 1001),
    (30, 1),
    (50, 1),
    (60_000, 1001),
    (60, 1),
    (10, 1),
    (12, 1),
    (15, 1),
    (20, 1),
    (48, 1),
    (120, 1),
];

fn distances(starts: &[u64]) -> Option<(u64, u64)> {
    starts.windows(2).map(|pair| pair[1] - pair[0]).fold(None, |range, distance| match range {
        None => Some((distance, distance)),
        Some((least, most)) => Some((distance.min(least), distance.max(most))),
    })
}

fn mean(packets: u64, duration_ns: u64) -> Option<Ratio> {
    let (mut num, mut den) = (u128::from(packets) * 1_000_000_000, u128::from(duration_ns));
    let common = gcd(num, den);
    (num, den) = (num / common, den / common);
    while num > u128::from(u32::MAX) || den > u128::from(u32::MAX) {
        (num, den) = (num / 2, den / 2);
    }
    Ratio::new(u32::try_from(num).ok()?, u32::try_from(den).ok()?)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(frames: u64, num: u64, den: u64, step: u64) -> Vec<u64> {
        (0..frames).map(|n| n * den * 1_000_000_000 / num / step * step).collect()
    }

    #[test]
    fn a_constant_rate_survives_the_rounding_of_its_container() {
        let exact = Timing::of(at(90, 30_000, 1001, 1), 33_366_666, 1, 11_112);
        assert!(!exact.vfr);
        assert_eq!(exact.rate(None), Ratio::new(30_000, 1001));
        let coarse = Timing::of(at(90, 30_000, 1001, 1_000_000), 33_000_000, 1, 1_000_000);
        assert!(!coarse.vfr);
        assert_eq!(coarse.rate(Ratio::new(30_000, 1001)), Ratio::new(30_000, 1001));
    }

    #[test]
    fn a_gap_makes_the_rate_variable_and_the_mean_is_told() {
        let timing = Timing::of(vec![0, 40_000_000, 1_040_000_000, 1_080_000_000], 40_000_000, 1, 1000);
        assert!(timing.vfr);
        assert_eq!(timing.rate(Ratio::new(25, 1)), Ratio::new(25, 7));
    }

    #[test]
    fn one_picture_has_the_declared_rate() {
        let timing = Timing::of(vec![0], 33_366_666, 1, 1);
        assert!(!timing.vfr);
        assert_eq!(timing.rate(Ratio::new(30_000, 1001)), Ratio::new(30_000, 1001));
    }
}

//! A bound on the rate as a leaky bucket, and how it holds where chunks meet that were encoded by themselves.
//!
//! Packets fall into a bucket of the buffer's size, each at its time of decoding, and it drains at the bound's rate. What is sent
//! keeps the bound as long as the bucket does not overflow (ITU-T H.264, annex C, seen from the sender).
//!
//! Every border between chunks has one promise: **the bucket is no more than half full there.** A chunk that follows another is
//! taken to begin with half a bucket, the first one with none; it must not overflow from there; and if another one follows it
//! has to end with no more than half. If each chunk keeps this by itself, the whole keeps the bound:
//!
//! 1. A bucket that begins with less never holds more later on. After a packet of `s` it holds `max(h - drained, 0) + s`, which
//!    does not grow when `h` shrinks.
//! 2. So if the film's bucket holds no more at a chunk's first frame than the chunk was taken to begin with, it holds no
//!    more at any time up to the chunk's end: it does not overflow within the chunk, and is no more than half full at its end.
//! 3. The first chunk begins with an empty one. By induction 2. is true of every chunk.
//!
//! [`RateCap::within_chunks`] always keeps the promise, for it gives a chunk half of the buffer and a rate lower by half a buffer
//! over its length. From half a bucket on, the chunk adds at most the other half, and ends no fuller than it began. x264 and x265
//! rarely need it. They plan with what the bucket holds at the beginning and aim at half of one by themselves, so that a
//! chunk is encoded with the whole bound first, walked through, and encoded again only where it has not kept the promise.

use super::{ChunkRange, RateCap};

/// A part of the bits that is all of them, in thousandths.
pub const ALL: u64 = 1000;
/// The most of a chunk's bits for which is asked whether they would keep a bound.
const MOST_SHARE: u64 = 16 * ALL;

/// What a chunk has to keep so that the film keeps its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkBound {
    /// The film's bound.
    pub cap: RateCap,
    /// Whether it follows another chunk, and so begins with half a bucket.
    pub follows: bool,
    /// Whether another one follows it, so that it has to end with half a bucket or less.
    pub is_followed: bool,
}

impl ChunkBound {
    /// Of a chunk of a film that has this bound.
    #[must_use]
    pub fn of(cap: RateCap, range: &ChunkRange) -> Self {
        Self { cap, follows: range.start_ns > 0, is_followed: range.end_ns.is_some() }
    }

    /// The largest share of its bits, in thousandths, with which a chunk would keep this: less than [`ALL`] where it does not, and
    /// [`MOST_SHARE`] at most. `packets` are time in nanoseconds and bytes in decoding order, the times not going back; it ends at
    /// `end_ns`.
    #[must_use]
    pub fn share(&self, packets: &[(i64, u32)], end_ns: i64) -> u64 {
        if self.holds(packets, end_ns, MOST_SHARE) {
            return MOST_SHARE;
        }
        let (mut low, mut high) = if self.holds(packets, end_ns, ALL) { (ALL, MOST_SHARE) } else { (1, ALL) };
        while low + 1 < high {
            let middle = u64::midpoint(low, high);
            if self.holds(packets, end_ns, middle) { low = middle } else { high = middle }
        }
        low
    }

    /// Whether a share of the bits keeps it.
    fn holds(&self, packets: &[(i64, u32)], end_ns: i64, share: u64) -> bool {
        // Its content in thousandths of a bit.
        let rate = u128::from(self.cap.max_bps);
        let size = rate * u128::from(self.cap.buffer_ms);
        let mut held = if self.follows { size / 2 } else { 0 };
        let mut before = packets.first().map_or(end_ns, |(at, _)| *at);
        let drained = |from: i64, to: i64| rate * u128::from(to.abs_diff(from)) / 1_000_000;
        for (at, bytes) in packets {
            held = held.saturating_sub(drained(before, *at)) + u128::from(*bytes) * 8 * u128::from(share);
            before = *at;
            if held > size {
                return false;
            }
        }
        !self.is_followed || held.saturating_sub(drained(before, end_ns.max(before))) <= size / 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: RateCap = RateCap { max_bps: 1_000_000, buffer_ms: 1000 };
    const FRAME_NS: i64 = 40_000_000;

    fn bound(follows: bool, is_followed: bool) -> ChunkBound {
        ChunkBound { cap: CAP, follows, is_followed }
    }

    fn timed(sizes: &[u32], from: i64) -> Vec<(i64, u32)> {
        (from..).zip(sizes).map(|(number, size)| (number * FRAME_NS, *size)).collect()
    }

    fn end(packets: &[(i64, u32)]) -> i64 {
        packets.last().map_or(0, |(at, _)| at + FRAME_NS)
    }

    #[test]
    fn a_chunk_between_others_has_half_the_bucket_at_either_end() {
        // 5,000 bytes a frame are the rate.
        let steady = timed(&[5_000; 100], 0);
        for (follows, is_followed) in [(false, false), (true, true)] {
            assert!(bound(follows, is_followed).share(&steady, end(&steady)) >= ALL);
        }
        let mut large_first = steady.clone();
        large_first[0].1 = 120_000;
        let share = bound(false, false).share(&large_first, end(&large_first));
        assert!((ALL..ALL * 11 / 10).contains(&share), "it fills an empty bucket: {share}");
        assert!(bound(true, false).share(&large_first, end(&large_first)) < ALL, "there is half of one");
        let mut large_last = steady;
        large_last[99].1 = 80_000;
        assert!(
            bound(true, false).share(&large_last, end(&large_last)) < ALL,
            "62,500 and 80,000 bytes are more than 125,000"
        );
        assert!(bound(false, true).share(&large_last, end(&large_last)) < ALL, "more than half is left");
    }

    proptest! {
        /// Chunks that keep their bound one by one keep the film's together.
        #[test]
        fn chunks_that_keep_theirs_keep_the_whole(
            chunks in prop::collection::vec(prop::collection::vec(0_u32..40_000, 1..80), 1..8),
        ) {
            let mut film: Vec<(i64, u32)> = Vec::new();
            for (number, sizes) in chunks.iter().enumerate() {
                let bound = bound(number > 0, number + 1 < chunks.len());
                let from = i64::try_from(film.len()).unwrap_or(0);
                let mut packets = timed(sizes, from);
                let share = bound.share(&packets, end(&packets));
                for (_, size) in &mut packets {
                    *size = u32::try_from(u64::from(*size) * share / ALL).unwrap_or(0);
                }
                prop_assume!(bound.share(&packets, end(&packets)) >= ALL);
                film.extend(packets);
            }
            prop_assert!(bound(false, false).share(&film, end(&film)) >= ALL);
        }

        /// What a chunk sends under its own tight bound is what it may send between others.
        #[test]
        fn a_tight_bound_always_keeps_the_promise(sizes in prop::collection::vec(0_u32..60_000, 25..250)) {
            let length_ns = u64::try_from(sizes.len()).unwrap_or(0) * FRAME_NS.unsigned_abs();
            let tight = ChunkBound { cap: CAP.within_chunks(length_ns), follows: false, is_followed: false };
            let mut packets = timed(&sizes, 0);
            let share = tight.share(&packets, end(&packets));
            for (_, size) in &mut packets {
                *size = u32::try_from(u64::from(*size) * share / ALL).unwrap_or(0);
            }
            prop_assume!(tight.share(&packets, end(&packets)) >= ALL);
            prop_assert!(bound(true, true).share(&packets, end(&packets)) >= ALL);
        }
    }
}

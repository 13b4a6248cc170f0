//! Chance that can be had again: one seed decides a test.

use std::time::Duration;

/// A small generator (splitmix64), enough to choose moments.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From `RUSHES_SEED`, else from the clock. Prints the seed, so that a failure can be had again.
    ///
    /// # Panics
    /// When `RUSHES_SEED` is no number.
    #[must_use]
    pub fn seeded() -> Self {
        let seed = match std::env::var("RUSHES_SEED") {
            Ok(text) => text.parse().expect("RUSHES_SEED is a number"),
            Err(_) => std::time::UNIX_EPOCH
                .elapsed()
                .map_or(1, |since| u64::from(since.subsec_nanos()) ^ since.as_secs()),
        };
        println!("seed {seed}; run it again with RUSHES_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// A time below `end`, in whole microseconds.
    pub fn time_below(&mut self, end: Duration) -> Duration {
        let micros = u64::try_from(end.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros.max(1)))
    }
}

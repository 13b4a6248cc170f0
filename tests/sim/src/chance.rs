//! Chance that can be had again. Every purpose has a stream of its own, so that a change in one (another policy takes
//! more retries) leaves the others (arrivals, content) as they were: runs stay comparable pair by pair.
//!
//! Logarithms and roots come from `libm`, which gives the same bits on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rushes_core::splitmix::splitmix;

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream of a seed that belongs to a purpose.
    #[must_use]
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(purpose.bytes().fold(0, |h, byte| splitmix(h ^ u64::from(byte))));
        Self(rng)
    }

    /// A number from 0 up to, not including, 1.
    pub(crate) fn share(&mut self) -> f64 {
        share(self.0.next_u64())
    }

    /// Whether something with this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.share() < probability
    }

    /// A whole number below `end`; 0 where `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // Lemire's multiplication; its bias is below 2^-32 for the small ends used here.
        u64::try_from((u128::from(self.0.next_u64()) * u128::from(end)) >> 64).expect("it is below `end`")
    }

    /// Uniform between two numbers.
    pub(crate) fn between(&mut self, range: [f64; 2]) -> f64 {
        range[0] + (range[1] - range[0]) * self.share()
    }

    /// A waiting time with this mean: exponential, so that what happens is a Poisson process.
    pub(crate) fn wait(&mut self, mean: f64) -> f64 {
        -mean * libm::log(1.0 - self.share())
    }
}

/// A number that depends on what it is asked for alone, not on how often.
#[must_use]
pub(crate) fn fixed(seed: u64, what: u64, which: u64) -> u64 {
    splitmix(splitmix(seed ^ what.rotate_left(32)) ^ which)
}

/// The same as a share of 1.
#[must_use]
pub(crate) fn fixed_share(seed: u64, what: u64, which: u64) -> f64 {
    share(fixed(seed, what, which))
}

/// A log-normal factor with median 1 (Box and Muller 1958).
#[must_use]
pub(crate) fn log_normal(seed: u64, what: u64, which: u64, sigma: f64) -> f64 {
    if sigma <= 0.0 {
        return 1.0;
    }
    let radius = 1.0 - fixed_share(seed, what, which);
    let angle = fixed_share(seed ^ 0x5bd1_e995, what, which);
    let normal = libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(2.0 * std::f64::consts::PI * angle);
    libm::exp(sigma * normal)
}

#[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_do_not_touch_one_another() {
        let numbers = |purpose| {
            let mut chance = Chance::new(7, purpose);
            (0..50).map(|_| chance.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers("arrivals"), numbers("arrivals"));
        assert_ne!(numbers("arrivals"), numbers("faults"));
    }

    #[test]
    fn distributions_have_their_means() {
        let mut chance = Chance::new(1, "x");
        let n = 20_000;
        let mean = (0..n).map(|_| chance.wait(3.0)).sum::<f64>() / f64::from(n);
        assert!((2.9..3.1).contains(&mean), "{mean}");
        let mut factors: Vec<f64> = (0..20_000).map(|i| log_normal(1, 2, i, 0.2)).collect();
        factors.sort_by(f64::total_cmp);
        let quantile = |q: usize| factors[factors.len() * q / 100];
        assert!((0.99..1.01).contains(&quantile(50)), "{}", quantile(50));
        // One sigma of a log-normal: e^0.2.
        assert!((1.20..1.24).contains(&quantile(84)), "{}", quantile(84));
    }
}

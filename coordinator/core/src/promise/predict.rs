//! The one interface for what a task should cost: quantiles for a task on a node.
//!
//! The plan carries an estimate for a node of speed 1 (physical until a model is learned); here it meets the node. Speed
//! is learned from what tasks took against what was predicted, as an exponentially weighted mean of logarithms: a task
//! that took twice as long counts as much as one that took half.

use crate::job::Prediction;

/// Speeds are kept within these bounds, in thousandths.
pub const SPEED_RANGE: (u32, u32) = (50, 20_000);
/// Weight of a new observation: one eighth,
const WEIGHT: i64 = 8;
/// of tasks that should take so long or longer, in milliseconds. The shorter one is, the more of its time is its start, and
/// the less it says about long ones.
const FULL_MS: u64 = 2_000;
/// One observation counts at most as a factor of eight.
const MOST: i64 = 3 << 16;

/// What a task should take on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Wall time that half of such tasks stay below, in milliseconds.
    pub p50_ms: u64,
    /// Wall time that nine of ten stay below, in milliseconds.
    pub p90_ms: u64,
    /// CPU time over all threads, in milliseconds.
    pub cpu_ms: u64,
}

/// How estimates become expectations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predictor {
    /// The ninth decile against the median, in thousandths.
    pub p90_permille: u32,
}

impl Predictor {
    /// What a task of this prediction should take on a node of this speed, in thousandths.
    #[must_use]
    pub fn expect(&self, prediction: Prediction, speed_permille: u32) -> Expected {
        let p50_ms = prediction.wall_ms.saturating_mul(1_000) / u64::from(speed_permille.max(1));
        let p90_ms = p50_ms.saturating_mul(u64::from(self.p90_permille)) / 1_000;
        Expected { p50_ms, p90_ms: p90_ms.max(p50_ms), cpu_ms: prediction.cpu_ms }
    }
}

/// A node's speed after a task of this prediction took so long there; as before where that says nothing.
#[must_use]
pub fn learned(speed_permille: u32, prediction: Prediction, took_ms: u64) -> u32 {
    // Below this the clock's grain and the start of the task outweigh the work.
    const SHORTEST_MS: u64 = 20;
    if prediction.wall_ms < SHORTEST_MS || took_ms == 0 {
        return speed_permille;
    }
    let before = log2(u64::from(speed_permille.max(1)));
    let seen = log2(prediction.wall_ms) + log2(1_000) - log2(took_ms);
    let part = i64::try_from(prediction.wall_ms.min(FULL_MS)).unwrap_or(0);
    let whole = i64::try_from(FULL_MS).unwrap_or(1);
    let after = before + (seen - before).clamp(-MOST, MOST) * part / whole / WEIGHT;
    u32::try_from(exp2(after)).unwrap_or(u32::MAX).clamp(SPEED_RANGE.0, SPEED_RANGE.1)
}

/// Logarithm to base 2 in 65536ths, linear between powers of two: within 0.09 and exactly undone by [`exp2`].
fn log2(x: u64) -> i64 {
    let whole = x.max(1).ilog2();
    let above = u128::from(x.max(1) - (1 << whole)) << 16 >> whole;
    (i64::from(whole) << 16) + i64::try_from(above).unwrap_or(0)
}

fn exp2(log: i64) -> u64 {
    let log = log.max(0);
    let whole = u32::try_from(log >> 16).unwrap_or(62).min(62);
    let part = u128::try_from(log & 0xffff).unwrap_or(0);
    // Rounded, so that a speed that is right stays where it is.
    let above = ((part << whole) + (1 << 15)) >> 16;
    (1 << whole) + u64::try_from(above).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(wall_ms: u64) -> Prediction {
        Prediction { cpu_ms: wall_ms, wall_ms, model: 0 }
    }

    #[test]
    fn a_node_that_takes_twice_as_long_is_found_to_be_half_as_fast_whatever_the_tasks() {
        let mut speed = 1_000;
        for n in 0..60 {
            let wall = 500 + n * 997 % 20_000;
            speed = learned(speed, predicted(wall), wall * 2);
        }
        assert!((485..=515).contains(&speed), "{speed}");
        for _ in 0..10 {
            assert_eq!(learned(1_000, predicted(1_000), 1_000), 1_000, "a right prediction changes nothing");
        }
    }

    #[test]
    fn short_tasks_that_mostly_start_say_little_of_long_ones() {
        let mut speed = 1_000;
        for _ in 0..10 {
            speed = learned(speed, predicted(100), 500);
        }
        assert!(speed > 850, "{speed}");
        assert!(learned(1_000, predicted(4_000), 20_000) < speed, "one long task says more than ten of them");
    }

    #[test]
    fn one_odd_task_does_not_ruin_what_is_known_and_short_ones_teach_nothing() {
        assert!(learned(1_000, predicted(1_000), 1_000_000) > 700);
        assert_eq!(learned(1_000, predicted(5), 500), 1_000);
        assert_eq!(learned(1_000, predicted(5_000), 0), 1_000);
    }
}

//! What decides the bits of a ladder's rungs under their bounds.

use serde::{Deserialize, Serialize};

use super::{LadderSettings, Rung};
use crate::media::MediaFacts;

/// What decides the bits of a ladder's rungs, under their bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LadderRate {
    /// The rate factor of their codec.
    #[default]
    Factor,
    /// A mean over the film, whose bits chunks share by how hard they are. The bound is half as much again.
    Mean {
        /// Of the largest rung of the first codec, in bits a second; the others' are in the ladder's proportion. `None` for the
        /// rate that the ladder gives that rung.
        top_bps: Option<u64>,
    },
    /// A mean over the film as above, such that the whole set has this size: rungs in the ladder's proportion share what its
    /// sounds leave.
    Size {
        /// Bytes of all rungs and sounds together.
        bytes: u64,
    },
}

/// Share of a set's size that its rungs and sounds may have, in percent: what is off by a little on the way, and what segments
/// have around their packets, have the rest.
const OF_SIZE: u128 = 96;
/// The most that the largest rung has, in bits a second: a short film needs no more of a large size.
pub const MOST_MEAN_BPS: u64 = 1_000_000_000;
/// The least mean rate of a rung that is worth making, in bits a second.
pub const LEAST_MEAN_BPS: u64 = 10_000;

impl LadderSettings {
    /// Mean rates that the rungs are asked to have, in bits a second and in their order; none where a rate factor decides.
    #[must_use]
    pub fn mean_rates(&self, source: &MediaFacts) -> Vec<u64> {
        if self.rate == LadderRate::Factor {
            Vec::new()
        } else {
            self.means_of(source, &self.own_rungs(source))
        }
    }

    /// The means of rungs that have the ladder's own bounds.
    fn means_of(&self, source: &MediaFacts, rungs: &[Rung]) -> Vec<u64> {
        let own = |rung: &Rung| rung.cap.map_or(0, |cap| cap.max_bps);
        let top = rungs.first().map_or(0, own).max(1);
        let asked = match self.rate {
            LadderRate::Mean { top_bps: Some(bps) } => bps,
            LadderRate::Mean { top_bps: None } | LadderRate::Factor => top,
            LadderRate::Size { bytes } => {
                let all: u128 = rungs.iter().map(|rung| u128::from(own(rung))).sum();
                let left = u128::from(self.bps_of_size(source, bytes)) * u128::from(top) / all.max(1);
                u64::try_from(left).unwrap_or(u64::MAX).min(MOST_MEAN_BPS)
            }
        };
        let scaled = |bps: u64| u128::from(bps) * u128::from(asked) / u128::from(top);
        rungs.iter().map(|rung| u64::try_from(scaled(own(rung))).unwrap_or(u64::MAX)).collect()
    }

    /// Bits a second that a set of this size has for its rungs.
    fn bps_of_size(&self, source: &MediaFacts, bytes: u64) -> u64 {
        let bits = u128::from(bytes) * 8 * OF_SIZE / 100;
        let whole = bits * 1_000_000_000 / u128::from(source.duration_ns.max(1));
        let sounds: u64 = self.sounds(source).into_iter().map(u64::from).sum();
        u64::try_from(whole).unwrap_or(u64::MAX).saturating_sub(sounds)
    }

    /// Bytes of the smallest set whose rungs all have a rate that is worth making, where a size is asked for that is less.
    #[must_use]
    pub fn least_size(&self, source: &MediaFacts) -> Option<u64> {
        let LadderRate::Size { bytes } = self.rate else { return None };
        let worst = self.mean_rates(source).into_iter().min()?;
        if worst >= LEAST_MEAN_BPS {
            return None;
        }
        let own: Vec<u64> =
            self.own_rungs(source).iter().filter_map(|rung| rung.cap).map(|cap| cap.max_bps).collect();
        let (all, least) = (own.iter().sum::<u64>(), own.iter().min().copied().unwrap_or(1).max(1));
        // What is cut off where shares are rounded down is less than this.
        const CUT_OFF_BPS: u64 = 4;
        let rungs = u128::from(all) * u128::from(LEAST_MEAN_BPS + CUT_OFF_BPS) / u128::from(least) + 1;
        let sounds: u64 = self.sounds(source).into_iter().map(u64::from).sum();
        let bits = (rungs + u128::from(sounds)) * u128::from(source.duration_ns) / 1_000_000_000;
        Some(u64::try_from(bits * 100 / OF_SIZE / 8).unwrap_or(u64::MAX).max(bytes.saturating_add(1)))
    }

    /// The least mean rate of the largest rung with which all rungs have one that is worth making, where less is asked for.
    #[must_use]
    pub fn least_rate(&self, source: &MediaFacts) -> Option<u64> {
        let LadderRate::Mean { top_bps: Some(_) } = self.rate else { return None };
        let worst = self.mean_rates(source).into_iter().min().filter(|worst| *worst < LEAST_MEAN_BPS)?;
        let own: Vec<u64> =
            self.own_rungs(source).iter().filter_map(|rung| rung.cap).map(|cap| cap.max_bps).collect();
        let (top, least) = (own.first().copied()?, own.iter().min().copied().filter(|least| *least > 0)?);
        let rate = u128::from(LEAST_MEAN_BPS) * u128::from(top);
        Some(u64::try_from(rate.div_ceil(u128::from(least))).unwrap_or(u64::MAX).max(worst + 1))
    }

    /// Gives rungs that have the ladder's own bounds those that belong to their means.
    pub(super) fn bound_means(&self, source: &MediaFacts, rungs: &mut [Rung]) {
        if self.rate == LadderRate::Factor {
            return;
        }
        let means = self.means_of(source, rungs);
        for (rung, mean_bps) in rungs.iter_mut().zip(means) {
            if let Some(cap) = &mut rung.cap {
                cap.max_bps = mean_bps.saturating_add(mean_bps / 2).max(1000);
            }
        }
    }
}

//! What decides the bits of a ladder's rungs under their bounds.

use serde::{Deserialize, Serialize};

use super::{LadderSettings, Rung};
use crate::encode::VideoCodec;
use crate::media::MediaFacts;

/// What decides the bits of a ladder's rungs, under their bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LadderRate {
    /// The rate factor of their codec.
    #[default]
    Factor,
    /// A mean over the film, whose bits chunks share by how hard they are; of [codecs](Self::has_means) with fine rate factors. The
    /// bound is half as much again.
    Mean {
        /// Of the largest rung of the first codec, in bits a second; the others' are in the ladder's proportion. `None` for the
        /// rate that the ladder gives that rung.
        top_bps: Option<u64>,
    },
}

impl LadderRate {
    /// Whether rungs of a codec can have mean rates. Steps of VP9's and AV1's quantizers are too far apart for the few bits by which a
    /// mean may be off.
    #[must_use]
    pub fn has_means(codec: VideoCodec) -> bool {
        matches!(codec, VideoCodec::H264 | VideoCodec::Hevc)
    }
}

impl LadderSettings {
    /// Mean rates that the rungs are asked to have, in bits a second and in their order; none where a rate factor decides.
    #[must_use]
    pub fn mean_rates(&self, source: &MediaFacts) -> Vec<u64> {
        if self.rate == LadderRate::Factor { Vec::new() } else { self.means_of(&self.own_rungs(source)) }
    }

    /// The means of rungs that have the ladder's own bounds.
    fn means_of(&self, rungs: &[Rung]) -> Vec<u64> {
        let own = |rung: &Rung| rung.cap.map_or(0, |cap| cap.max_bps);
        let top = rungs.first().map_or(0, own).max(1);
        let asked = match self.rate {
            LadderRate::Mean { top_bps: Some(bps) } => bps,
            LadderRate::Mean { top_bps: None } | LadderRate::Factor => top,
        };
        let scaled = |bps: u64| u128::from(bps) * u128::from(asked) / u128::from(top);
        rungs.iter().map(|rung| u64::try_from(scaled(own(rung))).unwrap_or(u64::MAX)).collect()
    }

    /// Gives rungs that have the ladder's own bounds those that belong to their means.
    pub(super) fn bound_means(&self, rungs: &mut [Rung]) {
        if self.rate == LadderRate::Factor {
            return;
        }
        let means = self.means_of(rungs);
        for (rung, mean_bps) in rungs.iter_mut().zip(means) {
            if let Some(cap) = &mut rung.cap {
                cap.max_bps = mean_bps.saturating_add(mean_bps / 2).max(1000);
            }
        }
    }
}

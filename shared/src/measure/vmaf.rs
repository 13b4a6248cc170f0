//! VMAF: which model, and how scores of frames become those of a film, also where parts of it were scored apart.
//!
//! Scores are pooled as libvmaf does: the mean, and the harmonic mean of scores raised by one, which gives low scores
//! more weight (Li, Aaron, Katsavounidis, Moorthy and Manohara, 2016). Sums over parts add up to those of the whole, so
//! that neither depends on how a film was cut.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model that comes with libvmaf, by its name there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum VmafModel {
    /// A television with 1080 lines, seen from three times its height.
    #[default]
    #[serde(rename = "vmaf_v0.6.1")]
    Hd,
    /// The same without reward for sharpening and contrast ("no enhancement gain"): for comparing encoders.
    #[serde(rename = "vmaf_v0.6.1neg")]
    HdNeg,
    /// A television with 2160 lines, seen from one and a half times its height.
    #[serde(rename = "vmaf_4k_v0.6.1")]
    Uhd,
}

impl VmafModel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hd, Self::HdNeg, Self::Uhd];

    /// Its name in libvmaf.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hd => "vmaf_v0.6.1",
            Self::HdNeg => "vmaf_v0.6.1neg",
            Self::Uhd => "vmaf_4k_v0.6.1",
        }
    }
}

/// Steps in which the low end of scores is kept, to a point.
const STEPS: f64 = 10.0;

/// Sums over the scores of frames. Those of parts, merged, are those of the whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VmafTally {
    /// Frames that were scored.
    pub frames: u64,
    /// Sum of their scores.
    pub sum: f64,
    /// Sum of 1 / (score + 1).
    pub inverse_sum: f64,
    /// The lowest score; 0 where there is none.
    pub min: f64,
    /// When the frame of the lowest score is shown, in nanoseconds.
    pub min_at_ns: u64,
    /// How many frames scored how many whole tenths of a point, lowest first; at most 1,001.
    #[schema(value_type = Vec<Vec<u32>>)]
    pub tenths: Vec<(u16, u32)>,
}

/// What the scores of a film's frames come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VmafScores {
    /// Which model gave them.
    pub model: VmafModel,
    /// Frames that were scored.
    pub frames: u64,
    /// Mean, 0 to 100.
    pub mean: f64,
    /// Harmonic mean, 0 to 100.
    pub harmonic_mean: f64,
    /// The score that one frame in a hundred is below, to a tenth of a point, rounded down.
    pub worst_percent: f64,
    /// The lowest score of a frame.
    pub min: f64,
    /// When that frame is shown, in nanoseconds from the first frame on.
    pub min_at_ns: u64,
}

impl VmafTally {
    /// Adds the score of the frame that is shown at a time.
    pub fn add(&mut self, score: f64, at_ns: u64) {
        let score = score.clamp(0.0, 100.0);
        if self.frames == 0 || score < self.min {
            (self.min, self.min_at_ns) = (score, at_ns);
        }
        self.frames += 1;
        self.sum += score;
        self.inverse_sum += 1.0 / (score + 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 1,000")]
        let tenth = (score * STEPS).floor() as u16;
        self.count(tenth, 1);
    }

    fn count(&mut self, tenth: u16, frames: u32) {
        match self.tenths.binary_search_by_key(&tenth, |(tenth, _)| *tenth) {
            Ok(at) => self.tenths[at].1 = self.tenths[at].1.saturating_add(frames),
            Err(at) => self.tenths.insert(at, (tenth, frames)),
        }
    }

    /// Adds those of another part of the film, in times of the film.
    pub fn merge(&mut self, other: &Self) {
        if other.frames > 0 && (self.frames == 0 || other.min < self.min) {
            (self.min, self.min_at_ns) = (other.min, other.min_at_ns);
        }
        self.frames = self.frames.saturating_add(other.frames);
        self.sum += other.sum;
        self.inverse_sum += other.inverse_sum;
        for &(tenth, frames) in &other.tenths {
            self.count(tenth, frames);
        }
    }

    /// The same with all times later by this, in nanoseconds.
    #[must_use]
    pub fn later(self, by_ns: u64) -> Self {
        Self { min_at_ns: self.min_at_ns.saturating_add(by_ns), ..self }
    }

    /// What they come to; `None` where no frame was scored.
    #[must_use]
    pub fn scores(&self, model: VmafModel) -> Option<VmafScores> {
        #[expect(clippy::cast_precision_loss, reason = "frames of a film are far fewer than 2^52")]
        let frames = self.frames as f64;
        (self.frames > 0).then(|| VmafScores {
            model,
            frames: self.frames,
            mean: self.sum / frames,
            harmonic_mean: (frames / self.inverse_sum - 1.0).clamp(0.0, 100.0),
            // Counted in tenths, it may be rounded to less than the worst frame has.
            worst_percent: self.below(self.frames / 100).max(self.min),
            min: self.min,
            min_at_ns: self.min_at_ns,
        })
    }

    /// The score that so many frames are below.
    fn below(&self, frames: u64) -> f64 {
        let mut passed = 0;
        for &(tenth, count) in &self.tenths {
            passed += u64::from(count);
            if passed > frames {
                return f64::from(tenth) / STEPS;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_are_pooled_as_libvmaf_does() {
        let mut tally = VmafTally::default();
        assert_eq!(tally.scores(VmafModel::Hd), None);
        for (at, score) in (0..).zip([80.0, 90.0, 100.0, 50.05]) {
            tally.add(score, at * 40);
        }
        let found = tally.scores(VmafModel::HdNeg).unwrap();
        assert_eq!(
            (found.frames, found.min, found.min_at_ns, found.model),
            (4, 50.05, 120, VmafModel::HdNeg)
        );
        assert!((found.mean - 80.0125).abs() < 1e-9);
        let harmonic = 4.0 / (1.0 / 81.0 + 1.0 / 91.0 + 1.0 / 101.0 + 1.0 / 51.05) - 1.0;
        assert!((found.harmonic_mean - harmonic).abs() < 1e-9);
        assert!((found.worst_percent - 50.05).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn one_frame_in_a_hundred_is_below_the_worst_percent() {
        let mut tally = VmafTally::default();
        (0..198).for_each(|at| tally.add(95.0, at));
        (0..2).for_each(|at| tally.add(40.0, at));
        assert!((tally.scores(VmafModel::Hd).unwrap().worst_percent - 95.0).abs() < 1e-9);
        tally.add(40.0, 0);
        assert!((tally.scores(VmafModel::Hd).unwrap().worst_percent - 40.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn parts_together_are_the_whole(scores in proptest::collection::vec(0.0..100.0_f64, 1..200), cut in 0_u64..200) {
            let (mut whole, mut first, mut second) = (VmafTally::default(), VmafTally::default(), VmafTally::default());
            for (at, &score) in (0_u64..).zip(&scores) {
                whole.add(score, at);
                if at < cut { first.add(score, at) } else { second.add(score, at) }
            }
            first.merge(&second);
            let (one, two) = (whole.scores(VmafModel::Hd).unwrap(), first.scores(VmafModel::Hd).unwrap());
            prop_assert!((one.mean - two.mean).abs() < 1e-9 && (one.harmonic_mean - two.harmonic_mean).abs() < 1e-9);
            prop_assert_eq!((whole.frames, whole.min, whole.min_at_ns, whole.tenths), (first.frames, first.min, first.min_at_ns, first.tenths));
        }
    }
}

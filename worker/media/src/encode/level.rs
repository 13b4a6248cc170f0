//! Bringing sound to a loudness: measured in a pass before, reached by one gain for all of it.
//!
//! The gain is what is missing to the target, as far as the true peak stays under its ceiling (EBU R 128, and EBU Tech
//! 3343 on why nothing is compressed). What is measured is the sound as it will be: mixed and at its rate.

use std::path::Path;

use gstreamer_audio as audio;
use rushes_shared::encode::{AudioSettings, Container, LoudnessTarget};
use rushes_shared::failure::Failure;
use rushes_shared::measure::Loudness;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use super::{mixing, sound};
use crate::sound::loudness_mixed;

/// A target counts as missed by more than this, in LU.
const TOLERANCE: f64 = 0.1;

/// The factor for samples, and what is worth knowing of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gain {
    pub(super) factor: Option<f32>,
    pub(super) warning: Option<String>,
}

/// Measures the sound of a file as `settings` will have it.
pub(super) fn gain(
    (input, source): (&Path, &MediaFacts),
    settings: &AudioSettings,
    container: Container,
    target: LoudnessTarget,
    progress: &mut dyn FnMut(Progress),
) -> Result<Gain, Failure> {
    let settings = settings.clone();
    let mixing = Box::new(move |shape: &audio::AudioInfo| {
        let samples = sound::samples(&settings, container, (shape.rate(), shape.channels(), shape.depth()));
        let positions = shape.positions().unwrap_or_default();
        let rows = mixing::matrix(positions, u32::from(samples.channels));
        (samples.caps("F32LE"), rows.map(|rows| mixing::property(&rows)))
    });
    loudness_mixed(input, source, mixing, progress).map(|measured| decide(&measured, target))
}

fn decide(measured: &Loudness, target: LoudnessTarget) -> Gain {
    let (wanted, ceiling) = (f64::from(target.integrated) / 10.0, f64::from(target.true_peak) / 10.0);
    let Some(loudness) = measured.integrated_lufs else {
        let warning = Some("loudness: there is nothing to hear, so it stays as it is".to_owned());
        return Gain { factor: None, warning };
    };
    let missing = wanted - loudness;
    let room = measured.true_peak_dbtp.map_or(missing, |peak| ceiling - peak);
    let gain = missing.min(room);
    let warning = (missing - gain > TOLERANCE).then(|| {
        format!(
            "loudness: {:.1} LUFS instead of {wanted:.1}, as the true peak would pass {ceiling:.1} dBTP",
            loudness + gain
        )
    });
    #[expect(clippy::cast_possible_truncation, reason = "a factor, of which a few digits are enough")]
    let factor = 10f64.powf(gain / 20.0) as f32;
    Gain { factor: Some(factor), warning }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(loudness: Option<f64>, peak: f64, gain_db: Option<f64>, warns: bool) {
        let measured =
            Loudness { integrated_lufs: loudness, true_peak_dbtp: Some(peak), ..Loudness::default() };
        let gain = decide(&measured, LoudnessTarget { integrated: -230, true_peak: -10 });
        assert_eq!(gain.warning.is_some(), warns, "{gain:?}");
        let db = gain.factor.map(|factor| 20.0 * f64::from(factor).log10());
        assert!(db.zip(gain_db).is_none_or(|(is, wanted)| (is - wanted).abs() < 0.001), "{gain:?}");
        assert_eq!(db.is_some(), gain_db.is_some());
    }

    #[test]
    fn a_gain_reaches_the_target_or_the_ceiling() {
        check(Some(-30.0), -12.0, Some(7.0), false);
        check(Some(-16.0), -0.2, Some(-7.0), false);
        check(Some(-30.0), -4.0, Some(3.0), true);
        check(None, -80.0, None, true);
    }
}

//! Bringing sound to a loudness: measured in a pass before, reached by one gain for all of it.
//!
//! The gain is what is missing to the target (EBU R 128). Where peaks would pass the ceiling with it they are limited, and
//! nothing else: the sound between them keeps its dynamics (EBU Tech 3343). That takes a little loudness as well, so
//! the limited sound is measured and the gain raised, a few times at most. What is measured is the sound as it will be: mixed
//! and at its rate, before its codec; what that is known to take off is added before.

use std::path::Path;

use gstreamer_audio as audio;
use rushes_shared::encode::{AudioSettings, Container, LoudnessTarget};
use rushes_shared::failure::Failure;
use rushes_shared::measure::Loudness;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use super::{mixing, sound};
use crate::sound::{Limited, LimiterSettings, Mixing, loudness_limited, loudness_mixed};

/// A limited sound is near enough to its target at this, in LU.
const NEAR: f64 = 0.1;
/// A target counts as missed by more than this, in LU.
const TOLERANCE: f64 = 0.5;
/// Most that the gain may lift peaks above the ceiling, in dB. More is heard as distortion, and such a sound is rather a
/// mistake: a click in silence.
const MOST_LIMITED_DB: f64 = 12.0;
/// Times that limited sound is measured at most.
const ROUNDS: u32 = 5;

/// What is done to samples, and what is worth knowing of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Level {
    pub(super) gain: Option<Gain>,
    pub(super) told: Option<String>,
}

/// What brings samples to their loudness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Gain {
    /// A factor for all samples.
    Factor(f32),
    /// A factor for all samples, and peaks limited after it.
    Limited(LimiterSettings),
}

/// Measures the sound of a file as `settings` will have it.
pub(super) fn level(
    (input, source): (&Path, &MediaFacts),
    settings: &AudioSettings,
    container: Container,
    target: LoudnessTarget,
    progress: &mut dyn FnMut(Progress),
) -> Result<Level, Failure> {
    let measured = loudness_mixed(input, source, as_encoded(settings, container), progress)?;
    decide(&measured, target, sound::lost_db(settings), &mut |limiting| {
        let how = (as_encoded(settings, container), limiting);
        let (measured, limited) = loudness_limited(input, source, how, progress)?;
        Ok((measured.integrated_lufs, limited))
    })
}

/// Brings what is decoded into what the encoder takes.
fn as_encoded(settings: &AudioSettings, container: Container) -> Mixing {
    let settings = settings.clone();
    Box::new(move |shape: &audio::AudioInfo| {
        let samples = sound::samples(&settings, container, (shape.rate(), shape.channels(), shape.depth()));
        let positions = shape.positions().unwrap_or_default();
        let rows = mixing::matrix(positions, u32::from(samples.channels));
        (samples.caps("F32LE"), rows.map(|rows| mixing::property(&rows)))
    })
}

/// Measures limited sound: its loudness in LUFS, and what the limiter did.
type Measure<'a> = dyn FnMut(LimiterSettings) -> Result<(Option<f64>, Limited), Failure> + 'a;

/// Decides for an encoder that takes `lost` dB off what it is given.
fn decide(
    measured: &Loudness,
    target: LoudnessTarget,
    lost: f64,
    measure: &mut Measure<'_>,
) -> Result<Level, Failure> {
    let wanted = f64::from(target.integrated) / 10.0 + lost;
    // An encoder may take integers, which end at full scale.
    let ceiling = (f64::from(target.true_peak) / 10.0 + lost).min(0.0);
    let Some(loudness) = measured.integrated_lufs else {
        let told = Some("loudness: there is nothing to hear, so it stays as it is".to_owned());
        return Ok(Level { gain: None, told });
    };
    let missing = wanted - loudness;
    let room = measured.true_peak_dbtp.map_or(missing, |peak| ceiling - peak);
    if missing <= room {
        return Ok(Level { gain: Some(Gain::Factor(linear(missing))), told: None });
    }
    let limiting = |gain_db| LimiterSettings { drive: linear(gain_db), ceiling: linear(ceiling) };
    let most = room + MOST_LIMITED_DB;
    // Without limiting the gain gives as much loudness as it is itself.
    let mut before = (room, loudness + room);
    let mut gain = missing.min(most);
    let mut rounds = 1;
    let (reached, limited) = loop {
        let (heard, limited) = measure(limiting(gain))?;
        let heard = heard.unwrap_or(loudness + room);
        let next = (gain + (wanted - heard) / slope(before, (gain, heard))).min(most);
        if (wanted - heard).abs() <= NEAR || (next - gain).abs() < NEAR / 4.0 || rounds == ROUNDS {
            break (heard, limited);
        }
        (before, gain, rounds) = ((gain, heard), next, rounds + 1);
    };
    let told = told((reached - lost, wanted - lost), ceiling - lost, &limited);
    Ok(Level { gain: Some(Gain::Limited(limiting(gain))), told: Some(told) })
}

/// Loudness for gain between two measurements; never so little that the next step would be a leap.
fn slope(before: (f64, f64), now: (f64, f64)) -> f64 {
    let slope = (now.1 - before.1) / (now.0 - before.0);
    if slope.is_finite() { slope.clamp(0.25, 1.0) } else { 1.0 }
}

fn told((reached, wanted): (f64, f64), ceiling: f64, limited: &Limited) -> String {
    let done = format!(
        "peaks limited to {ceiling:.1} dBTP, by up to {:.1} dB, in {:.1} % of the sound",
        limited.deepest_db(),
        limited.lowered_percent()
    );
    if (reached - wanted).abs() <= TOLERANCE {
        return format!("loudness: {reached:.1} LUFS, {done}");
    }
    format!(
        "loudness: {reached:.1} LUFS instead of {wanted:.1}, {done}; it would take more than that to reach it"
    )
}

#[expect(clippy::cast_possible_truncation, reason = "a factor, of which a few digits are enough")]
fn linear(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: LoudnessTarget = LoudnessTarget { integrated: -230, true_peak: -10 };

    /// Decides for a sound whose loudness, limited, follows its gain by `heard`. Gives the gain in dB, whether it is limited,
    /// the number of measurements, and what is told.
    fn decided(
        loudness: Option<f64>,
        peak: f64,
        heard: impl Fn(f64) -> f64,
    ) -> (Option<(f64, bool)>, u32, Option<String>) {
        let measured =
            Loudness { integrated_lufs: loudness, true_peak_dbtp: Some(peak), ..Loudness::default() };
        let mut rounds = 0;
        let level = decide(&measured, TARGET, 0.0, &mut |settings: LimiterSettings| {
            rounds += 1;
            assert!((settings.ceiling - 0.891_25).abs() < 1e-4, "{settings:?}");
            let gain = 20.0 * f64::from(settings.drive).log10();
            Ok((Some(heard(gain)), Limited { moments: 1000, lowered: 12, lowest: 0.5 }))
        });
        let level = level.unwrap();
        let db = |factor: f32| 20.0 * f64::from(factor).log10();
        let gain = level.gain.map(|gain| match gain {
            Gain::Factor(factor) => (db(factor), false),
            Gain::Limited(settings) => (db(settings.drive), true),
        });
        (gain, rounds, level.told)
    }

    #[test]
    fn a_gain_that_keeps_under_the_ceiling_is_all_there_is() {
        for (loudness, peak, expected) in [(-30.0, -12.0, 7.0), (-16.0, -0.2, -7.0), (-30.0, -8.0, 7.0)] {
            let (gain, rounds, told) = decided(Some(loudness), peak, |_| unreachable!());
            let (gain, limited) = gain.unwrap();
            assert!((gain - expected).abs() < 0.001 && !limited && rounds == 0 && told.is_none(), "{gain}");
        }
        let (gain, _, told) = decided(None, -80.0, |_| unreachable!());
        assert!(gain.is_none() && told.is_some());
    }

    #[test]
    fn a_limited_sound_is_raised_until_it_is_as_loud_as_it_should_be() {
        // Three decibels of room; of each more, a half is lost.
        let heard = |gain: f64| -30.0 + 3.0 + (gain - 3.0) / 2.0;
        let (gain, rounds, told) = decided(Some(-30.0), -4.0, heard);
        let (gain, limited) = gain.unwrap();
        assert!(limited && (heard(gain) + 23.0).abs() <= NEAR && rounds <= ROUNDS, "{gain} dB, {rounds}");
        let told = told.unwrap();
        assert!(
            told.starts_with("loudness: -23.0 LUFS, peaks limited to -1.0 dBTP, by up to 6.0 dB, in 1.2 %"),
            "{told}"
        );
    }

    #[test]
    fn what_the_encoder_takes_off_is_added_before_it() {
        let measured =
            Loudness { integrated_lufs: Some(-30.0), true_peak_dbtp: Some(-12.0), ..Loudness::default() };
        let level = decide(&measured, TARGET, 0.4, &mut |_| unreachable!()).unwrap();
        let Some(Gain::Factor(factor)) = level.gain else { panic!("{level:?}") };
        assert!((20.0 * f64::from(factor).log10() - 7.4).abs() < 0.001, "{factor}");
        // Limited a little higher than asked for, and never above full scale.
        for (true_peak, ceiling) in [(-10, -0.6), (-1, 0.0)] {
            let target = LoudnessTarget { integrated: -140, true_peak };
            let level = decide(&measured, target, 0.4, &mut |settings: LimiterSettings| {
                assert!((20.0 * f64::from(settings.ceiling).log10() - ceiling).abs() < 0.001, "{settings:?}");
                Ok((Some(-13.6), Limited { moments: 10, lowered: 1, lowest: 0.9 }))
            });
            let told = level.unwrap().told.unwrap();
            assert!(told.starts_with("loudness: -14.0 LUFS, "), "{told}");
        }
    }

    #[test]
    fn a_target_out_of_reach_ends_at_the_most_that_is_limited() {
        // A click far above everything else.
        let (gain, rounds, told) = decided(Some(-50.0), -0.5, |gain| -50.0 + gain);
        let (gain, limited) = gain.unwrap();
        assert!(
            limited && (gain - (-0.5 + MOST_LIMITED_DB)).abs() < 0.001 && rounds == 1,
            "{gain} dB, {rounds}"
        );
        assert!(told.unwrap().starts_with("loudness: -38.5 LUFS instead of -23.0, "));
        // Louder than this it does not become at all.
        let (gain, rounds, told) = decided(Some(-30.0), -4.0, |_| -27.0);
        assert!(gain.unwrap().0 <= 3.0 + MOST_LIMITED_DB + 0.001 && rounds <= ROUNDS);
        assert!(told.unwrap().contains(" instead of "));
    }
}

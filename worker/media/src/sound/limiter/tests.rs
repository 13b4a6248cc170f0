//! Synthetic peaks, held against an interpolation of another kind: sixteen points to a sample from a far longer filter.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "samples are narrower than what they are computed from, and few"
)]

use std::f64::consts::PI;

use super::*;

const RATE: u32 = 48_000;
const CEILING_DB: f64 = -1.0;

fn linear(db: f64) -> f32 {
    10f64.powf(db / 20.0) as f32
}

/// Limits interleaved samples, given in pieces whose lengths have nothing to do with anything.
fn limited(samples: &[f32], channels: usize, drive_db: f64) -> (Vec<f32>, Limited) {
    let settings = LimiterSettings { drive: linear(drive_db), ceiling: linear(CEILING_DB) };
    let mut limiter = Limiter::new(settings, channels, RATE);
    let mut out = Vec::new();
    for piece in samples.chunks(channels * 331) {
        limiter.push(piece, &mut out);
    }
    let told = limiter.finish(&mut out);
    (out, told)
}

/// The true peak of one channel in dB, from a sinc over 128 samples.
fn true_peak_db(samples: &[f32]) -> f64 {
    const SIDE: i64 = 64;
    let taps: Vec<Vec<f64>> = (0..16)
        .map(|phase| {
            let place = |k: i64| k as f64 - f64::from(phase) / 16.0;
            let tap = |d: f64| if d == 0.0 { 1.0 } else { (PI * d).sin() / (PI * d) };
            let window = |d: f64| (PI * d / (2 * SIDE + 2) as f64).cos().powi(2);
            (1 - SIDE..=SIDE).map(|k| tap(place(k)) * window(place(k))).collect()
        })
        .collect();
    let mut highest = 0.0f64;
    for n in 0..samples.len() as i64 {
        let near =
            |k: i64| usize::try_from(n + k).ok().and_then(|at| samples.get(at)).copied().unwrap_or(0.0);
        let window: Vec<f64> = (1 - SIDE..=SIDE).map(|k| f64::from(near(k))).collect();
        if window.iter().all(|sample| sample.abs() < 0.2) {
            continue;
        }
        for phase in &taps {
            let point: f64 = phase.iter().zip(&window).map(|(tap, sample)| tap * sample).sum();
            highest = highest.max(point.abs());
        }
    }
    20.0 * highest.log10()
}

fn tone(frequency: f64, amplitude: f64, phase: f64, length: u32) -> Vec<f32> {
    let at = |n| amplitude * (2.0 * PI * frequency * f64::from(n) / f64::from(RATE) + phase).sin();
    (0..length).map(|n| at(n) as f32).collect()
}

/// Noise of a fixed seed without what is above 0.42 of the rate, which no interpolation of this length could tell.
fn noise(amplitude: f64, length: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let white: Vec<f64> = (0..length + 128)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    let low: Vec<f64> = (-64..64)
        .map(|k| {
            let d = f64::from(k);
            let sinc = if k == 0 { 0.84 } else { (0.84 * PI * d).sin() / (PI * d) };
            sinc * (PI * d / 130.0).cos().powi(2)
        })
        .collect();
    let filtered = white.windows(128).take(length);
    filtered.map(|w| (amplitude * w.iter().zip(&low).map(|(a, b)| a * b).sum::<f64>()) as f32).collect()
}

#[test]
fn the_ceiling_holds_between_samples() {
    let mut burst = vec![0.0; 9600];
    burst[4800..5800].copy_from_slice(&tone(12_000.0, 1.0, PI / 4.0, 1000));
    let mut clicks = vec![0.0f32; 9600];
    (clicks[0], clicks[100], clicks[101], clicks[4000], clicks[9599]) = (1.0, 0.9, 0.9, -1.0, 0.8);
    let square: Vec<f32> = tone(441.0, 1.0, 0.1, 9600).into_iter().map(|s| 0.7 * s.signum()).collect();
    let swelling: Vec<f32> =
        tone(997.0, 1.0, 0.0, 9600).into_iter().enumerate().map(|(n, s)| s * n as f32 / 9600.0).collect();
    for (name, sound) in [
        ("a burst at a quarter of the rate, its crests between samples", burst),
        ("clicks, the first and the last sample among them", clicks),
        ("a square wave that was never band-limited", square),
        ("a tone near the top of the band", tone(19_900.0, 1.0, 0.4, 9600)),
        ("a low tone", tone(40.0, 1.0, 0.0, 9600)),
        ("a tone whose flanks are longer than the look-ahead", tone(12.0, 1.0, 0.0, 9600)),
        ("a tone that swells", swelling),
        ("noise", noise(0.8, 9600)),
    ] {
        let before = true_peak_db(&sound) + 6.0;
        let (out, told) = limited(&sound, 1, 6.0);
        let after = true_peak_db(&out);
        assert!(before > CEILING_DB + 2.0, "{name}: {before} dB before");
        assert!(after <= CEILING_DB + 0.1, "{name}: {after} dB");
        // No more is taken off than is needed.
        assert!(after >= CEILING_DB - 0.2, "{name}: {after} dB");
        assert!(
            (told.deepest_db() - (before - CEILING_DB)).abs() < 0.4,
            "{name}: {told:?}, {before} dB before"
        );
        assert_eq!(out.len(), sound.len(), "{name}");
    }
}

#[test]
fn what_stays_under_the_ceiling_comes_out_as_it_went_in() {
    let sound: Vec<f32> = noise(0.2, 9600);
    let peak = true_peak_db(&sound);
    let drive = CEILING_DB - 0.2 - peak;
    let (out, told) = limited(&sound, 1, drive);
    let driven: Vec<f32> = sound.iter().map(|sample| sample * linear(drive)).collect();
    assert!(out == driven, "samples under the ceiling were changed");
    assert_eq!(told, Limited { moments: 9600, lowered: 0, lowest: 1.0 });
}

#[test]
fn only_what_is_near_a_peak_is_lowered_and_at_its_own_time() {
    let mut sound = tone(300.0, 0.3, 0.0, 144_000);
    sound[48_000] = 1.5;
    let (out, told) = limited(&sound, 1, 0.0);
    // Nothing before the look-ahead, and nothing when the release is over.
    assert!(out[..47_700] == sound[..47_700]);
    assert!(out[105_000..] == sound[105_000..]);
    assert!(out[48_000] < 0.9 && out[48_000] > 0.85, "{}", out[48_000]);
    assert!((4.0..5.2).contains(&told.deepest_db()), "{told:?}");
    assert!((5.0..15.0).contains(&told.lowered_percent()), "{told:?}");
    // The gain moves smoothly: less than 0.5 % of it from one sample to the next, and some are left out.
    let gains: Vec<f32> =
        out.iter().zip(&sound).filter(|(_, s)| s.abs() > 0.05).map(|(o, s)| o / s).collect();
    assert!(gains.windows(2).all(|pair| (pair[1] / pair[0] - 1.0).abs() < 0.05));
}

#[test]
fn all_channels_have_one_gain() {
    let (loud, quiet) = (tone(997.0, 0.99, 0.0, 9600), tone(440.0, 0.1, 1.0, 9600));
    let sound: Vec<f32> = loud.iter().zip(&quiet).flat_map(|(l, q)| [*l, *q]).collect();
    let (out, told) = limited(&sound, 2, 6.0);
    assert_eq!(out.len(), sound.len());
    assert!((6.7..7.2).contains(&told.deepest_db()), "{told:?}");
    for (is, was) in out.chunks_exact(2).zip(sound.chunks_exact(2)) {
        if was.iter().all(|sample| sample.abs() > 0.01) {
            assert!((is[0] / was[0] - is[1] / was[1]).abs() < 1e-5, "{is:?} of {was:?}");
        }
    }
}

#[test]
fn sound_that_is_no_number_or_shorter_than_the_look_ahead_passes() {
    let (out, told) = limited(&[0.5, f32::NAN, f32::INFINITY, -2.0], 1, 0.0);
    assert_eq!((out.len(), told.moments), (4, 4));
    assert!(out.iter().all(|sample| sample.abs() <= linear(CEILING_DB) + 0.01), "{out:?}");
    assert_eq!(limited(&[], 6, 3.0).0, Vec::<f32>::new());
}

//! How high a waveform stands between its samples (ITU-R BS.1770-4, annex 2: oversampling by four).
//!
//! Four points to a sample see a tone near the top of the band up to 0.6 dB too low, where its crest falls between two of
//! them. A parabola through a crest and its neighbours takes that below 0.1 dB for all that is under 0.45 of the
//! sample rate.

use std::f64::consts::PI;

/// Points looked at from one sample to the next, the sample's own included.
const OVERSAMPLING: usize = 4;
/// Samples on each side of a point that say how high it is.
pub(super) const REACH: usize = 32;
const TAPS: usize = 2 * REACH;
/// Shape of the Kaiser window: 60 dB between what passes and what does not.
const BETA: f64 = 5.65;

type Taps = [f32; TAPS];

/// The filters of the points between two samples.
#[derive(Debug, Clone)]
pub(super) struct Interpolation {
    between: [Taps; OVERSAMPLING - 1],
    /// No point is higher than the highest sample within reach times this.
    overshoot: f32,
}

impl Interpolation {
    pub(super) fn new() -> Self {
        let between = [1.0, 2.0, 3.0].map(|quarter| taps(quarter / 4.0));
        let sums = between.map(|taps| taps.iter().map(|tap| tap.abs()).sum::<f32>());
        Self { between, overshoot: sums.into_iter().fold(1.0, f32::max) }
    }
}

/// The filter for what stands `at` of the way from one sample to the next, brought to unity at rest.
#[expect(clippy::cast_possible_truncation, reason = "taps as wide as samples")]
fn taps(at: f64) -> Taps {
    let mut taps = [0.0; TAPS];
    let mut distance = -(REACH as f64 - 1.0) - at;
    for tap in &mut taps {
        let inside = (1.0 - (distance / REACH as f64).powi(2)).max(0.0).sqrt();
        *tap = (PI * distance).sin() / (PI * distance) * bessel(BETA * inside) / bessel(BETA);
        distance += 1.0;
    }
    let sum: f64 = taps.iter().sum();
    taps.map(|tap| (tap / sum) as f32)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

/// One channel's waveform as it passes.
#[derive(Debug, Clone)]
pub(super) struct Heights {
    /// The last samples twice, so that those of a point always lie in a row.
    samples: [f32; 2 * TAPS],
    next: usize,
    /// The last two points, the older one first.
    points: [f32; 2],
    /// Samples for which a point above the level may still come.
    watchful: usize,
}

impl Heights {
    pub(super) fn new() -> Self {
        Self { samples: [0.0; 2 * TAPS], next: 0, points: [0.0; 2], watchful: 0 }
    }

    /// Takes the next sample and gives the greatest height, crests included, that became known with it; 0 where it is
    /// certain that none is above `level`. Of samples counted from the newest backwards it stands near the one at
    /// [`REACH`], no further than one from it.
    pub(super) fn next(&mut self, sample: f32, level: f32, interpolation: &Interpolation) -> f32 {
        self.samples[self.next] = sample;
        self.samples[self.next + TAPS] = sample;
        self.next = (self.next + 1) % TAPS;
        if sample.abs() * interpolation.overshoot > level {
            self.watchful = TAPS;
        } else if self.watchful > 0 {
            self.watchful -= 1;
        }
        if self.watchful == 0 {
            self.points = [0.0; 2];
            return 0.0;
        }
        let window = &self.samples[self.next..self.next + TAPS];
        let [a, b, c] = interpolation.between.each_ref().map(|taps| dot(window, taps));
        let points = [window[REACH - 1], a, b, c];
        points.into_iter().map(|point| self.pass(point)).fold(0.0, f32::max)
    }

    /// How high the waveform stands around the point before this one.
    fn pass(&mut self, point: f32) -> f32 {
        let [before, middle] = self.points;
        self.points = [middle, point];
        let sign = middle.signum();
        let (a, b, c) = (before * sign, middle * sign, point * sign);
        let bend = a - 2.0 * b + c;
        if a > b || c > b || bend >= 0.0 {
            return b;
        }
        b - (a - c).powi(2) / (8.0 * bend)
    }
}

/// Eight sums side by side, which the compiler turns into vector instructions.
fn dot(window: &[f32], taps: &Taps) -> f32 {
    let mut sums = [0.0f32; 8];
    for (samples, taps) in window.chunks_exact(8).zip(taps.chunks_exact(8)) {
        for ((sum, sample), tap) in sums.iter_mut().zip(samples).zip(taps) {
            *sum += sample * tap;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "samples are narrower than what they are computed from")]
mod tests {
    use super::*;

    /// The highest crest of a tone of amplitude 1, away from its ends.
    fn crest(frequency: f64, phase: f64) -> f64 {
        let (interpolation, mut heights) = (Interpolation::new(), Heights::new());
        let mut highest = 0.0f32;
        for n in 0..400 {
            let sample = (2.0 * PI * frequency * f64::from(n) + phase).sin() as f32;
            let found = heights.next(sample, 0.1, &interpolation);
            if n > 2 * 40 {
                highest = highest.max(found);
            }
        }
        f64::from(highest)
    }

    #[test]
    fn a_tone_is_as_high_as_it_is_wherever_its_samples_fall() {
        for (frequency, phase) in
            [(0.25, PI / 4.0), (0.25, 0.0), (0.01, 0.3), (1.0 / 6.0, PI / 6.0), (0.41, 1.0), (0.45, 0.0)]
        {
            let off = 20.0 * crest(frequency, phase).log10();
            assert!((-0.1..0.05).contains(&off), "{frequency} of the rate, phase {phase}: {off} dB");
        }
    }

    #[test]
    fn what_is_far_below_the_level_is_not_looked_at_and_nothing_near_it_is_missed() {
        let (interpolation, mut heights) = (Interpolation::new(), Heights::new());
        assert!((1.5..4.0).contains(&interpolation.overshoot), "{}", interpolation.overshoot);
        assert!((0..100).all(|_| heights.next(0.1, 1.0, &interpolation) == 0.0));
        let found: Vec<f32> =
            (0..60).map(|n| heights.next(if n == 5 { -1.2 } else { 0.0 }, 1.0, &interpolation)).collect();
        let highest = found.iter().copied().fold(0.0, f32::max);
        assert!((1.19..1.25).contains(&highest), "{highest}");
        let at = found.iter().position(|height| *height == highest).unwrap();
        assert!(at.abs_diff(5 + REACH) <= 1, "{at}");
    }
}

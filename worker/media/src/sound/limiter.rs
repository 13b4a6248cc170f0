//! Peaks brought under a ceiling, and nothing else: a look-ahead true-peak limiter.
//!
//! ```text
//! samples * drive -+-> delay ----------------------------------------------------> * gain -> samples
//!                  +-> heights of every channel -> ceiling / height -> lowest within the look-ahead
//!                        -> release -> mean over the look-ahead, twice -> gain -----^
//! ```
//! One gain for all channels, so that nothing moves in the stereo image. It begins to fall a look-ahead before a crest and has
//! reached what the crest needs when that comes, since the lowest need of the look-ahead is averaged over no more than the
//! look-ahead. Sample for sample as many come out as went in, at their own time. What needs no limiting is multiplied
//! by 1 exactly.

use std::collections::VecDeque;

use super::true_peak::{Heights, Interpolation, REACH};

/// How long before a crest the gain begins to fall.
const LOOK_AHEAD_S: f64 = 0.005;
/// In which the gain goes back by 63 % of the way: long beside a period of the lowest notes, so that their waveform is kept.
const RELEASE_S: f64 = 0.1;
/// What is left of the way back when it counts as gone: 100 dB under the sound.
const BACK: f64 = 1e-5;
/// A gain counts as lowered under this: 0.1 dB.
const LOWERED: f64 = 0.9886;
/// Samples around the one at [`REACH`] by which a crest may be known; see [`Heights::next`].
const SPREAD: usize = 1;

/// What a limiter did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limited {
    /// Moments, each with a sample of every channel, that came out.
    pub(crate) moments: u64,
    /// Of these, with more than 0.1 dB taken off.
    pub(crate) lowered: u64,
    /// The lowest gain, 1 for none.
    pub(crate) lowest: f64,
}

impl Limited {
    /// Most that was taken off, in dB.
    pub(crate) fn deepest_db(&self) -> f64 {
        0.0 - 20.0 * self.lowest.log10()
    }

    /// Share of the sound of which more than 0.1 dB was taken off, in percent.
    #[expect(clippy::cast_precision_loss, reason = "a share that is told in tenths")]
    pub(crate) fn lowered_percent(&self) -> f64 {
        100.0 * self.lowered as f64 / self.moments.max(1) as f64
    }
}

/// What a limiter is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LimiterSettings {
    /// What samples are multiplied with before.
    pub(crate) drive: f32,
    /// Highest true peak afterwards, full scale at 1.
    pub(crate) ceiling: f32,
}

/// A limiter on its way through a sound of interleaved channels.
#[derive(Debug)]
pub(crate) struct Limiter {
    settings: LimiterSettings,
    channels: usize,
    interpolation: Interpolation,
    heights: Vec<Heights>,
    envelope: Envelope,
    /// Driven samples that wait for their gain.
    waiting: VecDeque<f32>,
    /// Moments that a sample waits.
    latency: usize,
    /// Moments of the lead-in, which are still to come out and not to be given.
    lead_in: usize,
    limited: Limited,
}

impl Limiter {
    pub(crate) fn new(settings: LimiterSettings, channels: usize, rate_hz: u32) -> Self {
        let channels = channels.max(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred samples")]
        let ahead = ((LOOK_AHEAD_S * f64::from(rate_hz)).round() as usize).max(2);
        let mut limiter = Self {
            settings,
            channels,
            interpolation: Interpolation::new(),
            heights: vec![Heights::new(); channels],
            envelope: Envelope::new(ahead, rate_hz),
            waiting: VecDeque::new(),
            latency: ahead + REACH + SPREAD,
            lead_in: ahead,
            limited: Limited { moments: 0, lowered: 0, lowest: 1.0 },
        };
        // A crest in the first moments finds a gain that has had the time to fall.
        limiter.silence(ahead, &mut Vec::new());
        limiter
    }

    /// Takes whole moments, and adds those that are ready to `out`.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        for moment in samples.chunks_exact(self.channels) {
            self.moment(moment.iter().copied(), out);
        }
    }

    /// Adds what still waits to `out`, and tells what was done.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) -> Limited {
        self.silence(self.latency, out);
        self.waiting.clear();
        self.limited
    }

    fn silence(&mut self, moments: usize, out: &mut Vec<f32>) {
        for _ in 0..moments {
            self.moment(std::iter::repeat_n(0.0, self.channels), out);
        }
    }

    fn moment(&mut self, samples: impl Iterator<Item = f32>, out: &mut Vec<f32>) {
        let LimiterSettings { drive, ceiling } = self.settings;
        let mut highest = 0.0f32;
        for (sample, heights) in samples.zip(&mut self.heights) {
            let driven = if sample.is_finite() { sample * drive } else { 0.0 };
            highest = highest.max(heights.next(driven, ceiling, &self.interpolation));
            self.waiting.push_back(driven);
        }
        let needed = if highest > ceiling { f64::from(ceiling) / f64::from(highest) } else { 1.0 };
        let gain = self.envelope.next(needed);
        if self.waiting.len() <= self.latency * self.channels {
            return;
        }
        let ready = self.waiting.drain(..self.channels);
        if self.lead_in > 0 {
            self.lead_in -= 1;
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a gain as wide as a sample")]
        let narrow = gain as f32;
        out.extend(ready.map(|sample| sample * narrow));
        self.limited.moments += 1;
        self.limited.lowered += u64::from(gain < LOWERED);
        if narrow < 1.0 {
            self.limited.lowest = self.limited.lowest.min(gain);
        }
    }
}

/// From what each moment needs to a smooth gain that is never above it.
#[derive(Debug)]
struct Envelope {
    /// Needs of the look-ahead that may be its lowest one day, rising, with their number.
    lowest: VecDeque<(u64, f64)>,
    span: u64,
    number: u64,
    /// What is left of the way back after a moment.
    release: f64,
    released: f64,
    means: [Mean; 2],
}

impl Envelope {
    fn new(ahead: usize, rate_hz: u32) -> Self {
        let first = ahead / 2;
        Self {
            lowest: VecDeque::new(),
            // A crest is known one sample early, in time or late.
            span: u64::try_from(ahead + 2 * SPREAD + 1).unwrap_or(u64::MAX),
            number: 0,
            release: (-1.0 / (RELEASE_S * f64::from(rate_hz))).exp(),
            released: 1.0,
            means: [Mean::new(first), Mean::new(ahead - first)],
        }
    }

    fn next(&mut self, needed: f64) -> f64 {
        while self.lowest.back().is_some_and(|(_, least)| *least >= needed) {
            self.lowest.pop_back();
        }
        self.lowest.push_back((self.number, needed));
        self.number += 1;
        while self.lowest.front().is_some_and(|(number, _)| number + self.span < self.number) {
            self.lowest.pop_front();
        }
        let least = self.lowest.front().map_or(needed, |(_, least)| *least);
        let behind = (least - self.released) * self.release;
        self.released = if behind > BACK { least - behind } else { least };
        let [first, second] = &mut self.means;
        second.next(first.next(self.released))
    }
}

/// The mean of the last values.
#[derive(Debug)]
struct Mean {
    values: VecDeque<f64>,
    sum: f64,
}

impl Mean {
    /// Of so many values, all of them 1 at first.
    fn new(length: usize) -> Self {
        let values = VecDeque::from(vec![1.0; length.max(1)]);
        let sum = values.iter().sum();
        Self { values, sum }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few hundred values")]
    fn next(&mut self, value: f64) -> f64 {
        let oldest = self.values.pop_front().unwrap_or(value);
        self.values.push_back(value);
        self.sum += value - oldest;
        self.sum / self.values.len() as f64
    }
}

#[cfg(test)]
mod tests;

//! Loudness by EBU R 128, measured by the `ebur128` crate.
//!
//! Channels are weighted by where their loudspeakers stand (ITU-R BS.1770-4, annex 1, table 4): surrounds between 60
//! and 120 degrees count 1.5 dB more, the low-frequency channel does not count. A mono file is one channel of a stereo
//! programme, as broadcasters measure it, not a signal on both loudspeakers.
//!
//! The loudness range is computed here, from ten short-term values a second: the crate takes one a second, which misses
//! several LU of range in music with loud beats.

use std::path::Path;

use ebur128::{Channel, EbuR128, Mode};
use gstreamer_audio as audio;
use gstreamer_audio::AudioChannelPosition as Position;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::Loudness;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use super::{Ear, Gaps, Limited, Limiter, LimiterSettings, Mixing, listen, listen_to};
use crate::pace;

/// Steps a second at which momentary and short-term loudness are looked at: EBU Tech 3341 asks for ten at least.
const LOOKS_A_SECOND: u32 = 10;
/// What loudness and peaks of nothing are given as; anything lower is none.
const FLOOR: f64 = -200.0;
/// Seconds behind a short-term value.
const SHORT_TERM_S: u64 = 3;
/// EBU Tech 3342: values below this level in LUFS do not count for the range, nor those so many LU below the mean of
/// the others.
const ABSOLUTE_GATE: f64 = -70.0;
const RELATIVE_GATE: f64 = -20.0;

/// Measures the first sound stream of a file that [`probe`](crate::probe()) found to be `source`. Blocks; calls
/// `progress` at least once a second. Takes 16 bytes of memory for each 100 ms of sound.
///
/// # Errors
/// [`FailureCode::StreamMissing`] without sound; [`FailureCode::InputDamaged`] where nothing of it can be decoded; the
/// codes of [`probe`](crate::probe()) for files that cannot be read; [`FailureCode::ProcessStalled`].
pub fn loudness(
    input: &Path,
    source: &MediaFacts,
    progress: &mut dyn FnMut(Progress),
) -> Result<Loudness, Failure> {
    listen(input, source, Gaps::Closed, Meter::default(), progress)?.read()
}

/// The same of the sound after it was mixed.
pub(crate) fn loudness_mixed(
    input: &Path,
    source: &MediaFacts,
    mixing: Mixing,
    progress: &mut dyn FnMut(Progress),
) -> Result<Loudness, Failure> {
    listen_to(input, source, (Gaps::Closed, Some(mixing)), Meter::default(), progress)?.read()
}

/// The same of the sound after it was mixed and limited, and what the limiter did.
pub(crate) fn loudness_limited(
    input: &Path,
    source: &MediaFacts,
    (mixing, settings): (Mixing, LimiterSettings),
    progress: &mut dyn FnMut(Progress),
) -> Result<(Loudness, Limited), Failure> {
    let ear = Behind { settings, limiter: None, limited: Vec::new(), meter: Meter::default() };
    listen_to(input, source, (Gaps::Closed, Some(mixing)), ear, progress)?.read()
}

/// A meter that hears what comes out of a limiter.
struct Behind {
    settings: LimiterSettings,
    limiter: Option<Limiter>,
    limited: Vec<f32>,
    meter: Meter,
}

impl Ear for Behind {
    fn begin(&mut self, shape: &audio::AudioInfo) -> Result<(), Failure> {
        let channels = usize::try_from(shape.channels()).unwrap_or(1);
        self.limiter = Some(Limiter::new(self.settings, channels, shape.rate()));
        self.meter.begin(shape)
    }

    fn hear(&mut self, samples: &[f32]) -> Result<(), Failure> {
        self.limited.clear();
        self.limiter.as_mut().expect("an ear begins before it hears").push(samples, &mut self.limited);
        self.meter.hear(&self.limited)
    }
}

impl Behind {
    fn read(mut self) -> Result<(Loudness, Limited), Failure> {
        self.limited.clear();
        let limiter = self.limiter.as_mut().expect("an ear that has heard has begun");
        let told = limiter.finish(&mut self.limited);
        self.meter.hear(&self.limited)?;
        Ok((self.meter.read()?, told))
    }
}

#[derive(Default)]
struct Meter {
    state: Option<EbuR128>,
    moments: u64,
    /// Samples, over all channels, until the next look at the loudness of this moment.
    until_look: usize,
    momentary_max: f64,
    /// Short-term loudness at every look that had three seconds behind it, in LUFS.
    short_term: Vec<f64>,
}

impl Ear for Meter {
    fn begin(&mut self, shape: &audio::AudioInfo) -> Result<(), Failure> {
        let mode = Mode::I | Mode::S | Mode::SAMPLE_PEAK | Mode::TRUE_PEAK;
        let mut state =
            EbuR128::new(shape.channels(), shape.rate(), mode).map_err(|error| unmeasurable(&error))?;
        let places = shape.positions().map(placed).unwrap_or_default();
        if places.len() == state.channels() as usize {
            state.set_channel_map(&places).map_err(|error| unmeasurable(&error))?;
        }
        self.until_look = look(&state);
        self.momentary_max = FLOOR;
        self.state = Some(state);
        Ok(())
    }

    fn hear(&mut self, mut samples: &[f32]) -> Result<(), Failure> {
        let state = self.state.as_mut().expect("a meter begins before it hears");
        while !samples.is_empty() {
            let (now, later) = samples.split_at(self.until_look.min(samples.len()));
            state.add_frames_f32(now).map_err(|error| unmeasurable(&error))?;
            self.moments += u64::try_from(now.len()).unwrap_or(0) / u64::from(state.channels().max(1));
            self.until_look -= now.len();
            if self.until_look == 0 {
                self.until_look = look(state);
                let momentary = state.loudness_momentary().unwrap_or(f64::NEG_INFINITY);
                self.momentary_max = self.momentary_max.max(momentary);
                if self.moments >= SHORT_TERM_S * u64::from(state.rate()) {
                    self.short_term.extend(state.loudness_shortterm());
                }
            }
            samples = later;
        }
        Ok(())
    }
}

/// Samples from one look to the next.
fn look(state: &EbuR128) -> usize {
    let moments = (state.rate() / LOOKS_A_SECOND).max(1);
    usize::try_from(moments.saturating_mul(state.channels())).unwrap_or(usize::MAX)
}

impl Meter {
    fn read(&self) -> Result<Loudness, Failure> {
        let state = self.state.as_ref().expect("a meter that has heard has begun");
        let channels = 0..state.channels();
        let highest = |peaks: &dyn Fn(u32) -> Result<f64, ebur128::Error>| {
            let linear = channels.clone().filter_map(|channel| peaks(channel).ok()).fold(0.0, f64::max);
            there(20.0 * linear.log10())
        };
        Ok(Loudness {
            integrated_lufs: there(state.loudness_global().map_err(|error| unmeasurable(&error))?),
            range_lu: range(&self.short_term),
            true_peak_dbtp: highest(&|channel| state.true_peak(channel)),
            sample_peak_dbfs: highest(&|channel| state.sample_peak(channel)),
            momentary_max_lufs: there(self.momentary_max),
            short_term_max_lufs: there(self.short_term.iter().copied().fold(FLOOR, f64::max)),
            channels: u16::try_from(state.channels()).unwrap_or(u16::MAX),
            rate_hz: state.rate(),
            duration_ns: pace::scaled(self.moments, 1_000_000_000, u64::from(state.rate())),
        })
    }
}

/// The loudness range (EBU Tech 3342, 3.1): from the tenth to the ninety-fifth percentile of what passes both gates.
fn range(short_term: &[f64]) -> f64 {
    let loud: Vec<f64> = short_term.iter().copied().filter(|level| *level >= ABSOLUTE_GATE).collect();
    if loud.is_empty() {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "ten values a second are far from the limit")]
    let mean = loud.iter().map(|level| 10f64.powf(level / 10.0)).sum::<f64>() / loud.len() as f64;
    let gate = 10.0 * mean.log10() + RELATIVE_GATE;
    let mut kept: Vec<f64> = loud.into_iter().filter(|level| *level >= gate).collect();
    kept.sort_by(f64::total_cmp);
    let at =
        |percent: usize| kept.get(((kept.len().max(1) - 1) * percent + 50) / 100).copied().unwrap_or(0.0);
    at(95) - at(10)
}

fn there(level: f64) -> Option<f64> {
    (level.is_finite() && level > FLOOR).then_some(level)
}

/// Where loudspeakers stand, as the meter's weights name it.
fn placed(positions: &[Position]) -> Vec<Channel> {
    let has_sides = positions.iter().any(|p| matches!(p, Position::SideLeft | Position::SideRight));
    let place = |position: &Position| match position {
        Position::FrontLeft => Channel::Left,
        Position::FrontRight => Channel::Right,
        Position::Mono | Position::FrontCenter => Channel::Center,
        Position::Lfe1 | Position::Lfe2 => Channel::Unused,
        Position::SideLeft | Position::SurroundLeft => Channel::LeftSurround,
        Position::SideRight | Position::SurroundRight => Channel::RightSurround,
        // The only pair of surrounds stands where 5.1 has it, at 110 degrees; behind others it stands at 135.
        Position::RearLeft if has_sides => Channel::Mp135,
        Position::RearRight if has_sides => Channel::Mm135,
        Position::RearLeft => Channel::LeftSurround,
        Position::RearRight => Channel::RightSurround,
        Position::RearCenter => Channel::Mp180,
        Position::WideLeft => Channel::Mp060,
        Position::WideRight => Channel::Mm060,
        Position::FrontLeftOfCenter => Channel::MpSC,
        Position::FrontRightOfCenter => Channel::MmSC,
        // Heights and everything else count as they are.
        _ => Channel::Center,
    };
    positions.iter().map(place).collect()
}

fn unmeasurable(error: &ebur128::Error) -> Failure {
    Failure::new(
        FailureCode::Unsupported,
        "sound of this rate or number of channels cannot be measured",
        "convert it to at most 64 channels and 2.8 MHz",
    )
    .with_detail(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_leaves_out_what_is_far_quieter_and_a_few_extremes() {
        assert_eq!(range(&[]), 0.0);
        assert_eq!(range(&[-80.0, -75.0]), 0.0);
        let mut levels = vec![-60.0; 50];
        levels.extend((0..=100).map(|step| -30.0 + f64::from(step) / 10.0));
        // From -29 to -20.5 LUFS; what is 30 LU below does not count.
        assert!((range(&levels) - 8.5).abs() < 1e-9, "{}", range(&levels));
    }

    #[test]
    fn surrounds_behind_side_loudspeakers_are_not_louder() {
        let five_one = [
            Position::FrontLeft,
            Position::FrontRight,
            Position::FrontCenter,
            Position::Lfe1,
            Position::RearLeft,
            Position::RearRight,
        ];
        let expected = [
            Channel::Left,
            Channel::Right,
            Channel::Center,
            Channel::Unused,
            Channel::LeftSurround,
            Channel::RightSurround,
        ];
        assert_eq!(placed(&five_one), expected);
        let mut seven_one = five_one.to_vec();
        seven_one.extend([Position::SideLeft, Position::SideRight]);
        let tail = [Channel::Mp135, Channel::Mm135, Channel::LeftSurround, Channel::RightSurround];
        assert_eq!(placed(&seven_one)[4..], tail);
    }
}

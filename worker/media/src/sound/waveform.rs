//! Waveforms: the lowest and highest sample of every so many, as players draw them.

use std::path::Path;

use gstreamer_audio as audio;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::measure::{Waveform, WaveformSettings};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use super::{Ear, Gaps, listen, no_sound};
use crate::pace;

/// Points where nothing else is asked for: 256 samples each.
const SAMPLES_A_POINT: u32 = 256;
/// Values that a waveform may have, so that it fits into 128 MiB.
const VALUES_MAX: usize = 64 << 20;

/// Draws up the waveform of the first sound stream. Its first point is the file's start; gaps are silence. Blocks; calls
/// `progress` at least once a second.
///
/// # Errors
/// Those of [`loudness`](super::loudness()); [`FailureCode::SettingsImpossible`] for settings out of their range, or a
/// waveform of more than 64 Mi values.
pub fn waveform(
    input: &Path,
    source: &MediaFacts,
    settings: &WaveformSettings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Waveform, Failure> {
    if !matches!(settings.bits, 8 | 16) {
        return Err(impossible("a waveform has values of 8 or 16 bits", "use one of the two"));
    }
    let each = samples_a_point(source, settings)?;
    let points = Points { settings: *settings, each, ..Points::default() };
    Ok(listen(input, source, Gaps::Silent, points, progress)?.finish())
}

/// Samples of a point: as given, or so many that the whole file fits into the picture.
fn samples_a_point(source: &MediaFacts, settings: &WaveformSettings) -> Result<u32, Failure> {
    let sound = source.audio.first().ok_or_else(no_sound)?;
    let each = match (settings.samples_per_pixel, settings.picture) {
        (Some(each), _) => each,
        (None, Some((width, _))) if sound.duration_ns > 0 => {
            let end = sound.start_ns + sound.duration_ns;
            let samples = pace::scaled(end, u64::from(sound.rate_hz), 1_000_000_000);
            u32::try_from(samples.div_ceil(u64::from(width.max(1)))).unwrap_or(u32::MAX).max(2)
        }
        (None, _) => SAMPLES_A_POINT,
    };
    if each < 2 {
        return Err(impossible("a point stands for 2 samples at least", "give 2 or more samples per pixel"));
    }
    Ok(each)
}

/// Points as they grow.
#[derive(Debug, Default)]
struct Points {
    settings: WaveformSettings,
    each: u32,
    rate: u32,
    /// Channels that come in.
    channels: usize,
    /// Lowest and highest of each channel kept, of the point that is not finished.
    open: Vec<(i16, i16)>,
    /// Samples in it.
    filled: u32,
    data: Vec<i16>,
}

impl Ear for Points {
    fn begin(&mut self, shape: &audio::AudioInfo) -> Result<(), Failure> {
        self.rate = shape.rate();
        self.channels = usize::try_from(shape.channels().max(1)).unwrap_or(1);
        let kept = if self.settings.split_channels { self.channels } else { 1 };
        self.open = vec![EMPTY; kept];
        Ok(())
    }

    fn hear(&mut self, samples: &[f32]) -> Result<(), Failure> {
        for moment in samples.chunks_exact(self.channels) {
            if self.settings.split_channels {
                for (open, sample) in self.open.iter_mut().zip(moment) {
                    widen(open, *sample);
                }
            } else {
                #[expect(clippy::cast_precision_loss, reason = "a handful of channels")]
                let mean = moment.iter().sum::<f32>() / self.channels as f32;
                widen(&mut self.open[0], mean);
            }
            self.filled += 1;
            if self.filled == self.each {
                self.close();
                if self.data.len() > VALUES_MAX {
                    return Err(impossible(
                        "the waveform of so long a sound has too many points",
                        "use more samples per pixel",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What no sample has widened yet.
const EMPTY: (i16, i16) = (i16::MAX, i16::MIN);

fn widen(open: &mut (i16, i16), sample: f32) {
    #[expect(clippy::cast_possible_truncation, reason = "a float saturates when it is cast")]
    let value = (sample * 32_768.0).round() as i16;
    *open = (open.0.min(value), open.1.max(value));
}

impl Points {
    fn close(&mut self) {
        let shift = 16 - u32::from(self.settings.bits);
        for (low, high) in &mut self.open {
            self.data.extend([*low >> shift, *high >> shift]);
            (*low, *high) = EMPTY;
        }
        self.filled = 0;
    }

    fn finish(mut self) -> Waveform {
        if self.filled > 0 {
            self.close();
        }
        let channels = self.open.len().max(1);
        Waveform {
            version: 2,
            channels: u16::try_from(channels).unwrap_or(u16::MAX),
            sample_rate: self.rate,
            samples_per_pixel: self.each,
            bits: self.settings.bits,
            length: u64::try_from(self.data.len() / (2 * channels)).unwrap_or(0),
            data: self.data,
        }
    }
}

fn impossible(message: &str, advice: &str) -> Failure {
    Failure::new(FailureCode::SettingsImpossible, message, advice)
}

//! What measurements of media give, and how they are asked for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Loudness of a programme by EBU R 128 (ITU-R BS.1770-4, EBU Tech 3341 and 3342).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Loudness {
    /// Integrated loudness in LUFS; `None` where everything is below the absolute gate of -70 LUFS.
    pub integrated_lufs: Option<f64>,
    /// Loudness range in LU.
    pub range_lu: f64,
    /// Highest true peak of all channels in dBTP, oversampled to at least 192 kHz; `None` for digital silence.
    pub true_peak_dbtp: Option<f64>,
    /// Highest sample of all channels in dBFS; `None` for digital silence.
    pub sample_peak_dbfs: Option<f64>,
    /// Highest momentary loudness (400 ms) in LUFS, looked at every 100 ms; `None` where there is none.
    pub momentary_max_lufs: Option<f64>,
    /// Highest short-term loudness (3 s) in LUFS, looked at every 100 ms; `None` where there is none.
    pub short_term_max_lufs: Option<f64>,
    /// Channels that were measured.
    pub channels: u16,
    /// Samples a second.
    pub rate_hz: u32,
    /// Sound that was measured, in nanoseconds.
    pub duration_ns: u64,
}

/// How a waveform is to be drawn up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveformSettings {
    /// Samples that one point stands for, at least 2. `None`: as many as a picture of `width` needs, 256 without one.
    pub samples_per_pixel: Option<u32>,
    /// Bits of a value: 8 or 16.
    pub bits: u8,
    /// A waveform for each channel instead of one for their mean.
    pub split_channels: bool,
    /// Draw a picture of this width and height in pixels instead.
    pub picture: Option<(u32, u32)>,
}

impl Default for WaveformSettings {
    fn default() -> Self {
        Self { samples_per_pixel: None, bits: 16, split_channels: false, picture: None }
    }
}

/// A waveform in the data format of audiowaveform, version 2: pairs of the lowest and highest sample of each point, for
/// each channel in turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waveform {
    /// Version of the format: 2.
    pub version: u8,
    /// Channels: 1, or those of the source where they are kept apart.
    pub channels: u16,
    /// Samples a second of the sound.
    pub sample_rate: u32,
    /// Samples that a point stands for.
    pub samples_per_pixel: u32,
    /// Bits of a value.
    pub bits: u8,
    /// Points of each channel.
    pub length: u64,
    /// Lowest and highest value, point by point, within a point channel by channel.
    pub data: Vec<i16>,
}

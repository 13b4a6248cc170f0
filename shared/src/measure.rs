//! What measurements of media give, and how they are asked for.

mod vmaf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use vmaf::{VmafModel, VmafScores, VmafTally};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// How two films are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareSettings {
    /// Every so many-th pair of frames is measured, from the first on; at least 1, which is all of them.
    pub every: u32,
    /// VMAF by this model; `None` leaves it out.
    pub vmaf: Option<VmafModel>,
    /// Whether PSNR and SSIM are measured.
    pub likeness: bool,
    /// Frames that only one film has are left out and counted, and frame rates may differ; else both are errors.
    pub unpaired: bool,
    /// Threads that VMAF may keep busy; `None` for one a core.
    pub threads: Option<u32>,
}

impl Default for CompareSettings {
    fn default() -> Self {
        Self { every: 1, vmaf: Some(VmafModel::default()), likeness: true, unpaired: false, threads: None }
    }
}

/// How close a film is to its reference, frame by frame; 4:2:0, in the depth of the deeper one, at most 10 bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Frames of both files that belong together, paired by their time from each file's first frame on.
    pub frames: u64,
    /// Pairs that were measured.
    pub measured: u64,
    /// Frames of the reference for which the other has none at their time.
    pub frames_missing: u64,
    /// Frames of the other for which the reference has none.
    pub frames_extra: u64,
    /// Size in which they were compared, the reference's, in pixels.
    pub width: u32,
    /// The same for the height.
    pub height: u32,
    /// Bits a component.
    pub bit_depth: u8,
    /// Whether the other had another size and was scaled (bicubic).
    pub scaled: bool,
    /// VMAF; `None` where it was not asked for, or a side is below 64 pixels.
    pub vmaf: Option<VmafScores>,
    /// Peak signal-to-noise ratio over all frames in dB; `None` where a plane is the same in both.
    pub psnr_db: Planes,
    /// Structural similarity, mean over all frames, at most 1; `None` where a plane is smaller than 8x8 pixels.
    pub ssim: Planes,
    /// The lowest PSNR of a frame, all planes together, in dB; `None` where all frames are the same.
    pub psnr_min_db: Option<f64>,
    /// The lowest SSIM of a frame, all planes together.
    pub ssim_min: Option<f64>,
    /// The worst moments by VMAF, or by SSIM where there is no VMAF: worst first, each in another second; none that is the
    /// same in both.
    pub worst: Vec<WorstMoment>,
}

/// Values by plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Planes {
    /// Luma.
    pub y: Option<f64>,
    /// Blue difference.
    pub u: Option<f64>,
    /// Red difference.
    pub v: Option<f64>,
    /// All three, weighted by their numbers of samples.
    pub all: Option<f64>,
}

/// A frame that differs more than others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorstMoment {
    /// Its time in the reference, in nanoseconds from the first frame on.
    pub at_ns: u64,
    /// Its PSNR in dB, all planes together; `None` where it is the same.
    pub psnr_db: Option<f64>,
    /// Its SSIM, all planes together; `None` where that was not measured.
    pub ssim: Option<f64>,
    /// Its VMAF; `None` where that was not measured.
    pub vmaf: Option<f64>,
}

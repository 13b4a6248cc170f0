//! What an output has to keep before it is published.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::measure::VmafModel;

/// Frames that one is taken of for a sampled VMAF.
const SAMPLE: u32 = 10;

/// How much of a picture is scored by VMAF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VmafScope {
    /// Nothing.
    #[default]
    Off,
    /// Every tenth frame.
    Sampled,
    /// Every frame.
    Full,
}

impl VmafScope {
    /// Every so many-th frame is scored; `None` for none.
    #[must_use]
    pub fn every(self) -> Option<u32> {
        match self {
            Self::Off => None,
            Self::Sampled => Some(SAMPLE),
            Self::Full => Some(1),
        }
    }
}

/// What is asked of VMAF against the source. A value without a limit is told and not judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VmafLimits {
    /// How much is scored.
    pub scope: VmafScope,
    /// By which model.
    pub model: VmafModel,
    /// Least mean, in tenths of a point.
    pub mean_tenths: Option<u16>,
    /// Least score that one frame in a hundred may be below, in tenths of a point.
    pub worst_tenths: Option<u16>,
}

/// A bound on the bits of the picture over any time of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeakLimit {
    /// Bits a second.
    pub max_bps: u32,
    /// That length, in milliseconds.
    pub window_ms: u32,
}

/// Limits of one output file. Those that are `None` are what they are without being asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckLimits {
    /// Most by which picture and sound may be longer or shorter than the source's, in milliseconds. Default: a frame, and
    /// for sound what codec and container round it to.
    pub duration_ms: Option<u32>,
    /// Most by which sound may begin earlier or later in relation to the picture, in milliseconds. Default: a frame.
    pub av_sync_ms: Option<u32>,
    /// Most frames more or less than the source's. Default: none.
    pub frames: Option<u32>,
    /// Bound on the picture's bits. Default: none.
    pub peak: Option<PeakLimit>,
    /// VMAF.
    pub vmaf: VmafLimits,
    /// Most loudness units that the sound may be louder or quieter than it was asked to be, in tenths. Default: not
    /// measured.
    pub loudness_tenths: Option<u16>,
    /// Highest true peak in tenths of a dBTP. Default: not measured.
    pub true_peak_tenths: Option<i16>,
}

impl CheckLimits {
    /// Whether these are what they are without being asked for.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

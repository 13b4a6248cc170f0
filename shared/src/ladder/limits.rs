//! What a set has to keep before it is published, beside what its own settings ask of its pictures.

use serde::{Deserialize, Serialize};

/// How loud the sound of a set has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoudnessLimit {
    /// Integrated loudness in tenths of a LUFS.
    pub lufs_tenths: i16,
    /// Most loudness units more or less, in tenths.
    pub tolerance_tenths: u16,
}

/// Limits of a set. Those that are `None` are what they are without being asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SetLimits {
    /// Most by which sound may begin earlier or later in relation to the picture than in the source, in milliseconds.
    /// Default: 40, or a frame where that is longer.
    pub av_sync_ms: Option<u32>,
    /// Longest segment in milliseconds. Default: half again as long as asked for.
    pub segment_ms: Option<u32>,
    /// Over how long a rung's bits are counted, in milliseconds. Default: a segment.
    pub window_ms: Option<u32>,
    /// Most bits of a rung over that time, in hundredths of its bound. Default: what its buffer adds to that bound.
    pub peak_percent: Option<u16>,
    /// Loudness of each sound. Default: not measured.
    pub loudness: Option<LoudnessLimit>,
    /// Highest true peak of each sound, in tenths of a dBTP. Default: not measured.
    pub true_peak_tenths: Option<i16>,
}

/// Difference between picture and sound that nobody sees, in milliseconds (EBU R 37 allows 40 for early sound).
const AV_SYNC_MS: u32 = 40;

impl SetLimits {
    /// Whether these are what they are without being asked for.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }

    /// The limit on sound that begins earlier or later, in nanoseconds, where a frame is shown for so long.
    #[must_use]
    pub fn av_sync_ns(&self, frame_ns: u64) -> u64 {
        const MS: u64 = 1_000_000;
        self.av_sync_ms.map_or(frame_ns.max(u64::from(AV_SYNC_MS) * MS), |ms| u64::from(ms) * MS)
    }

    /// Whether the sound has to be listened to.
    #[must_use]
    pub fn of_sound(&self) -> bool {
        self.loudness.is_some() || self.true_peak_tenths.is_some()
    }
}

//! Bit rates of sound by name.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A bit rate by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudioVariant {
    /// 320 kbit/s.
    High,
    /// 192 kbit/s.
    Medium,
    /// 128 kbit/s.
    Low,
    /// 96 kbit/s.
    Mobile,
}

impl AudioVariant {
    /// Bits a second.
    #[must_use]
    pub fn bitrate_bps(self) -> u32 {
        match self {
            Self::High => 320_000,
            Self::Medium => 192_000,
            Self::Low => 128_000,
            Self::Mobile => 96_000,
        }
    }
}

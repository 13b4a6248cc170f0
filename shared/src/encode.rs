//! Settings of an encode, after validation: what a recipe or a user decided.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The file format of an output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// ISO base media file, index first ("faststart").
    #[default]
    Mp4,
}

/// A video codec that the farm encodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoCodec {
    /// ITU-T H.264, by x264.
    #[default]
    H264,
}

/// An audio codec that the farm encodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudioCodec {
    /// MPEG-4 AAC, low complexity.
    #[default]
    Aac,
}

/// How much time the encoder takes for compression: x264's presets from fastest to slowest.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are x264's own")]
pub enum SpeedPreset {
    Ultrafast,
    Superfast,
    Veryfast,
    Faster,
    Fast,
    #[default]
    Medium,
    Slow,
    Slower,
    Veryslow,
}

impl SpeedPreset {
    /// The next faster one.
    #[must_use]
    pub fn faster(self) -> Option<Self> {
        Some(match self {
            Self::Ultrafast => return None,
            Self::Superfast => Self::Ultrafast,
            Self::Veryfast => Self::Superfast,
            Self::Faster => Self::Veryfast,
            Self::Fast => Self::Faster,
            Self::Medium => Self::Fast,
            Self::Slow => Self::Medium,
            Self::Slower => Self::Slow,
            Self::Veryslow => Self::Slower,
        })
    }

    /// The name that encoders know.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
            Self::Slower => "slower",
            Self::Veryslow => "veryslow",
        }
    }
}

/// Video settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VideoSettings {
    /// Codec.
    pub codec: VideoCodec,
    /// Constant rate factor, 0 (lossless) to 51 (worst); x264's scale.
    pub crf: u8,
    /// Encoder preset.
    pub preset: SpeedPreset,
    /// The picture, as shown, is scaled down to fit this width in pixels, aspect kept; never up. `None`: no limit.
    pub max_width: Option<u32>,
    /// The same for the height.
    pub max_height: Option<u32>,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            crf: 23,
            preset: SpeedPreset::Medium,
            max_width: None,
            max_height: None,
        }
    }
}

/// Audio settings. A source without audio gives an output without audio.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AudioSettings {
    /// Codec.
    pub codec: AudioCodec,
    /// Bit rate of the whole stream in bits a second.
    pub bitrate_bps: u32,
}

impl Default for AudioSettings {
    fn default() -> Self {
        Self { codec: AudioCodec::Aac, bitrate_bps: 128_000 }
    }
}

/// Settings of one output file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EncodeSettings {
    /// File format.
    pub container: Container,
    /// Video settings.
    pub video: VideoSettings,
    /// Audio settings; `None` leaves audio out.
    pub audio: Option<AudioSettings>,
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            container: Container::Mp4,
            video: VideoSettings::default(),
            audio: Some(AudioSettings::default()),
        }
    }
}

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
    /// ITU-T H.264, by a hardware encoder of the node where one has proven itself and is free, else by x264. Where the
    /// hardware fails, x264 makes the output. The rate factor becomes the hardware's constant quantizer; its quality at
    /// equal size is below x264's.
    H264Hardware,
}

impl VideoCodec {
    /// The short name under which nodes tell of encoders for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 | Self::H264Hardware => "h264",
        }
    }

    /// Whether a hardware encoder is to do it where there is one.
    #[must_use]
    pub fn prefers_hardware(self) -> bool {
        self == Self::H264Hardware
    }

    /// The same codec without that wish.
    #[must_use]
    pub fn in_software(self) -> Self {
        match self {
            Self::H264 | Self::H264Hardware => Self::H264,
        }
    }
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

impl VideoSettings {
    /// The size that a picture of `shown` width and height, in pixels, is encoded in: even sides, within both limits,
    /// never larger than the source, the aspect kept to the nearest even pixel. `None` where a limit or the picture
    /// leaves less than 2 pixels a side.
    #[must_use]
    pub fn fitted(&self, shown: (u32, u32)) -> Option<(u32, u32)> {
        let (width, height) = shown;
        let limit = (self.max_width.unwrap_or(u32::MAX), self.max_height.unwrap_or(u32::MAX));
        if width.min(height).min(limit.0).min(limit.1) < 2 {
            return None;
        }
        if width <= limit.0 && height <= limit.1 {
            return Some((width & !1, height & !1));
        }
        let (w, h) = (u64::from(width), u64::from(height));
        let (lw, lh) = (u64::from(limit.0.min(width) & !1), u64::from(limit.1.min(height) & !1));
        // The nearest even number to `side * num / den`, within the limit.
        let even = |side: u64, num: u64, den: u64, most: u64| {
            u32::try_from((2 * ((side * num + den) / (2 * den))).clamp(2, most)).ok()
        };
        let narrow = |side: u64| u32::try_from(side).ok();
        // The side that is further over its limit decides.
        if w * lh > h * lw {
            Some((narrow(lw)?, even(lw, h, w, lh)?))
        } else {
            Some((even(lh, w, h, lw)?, narrow(lh)?))
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shown: (u32, u32), limit: (Option<u32>, Option<u32>), expect: Option<(u32, u32)>) {
        let settings = VideoSettings { max_width: limit.0, max_height: limit.1, ..VideoSettings::default() };
        assert_eq!(settings.fitted(shown), expect, "{shown:?} within {limit:?}");
    }

    #[test]
    fn a_picture_shrinks_into_its_limits_and_never_grows() {
        check((1920, 1080), (None, None), Some((1920, 1080)));
        check((1920, 1080), (Some(1280), None), Some((1280, 720)));
        check((1920, 1080), (Some(1280), Some(600)), Some((1066, 600)));
        check((1280, 720), (Some(3840), Some(2160)), Some((1280, 720)));
        check((853, 479), (None, None), Some((852, 478)));
        check((853, 479), (Some(641), None), Some((640, 360)));
        check((1280, 720), (None, Some(240)), Some((426, 240)));
        check((1080, 1920), (None, Some(1280)), Some((720, 1280)));
        check((4096, 2), (Some(100), None), Some((100, 2)));
    }

    #[test]
    fn what_leaves_no_picture_has_no_size() {
        check((1280, 720), (Some(1), None), None);
        check((1280, 1), (None, None), None);
        check((0, 0), (None, Some(720)), None);
    }
}

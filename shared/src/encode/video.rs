//! Video codecs and their settings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// ITU-T H.265, by x265.
    Hevc,
    /// VP9, by libvpx.
    Vp9,
    /// AV1, by SVT-AV1 where the node's GStreamer has it and no mean rate is asked for, else by libaom.
    Av1,
    /// FFV1, version 3: lossless, every frame a key frame.
    Ffv1,
    /// Apple ProRes, an intermediate of intra frames.
    #[serde(rename = "prores")]
    ProRes,
    /// Avid DNxHR, an intermediate of intra frames, in pictures of 1920x1080 or 1280x720.
    #[serde(rename = "dnxhd")]
    DnxHd,
    /// ITU-T H.265 by hardware, as [`H264Hardware`](Self::H264Hardware) is: where there is none or it fails, by x265.
    HevcHardware,
    /// VP9 by hardware, else by libvpx.
    Vp9Hardware,
    /// AV1 by hardware, else as [`Av1`](Self::Av1).
    Av1Hardware,
}

impl VideoCodec {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::H264,
        Self::H264Hardware,
        Self::Hevc,
        Self::Vp9,
        Self::Av1,
        Self::Ffv1,
        Self::ProRes,
        Self::DnxHd,
        Self::HevcHardware,
        Self::Vp9Hardware,
        Self::Av1Hardware,
    ];

    /// The short name under which nodes tell of encoders for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 | Self::H264Hardware => "h264",
            Self::Hevc | Self::HevcHardware => "hevc",
            Self::Vp9 | Self::Vp9Hardware => "vp9",
            Self::Av1 | Self::Av1Hardware => "av1",
            Self::Ffv1 => "ffv1",
            Self::ProRes => "prores",
            Self::DnxHd => "dnxhd",
        }
    }

    /// The name in JSON and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::H264Hardware => "h264_hardware",
            Self::HevcHardware => "hevc_hardware",
            Self::Vp9Hardware => "vp9_hardware",
            Self::Av1Hardware => "av1_hardware",
            other => other.name(),
        }
    }

    /// Whether a hardware encoder is to do it where there is one.
    #[must_use]
    pub fn prefers_hardware(self) -> bool {
        self != self.in_software()
    }

    /// The same codec without that wish.
    #[must_use]
    pub fn in_software(self) -> Self {
        match self {
            Self::H264Hardware => Self::H264,
            Self::HevcHardware => Self::Hevc,
            Self::Vp9Hardware => Self::Vp9,
            Self::Av1Hardware => Self::Av1,
            other => other,
        }
    }

    /// Whether it is an intermediate or an archive's, whose size follows from the picture: it takes no rate factor, no bit
    /// rate and no key frame distance.
    #[must_use]
    pub fn is_mezzanine(self) -> bool {
        matches!(self, Self::Ffv1 | Self::ProRes | Self::DnxHd)
    }

    /// The worst of its rate factors, of which 0 is the best, on its encoder's own scale; `None` where it has none.
    #[must_use]
    pub fn worst_crf(self) -> Option<u8> {
        match self.in_software() {
            Self::H264 | Self::Hevc => Some(51),
            Self::Vp9 | Self::Av1 => Some(63),
            _ => None,
        }
    }

    /// The rate factor of an output that names none: about equal to the eye at each encoder's medium speed.
    #[must_use]
    pub fn usual_crf(self) -> u8 {
        match self.in_software() {
            Self::Hevc => 28,
            Self::Vp9 | Self::Av1 => 32,
            _ => 23,
        }
    }

    /// Bits a sample that it can have.
    #[must_use]
    pub fn depths(self) -> &'static [u8] {
        match self {
            hardware if hardware.prefers_hardware() => &[8],
            Self::ProRes => &[10],
            _ => &[8, 10],
        }
    }

    /// Chroma formats that it can have, at a depth.
    #[must_use]
    pub fn chromas(self, depth: u8) -> &'static [Chroma] {
        use Chroma::{C420, C422, C444};
        match self {
            Self::H264Hardware | Self::HevcHardware | Self::Vp9Hardware | Self::Av1Hardware => &[C420],
            Self::H264 | Self::Hevc | Self::Ffv1 => &[C420, C422, C444],
            Self::Vp9 if depth == 8 => &[C420, C444],
            Self::Vp9 => &[C420, C422, C444],
            Self::Av1 if depth == 8 => &[C420, C422, C444],
            Self::Av1 => &[C420],
            Self::ProRes => &[C422, C444],
            Self::DnxHd => &[C422],
        }
    }
}

/// How chroma is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Chroma {
    /// Half of the luma's width and height.
    #[serde(rename = "4:2:0")]
    C420,
    /// Half of its width.
    #[serde(rename = "4:2:2")]
    C422,
    /// Not reduced.
    #[serde(rename = "4:4:4")]
    C444,
}

impl Chroma {
    /// The name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::C420 => "4:2:0",
            Self::C422 => "4:2:2",
            Self::C444 => "4:4:4",
        }
    }
}

/// How much time the encoder takes for compression, from fastest to slowest: the names are x264's and x265's presets.
/// Other encoders take them as steps of their own scale, see [`SpeedPreset::step`].
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

    /// Its place, 8 for the fastest to 0 for the slowest: `cpu-used` of libvpx (0 to 8), and
    /// one less than that of SVT-AV1's presets that is meant (medium is its 7).
    #[must_use]
    pub fn step(self) -> u8 {
        match self {
            Self::Ultrafast => 8,
            Self::Superfast => 7,
            Self::Veryfast => 6,
            Self::Faster => 5,
            Self::Fast => 4,
            Self::Medium => 3,
            Self::Slow => 2,
            Self::Slower => 1,
            Self::Veryslow => 0,
        }
    }
}

/// What decides how many bits the picture gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RateControl {
    /// Constant quality: the encoder's rate factor, 0 (lossless or best) to the codec's worst. Mezzanines ignore it.
    Crf(u8),
    /// The same, and never more than a peak rate over a buffer of two seconds of it.
    CappedCrf {
        /// Rate factor.
        crf: u8,
        /// Peak rate in bits a second.
        peak_bps: u32,
    },
    /// Constant bit rate, over a buffer of one second of it.
    Cbr {
        /// Rate in bits a second.
        bitrate_bps: u32,
    },
    /// A mean rate, bits placed by a first pass over the whole.
    TwoPass {
        /// Mean rate in bits a second.
        bitrate_bps: u32,
        /// Peak rate in bits a second over a buffer of two seconds of it; `None`: no limit.
        peak_bps: Option<u32>,
    },
    /// The same mean rate in one pass: bits are placed by what has been seen, not by what is to come. What an encode in
    /// two passes becomes that runs short of time; it cannot be asked for.
    OnePass {
        /// Mean rate in bits a second.
        bitrate_bps: u32,
        /// Peak rate in bits a second over a buffer of two seconds of it; `None`: no limit.
        peak_bps: Option<u32>,
    },
}

impl RateControl {
    /// The same rate in one pass, of an encode in two.
    #[must_use]
    pub fn in_one_pass(self) -> Option<Self> {
        match self {
            Self::TwoPass { bitrate_bps, peak_bps } => Some(Self::OnePass { bitrate_bps, peak_bps }),
            Self::Crf(_) | Self::CappedCrf { .. } | Self::Cbr { .. } | Self::OnePass { .. } => None,
        }
    }
}

/// How much an intermediate keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MezzanineProfile {
    /// ProRes 422 Proxy, DNxHR LB.
    Proxy,
    /// ProRes 422 LT, DNxHR SQ.
    Lt,
    /// ProRes 422, DNxHR SQ.
    Standard,
    /// ProRes 422 HQ, DNxHR HQ, or HQX with 10 bits.
    #[default]
    Hq,
}

/// Video settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VideoSettings {
    /// Codec.
    pub codec: VideoCodec,
    /// What decides the bits.
    pub rate: RateControl,
    /// Encoder preset.
    pub preset: SpeedPreset,
    /// The picture, as shown, is scaled down to fit this width in pixels, aspect kept; never up. `None`: no limit.
    pub max_width: Option<u32>,
    /// The same for the height.
    pub max_height: Option<u32>,
    /// Bits a sample. `None`: 10 for a source of more than 8 in a codec that is commonly played so, else 8.
    pub bit_depth: Option<u8>,
    /// Chroma. `None`: 4:2:0, of mezzanines 4:2:2, of FFV1 the source's.
    pub chroma: Option<Chroma>,
    /// The distance of key frames in milliseconds, exactly: the first frame at or after each multiple, counted from the
    /// first frame, and no other. `None`: where the encoder finds a cut, 240 or 250 frames apart at most.
    pub keyframe_ms: Option<u32>,
    /// How much an intermediate keeps.
    pub profile: MezzanineProfile,
}

impl VideoSettings {
    /// A codec with the settings of an output that names no others.
    #[must_use]
    pub fn of(codec: VideoCodec) -> Self {
        Self {
            codec,
            rate: RateControl::Crf(codec.usual_crf()),
            preset: SpeedPreset::Medium,
            max_width: None,
            max_height: None,
            bit_depth: None,
            chroma: None,
            keyframe_ms: None,
            profile: MezzanineProfile::default(),
        }
    }

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
        Self::of(VideoCodec::H264)
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

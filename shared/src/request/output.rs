//! The files of a job as a user writes them: renditions with container, picture and sound, and what is taken beside them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AudioChoice, BadRequest, BitRate, CheckRequest, PosterRequest, Presets, PreviewRequest, SpriteRequest,
    ThumbnailsRequest, VideoChoice, WaveformRequest, making, preset,
};
use crate::encode::{
    AudioCodec, Chroma, Container, EncodeSettings, MezzanineProfile, SpeedPreset, VideoCodec,
};

/// One file to make: a rendition with `container`, `video` and `audio`, or one of `poster`, `thumbnails`, `sprite`, `preview`
/// and `waveform`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputRequest {
    /// The preset that says what is not said here; one that makes a single file. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "web")]
    pub preset: Option<String>,
    /// Its file name, unique within the job, 1 to 200 bytes without `/`. Default: the input's name with the
    /// container's ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, example = "film.mp4")]
    pub name: Option<String>,
    /// What stands between the input's name and the ending where `name` is left out, such as `-720p`; at most 60 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 60, example = "-720p")]
    pub suffix: Option<String>,
    /// Where it goes on the depot's host: an absolute path or `file://` URL within the allowed roots. With a `/` at its
    /// end it is a directory. A file that is there already is never overwritten. Default: the depot keeps the file and
    /// hands it out over the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "file:///srv/out/")]
    pub destination: Option<String>,
    /// File format, which an ending of the name must not contradict. Default: what the ending of `name`, or of the file in
    /// `destination`, stands for, else `mp4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "mp4")]
    pub container: Option<Container>,
    /// Video settings, or `false` to leave video out. Default: with video, unless the container holds sound alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoChoice>,
    /// Audio settings, or `false` to leave audio out. A source without audio gives an output without audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioChoice>,
    /// Instead of a rendition: one picture of the film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<PosterRequest>,
    /// Instead of a rendition: a picture every so often, all of them in one ZIP file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnails: Option<ThumbnailsRequest>,
    /// Instead of a rendition: a sheet of small pictures, and its WebVTT index beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sprite: Option<SpriteRequest>,
    /// Instead of a rendition: a few seconds as an endless GIF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewRequest>,
    /// Instead of a rendition: the sound's waveform as JSON or PNG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<WaveformRequest>,
    /// What it has to keep before it is published. Default: the source's frames, lengths and start times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckRequest>,
    /// Whether the job succeeds without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Share of the audience that watches it, in percent; what more people watch is made first. Default: 0; among equals
    /// pictures of 720p, then of 1080p, 480p and 360p go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100, default = 0)]
    pub audience: Option<i64>,
}

/// What decides how many bits the picture gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateMode {
    /// Constant quality, with `max_bitrate` as a cap where it is given.
    Crf,
    /// Constant bit rate.
    Cbr,
    /// A mean bit rate in two passes, with `max_bitrate` as a peak where it is given.
    Vbr,
}

/// Video settings of an output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VideoRequest {
    /// Codec. Default: the container's: `vp9` in WebM, else `h264`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<VideoCodec>,
    /// What decides the bits. Default: `vbr` where `bitrate` is given, else `crf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateMode>,
    /// Constant rate factor on the encoder's scale: 0 is lossless or best; 51 is worst of H.264 and HEVC, 63 of VP9 and
    /// AV1. Default: 23 for H.264, 28 for HEVC, 32 for VP9 and AV1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 63)]
    pub crf: Option<i64>,
    /// Bit rate of `cbr` and `vbr`: a number in bits a second or a text such as `"5M"`; 10k to 1000M.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<BitRate>,
    /// Highest bit rate, over a buffer of two seconds of it. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<BitRate>,
    /// How much time the encoder takes for compression. Default: `medium`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "medium")]
    pub preset: Option<SpeedPreset>,
    /// The picture as shown is scaled down to fit this width in pixels, 16 to 16384; aspect kept, never scaled up.
    /// Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 16_384)]
    pub max_width: Option<i64>,
    /// The same for the height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 16_384)]
    pub max_height: Option<i64>,
    /// Bits a sample, 8 or 10. Default: 8 in H.264; in other codecs 10 where the source has more than 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 8, maximum = 10)]
    pub bit_depth: Option<i64>,
    /// Chroma. Default: `4:2:0`; `4:2:2` in ProRes and DNxHD; the source's in FFV1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chroma: Option<Chroma>,
    /// Distance of key frames in milliseconds, exactly, 100 to 60000; groups of pictures are closed. Default: where the
    /// encoder finds a cut, 240 or 250 frames apart at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 60_000)]
    pub keyframe_ms: Option<i64>,
    /// How much ProRes and DNxHD keep. Default: `hq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<MezzanineProfile>,
}

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

/// Audio settings of an output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudioRequest {
    /// Codec. Default: the container's; beside ProRes and DNxHD `pcm`, beside FFV1 `flac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<AudioCodec>,
    /// Bit rate of the whole stream: a number in bits a second or a text such as `"128k"`. Default: by codec and channels,
    /// 128k for AAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate: Option<BitRate>,
    /// Instead of `bitrate`: `high` 320k, `medium` 192k, `low` 128k, `mobile` 96k.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<AudioVariant>,
    /// Instead of `bitrate`, of MP3: LAME's variable rate, 0 (best) to 9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 9)]
    pub quality: Option<i64>,
    /// Samples a second. Default: the source's, or the nearest that the codec has, at most 48000 in lossy codecs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 8_000, maximum = 192_000)]
    pub rate_hz: Option<i64>,
    /// Channels: 1, 2, 6 (5.1) or 8 (7.1), mixed down or up by the matrices of ITU-R BS.775. Default: the source's, in the
    /// nearest of these that the codec has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 8)]
    pub channels: Option<i64>,
    /// Bits a sample of FLAC and PCM, 16 or 24. Default: 24 for a source of more than 16, else 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 16, maximum = 24)]
    pub bits: Option<i64>,
    /// Integrated loudness in LUFS that the sound is brought to (EBU R 128), such as -23, measured in a pass before.
    /// Default: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -70, maximum = -5)]
    pub loudness: Option<f64>,
    /// Highest true peak in dBTP where `loudness` is set: peaks that would pass it are limited. Default: -1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -20, maximum = 0)]
    pub true_peak: Option<f64>,
}

impl OutputRequest {
    /// This with what `own` says in its place.
    ///
    /// # Errors
    /// [`BadRequest`] where the two do not fit.
    pub fn with(&self, own: &Self) -> Result<Self, BadRequest> {
        preset::over(self, own).map_err(|message| BadRequest::at("", message))
    }

    /// The settings that this asks for, complete, with what its preset says.
    ///
    /// # Errors
    /// [`BadRequest`] for a preset that there is not, a value out of its range, or settings that do not go together.
    pub fn settings(&self, presets: &Presets) -> Result<EncodeSettings, BadRequest> {
        let whole = preset::of_output("", self, presets).and_then(|whole| making::settings("", &whole));
        whole.map_err(|bad| BadRequest { path: bad.path.trim_start_matches('.').to_owned(), ..bad })
    }
}

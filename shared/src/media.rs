//! Facts about a media file, as a probe finds them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::check::Check;
use crate::units::Ratio;

/// What a probe knows of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MediaFacts {
    /// Container in the field's short name: `mp4`, `mov`, `matroska`, `webm`, `mpegts`, `ogg`, `wav`, …
    pub container: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Length of the longest stream in nanoseconds; 0 where it has none (a picture).
    pub duration_ns: u64,
    /// Mean bit rate of the whole file in bits a second; 0 where the duration is unknown.
    pub bitrate_bps: u64,
    /// Whether the file can be seeked.
    pub seekable: bool,
    /// Video streams, in the container's order; attached cover pictures are not among them.
    pub video: Vec<VideoFacts>,
    /// Audio streams, in the container's order.
    pub audio: Vec<AudioFacts>,
    /// Subtitle streams, in the container's order.
    pub subtitles: Vec<SubtitleFacts>,
    /// Attached pictures such as a cover.
    pub pictures: u32,
    /// Title, artist, encoder and other tags, by GStreamer's tag names; values at most 1 KiB, at most 100 tags.
    pub tags: BTreeMap<String, String>,
}

/// One video stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VideoFacts {
    /// Codec in its short name: `h264`, `hevc`, `vp8`, `vp9`, `av1`, `mpeg2video`, `prores`, …
    pub codec: String,
    /// Profile such as `high`, `main-10`; empty where the codec has none or it is unknown.
    pub profile: String,
    /// Level such as `4.1`; empty where unknown.
    pub level: String,
    /// Coded width in pixels, before rotation.
    pub width: u32,
    /// Coded height in pixels, before rotation.
    pub height: u32,
    /// Sample (pixel) aspect ratio.
    pub sar: Option<Ratio>,
    /// Frame rate; for a variable rate the mean one. `None` where unknown.
    pub fps: Option<Ratio>,
    /// Whether the distance between frames varies by more than the time base's rounding.
    pub vfr: bool,
    /// Frames in the stream, counted from the index or by parsing; 0 where unknown.
    pub frames: u64,
    /// From the first frame's start to the last one's end, in nanoseconds.
    pub duration_ns: u64,
    /// Presentation time of the first frame in nanoseconds (after edit lists).
    pub start_ns: u64,
    /// Pixel format in FFmpeg's name, such as `yuv420p`, `yuv420p10le`.
    pub pixel_format: String,
    /// Bits a component.
    pub bit_depth: u8,
    /// Colour description.
    pub colour: Colour,
    /// Dynamic range.
    pub hdr: Hdr,
    /// How a player has to turn the picture.
    pub orientation: Orientation,
    /// Whether frames are stored as two fields.
    pub interlaced: bool,
    /// Bit rate in bits a second; 0 where unknown.
    pub bitrate_bps: u64,
}

impl VideoFacts {
    /// Width and height as shown: after rotation, pixel aspect not applied.
    #[must_use]
    pub fn shown_size(&self) -> (u32, u32) {
        if self.orientation.swaps_sides() { (self.height, self.width) } else { (self.width, self.height) }
    }
}

/// Colour description by the code points' names of ITU-T H.273 as FFmpeg prints them; empty where unspecified.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Colour {
    /// Matrix coefficients: `bt709`, `smpte170m`, `bt2020nc`, …
    pub matrix: String,
    /// Transfer characteristics: `bt709`, `smpte2084`, `arib-std-b67`, …
    pub transfer: String,
    /// Primaries: `bt709`, `bt2020`, …
    pub primaries: String,
    /// `tv` (limited) or `pc` (full).
    pub range: String,
}

/// Dynamic range, from the transfer characteristics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hdr {
    /// Standard dynamic range.
    #[default]
    Sdr,
    /// Perceptual quantizer, SMPTE ST 2084 (HDR10 and its kin).
    Pq,
    /// Hybrid log-gamma, ARIB STD-B67.
    Hlg,
}

/// How a picture must be turned to be shown: first mirrored left to right if `mirrored`, then turned clockwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orientation {
    /// Degrees clockwise: 0, 90, 180 or 270.
    pub clockwise_degrees: u16,
    /// Whether it is mirrored left to right before it is turned.
    pub mirrored: bool,
}

impl Orientation {
    /// Whether width and height change places.
    #[must_use]
    pub fn swaps_sides(self) -> bool {
        !self.clockwise_degrees.is_multiple_of(180)
    }

    /// Whether the picture is shown as it is stored.
    #[must_use]
    pub fn is_upright(self) -> bool {
        self == Self::default()
    }
}

/// One audio stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AudioFacts {
    /// Codec in its short name: `aac`, `mp3`, `opus`, `vorbis`, `flac`, `pcm_s16le`, …
    pub codec: String,
    /// Profile such as `lc`; empty where unknown.
    pub profile: String,
    /// Samples a second.
    pub rate_hz: u32,
    /// Number of channels.
    pub channels: u16,
    /// Layout such as `mono`, `stereo`, `5.1`; empty where unknown.
    pub layout: String,
    /// Length in nanoseconds.
    pub duration_ns: u64,
    /// Presentation time of the first sample in nanoseconds (after edit lists and priming).
    pub start_ns: u64,
    /// Bit rate in bits a second; 0 where unknown.
    pub bitrate_bps: u64,
    /// ISO 639 language; empty where unknown.
    pub language: String,
}

/// One subtitle stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubtitleFacts {
    /// Codec in its short name: `subrip`, `webvtt`, `ass`, `mov_text`, …
    pub codec: String,
    /// ISO 639 language; empty where unknown.
    pub language: String,
}

/// What the check of a finished output found. A job succeeds only where `problems` is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// Video frames that were decoded from the output.
    pub frames_decoded: u64,
    /// Video frames that the source had for this output.
    pub frames_expected: u64,
    /// Length of the decoded video in nanoseconds.
    pub video_duration_ns: u64,
    /// Length of the decoded audio in nanoseconds; 0 where there is none.
    pub audio_duration_ns: u64,
    /// First sample's time minus first frame's time, relative to the same in the source, in nanoseconds.
    pub av_start_offset_ns: i64,
    /// Every limit that was broken, one line each: what, the limit, the value.
    pub problems: Vec<String>,
    /// What is worth knowing of an output that keeps every limit, one line each: damage in the source that its decoders
    /// concealed, streams of the source that were left out.
    pub warnings: Vec<String>,
    /// Every check, with its limit and what was found; none where a worker's program does not know them yet.
    #[serde(default)]
    pub checks: Vec<Check>,
}

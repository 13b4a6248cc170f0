//! File formats, and which codecs each of them holds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AudioCodec, VideoCodec};

/// The file format of an output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Container {
    /// ISO base media file, index first ("faststart").
    #[default]
    Mp4,
    /// ISO base media file in fragments of two seconds, for players that append them as they come.
    #[serde(rename = "fmp4")]
    FragmentedMp4,
    /// QuickTime, index first.
    Mov,
    /// Matroska.
    Mkv,
    /// WebM.
    Webm,
    /// MPEG-2 transport stream.
    #[serde(rename = "mpegts")]
    MpegTs,
    /// Sound alone in an ISO base media file.
    M4a,
    /// A stream of MPEG-1 layer III frames behind an ID3v2 tag.
    Mp3,
    /// Ogg; a file with Opus ends in `.opus`.
    Ogg,
    /// FLAC.
    Flac,
    /// RIFF WAVE; past 4 GiB it cannot grow.
    Wav,
}

impl Container {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::Mp4,
        Self::FragmentedMp4,
        Self::Mov,
        Self::Mkv,
        Self::Webm,
        Self::MpegTs,
        Self::M4a,
        Self::Mp3,
        Self::Ogg,
        Self::Flac,
        Self::Wav,
    ];

    /// The name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::FragmentedMp4 => "fmp4",
            Self::Mov => "mov",
            Self::Mkv => "mkv",
            Self::Webm => "webm",
            Self::MpegTs => "mpegts",
            Self::M4a => "m4a",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Flac => "flac",
            Self::Wav => "wav",
        }
    }

    /// The ending of a file's name.
    #[must_use]
    pub fn ending(self, audio: Option<AudioCodec>) -> &'static str {
        match self {
            Self::FragmentedMp4 => "mp4",
            Self::MpegTs => "ts",
            Self::Ogg if audio == Some(AudioCodec::Opus) => "opus",
            other => other.name(),
        }
    }

    /// The one that an ending of a file's name stands for, without its dot and in any letters; `None` for endings that say
    /// nothing of a container.
    #[must_use]
    pub fn of_ending(ending: &str) -> Option<Self> {
        Some(match ending.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Self::Mp4,
            "mov" | "qt" => Self::Mov,
            "mkv" | "mka" => Self::Mkv,
            "webm" => Self::Webm,
            "ts" | "mts" | "m2ts" => Self::MpegTs,
            "m4a" => Self::M4a,
            "mp3" => Self::Mp3,
            "ogg" | "oga" | "opus" => Self::Ogg,
            "flac" => Self::Flac,
            "wav" => Self::Wav,
            _ => return None,
        })
    }

    /// Whether a file of this container may have a name that stands for the other one.
    #[must_use]
    pub fn may_be_called(self, named: Self) -> bool {
        self == named || (self, named) == (Self::FragmentedMp4, Self::Mp4)
    }

    /// The video codecs that it holds, its default first, also those of them that hardware is to make; none for files of sound.
    #[must_use]
    pub fn video_codecs(self) -> &'static [VideoCodec] {
        use VideoCodec::{Av1, DnxHd, Ffv1, H264, Hevc, ProRes, Vp9};
        match self {
            Self::Mp4 | Self::FragmentedMp4 => &[H264, Hevc, Vp9, Av1],
            Self::Mov => &[H264, Hevc, ProRes, DnxHd],
            Self::Mkv => &[H264, Hevc, Vp9, Av1, Ffv1, ProRes],
            Self::Webm => &[Vp9, Av1],
            Self::MpegTs => &[H264],
            Self::M4a | Self::Mp3 | Self::Ogg | Self::Flac | Self::Wav => &[],
        }
    }

    /// The audio codecs that it holds, its default first.
    #[must_use]
    pub fn audio_codecs(self) -> &'static [AudioCodec] {
        use AudioCodec::{Aac, Ac3, Flac, Mp3, Opus, Pcm, Vorbis};
        match self {
            Self::Mp4 | Self::FragmentedMp4 => &[Aac, Opus, Mp3, Ac3, Flac],
            Self::Mov => &[Aac, Pcm, Mp3, Ac3],
            Self::Mkv => &[Aac, Opus, Mp3, Vorbis, Flac, Pcm, Ac3],
            Self::Webm => &[Opus, Vorbis],
            Self::MpegTs => &[Aac, Mp3, Ac3],
            Self::M4a => &[Aac],
            Self::Mp3 => &[Mp3],
            Self::Ogg => &[Opus, Vorbis, Flac],
            Self::Flac => &[Flac],
            Self::Wav => &[Pcm],
        }
    }

    /// Whether it can say that the begin of a stream is not to be presented.
    #[must_use]
    pub fn has_edit_lists(self) -> bool {
        matches!(self, Self::Mp4 | Self::FragmentedMp4 | Self::Mov | Self::M4a)
    }

    /// The video codec of an output that names none.
    #[must_use]
    pub fn usual_video(self) -> Option<VideoCodec> {
        self.video_codecs().first().copied()
    }

    /// The audio codec of an output that names none: beside lossless or mezzanine video, sound that loses nothing.
    #[must_use]
    pub fn usual_audio(self, video: Option<VideoCodec>) -> AudioCodec {
        match (self, video) {
            (Self::Mov, Some(VideoCodec::ProRes | VideoCodec::DnxHd)) => AudioCodec::Pcm,
            (Self::Mkv, Some(VideoCodec::Ffv1 | VideoCodec::ProRes)) => AudioCodec::Flac,
            _ => self.audio_codecs()[0],
        }
    }
}

//! Audio codecs and their settings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An audio codec that the farm encodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudioCodec {
    /// MPEG-4 AAC, low complexity.
    #[default]
    Aac,
    /// Opus; always at 48 kHz or one of its lower rates.
    Opus,
    /// MPEG-1 and -2 layer III, by LAME.
    Mp3,
    /// Vorbis.
    Vorbis,
    /// FLAC; lossless.
    Flac,
    /// Samples as they are, little endian.
    Pcm,
    /// Dolby AC-3.
    Ac3,
}

/// Bit rates of MPEG-1 layer III (ISO/IEC 11172-3, 2.4.2.3), in kbit/s; the lowest of MPEG-2's as well.
const MP3_KBPS: &[u32] = &[8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// Bit rates of AC-3 (ATSC A/52, table 5.18), in kbit/s.
const AC3_KBPS: &[u32] =
    &[32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Sample rates that MPEG-4 AAC and its players share.
const AAC_RATES: &[u32] = &[8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

impl AudioCodec {
    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::Aac, Self::Opus, Self::Mp3, Self::Vorbis, Self::Flac, Self::Pcm, Self::Ac3];

    /// The name in JSON and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Mp3 => "mp3",
            Self::Vorbis => "vorbis",
            Self::Flac => "flac",
            Self::Pcm => "pcm",
            Self::Ac3 => "ac3",
        }
    }

    /// Whether it keeps every bit, so that it takes a depth and no bit rate.
    #[must_use]
    pub fn is_lossless(self) -> bool {
        matches!(self, Self::Flac | Self::Pcm)
    }

    /// Lowest and highest bit rate in bits a second; `None` for lossless ones.
    #[must_use]
    pub fn bitrates(self) -> Option<(u32, u32)> {
        match self {
            Self::Aac => Some((16_000, 512_000)),
            Self::Opus => Some((6_000, 510_000)),
            Self::Mp3 => Some((8_000, 320_000)),
            Self::Vorbis => Some((32_000, 500_000)),
            Self::Ac3 => Some((32_000, 640_000)),
            Self::Flac | Self::Pcm => None,
        }
    }

    /// The only bit rates that it has, in kbit/s; empty where any within the range will do.
    #[must_use]
    pub fn steps_kbps(self) -> &'static [u32] {
        match self {
            Self::Mp3 => MP3_KBPS,
            Self::Ac3 => AC3_KBPS,
            _ => &[],
        }
    }

    /// The bit rate of an output that names none; 0 for lossless ones.
    #[must_use]
    pub fn usual_bitrate_bps(self, channels: Option<u8>) -> u32 {
        let many = channels.is_some_and(|channels| channels > 2);
        match self {
            Self::Aac => 128_000,
            Self::Opus if many => 256_000,
            Self::Opus => 96_000,
            Self::Vorbis if many => 256_000,
            Self::Vorbis => 128_000,
            Self::Ac3 if many => 448_000,
            Self::Mp3 | Self::Ac3 => 192_000,
            Self::Flac | Self::Pcm => 0,
        }
    }

    /// Sample rates in hertz that it has, ascending; empty where any from 8 to 192 kHz will do.
    #[must_use]
    pub fn rates_hz(self) -> &'static [u32] {
        match self {
            Self::Aac | Self::Mp3 => AAC_RATES,
            Self::Opus => &[8000, 12_000, 16_000, 24_000, 48_000],
            Self::Ac3 => &[32_000, 44_100, 48_000],
            Self::Vorbis | Self::Flac | Self::Pcm => &[],
        }
    }

    /// Numbers of channels that it is given: mono, stereo, 5.1, 7.1.
    #[must_use]
    pub fn channels(self) -> &'static [u8] {
        match self {
            Self::Mp3 => &[1, 2],
            Self::Aac | Self::Ac3 => &[1, 2, 6],
            Self::Opus | Self::Vorbis | Self::Flac | Self::Pcm => &[1, 2, 6, 8],
        }
    }
}

/// What a programme is brought to: EBU R 128 with a target of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LoudnessTarget {
    /// Integrated loudness in tenths of a LUFS, such as -230.
    pub integrated: i16,
    /// Highest true peak in tenths of a dBTP, such as -10, before the codec. Peaks that would pass it are limited.
    pub true_peak: i16,
}

/// Audio settings. A source without audio gives an output without audio, unless the output is of sound alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AudioSettings {
    /// Codec.
    pub codec: AudioCodec,
    /// Bit rate of the whole stream in bits a second; 0 for lossless codecs and where `quality` decides.
    pub bitrate_bps: u32,
    /// Variable rate of MP3: LAME's quality, 0 (best) to 9.
    pub quality: Option<u8>,
    /// Samples a second. `None`: the source's, or the nearest that the codec has, at most 48 kHz in lossy codecs.
    pub rate_hz: Option<u32>,
    /// Channels: 1, 2, 6 (5.1) or 8 (7.1). `None`: as the source, in the nearest of these that the codec has.
    pub channels: Option<u8>,
    /// Bits a sample of lossless codecs, 16 or 24. `None`: 24 for a source of more than 16, else 16.
    pub bits: Option<u8>,
    /// What the loudness is brought to; `None` leaves it as it is.
    pub loudness: Option<LoudnessTarget>,
}

impl AudioSettings {
    /// A codec with the settings of an output that names no others.
    #[must_use]
    pub fn of(codec: AudioCodec) -> Self {
        Self {
            codec,
            bitrate_bps: codec.usual_bitrate_bps(None),
            quality: None,
            rate_hz: None,
            channels: None,
            bits: None,
            loudness: None,
        }
    }
}

impl Default for AudioSettings {
    fn default() -> Self {
        Self::of(AudioCodec::Aac)
    }
}

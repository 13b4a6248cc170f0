//! The arguments of `rushes encode`.

use std::path::PathBuf;

use clap::Args;
use rushes_shared::encode::{AudioCodec, Chroma, Container, MezzanineProfile, SpeedPreset, VideoCodec};
use rushes_shared::request::{AudioVariant, BitRate, RateMode};
use rushes_shared::sequence::FrameRate;

use super::value::{bit_rate, pair, preset, word};

/// `rushes encode`.
#[derive(Debug, Args)]
pub(crate) struct EncodeArgs {
    /// The files to encode.
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// The directory for the results; made if it is missing. Each is named like its input, with the container's ending.
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(crate) out_dir: PathBuf,
    /// Pictures a second where an input is an image sequence: 24, 23.976, 24000/1001. A sequence is named by its pattern,
    /// such as 'shot.%04d.png' or 'shot.####.exr', or by a tar archive of it. Default: 24.
    #[arg(long, value_name = "RATE")]
    pub(crate) frame_rate: Option<FrameRate>,
    /// Replaces results that are there already.
    #[arg(long)]
    pub(crate) force: bool,
    /// A preset by name ('rushes preset list'), or a preset's file; settings given beside it go before what it says.
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    pub(crate) preset: Option<String>,
    /// The file format: mp4, fmp4 (fragmented), mov, mkv, webm, mpegts, or of sound alone m4a, mp3, ogg, flac, wav.
    /// Default: mp4, or what the preset says.
    #[arg(long, value_parser = word::<Container>, value_name = "FORMAT", help_heading = "Settings")]
    pub(crate) container: Option<Container>,
    #[command(flatten)]
    pub(crate) video: VideoArgs,
    #[command(flatten)]
    pub(crate) audio: AudioArgs,
    /// 0 to 100; higher is sooner.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(0..=100), value_name = "N", help_heading = "Settings")]
    pub(crate) priority: i64,
    /// A label for filters, KEY=VALUE; may be repeated.
    #[arg(long = "label", value_parser = pair, value_name = "KEY=VALUE", help_heading = "Settings")]
    pub(crate) labels: Vec<(String, String)>,
}

/// Settings of the picture.
#[derive(Debug, Args)]
#[command(next_help_heading = "Video")]
pub(crate) struct VideoArgs {
    /// Leaves video out.
    #[arg(long)]
    pub(crate) no_video: bool,
    /// The codec: h264, h264_hardware, hevc, vp9, av1, ffv1, prores or dnxhd. Default: the container's.
    #[arg(long, value_parser = word::<VideoCodec>, value_name = "CODEC")]
    pub(crate) codec: Option<VideoCodec>,
    /// Constant rate factor: 0 is lossless or best; 51 is worst of H.264 and HEVC, 63 of VP9 and AV1. Default: 23 for
    /// H.264, 28 for HEVC, 32 for VP9 and AV1.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..=63), value_name = "N")]
    pub(crate) crf: Option<i64>,
    /// A mean bit rate instead, in two passes, such as 5M.
    #[arg(long, value_parser = bit_rate, value_name = "RATE")]
    pub(crate) bitrate: Option<BitRate>,
    /// Keeps --bitrate constant.
    #[arg(long, requires = "bitrate")]
    pub(crate) cbr: bool,
    /// Highest bit rate, over a buffer of two seconds of it.
    #[arg(long, value_parser = bit_rate, value_name = "RATE")]
    pub(crate) max_bitrate: Option<BitRate>,
    /// How much time the encoder takes: ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow.
    /// Default: medium.
    #[arg(long, value_parser = preset, value_name = "PRESET")]
    pub(crate) encoder_preset: Option<SpeedPreset>,
    /// Scales the picture down to fit this width in pixels.
    #[arg(long, value_parser = clap::value_parser!(i64).range(16..=16_384), value_name = "PIXELS")]
    pub(crate) max_width: Option<i64>,
    /// Scales the picture down to fit this height in pixels.
    #[arg(long, value_parser = clap::value_parser!(i64).range(16..=16_384), value_name = "PIXELS")]
    pub(crate) max_height: Option<i64>,
    /// Bits a sample, 8 or 10. Default: 8 in H.264, in others 10 where the source has more than 8.
    #[arg(long, value_parser = clap::value_parser!(i64).range(8..=10), value_name = "BITS")]
    pub(crate) bit_depth: Option<i64>,
    /// Chroma: 4:2:0, 4:2:2 or 4:4:4. Default: 4:2:0, in mezzanines 4:2:2.
    #[arg(long, value_parser = word::<Chroma>, value_name = "FORMAT")]
    pub(crate) chroma: Option<Chroma>,
    /// A key frame every so many milliseconds exactly, and nowhere else.
    #[arg(long, value_parser = clap::value_parser!(i64).range(100..=60_000), value_name = "MS")]
    pub(crate) keyframe_ms: Option<i64>,
    /// How much ProRes and DNxHD keep: proxy, lt, standard or hq.
    #[arg(long, value_parser = word::<MezzanineProfile>, value_name = "PROFILE")]
    pub(crate) profile: Option<MezzanineProfile>,
}

/// Settings of the sound.
#[derive(Debug, Args)]
#[command(next_help_heading = "Audio")]
pub(crate) struct AudioArgs {
    /// Leaves audio out.
    #[arg(long)]
    pub(crate) no_audio: bool,
    /// The codec: aac, opus, mp3, vorbis, flac, pcm or ac3. Default: the container's.
    #[arg(long, value_parser = word::<AudioCodec>, value_name = "CODEC")]
    pub(crate) audio_codec: Option<AudioCodec>,
    /// Bit rate, such as 128k. Default: by codec.
    #[arg(long, conflicts_with = "no_audio", value_parser = bit_rate, value_name = "RATE")]
    pub(crate) audio_bitrate: Option<BitRate>,
    /// Bit rate by what it is for: high 320k, medium 192k, low 128k, mobile 96k.
    #[arg(long, value_parser = word::<AudioVariant>, value_name = "VARIANT")]
    pub(crate) audio_variant: Option<AudioVariant>,
    /// Variable rate of MP3: 0 (best) to 9.
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..=9), value_name = "N")]
    pub(crate) audio_quality: Option<i64>,
    /// Samples a second.
    #[arg(long, value_parser = clap::value_parser!(i64).range(8_000..=192_000), value_name = "HZ")]
    pub(crate) audio_rate: Option<i64>,
    /// Channels: 1, 2, 6 (5.1) or 8 (7.1), mixed down or up.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=8), value_name = "N")]
    pub(crate) channels: Option<i64>,
    /// Bits a sample of FLAC and PCM, 16 or 24.
    #[arg(long, value_parser = clap::value_parser!(i64).range(16..=24), value_name = "BITS")]
    pub(crate) audio_bits: Option<i64>,
    /// Brings the sound to this loudness in LUFS (EBU R 128), such as -23.
    #[arg(long, allow_negative_numbers = true, value_name = "LUFS")]
    pub(crate) loudness: Option<f64>,
    /// The highest true peak in dBTP beside --loudness. Default: -1.
    #[arg(long, requires = "loudness", allow_negative_numbers = true, value_name = "DBTP")]
    pub(crate) true_peak: Option<f64>,
}

impl VideoArgs {
    /// What decides the bits, where it is said.
    pub(crate) fn rate(&self) -> Option<RateMode> {
        self.cbr.then_some(RateMode::Cbr)
    }
}

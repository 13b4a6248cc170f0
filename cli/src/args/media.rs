//! `rushes media`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rushes_shared::encode::{SpeedPreset, VideoCodec, VmafScope};
use rushes_shared::ladder::{Borders, CODECS, LEAST_MEAN_BPS, MOST_MEAN_BPS};
use rushes_shared::measure::VmafModel;
use rushes_shared::request::{BitRate, RateMode};
use rushes_shared::sequence::FrameRate;

/// Looks at files and measures them on this machine, without a farm.
#[derive(Debug, Args)]
pub(crate) struct MediaArgs {
    #[command(subcommand)]
    pub(crate) command: MediaCommand,
    /// Pictures a second of an image sequence: 24, 23.976, 24000/1001. A sequence is named by its pattern, such as
    /// 'shot.%04d.png' or 'shot.####.exr', or by a tar archive of it.
    #[arg(long, global = true, value_name = "RATE", default_value = "24", help_heading = "Image sequences")]
    pub(crate) frame_rate: FrameRate,
    /// Longest time for one file, in seconds; the operation is ended then.
    #[arg(long, global = true, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=604_800), value_name = "SECONDS", help_heading = "Limits")]
    pub(crate) time_limit: u64,
    /// Address space of the operation, in MiB.
    #[arg(long, global = true, default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(512..=1_048_576), value_name = "MIB", help_heading = "Limits")]
    pub(crate) memory_limit: u64,
}

/// The operations.
#[derive(Debug, Subcommand)]
pub(crate) enum MediaCommand {
    /// Shows what a file is made of: container, streams, codecs, sizes, rates, colours, tags.
    #[command(
        after_help = "Examples:\n  rushes media probe film.mov\n  rushes media probe *.mov --output json\n  rushes media probe 'shot.%04d.exr' --frame-rate 25"
    )]
    Probe {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Measures loudness by EBU R 128: integrated, range, true peak.
    #[command(after_help = "Example:\n  rushes media loudness *.wav --output json")]
    Loudness {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Draws up a waveform: as data in audiowaveform's JSON format (version 2), or as a PNG.
    #[command(
        after_help = "Examples:\n  rushes media waveform talk.wav -o talk.json --samples-per-pixel 512 --bits 8\n  rushes media waveform talk.wav -o talk.png --size 1200x200"
    )]
    Waveform {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
        /// Samples that a point stands for. Without it 256, or for a picture as many as fill it.
        #[arg(long, value_parser = clap::value_parser!(u32).range(2..), value_name = "N")]
        samples_per_pixel: Option<u32>,
        /// Bits of a value: 8 or 16.
        #[arg(long, default_value_t = 16, value_parser = bits, value_name = "BITS")]
        bits: u8,
        /// A waveform for each channel instead of one for their mean.
        #[arg(long)]
        split_channels: bool,
        /// Width and height of a picture in pixels.
        #[arg(long, default_value = "800x250", value_parser = size, value_name = "WxH")]
        size: (u32, u32),
    },
    /// Takes a picture at a time, the best one, or one every few seconds: JPEG or PNG.
    #[command(
        after_help = "Examples:\n  rushes media thumbnail film.mov -o poster.jpg --at 12.5\n  rushes media thumbnail film.mov -o thumb.jpg --every 10 --max-width 320     (thumb-1.jpg, thumb-2.jpg, …)"
    )]
    Thumbnail {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
        /// The frame that is shown at this time, in seconds. Without --at, --best and --every: at 1 s, or at the half of a
        /// shorter film.
        #[arg(long, value_parser = seconds, value_name = "SECONDS", group = "moment")]
        at: Option<u64>,
        /// The frame that shows most, of a dozen spread over the film.
        #[arg(long, group = "moment")]
        best: bool,
        /// A picture at the start and after every so many seconds; they are numbered from 1.
        #[arg(long, value_parser = seconds, value_name = "SECONDS", group = "moment")]
        every: Option<u64>,
        #[command(flatten)]
        picture: Picture,
    },
    /// Makes a sprite sheet for a player's time line, and the WebVTT file that goes with it.
    #[command(
        after_help = "Example:\n  rushes media sprite film.mov -o sprite.jpg     (and sprite.vtt beside it)"
    )]
    Sprite {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
        /// Seconds between pictures. Without it a hundredth of the film, at least 1 s.
        #[arg(long, value_parser = seconds, value_name = "SECONDS")]
        every: Option<u64>,
        /// Width of a picture in pixels.
        #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "PIXELS")]
        width: u32,
        /// Pictures in a row.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
        columns: u32,
        /// Quality of a JPEG, 1 to 100.
        #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "N")]
        quality: u8,
    },
    /// Makes a moving preview: a few seconds as an endless GIF or animated WebP, by the file's ending.
    #[command(after_help = "Example:\n  rushes media preview film.mov -o preview.webp --from 10")]
    Preview {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
        /// Where it begins, in seconds.
        #[arg(long, default_value = "0", value_parser = seconds, value_name = "SECONDS")]
        from: u64,
        /// How long it is, in seconds.
        #[arg(long, default_value = "3", value_parser = seconds, value_name = "SECONDS")]
        length: u64,
        /// Frames a second, 1 to 50.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=50), value_name = "N")]
        fps: u32,
        /// Longest width in pixels.
        #[arg(long, default_value_t = 320, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "PIXELS")]
        max_width: u32,
        /// Quality of a WebP, 1 to 100.
        #[arg(long, default_value_t = 75, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "N")]
        quality: u8,
    },
    /// Encodes a film into a ladder and packages it: CMAF segments with HLS and DASH manifests over the same files.
    ///
    /// Rungs are 2160p at 15 Mb/s, 1080p at 5, 720p at 2.5, 480p at 1 and 360p at 0.6, never above the source: a constant
    /// rate factor with that rate as its bound. All rungs have the same key frames.
    #[command(
        after_help = "Example:\n  rushes media ladder film.mov -o out/     (out/master.m3u8 and out/manifest.mpd play from any web server)"
    )]
    Ladder {
        /// The film.
        file: PathBuf,
        /// The directory to make; it may be there if it is empty.
        #[arg(long, short = 'o', value_name = "DIR")]
        out: PathBuf,
        /// Codecs of the rungs: h264, hevc, vp9, av1, or several with commas between them, each in rungs of its own.
        #[arg(long, default_value = "h264", value_delimiter = ',', value_parser = stream_codec, value_name = "NAME")]
        codec: Vec<VideoCodec>,
        /// Constant rate factor of the first codec, on its own scale: 0 to 51, of vp9 and av1 to 63 [default: 23, hevc 28, vp9 and
        /// av1 32].
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=63), value_name = "N")]
        crf: Option<u8>,
        /// How much time encoders take, from ultrafast to veryslow.
        #[arg(long, default_value = "medium", value_parser = preset, value_name = "NAME")]
        preset: SpeedPreset,
        /// Short side of the largest rung in pixels.
        #[arg(long, value_parser = clap::value_parser!(u32).range(2..=16_384), value_name = "PIXELS")]
        max_height: Option<u32>,
        /// Length of a segment in seconds, rounded to whole key frames of 2 s or, for shorter ones, of that length.
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=60), value_name = "SECONDS")]
        segment: u32,
        /// Length of a chunk in seconds, rounded to whole segments.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400), value_name = "SECONDS")]
        chunk: u32,
        /// Where chunks begin: on a grid of that length, or at cuts of the film near it, which a scan finds before.
        #[arg(long, default_value = "grid", value_parser = borders, value_name = "grid|scenes")]
        chunks: Borders,
        /// What decides the bits: the rate factor, or a mean rate over the film.
        /// [default: vbr with --bitrate, else crf]
        #[arg(long, value_parser = rate, value_name = "crf|vbr")]
        rate: Option<RateMode>,
        /// Mean bit rate of the largest rung in bits a second, 10k to 1000M, the others' in proportion; without it the
        /// ladder's own.
        #[arg(long, value_parser = mean_rate, value_name = "RATE")]
        bitrate: Option<u64>,
        /// Bit rate of the sound in bits a second, 16000 to 512000; 0 leaves it out.
        /// Several with commas between them, the best first, are one sound at several rates.
        #[arg(long, default_value = "128000", value_delimiter = ',', value_parser = sound_rate, value_name = "BPS")]
        sound: Vec<u32>,
        /// Leaves out the decode of every segment at the end.
        #[arg(long)]
        no_decode: bool,
        /// Measures VMAF of every rung: `sampled` is every tenth frame.
        #[arg(long, default_value = "off", value_parser = scope, value_name = "off|sampled|full")]
        vmaf: VmafScope,
    },
    /// Packages finished rungs: CMAF segments with HLS and DASH manifests over the same files; nothing is encoded.
    ///
    /// Rungs are MP4 files with closed groups of pictures and the same key frames, the best first. Nothing is left behind
    /// where a check fails.
    #[command(
        after_help = "Example:\n  rushes media package 1080p.mp4 720p.mp4 360p.mp4 --audio sound.m4a -o out/"
    )]
    Package {
        /// The rungs.
        #[arg(required = true, value_name = "RUNG")]
        rungs: Vec<PathBuf>,
        /// A file with sound; may be given several times. Without it, the first rung's own.
        #[arg(long, value_name = "FILE")]
        audio: Vec<PathBuf>,
        /// The directory to make; it may be there if it is empty.
        #[arg(long, short = 'o', value_name = "DIR")]
        out: PathBuf,
        /// Length of a segment in seconds: each begins at the first key frame that is as late.
        #[arg(long, default_value = "6", value_parser = seconds, value_name = "SECONDS")]
        segment: u64,
        /// Most bits a second of each rung over a segment's length, in the order of the rungs.
        #[arg(long, value_delimiter = ',', value_name = "BPS")]
        max_rate: Vec<u64>,
        /// Leaves out the decode of every segment at the end.
        #[arg(long)]
        no_decode: bool,
    },
    /// Writes the manifests of a set anew over the segments that it has, and checks it; segments stay as they are.
    ///
    /// After a rung, a language or a segment has been added, taken out or made again. A segment that is missing, a hole in the time, and
    /// rungs whose segments do not begin together are errors, and then the manifests stay as they were.
    #[command(
        after_help = "Example:\n  rushes media manifests out/     (out/NAME/init.mp4, out/NAME/1.m4s, … for each rendition)"
    )]
    Manifests {
        /// The set: a directory for each rendition, as `rushes media package` makes them.
        #[arg(value_name = "DIR")]
        set: PathBuf,
        /// Decodes every segment as well.
        #[arg(long)]
        decode: bool,
    },
    /// Compares a film with its reference, frame by frame: VMAF, PSNR, SSIM, the worst moments.
    #[command(
        after_help = "Example:\n  rushes media compare film.mov out/film.mp4\n  rushes media compare film.mov out/film.mp4 --every 10 --model vmaf_v0.6.1neg"
    )]
    Compare {
        /// What it should look like.
        reference: PathBuf,
        /// What is compared with it; where it has another size it is scaled to the reference's (bicubic).
        other: PathBuf,
        /// Measures every so many-th frame, from the first on; 1 is all of them.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
        every: u32,
        /// VMAF's model.
        #[arg(long, default_value = VmafModel::default().as_str(), value_parser = model, value_name = "MODEL")]
        model: VmafModel,
        /// Leaves VMAF out, which takes most of the time.
        #[arg(long)]
        no_vmaf: bool,
        /// Compares the frames that both have, where one has others or another frame rate.
        #[arg(long)]
        unpaired: bool,
        /// Threads for VMAF; one a core where it is left out.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024), value_name = "N")]
        threads: Option<u32>,
    },
}

fn rate(text: &str) -> Result<RateMode, String> {
    match text {
        "crf" => Ok(RateMode::Crf),
        "vbr" => Ok(RateMode::Vbr),
        _ => Err("write crf or vbr".to_owned()),
    }
}

fn borders(text: &str) -> Result<Borders, String> {
    match text {
        "grid" => Ok(Borders::Grid),
        "scenes" => Ok(Borders::Scenes),
        _ => Err("write grid or scenes".to_owned()),
    }
}

fn scope(text: &str) -> Result<VmafScope, String> {
    match text {
        "off" => Ok(VmafScope::Off),
        "sampled" => Ok(VmafScope::Sampled),
        "full" => Ok(VmafScope::Full),
        _ => Err("write off, sampled or full".to_owned()),
    }
}

fn model(text: &str) -> Result<VmafModel, String> {
    let all = VmafModel::ALL.map(VmafModel::as_str);
    let named = VmafModel::ALL.into_iter().find(|model| model.as_str() == text);
    named.ok_or_else(|| format!("there is no such model; there are {}", all.join(", ")))
}

/// How pictures look.
#[derive(Debug, Args)]
pub(crate) struct Picture {
    /// Longest width in pixels; never larger than the film.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_500), value_name = "PIXELS")]
    pub(crate) max_width: Option<u32>,
    /// Longest height in pixels.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_500), value_name = "PIXELS")]
    pub(crate) max_height: Option<u32>,
    /// Quality of a JPEG, 1 to 100.
    #[arg(long, default_value_t = 85, value_parser = clap::value_parser!(u8).range(1..=100), value_name = "N")]
    pub(crate) quality: u8,
}

/// Where a result goes.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The file to make; its ending says which kind.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replaces what is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Seconds as nanoseconds.
fn seconds(text: &str) -> Result<u64, String> {
    let value: Option<f64> = text.parse().ok().filter(|s| (0.0..=1e6).contains(s));
    let value = value.ok_or_else(|| "write seconds such as 12.5, at most 1000000".to_owned())?;
    u64::try_from(std::time::Duration::from_secs_f64(value).as_nanos()).map_err(|e| e.to_string())
}

fn preset(text: &str) -> Result<SpeedPreset, String> {
    let name = serde_json::Value::String(text.to_owned());
    serde_json::from_value(name).map_err(|_| "use one from ultrafast to veryslow".to_owned())
}

fn stream_codec(text: &str) -> Result<VideoCodec, String> {
    let named = CODECS.into_iter().find(|codec| codec.word() == text);
    named.ok_or_else(|| format!("use one of {}", CODECS.map(VideoCodec::word).join(", ")))
}

fn bits(text: &str) -> Result<u8, String> {
    match text {
        "8" => Ok(8),
        "16" => Ok(16),
        _ => Err("use 8 or 16".to_owned()),
    }
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides
        .filter(|(w, h)| (1..=65_500).contains(w) && (1..=65_500).contains(h))
        .ok_or_else(|| "write it as 800x250, sides from 1 to 65500".to_owned())
}

fn mean_rate(text: &str) -> Result<u64, String> {
    let rate = text.parse::<BitRate>()?;
    let bps = u64::try_from(rate.0).ok().filter(|bps| (LEAST_MEAN_BPS..=MOST_MEAN_BPS).contains(bps));
    bps.ok_or_else(|| "should be 10k to 1000M, such as 4M".to_owned())
}

fn sound_rate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bps @ (0 | 16_000..=512_000)) => Ok(bps),
        _ => Err("should be 16000 to 512000, or 0 for none".to_owned()),
    }
}

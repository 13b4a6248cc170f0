//! `rushes media`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Looks at files and measures them on this machine, without a farm.
#[derive(Debug, Args)]
pub(crate) struct MediaArgs {
    #[command(subcommand)]
    pub(crate) command: MediaCommand,
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
    Probe {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Measures loudness by EBU R 128: integrated, range, true peak.
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

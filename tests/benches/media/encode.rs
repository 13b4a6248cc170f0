//! The encode library alone, without farm, process or check, beside ffmpeg with the same settings.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rushes_bench::clip::{clip, ffmpeg_encode, frames};
use rushes_bench::program::{self, Spent};
use rushes_bench::sample::{each, pairs};
use rushes_bench::{Bench, Better, Row};
use rushes_media::{EncodeJob, encode, init, probe};
use rushes_shared::encode::EncodeSettings;

/// Length of the clip in seconds.
const SECONDS: u32 = 20;

/// One run.
struct Run {
    spent: Spent,
    bytes: u64,
    frames: u64,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let clip = clip(bench.dir(), SECONDS)?;
    let scratch = bench.scratch()?;
    let (ours, theirs) = (scratch.path().join("ours.mp4"), scratch.path().join("peer.mp4"));
    init()?;
    let done = pairs(bench.runs(3), |_| by_library(&clip, &ours), |_| by_peer(&clip, &theirs))?;
    if let Some(pair) = done.iter().find(|pair| pair.ours.frames != pair.peer.frames) {
        bail!("the results differ: {} frames, and {} by ffmpeg", pair.ours.frames, pair.peer.frames);
    }
    let wall = each(&done, |run| run.spent.wall.as_secs_f64());
    let cpu = each(&done, |run| run.spent.cpu.as_secs_f64());
    let size = each(&done, |run| run.bytes as f64 / 1e6);
    bench.add(Row::beside("encode 20 s of 720p, library alone", "s", Better::Lower, "ffmpeg", &wall));
    bench.add(Row::beside("encode 20 s of 720p, CPU", "s", Better::Lower, "ffmpeg", &cpu));
    bench.add(Row::beside("encode 20 s of 720p, size", "MB", Better::Lower, "ffmpeg", &size));
    Ok(())
}

fn by_library(input: &Path, output: &Path) -> Result<Run> {
    let settings = EncodeSettings::default();
    let (encoded, spent) = program::within(|| {
        let source = probe(input)?;
        let job = EncodeJob { input, source: &source, settings: &settings, output, threads: None };
        Ok(encode(&job, &mut |_| ())?)
    })?;
    Ok(Run { spent, bytes: size(output)?, frames: encoded.frames })
}

fn by_peer(input: &Path, output: &Path) -> Result<Run> {
    let spent = program::run(&mut ffmpeg_encode(input, output))?;
    Ok(Run { spent, bytes: size(output)?, frames: frames(output)? })
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("find {}", path.display()))?.len())
}

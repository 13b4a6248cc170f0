//! One rung of VP9 and one of AV1 in chunks, as many at once as there are cores with a thread each, beside the faster of
//! ffmpeg's own choice of threads and its rows in parallel. AV1 is made by the libaom that is linked in; ffmpeg has the system's, which
//! may be older.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use rushes_bench::clip::{clip, ffmpeg, frames};
use rushes_bench::program::{self, Spent};
use rushes_bench::sample::{Pair, each, pairs};
use rushes_bench::{Bench, Better, Row};
use rushes_media::{ChunkJob, JoinJob, encode_chunk, init, join, probe};
use rushes_shared::encode::{SpeedPreset, VideoCodec};
use rushes_shared::ladder::{ChunkRange, Grid, Rung, split};
use rushes_shared::media::MediaFacts;

use crate::ladder::vmaf;

/// Length of the film and of a chunk, in seconds; frames from key frame to key frame: two seconds.
const SECONDS: u32 = 40;
const CHUNK_SECONDS: u32 = 10;
const KEY_FRAMES: &str = "60";
/// The rung's size, and its level of constant quality.
const SIZE: (u32, u32) = (854, 480);
const LEVEL: u8 = 32;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    init()?;
    let film = clip(bench.dir(), SECONDS)?;
    for codec in [VideoCodec::Vp9, VideoCodec::Av1] {
        rung(bench, &film, codec)?;
    }
    Ok(())
}

fn rung(bench: &mut Bench, film: &Path, codec: VideoCodec) -> Result<()> {
    let scratch = bench.scratch()?;
    let (ours, theirs) = (scratch.path().join("ours.mp4"), scratch.path().join("theirs.mp4"));
    let source = probe(film)?;
    let in_chunks = |_| by_chunks(film, &source, codec, scratch.path(), &ours);
    let done = pairs(bench.runs(1), in_chunks, |_| by_ffmpeg(film, codec, &theirs))?;
    if frames(&ours)? != frames(&theirs)? {
        bail!("{}: {} frames, and {} by ffmpeg", codec.name(), frames(&ours)?, frames(&theirs)?);
    }
    let name = format!("a rung of {} at 480p in chunks of 10 s", codec.name());
    let peer = "the faster of two ffmpeg";
    let wall = each(&done, |spent| spent.wall.as_secs_f64());
    let cpu = each(&done, |spent| spent.cpu.as_secs_f64());
    bench.add(Row::beside(&name, "s", Better::Lower, peer, &wall).target_ratio(0.97));
    bench.add(Row::beside(format!("{name}, CPU"), "s", Better::Lower, peer, &cpu).target_ratio(1.0));
    let size = |path: &Path| fs::metadata(path).map(|found| found.len() as f64 / 1e6);
    let sizes = [Pair { ours: size(&ours)?, peer: size(&theirs)? }];
    bench.add(Row::beside(format!("{name}, size"), "MB", Better::Lower, peer, &sizes));
    let lost = vmaf(film, &theirs)? - vmaf(film, &ours)?;
    bench.add(Row::of(format!("{name}, VMAF below ffmpeg's"), "VMAF", Better::Lower, &[lost]));
    Ok(())
}

fn rung_of(codec: VideoCodec) -> Rung {
    Rung {
        name: "480p".to_owned(),
        max_size: SIZE,
        crf: LEVEL,
        preset: SpeedPreset::Medium,
        cap: None,
        codec,
    }
}

/// A node of so many cores works on as many chunks at once.
fn by_chunks(film: &Path, source: &MediaFacts, codec: VideoCodec, dir: &Path, to: &Path) -> Result<Spent> {
    let grid = Grid::of(2, CHUNK_SECONDS);
    let ranges: VecDeque<(usize, ChunkRange)> = split(source, &grid).into_iter().enumerate().collect();
    let file = |number: usize| dir.join(format!("{number}.mp4"));
    let files: Vec<PathBuf> = (0..ranges.len()).map(file).collect();
    let waiting = Mutex::new(ranges);
    let one_by_one = || -> Result<()> {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, range)) = next else { return Ok(()) };
            let rungs = [(rung_of(codec), file(number))];
            let (input, grid, threads) = (film, &grid, Some(1));
            let job = ChunkJob {
                input,
                source,
                range,
                grid,
                cuts: None,
                rungs: &rungs,
                caps: &[],
                bits: &[],
                threads,
            };
            encode_chunk(&job, &mut |_| ())?;
        }
    };
    let (_, spent) = program::within(|| {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            let nodes: Vec<_> = (0..cores).map(|_| scope.spawn(one_by_one)).collect();
            let ended =
                nodes.into_iter().map(|node| node.join().map_err(|_| anyhow!("a chunk's thread fell")));
            ended.collect::<Result<Vec<_>>>()?.into_iter().collect::<Result<()>>()
        })?;
        join(&JoinJob { chunks: &files, sound: None, frames: None, output: to }, &mut |_| ())?;
        Ok(())
    })?;
    Ok(spent)
}

/// The faster of both ways to use the cores.
fn by_ffmpeg(film: &Path, codec: VideoCodec, to: &Path) -> Result<Spent> {
    let usual = encoded(film, codec, &[], to)?;
    let rows = encoded(film, codec, &["-row-mt", "1", "-threads", "2"], to)?;
    Ok(if rows.wall < usual.wall { rows } else { usual })
}

fn encoded(film: &Path, codec: VideoCodec, threads: &[&str], to: &Path) -> Result<Spent> {
    let mut command = ffmpeg();
    let (width, height) = SIZE;
    command.arg("-i").arg(film).args(["-an", "-vf", &format!("scale={width}:{height}:flags=lanczos")]);
    let settings: &[&str] = match codec {
        VideoCodec::Vp9 => &["libvpx-vp9", "-deadline", "good", "-auto-alt-ref", "1", "-lag-in-frames", "25"],
        VideoCodec::Av1 => &["libaom-av1", "-usage", "good", "-lag-in-frames", "25"],
        other => bail!("there is no peer for {}", other.name()),
    };
    let speed = speed_of(codec).context("the codec has a speed")?;
    let level = LEVEL.to_string();
    command.arg("-c:v").args(settings).args(["-cpu-used", &speed]);
    command.args(["-crf", &level, "-b:v", "0"]);
    command.args(["-g", KEY_FRAMES, "-keyint_min", KEY_FRAMES]).args(threads);
    program::run(command.arg(to))
}

/// libvpx's and libaom's speed at the preset `medium`.
fn speed_of(codec: VideoCodec) -> Option<String> {
    match codec {
        VideoCodec::Vp9 => Some(SpeedPreset::Medium.step().to_string()),
        VideoCodec::Av1 => Some("6".to_owned()),
        _ => None,
    }
}

//! What is made of finished chunks and rungs without encoding: the package of an hour in five rungs, and a rung's chunks
//! as one progressive MP4, beside `cp` of the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rushes_bench::clip::{clip, ffmpeg};
use rushes_bench::farm;
use rushes_bench::program::{self, Spent};
use rushes_bench::sample::{each, pairs};
use rushes_bench::{Bench, Better, Row};
use rushes_media::{ChunkJob, JoinJob, encode_chunk, init, join, probe};
use rushes_shared::encode::{SpeedPreset, VideoCodec, VmafLimits};
use rushes_shared::ladder::{Borders, Grid, LadderRate, LadderSettings, SetLimits, split};

/// Sizes of the rungs; how long the film is that is looped to an hour, in seconds, and how often.
const RUNGS: [(u32, u32); 5] = [(3840, 2160), (1920, 1080), (1280, 720), (854, 480), (640, 360)];
const SECONDS: u32 = 20;
const LOOPS: u32 = 180;
/// Length of the film that is cut into chunks, in seconds.
const CHUNKED_SECONDS: u32 = 60;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    hour(bench)?;
    progressive(bench)
}

/// Segments and manifests of an hour.
fn hour(bench: &mut Bench) -> Result<()> {
    let dir = bench.dir().join("media");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let rungs: Vec<PathBuf> = RUNGS.iter().map(|size| hour_of(&dir, *size)).collect::<Result<_>>()?;
    let scratch = bench.scratch()?;
    let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("peer"));
    let packaged = |_| {
        cleared(&ours)?;
        let mut command = Command::new(farm::program("rushes")?);
        command.args(["media", "package", "--quiet", "--no-decode", "--out"]).arg(&ours).args(&rungs);
        program::run(&mut command)
    };
    let copied = |_| {
        cleared(&theirs)?;
        fs::create_dir(&theirs).context("make a directory")?;
        program::run(Command::new("cp").args(&rungs).arg(&theirs))
    };
    let done = pairs(bench.runs(3), packaged, copied)?;
    let wall = each(&done, |spent: &Spent| spent.wall.as_secs_f64());
    // Whole files are cut into segments, which is a copy of all their bytes.
    let name = "segments and manifests of an hour in five rungs, from whole files";
    bench.add(Row::beside(name, "s", Better::Lower, "cp", &wall));
    over_segments(bench, &ours)
}

/// Manifests of the same hour over the segments that are there.
fn over_segments(bench: &mut Bench, set: &Path) -> Result<()> {
    let mut wall = Vec::new();
    for _ in 0..bench.runs(3) {
        let mut command = Command::new(farm::program("rushes")?);
        let spent = program::run(command.args(["media", "manifests", "--quiet"]).arg(set))?;
        wall.push(spent.wall.as_secs_f64());
    }
    let name = "manifests over the finished segments of an hour in five rungs";
    bench.add(Row::of(name, "s", Better::Lower, &wall).target(5.0));
    Ok(())
}

/// An hour of a test picture that takes little space.
fn hour_of(dir: &Path, (width, height): (u32, u32)) -> Result<PathBuf> {
    let path = dir.join(format!("hour-{height}p.mp4"));
    if path.is_file() {
        return Ok(path);
    }
    let (part, draft) = (dir.join("part.draft.mp4"), dir.join("hour.draft.mp4"));
    let picture = format!("testsrc2=size={width}x{height}:rate=24:duration={SECONDS}");
    let mut encode = ffmpeg();
    encode.args(["-f", "lavfi", "-i", &picture, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "40"]);
    encode.args(["-pix_fmt", "yuv420p", "-g", "48", "-keyint_min", "48", "-sc_threshold", "0"]);
    program::run(encode.arg(&part))?;
    let mut repeat = ffmpeg();
    repeat.args(["-stream_loop", &(LOOPS - 1).to_string(), "-i"]).arg(&part).args(["-c", "copy"]);
    program::run(repeat.arg(&draft))?;
    fs::rename(&draft, &path).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// Chunks as one file with its index first.
fn progressive(bench: &mut Bench) -> Result<()> {
    init()?;
    let film = clip(bench.dir(), CHUNKED_SECONDS)?;
    let scratch = bench.scratch()?;
    let source = probe(&film)?;
    let settings = LadderSettings {
        grid: Grid::of(6, 10),
        crf: 4,
        preset: SpeedPreset::Ultrafast,
        max_height: None,
        sound_bps: None,
        decode: false,
        codec: VideoCodec::H264,
        more: Vec::new(),
        more_sounds: Vec::new(),
        vmaf: VmafLimits::default(),
        borders: Borders::Grid,
        limits: SetLimits::default(),
        rate: LadderRate::Factor,
    };
    let rungs = settings.rungs(&source);
    let mut chunks = Vec::new();
    for (number, range) in split(&source, &settings.grid).into_iter().enumerate() {
        let chunk = scratch.path().join(format!("{number}.mp4"));
        let top = [(rungs[0].clone(), chunk.clone())];
        let job = ChunkJob {
            input: &film,
            source: &source,
            range,
            grid: &settings.grid,
            cuts: None,
            rungs: &top,
            caps: &[],
            bits: &[],
            threads: None,
        };
        encode_chunk(&job, &mut |_| ())?;
        chunks.push(chunk);
    }
    let (ours, theirs) = (scratch.path().join("ours.mp4"), scratch.path().join("peer"));
    fs::create_dir(&theirs).context("make a directory")?;
    let joined = |_| {
        let job = JoinJob { chunks: &chunks, sound: None, frames: None, output: &ours };
        program::within(|| Ok(join(&job, &mut |_| ())?)).map(|(_, spent)| spent)
    };
    let copied = |_| program::run(Command::new("cp").args(&chunks).arg(&theirs));
    joined(0)?;
    let done = pairs(bench.runs(5), joined, copied)?;
    let wall = each(&done, |spent: &Spent| spent.wall.as_secs_f64());
    let megabytes = fs::metadata(&ours).context("find the file")?.len() / 1_000_000;
    let name = format!("chunks as one progressive MP4 of {megabytes} MB");
    bench.add(Row::beside(name, "s", Better::Lower, "cp", &wall).target_ratio(1.3));
    Ok(())
}

fn cleared(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

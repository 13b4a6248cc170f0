//! A ladder of five rungs from 2160p by `rushes media ladder` on this machine, beside one ffmpeg that decodes once, splits
//! and encodes the same rungs with the same library, settings and scaler; and what chunks cost in bits.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rushes_bench::clip::{clip, ffmpeg, frames, mosaic};
use rushes_bench::farm;
use rushes_bench::program::{self, Spent};
use rushes_bench::sample::{Pair, each, pairs};
use rushes_bench::{Bench, Better, Row};
use serde_json::Value;

/// Length of the mosaic and of the film that is cut into chunks, in seconds.
const SECONDS: u32 = 4;
const CHUNKED_SECONDS: u32 = 60;
/// Frames a second of the mosaic, and from key frame to key frame: two seconds.
const KEY_FRAMES: u32 = 48;
/// Name, size and most kilobits a second of the rungs.
const RUNGS: [(&str, &str, u32); 5] = [
    ("2160p", "3840:2160", 15_000),
    ("1080p", "1920:1080", 5_000),
    ("720p", "1280:720", 2_500),
    ("480p", "854:480", 1_000),
    ("360p", "640:360", 600),
];
/// Every so many-th frame is measured by VMAF.
const EVERY: u32 = 4;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let film = mosaic(bench.dir(), SECONDS)?;
    let scratch = bench.scratch()?;
    let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("peer"));
    fs::create_dir(&theirs).context("make a directory")?;
    let unchecked = |_| by_ladder(&film, &ours, &["--no-decode"]);
    let done = pairs(bench.runs(2), unchecked, |_| by_ffmpeg(&film, &theirs))?;
    let (name, peer) = ("ladder of five rungs from 2160p", "ffmpeg with a split filter");
    add(bench, &format!("{name}, without checks"), peer, &done, 0.96);
    let differences = differences(&film, &ours, &theirs)?;
    let done = pairs(bench.runs(2), |_| by_ladder(&film, &ours, &[]), |_| by_ffmpeg(&film, &theirs))?;
    add(bench, &format!("{name}, every segment decoded"), peer, &done, 1.05);
    let worst = differences.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let row = Row::of(
        "VMAF that a rung is worse than ffmpeg's, the worst of five",
        "VMAF",
        Better::Lower,
        &[worst],
    );
    bench.add(row.target(0.1));
    Ok(())
}

/// A film in chunks of ten seconds beside the same in one.
pub(crate) fn chunks(bench: &mut Bench) -> Result<()> {
    let film = clip(bench.dir(), CHUNKED_SECONDS)?;
    let scratch = bench.scratch()?;
    let (cut, whole) = (scratch.path().join("cut"), scratch.path().join("whole"));
    by_ladder(&film, &cut, &["--no-decode", "--chunk", "10", "--max-height", "480"])?;
    by_ladder(&film, &whole, &["--no-decode", "--chunk", "3600", "--max-height", "480"])?;
    for rung in ["480p", "360p"] {
        let (ours, theirs) = (cut.join(rung), whole.join(rung));
        let (size, of_whole) = (bytes(&ours)? as f64 / 1e6, bytes(&theirs)? as f64 / 1e6);
        let [ours, theirs] = [ours, theirs].map(|dir| in_one_file(&dir));
        let (ours, theirs) = (ours?, theirs?);
        if frames(&ours)? != frames(&theirs)? {
            bail!("{rung}: the frames differ");
        }
        let lost = vmaf(&film, &theirs)? - vmaf(&film, &ours)?;
        let row = Row::beside(
            format!("bits of {rung} in chunks of 10 s"),
            "MB",
            Better::Lower,
            "the same in one piece",
            &[Pair { ours: size, peer: of_whole }],
        );
        bench.add(row.target_ratio(1.002));
        bench.add(Row::of(format!("VMAF that {rung} loses by chunks"), "VMAF", Better::Lower, &[lost]));
    }
    Ok(())
}

fn add(bench: &mut Bench, name: &str, peer: &str, done: &[Pair<Spent>], bound: f64) {
    let wall = each(done, |spent| spent.wall.as_secs_f64());
    let cpu = each(done, |spent| spent.cpu.as_secs_f64());
    bench.add(Row::beside(name, "s", Better::Lower, peer, &wall).target_ratio(bound));
    bench.add(Row::beside(format!("{name}, CPU"), "s", Better::Lower, peer, &cpu).target_ratio(1.0));
}

fn by_ladder(film: &Path, out: &Path, words: &[&str]) -> Result<Spent> {
    match fs::remove_dir_all(out) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("remove the last set");
        }
        _ => {}
    }
    let mut command = Command::new(farm::program("rushes")?);
    command.args(["media", "ladder", "--quiet", "--out"]).arg(out).args(words).arg(film);
    program::run(&mut command)
}

fn by_ffmpeg(film: &Path, out: &Path) -> Result<Spent> {
    let mut command = ffmpeg();
    let mut filter = format!("[0:v]split={}", RUNGS.len());
    filter.extend((0..RUNGS.len()).map(|at| format!("[s{at}]")));
    for (at, (_, size, _)) in RUNGS.iter().enumerate() {
        filter += &format!(";[s{at}]scale={size}:flags=lanczos[v{at}]");
    }
    command.arg("-i").arg(film).args(["-filter_complex", &filter]);
    let key = KEY_FRAMES.to_string();
    for (at, (name, _, kbps)) in RUNGS.iter().enumerate() {
        let rate = format!("{kbps}k");
        command.args(["-map", &format!("[v{at}]"), "-c:v", "libx264", "-preset", "medium", "-crf", "23"]);
        command.args([
            "-maxrate",
            &rate,
            "-bufsize",
            &rate,
            "-g",
            &key,
            "-keyint_min",
            &key,
            "-sc_threshold",
            "0",
        ]);
        command.arg(out.join(format!("{name}.mp4")));
    }
    command.args(["-map", "0:a", "-c:a", "aac", "-b:a", "128k"]).arg(out.join("sound.m4a"));
    program::run(&mut command)
}

/// By how much VMAF each rung is worse than ffmpeg's.
fn differences(film: &Path, ours: &Path, theirs: &Path) -> Result<Vec<f64>> {
    let mut differences = Vec::with_capacity(RUNGS.len());
    for (name, _, _) in RUNGS {
        let (a, b) = (in_one_file(&ours.join(name))?, theirs.join(format!("{name}.mp4")));
        if frames(&a)? != frames(&b)? {
            bail!("{name}: {} frames, and {} by ffmpeg", frames(&a)?, frames(&b)?);
        }
        differences.push(vmaf(film, &b)? - vmaf(film, &a)?);
    }
    Ok(differences)
}

/// Mean VMAF against the film.
pub(crate) fn vmaf(film: &Path, other: &Path) -> Result<f64> {
    let mut command = Command::new(farm::program("rushes")?);
    command.args(["media", "compare", "--output", "json", "--quiet", "--every", &EVERY.to_string()]);
    let told = program::answer(command.arg(film).arg(other))?;
    let found: Value = serde_json::from_str(&told).context("read what compare says")?;
    found["vmaf"]["mean"].as_f64().with_context(|| format!("no VMAF of {}: {told}", other.display()))
}

/// The segments of a rendition behind their beginning: a fragmented MP4 file.
fn in_one_file(rendition: &Path) -> Result<PathBuf> {
    let path = rendition.with_extension("one.mp4");
    let mut file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    for part in media_of(rendition)? {
        io::copy(&mut File::open(&part)?, &mut file).with_context(|| format!("copy {}", part.display()))?;
    }
    Ok(path)
}

fn bytes(rendition: &Path) -> Result<u64> {
    media_of(rendition)?.iter().map(|part| Ok(fs::metadata(part)?.len())).sum()
}

/// A rendition's beginning and its segments, in order.
fn media_of(rendition: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(rendition).with_context(|| format!("read {}", rendition.display()))?;
    let mut parts: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    parts.retain(|part| part.extension().is_some_and(|e| e == "mp4" || e == "m4s"));
    parts.sort_by_key(|part| {
        let name: OsString = part.file_stem().unwrap_or_default().to_owned();
        let digits: String = name.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        (part.extension().is_some_and(|e| e == "m4s"), digits.parse::<u64>().unwrap_or(0))
    });
    Ok(parts)
}

//! The facts of 1,000 files by one job of the farm, from its submit to its end, beside `ffprobe`, one process a file; and how
//! many of their fields are those that `ffprobe` tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rushes_bench::clip::{ffmpeg, media_dir};
use rushes_bench::farm::{Farm, roots};
use rushes_bench::machine::is_installed;
use rushes_bench::sample::{each, pairs};
use rushes_bench::{Bench, Better, Row};
use rushes_shared::media::MediaFacts;
use serde_json::{Value, json};

use crate::probe::{cores, in_parallel};

/// Files of a job.
const FILES: usize = 1_000;
/// Largest file, in bytes.
const LARGEST: u64 = 1 << 20;
/// Longest wait for the farm.
const PATIENCE: Duration = Duration::from_secs(300);
/// Endings of the containers that headers are read of.
const COMMON: &[&str] = &["mp4", "mov", "m4a", "wav", "flac", "mp3"];

/// Clips beside those of the media directory: name and arguments of `ffmpeg`.
const MADE: &[(&str, &str)] = &[
    ("h264.mp4", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("h264.mov", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("hevc.mp4", "-c:v libx265 -pix_fmt yuv420p -x265-params log-level=0 -c:a aac"),
    ("sound.m4a", "-vn -c:a aac"),
    ("sound.wav", "-vn -c:a pcm_s16le"),
    ("sound.flac", "-vn -c:a flac"),
    ("sound.mp3", "-vn -c:a libmp3lame -b:a 128k"),
    ("h264.mkv", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
    ("h264.ts", "-c:v libx264 -pix_fmt yuv420p -c:a aac"),
    ("mpeg4.avi", "-c:v mpeg4 -c:a libmp3lame"),
    ("sound.ogg", "-vn -c:a libvorbis"),
];

struct Kind {
    name: &'static str,
    target_ms: f64,
    sources: Vec<PathBuf>,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    let (dir, media) = (scratch.path(), scratch.path().join("media"));
    std::fs::create_dir(&media).context("make a directory for the files")?;
    let sources = sources(&media)?;
    rushes_media::init()?;
    accuracy(bench, &sources)?;
    let (common, rest) = sources.into_iter().partition(|file| COMMON.contains(&ending(file)));
    let kinds = [
        Kind { name: "common containers", target_ms: 1.0, sources: common },
        Kind { name: "other containers", target_ms: 10.0, sources: rest },
    ];
    Farm::init(dir)?;
    let mut farm = Farm::start(dir, &[roots("depot.input_roots", &[&media])])?;
    farm.add_worker()?;
    for kind in &kinds {
        let files = linked(&media, kind)?;
        let bytes: u64 = kind.sources.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        let mean = bytes / kind.sources.len().max(1) as u64 / 1024;
        let by_headers = kind.sources.iter().filter(|file| is_told_by_headers(file)).count();
        let all = kind.sources.len();
        bench.say(&format!("{}: {all} different files, {mean} KiB each, {by_headers} by headers", kind.name));
        let ours = |files: &[PathBuf]| Ok((by_job(&farm, files)?, by_library(files)?));
        ours(&files[..FILES / 10])?;
        if !is_installed("ffprobe") {
            bail!("ffprobe is not installed");
        }
        let theirs = |files: &[PathBuf]| by_ffprobe(files).map(|ms| (ms, ms));
        theirs(&files[..FILES / 10])?;
        let done = pairs(bench.runs(3), |_| ours(&files), |_| theirs(&files))?;
        let (job, library) = (each(&done, |ms| ms.0), each(&done, |ms| ms.1));
        let name = format!("probe of {FILES} files by one job, {}", kind.name);
        let row = Row::beside(name, "ms/file", Better::Lower, "ffprobe", &job);
        bench.add(row.target(kind.target_ms));
        let name = format!("probe of {FILES} files, library in one process, {}", kind.name);
        let row = Row::beside(name, "ms/file", Better::Lower, "ffprobe", &library);
        bench.add(row.target(kind.target_ms));
    }
    Ok(())
}

fn ending(file: &Path) -> &str {
    file.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

fn is_told_by_headers(file: &Path) -> bool {
    matches!(rushes_media::probe_by_headers(file), Ok(Some(_)))
}

/// One of each: the media directory's sound and video that is not too large, and what is made here.
fn sources(media: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for kind in ["video", "audio"] {
        let Some(folder) = media_dir().map(|dir| dir.join(kind)) else { continue };
        for entry in std::fs::read_dir(folder).context("read the media directory")? {
            let path = entry?.path();
            if path.is_file() && path.metadata()?.len() <= LARGEST {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("clip");
                let copy = media.join(name);
                std::fs::copy(&path, &copy).with_context(|| format!("copy {}", path.display()))?;
                all.push(copy);
            }
        }
    }
    all.sort();
    for (name, arguments) in MADE {
        let file = media.join(name);
        let mut command = ffmpeg();
        command.args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=3"]);
        command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=3"]);
        command.args(arguments.split(' ')).arg(&file);
        if !command.status().context("run ffmpeg")?.success() {
            bail!("ffmpeg cannot make {name}");
        }
        all.push(file);
    }
    Ok(all)
}

/// As many names as there are to be files.
fn linked(media: &Path, kind: &Kind) -> Result<Vec<PathBuf>> {
    let link = |(number, source): (usize, &PathBuf)| {
        let name = source.file_name().and_then(|name| name.to_str()).unwrap_or("clip");
        let path = media.join(format!("{number:04}-{name}"));
        std::fs::hard_link(source, &path).with_context(|| format!("link {}", path.display()))?;
        Ok(path)
    };
    kind.sources.iter().cycle().take(FILES).enumerate().map(link).collect()
}

fn ms_a_file(files: &[PathBuf], began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0 / files.len() as f64
}

/// From the submit to the job's end.
fn by_job(farm: &Farm, files: &[PathBuf]) -> Result<f64> {
    let began = Instant::now();
    let client = farm.client();
    let id = client.submit(&json!({ "kind": "probe", "inputs": files }))?;
    client.drain(PATIENCE)?;
    let ms = ms_a_file(files, began);
    let found = client.job(id)?.files.context("the job probes many files")?;
    if found.read as usize != files.len() {
        bail!("{} of {} files were read", found.read, files.len());
    }
    Ok(ms)
}

fn by_library(files: &[PathBuf]) -> Result<f64> {
    let began = Instant::now();
    in_parallel(files, cores(), || {
        |file: &Path| rushes_media::probe(file).map(drop).with_context(|| format!("probe {}", file.display()))
    })?;
    Ok(ms_a_file(files, began))
}

fn ffprobe(file: &Path) -> Command {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_format", "-show_streams", "-of", "json"]).arg(file);
    command
}

fn by_ffprobe(files: &[PathBuf]) -> Result<f64> {
    let began = Instant::now();
    in_parallel(files, cores(), || {
        |file: &Path| {
            let status = ffprobe(file).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if status.context("run ffprobe")?.success() {
                Ok(())
            } else {
                bail!("ffprobe {} failed", file.display())
            }
        }
    })?;
    Ok(ms_a_file(files, began))
}

/// Tells, field by field, of how many streams both say the same.
fn accuracy(bench: &mut Bench, sources: &[PathBuf]) -> Result<()> {
    let mut fields: BTreeMap<&'static str, (usize, usize)> = BTreeMap::new();
    for file in sources {
        let facts = rushes_media::probe(file).with_context(|| format!("probe {}", file.display()))?;
        let output = ffprobe(file).output().context("run ffprobe")?;
        let theirs: Value = serde_json::from_slice(&output.stdout).context("read ffprobe's answer")?;
        for (field, is_same) in compared(&facts, &theirs) {
            let (same, all) = fields.entry(field).or_default();
            (*same, *all) = (*same + usize::from(is_same), *all + 1);
        }
    }
    let (same, all) = fields.values().fold((0, 0), |sum, field| (sum.0 + field.0, sum.1 + field.1));
    bench.say(&format!("fields as ffprobe tells them, in {} files: {same} of {all}", sources.len()));
    for (field, (same, all)) in fields {
        bench.say(&format!("  {field}: {same} of {all}"));
    }
    Ok(())
}

fn compared(facts: &MediaFacts, theirs: &Value) -> Vec<(&'static str, bool)> {
    let streams = theirs["streams"].as_array().cloned().unwrap_or_default();
    let of = |kind: &str| {
        let is_cover = |s: &&Value| s["disposition"]["attached_pic"] == 1;
        let all = streams.iter().filter(|s| s["codec_type"] == *kind).filter(|s| !is_cover(s));
        all.cloned().collect::<Vec<_>>()
    };
    let seconds = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let (video, audio) = (of("video"), of("audio"));
    let mut all = vec![
        ("video streams", facts.video.len() == video.len()),
        ("audio streams", facts.audio.len() == audio.len()),
    ];
    if let Some(length) = seconds(&theirs["format"]["duration"]) {
        // A frame's length: containers and packets round differently.
        all.push(("length", (length - facts.duration_ns as f64 / 1e9).abs() < 0.05));
    }
    for (ours, theirs) in facts.video.iter().zip(&video) {
        all.push(("video codec", theirs["codec_name"] == *ours.codec));
        all.push(("width and height", theirs["width"] == ours.width && theirs["height"] == ours.height));
        let format = theirs["pix_fmt"].as_str().unwrap_or_default().replace("yuvj", "yuv");
        all.push(("pixel format", format == ours.pixel_format));
        let rate = theirs["avg_frame_rate"].as_str().and_then(|text| {
            let (over, under) = text.split_once('/')?;
            Some(over.parse::<f64>().ok()? / under.parse::<f64>().ok()?)
        });
        if let Some(rate) = rate.filter(|rate| rate.is_finite()) {
            let our_rate = ours.fps.map_or(0.0, |fps| fps.value());
            all.push(("frame rate", (our_rate - rate).abs() / rate < 0.01));
        }
        for (name, ours, key) in [
            ("matrix", &ours.colour.matrix, "color_space"),
            ("transfer", &ours.colour.transfer, "color_transfer"),
            ("primaries", &ours.colour.primaries, "color_primaries"),
        ] {
            let theirs = theirs[key].as_str().unwrap_or_default().trim_start_matches("unknown");
            all.push((name, theirs == ours.as_str()));
        }
    }
    for (ours, theirs) in facts.audio.iter().zip(&audio) {
        all.push(("audio codec", theirs["codec_name"] == *ours.codec));
        all.push(("sample rate", theirs["sample_rate"] == ours.rate_hz.to_string().as_str()));
        all.push(("channels", theirs["channels"] == ours.channels));
    }
    all
}

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
use rushes_media::{ChunkJob, JoinJob, ScanJob, encode_chunk, init, join, probe, scan};
use rushes_shared::ladder::{Borders, Grid, LadderSettings, RateCap};
use serde_json::Value;

/// Length of the mosaic and of the film that is cut into chunks, in seconds.
const SECONDS: u32 = 4;
const CHUNKED_SECONDS: u32 = 60;
/// Rate factor of the rung that is encoded in chunks.
const CRF: u8 = 23;
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
    // The first run after a pause pays for memory that this machine's host has taken back: 3 s of 25. Neither side is measured by it.
    by_ffmpeg(&film, &theirs)?;
    let unchecked = |_| by_ladder(&film, &ours, &["--no-decode"]);
    let done = pairs(bench.runs(2), unchecked, |_| by_ffmpeg(&film, &theirs))?;
    let (name, peer) = ("ladder of five rungs from 2160p", "ffmpeg with a split filter");
    add(bench, &format!("{name}, without checks"), peer, &done, 0.96);
    let differences = differences(&film, &ours, &theirs)?;
    // VMAF was such a pause as well.
    by_ffmpeg(&film, &theirs)?;
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

/// A film in chunks of ten seconds, on a grid and at its cuts, beside the same in one: bits at the VMAF of the one, without a bound on
/// the rate and under the ladder's, which decides the bits of hard parts.
pub(crate) fn chunks(bench: &mut Bench) -> Result<()> {
    init()?;
    let film = clip(bench.dir(), CHUNKED_SECONDS)?;
    let scratch = bench.scratch()?;
    let mut cpu = Vec::new();
    // A rate factor and a share of the ladder's bound in percent, and the same coarser: what a point of VMAF costs in bits.
    let free = ("", (CRF, None), (CRF + 1, None));
    for (under, as_asked, coarser) in [free, (" under its bound", (CRF, Some(100)), (CRF, Some(95)))] {
        let make = |name: &str, chunk_s, borders, rate| {
            let dir = scratch.path().join(format!("{name}{under}"));
            Encoded::make(&film, &dir, (chunk_s, borders), rate)
        };
        let (whole, _) = make("whole", 3600, Borders::Grid, as_asked)?;
        let (coarser, _) = make("coarser", 3600, Borders::Grid, coarser)?;
        for (name, borders, target) in
            [("chunks of 10 s", Borders::Grid, 1.002), ("chunks at cuts", Borders::Scenes, 1.0)]
        {
            let (ours, spent) = make(name, 10, borders, as_asked)?;
            if ours.frames != whole.frames {
                bail!("{name}: the frames differ");
            }
            let row = Row::beside(
                format!("bits of 480p in {name}{under}, at equal VMAF"),
                "MB",
                Better::Lower,
                "the same in one piece",
                &[Pair { ours: ours.megabytes_at(&whole, &coarser), peer: whole.megabytes }],
            );
            bench.add(row.target_ratio(target));
            cpu.push(spent.cpu.as_secs_f64());
        }
    }
    if let [grid, scenes, bounded, _] = cpu[..] {
        for (name, cpu) in [
            ("CPU of 480p in chunks at cuts, scans included", scenes),
            ("CPU of 480p in chunks of 10 s under its bound", bounded),
        ] {
            let pair = Pair { ours: cpu, peer: grid };
            bench.add(Row::beside(name, "s", Better::Lower, "chunks of 10 s without a bound", &[pair]));
        }
    }
    Ok(())
}

/// One rung's encode in chunks, joined.
struct Encoded {
    megabytes: f64,
    vmaf: f64,
    frames: u64,
}

impl Encoded {
    /// Encodes a film in the size of 480p, scans it before where that is needed, and measures what came of it.
    fn make(
        film: &Path,
        dir: &Path,
        (chunk_s, borders): (u32, Borders),
        (crf, bound_percent): (u8, Option<u64>),
    ) -> Result<(Self, Spent)> {
        fs::create_dir(dir).context("make a directory")?;
        let source = probe(film)?;
        let (grid, max_height) = (Grid::of(6, chunk_s), Some(480));
        let settings = LadderSettings { grid, borders, crf, max_height, ..LadderSettings::default() };
        let output = dir.join("film.mp4");
        let (frames, spent) = program::within(|| {
            let mut cuts = Vec::new();
            for range in settings.scans(&source) {
                let cell = ScanJob { input: film, source: &source, range, threads: None };
                cuts.extend(scan(&cell, &mut |_| ())?.cuts);
            }
            let (mut chunks, ranges) = (Vec::new(), settings.chunks(&source, &cuts));
            let mut rungs = settings.rungs_of_chunks(&source, &ranges);
            rungs.truncate(1);
            let scaled = |cap: Option<RateCap>| {
                let (cap, percent) = (cap?, bound_percent?);
                Some(RateCap { max_bps: cap.max_bps * percent / 100, ..cap })
            };
            let caps: Vec<_> = settings.whole_caps(&source, &rungs).into_iter().map(scaled).collect();
            rungs.iter_mut().for_each(|rung| rung.cap = scaled(rung.cap));
            let top = rungs.first().context("a film has pictures")?;
            for (number, range) in ranges.into_iter().enumerate() {
                let chunk = dir.join(format!("{number}.mp4"));
                let at_cuts = settings.keys_at_cuts(&source, &range, &cuts);
                let job = ChunkJob {
                    input: film,
                    source: &source,
                    range,
                    grid: &grid,
                    cuts: at_cuts.as_deref(),
                    rungs: &[(top.clone(), chunk.clone())],
                    caps: &caps,
                    bits: &[],
                    threads: None,
                };
                encode_chunk(&job, &mut |_| ())?;
                chunks.push(chunk);
            }
            let job = JoinJob { chunks: &chunks, sound: None, frames: None, output: &output };
            Ok(join(&job, &mut |_| ())?.frames)
        })?;
        let megabytes = fs::metadata(&output).context("look at the film")?.len() as f64 / 1e6;
        Ok((Self { megabytes, vmaf: vmaf(film, &output)?, frames }, spent))
    }

    /// Its size, if it had the VMAF of `whole`: bits grow by the same share with each point as from `coarser` to that.
    fn megabytes_at(&self, whole: &Self, coarser: &Self) -> f64 {
        let slope = (whole.megabytes / coarser.megabytes).ln() / (whole.vmaf - coarser.vmaf);
        self.megabytes * (slope * (whole.vmaf - self.vmaf)).exp()
    }
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

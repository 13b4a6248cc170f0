//! The facts of 1,000 files: by the farm (transfer, a contained process for each file), by the library alone, and by
//! ffprobe and gst-discoverer-1.0, one process per file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rushes_bench::farm::{Farm, roots};
use rushes_bench::machine::{is_installed, version_of};
use rushes_bench::sample::{each, pairs};
use rushes_bench::{Bench, Better, Row};
use serde_json::json;

/// Files in all.
const FILES: usize = 1_000;
/// Clients that submit them to the farm.
const CLIENTS: usize = 4;
/// Longest wait for the farm.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program that probes one file a process.
struct Peer {
    program: &'static str,
    arguments: &'static [&'static str],
    /// What says which version it is; gst-discoverer does not.
    version: (&'static str, &'static str),
}

const PEERS: [Peer; 2] = [
    Peer {
        program: "ffprobe",
        arguments: &["-v", "error", "-show_format", "-show_streams", "-of", "json"],
        version: ("ffprobe", "-version"),
    },
    Peer { program: "gst-discoverer-1.0", arguments: &["-v"], version: ("gst-launch-1.0", "--version") },
];

/// Files per second of one run.
struct Rates {
    /// Through the farm, or by the peer.
    whole: f64,
    /// By the library alone, or by the same run of the peer.
    library: f64,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    let (dir, media) = (scratch.path(), scratch.path().join("media"));
    std::fs::create_dir(&media).context("make a directory for the files")?;
    let files = rushes_bench::clip::files(&media, FILES)?;
    Farm::init(dir)?;
    let mut farm = Farm::start(dir, &[roots("depot.input_roots", &[&media])])?;
    farm.add_worker()?;
    rushes_media::init()?;

    let warm = &files[..FILES / 10];
    let ours = |files: &[PathBuf]| Ok(Rates { whole: by_farm(&farm, files)?, library: by_library(files)? });
    ours(warm)?;
    for peer in PEERS {
        let (version, flag) = peer.version;
        bench.say(&format!("{}: {}", peer.program, version_of(version, flag).unwrap_or_default()));
        if !is_installed(peer.program) {
            bench.say(&format!("{} is not installed: no comparison with it", peer.program));
            continue;
        }
        let theirs = |files: &[PathBuf]| {
            let rate = by_peer(&peer, files)?;
            Ok(Rates { whole: rate, library: rate })
        };
        theirs(warm)?;
        let done = pairs(bench.runs(3), |_| ours(&files), |_| theirs(&files))?;
        let (whole, library) = (each(&done, |rates| rates.whole), each(&done, |rates| rates.library));
        let by_farm = Row::beside("probe through the farm", "files/s", Better::Higher, peer.program, &whole);
        // 10 ms a file.
        bench.add(by_farm.target(100.0));
        let alone = "probe, library in one process";
        let alone = Row::beside(alone, "files/s", Better::Higher, peer.program, &library);
        // 1 ms a file.
        bench.add(alone.target(1_000.0));
    }
    Ok(())
}

fn rate(files: &[PathBuf], began: Instant) -> f64 {
    files.len() as f64 / began.elapsed().as_secs_f64()
}

fn by_farm(farm: &Farm, files: &[PathBuf]) -> Result<f64> {
    let began = Instant::now();
    in_parallel(files, CLIENTS, || {
        let client = farm.client();
        move |file: &Path| client.submit(&json!({ "kind": "probe", "input": file })).map(drop)
    })?;
    farm.client().drain(PATIENCE)?;
    let rate = rate(files, began);
    let newest = farm.client().newest_job()?;
    if let Some(failure) = newest.failure {
        bail!("a probe failed: {}", failure.message);
    }
    Ok(rate)
}

/// As many processes at once as there are cores.
fn by_peer(peer: &Peer, files: &[PathBuf]) -> Result<f64> {
    let program = peer.program;
    let began = Instant::now();
    in_parallel(files, cores(), || {
        |file: &Path| {
            let mut command = Command::new(program);
            command
                .args(peer.arguments)
                .arg(file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let status = command.status().with_context(|| format!("cannot run {program}"))?;
            if status.success() { Ok(()) } else { bail!("{program} {} failed ({status})", file.display()) }
        }
    })?;
    Ok(rate(files, began))
}

/// As many threads as there are cores.
fn by_library(files: &[PathBuf]) -> Result<f64> {
    let began = Instant::now();
    in_parallel(files, cores(), || {
        |file: &Path| {
            let probed = rushes_media::probe(file);
            probed.map(drop).with_context(|| format!("probe {}", file.display()))
        }
    })?;
    Ok(rate(files, began))
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Hands files out to threads, each with a worker of its own.
pub(crate) fn in_parallel<W>(files: &[PathBuf], threads: usize, worker: impl Fn() -> W) -> Result<()>
where
    W: Fn(&Path) -> Result<()> + Send,
{
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                let (work, next) = (worker(), &next);
                scope.spawn(move || -> Result<()> {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(file)?;
                    }
                    Ok(())
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread panicked"),
        })
    })
}

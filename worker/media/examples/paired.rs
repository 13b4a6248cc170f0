//! The library alone beside ffmpeg: `paired RUNS CLIP…` encodes each clip with the default settings and checks the
//! result, then has ffmpeg encode it with the same settings and decode its result whole. Who goes first changes with
//! every pair. Prints wall and CPU seconds of each step, and the ratio of ours to theirs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rushes_media::{EncodeJob, check, encode, init, preload, probe};
use rushes_shared::encode::EncodeSettings;

/// What one step took, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    wall: f64,
    cpu: f64,
}

impl std::ops::Add for Spent {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

/// An encode, what follows it, and the size of what came out in bytes.
#[derive(Debug, Clone, Copy)]
struct Run {
    encode: Spent,
    check: Spent,
    size: u64,
}

impl Run {
    fn both(&self) -> Spent {
        self.encode + self.check
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runs, clips @ ..] = arguments.as_slice() else {
        return Err("usage: paired RUNS CLIP…".into());
    };
    let runs: usize = runs.parse()?;
    init()?;
    preload();
    let scratch = tempfile::tempdir()?;
    let (ours, theirs) = (scratch.path().join("ours.mp4"), scratch.path().join("theirs.mp4"));
    for clip in clips.iter().map(Path::new) {
        println!("{}", clip.display());
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for number in 0..runs {
            let (library, peer) = if number % 2 == 0 {
                let library = by_library(clip, &ours)?;
                (library, by_ffmpeg(clip, &theirs)?)
            } else {
                let peer = by_ffmpeg(clip, &theirs)?;
                (by_library(clip, &ours)?, peer)
            };
            for (name, run) in [("ours", &library), ("ffmpeg", &peer)] {
                println!(
                    "  {name:6}  encode {:6.2} s, CPU {:6.2} s   check {:5.2} s, CPU {:5.2} s   both {:6.2} s, CPU {:6.2} s   {} bytes",
                    run.encode.wall,
                    run.encode.cpu,
                    run.check.wall,
                    run.check.cpu,
                    run.both().wall,
                    run.both().cpu,
                    run.size
                );
            }
            wall.push(library.both().wall / peer.both().wall);
            cpu.push(library.both().cpu / peer.both().cpu);
        }
        println!("  ratio   wall {:.3}, CPU {:.3} (medians of {runs})", median(wall), median(cpu));
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn by_library(input: &Path, output: &Path) -> Result<Run> {
    let settings = EncodeSettings::default();
    let source = probe(input)?;
    let job = EncodeJob { input, source: &source, settings: &settings, output, threads: None };
    let (encoded, encode) = timed(|| Ok(encode(&job, &mut |_| ())?))?;
    let (report, check) = timed(|| Ok(check(output, &source, &settings, Some(&encoded), &mut |_| ())?))?;
    if !report.problems.is_empty() {
        return Err(format!("{}: {:?}", input.display(), report.problems).into());
    }
    Ok(Run { encode, check, size: std::fs::metadata(output)?.len() })
}

fn by_ffmpeg(input: &Path, output: &Path) -> Result<Run> {
    let ffmpeg = |arguments: &[&str], input: &Path, rest: &[&str], output: &Path| -> Result<()> {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "error", "-y"]).args(arguments).arg("-i").arg(input);
        let status = command.args(rest).arg(output).stdin(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("ffmpeg {}: {status}", input.display()).into()) }
    };
    let settings = [
        "-c:v",
        "libx264",
        "-preset",
        "medium",
        "-crf",
        "23",
        "-c:a",
        "aac",
        "-b:a",
        "128k",
        "-movflags",
        "+faststart",
    ];
    let ((), encode) = timed(|| ffmpeg(&[], input, &settings, output))?;
    let ((), check) = timed(|| ffmpeg(&[], output, &["-f", "null"], Path::new("-")))?;
    Ok(Run { encode, check, size: std::fs::metadata(output)?.len() })
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
    let (began, cpu) = (Instant::now(), cpu_seconds()?);
    let done = work()?;
    Ok((done, Spent { wall: began.elapsed().as_secs_f64(), cpu: cpu_seconds()? - cpu }))
}

/// CPU time of this process and of its children that have ended, in seconds, to a hundredth.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(") ").ok_or("no name in /proc/self/stat")?;
    // Fields 14 to 17 as in proc(5): user and system time, its own and its children's, in ticks of 10 ms.
    let ticks =
        rest.split(' ').skip(11).take(4).map(str::parse::<f64>).sum::<std::result::Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

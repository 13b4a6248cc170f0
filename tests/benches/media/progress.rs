//! What a farm says of an encode while it runs: when it says something first, how often, and how far off its estimate of
//! the end is; and the memory of an encode of 2160p beside what its task asked for.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rushes_bench::clip::{clip, mosaic};
use rushes_bench::farm::{Farm, roots};
use rushes_bench::{Bench, Better, Row};
use rushes_shared::job::JobState;
use rushes_shared::task::TaskKind;
use rushes_shared::view::{JobView, ProgressView, TaskView};
use serde_json::{Value, json};

/// Length of the clip, which is encoded whole, of one that is made in parts, and of the film in 2160p, in seconds.
const SECONDS: u32 = 58;
const LONG_SECONDS: u32 = 100;
const LARGE_SECONDS: u32 = 4;
/// How often the farm is asked.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for a job.
const PATIENCE: Duration = Duration::from_secs(600);

/// Something that the farm said of a running job.
struct Said {
    at: Instant,
    progress: ProgressView,
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let film = clip(bench.dir(), SECONDS)?;
    let long = clip(bench.dir(), LONG_SECONDS)?;
    let large = mosaic(bench.dir(), LARGE_SECONDS)?;
    let scratch = bench.scratch()?;
    let (dir, out) = (scratch.path(), scratch.path().join("out"));
    fs::create_dir(&out).context("make the output root")?;
    let media = film.parent().context("the clip lies in a directory")?;
    Farm::init(dir)?;
    let settings = [roots("depot.input_roots", &[media]), roots("depot.output_roots", &[&out])];
    let mut farm = Farm::start(dir, &settings)?;
    farm.add_worker()?;

    let (mut first, mut gaps, mut off, mut off_rest) = (vec![], vec![], vec![], vec![]);
    let (mut off_pieces, mut off_set) = (vec![], vec![]);
    for number in 0..bench.runs(2) {
        let watched = watch(&farm, &order(&film, &out, &format!("{number}.mp4"), 720))?;
        first.push(watched.first_s()?);
        gaps.push(watched.longest_gap_s());
        let (of_all, of_rest) = watched.estimates();
        off.push(of_all);
        off_rest.push(of_rest);
        off_pieces
            .push(watch(&farm, &order(&long, &out, &format!("{number}-pieces.mp4"), 360))?.estimates().0);
        let place = format!("{}/{number}-set/", out.display());
        let stream = json!({ "destination": place, "preset": "veryfast", "max_height": 480 });
        let set = json!({ "kind": "stream", "input": long, "stream": stream });
        off_set.push(watch(&farm, &set)?.estimates().0);
    }
    let lower = Better::Lower;
    bench.add(Row::of("first progress of an encode after its start", "s", lower, &first).target(1.0));
    bench.add(Row::of("longest time without news of it", "s", lower, &gaps).target(1.2));
    let name = "estimated end, worst from a quarter on, off by so much of the whole time";
    bench.add(Row::of(name, "%", lower, &off).target(20.0));
    bench.add(Row::of("the same of the time that is left, the median", "%", lower, &off_rest));
    let name = "estimated end of a job in pieces, worst from a quarter on, off by so much of the whole time";
    bench.add(Row::of(name, "%", lower, &off_pieces).target(20.0));
    let name = "estimated end of a streaming set, worst from a quarter on, off by so much of the whole time";
    bench.add(Row::of(name, "%", lower, &off_set).target(20.0));
    memory(bench, &farm, &order(&large, &out, "large.mp4", 2160))
}

fn order(input: &Path, out: &Path, name: &str, height: u32) -> Value {
    let video = json!({ "codec": "h264", "crf": 23, "preset": "medium", "max_height": height });
    let destination = format!("{}/", out.display());
    json!({ "kind": "encode", "input": input, "outputs": [{ "name": name, "destination": destination, "video": video }] })
}

/// The peak of a task's resident memory beside what it had asked its node for.
fn memory(bench: &mut Bench, farm: &Farm, job: &Value) -> Result<()> {
    let id = farm.client().submit(job)?;
    farm.client().drain(PATIENCE)?;
    let done = farm.client().job(id)?;
    let task = encode_of(&done).context("the job has an encode")?;
    let used = task.usage.as_ref().context("the encode says what it used")?.max_rss_bytes as f64;
    let asked = task.needs.memory_bytes as f64;
    let (used, asked) = (used / f64::from(1 << 20), asked / f64::from(1 << 20));
    bench.add(Row::of("memory of an encode of 2160p, peak", "MiB", Better::Lower, &[used]).target(asked));
    bench.add(Row::of("what it asked its node for", "MiB", Better::Lower, &[asked]));
    Ok(())
}

/// A job from its first encode's start to its end, as the farm tells of it.
struct Watched {
    started: Instant,
    said: Vec<Said>,
    ended: Instant,
}

fn watch(farm: &Farm, job: &Value) -> Result<Watched> {
    let client = farm.client();
    let id = client.submit(job)?;
    let began = Instant::now();
    let (mut started, mut said) = (None, Vec::<Said>::new());
    loop {
        let now = client.job(id)?;
        let at = Instant::now();
        if now.tasks.iter().any(|task| is_heavy(task.kind) && task.attempt.is_some()) {
            started.get_or_insert(at);
            let progress = now.progress.clone();
            let is_told = now.tasks.iter().any(|task| is_heavy(task.kind) && task.progress.is_some());
            if is_told && said.last().is_none_or(|last| last.progress != progress) {
                said.push(Said { at, progress });
            }
        }
        match now.state {
            JobState::Succeeded => {
                let started = started.context("the encode was never seen running")?;
                return Ok(Watched { started, said, ended: at });
            }
            JobState::Failed | JobState::Canceled => bail!("the encode ended as {:?}", now.state),
            JobState::Queued | JobState::Running => {}
        }
        if began.elapsed() > PATIENCE {
            bail!("the encode did not end");
        }
        sleep(LOOK);
    }
}

fn is_heavy(kind: TaskKind) -> bool {
    matches!(kind, TaskKind::Encode | TaskKind::Chunk)
}

fn encode_of(job: &JobView) -> Option<&TaskView> {
    job.tasks.iter().find(|task| task.kind == TaskKind::Encode)
}

impl Watched {
    fn first_s(&self) -> Result<f64> {
        let first = self.said.first().context("nothing was said of the encode")?;
        Ok((first.at - self.started).as_secs_f64())
    }

    fn longest_gap_s(&self) -> f64 {
        let times = self.said.iter().map(|said| said.at);
        let pairs = times.clone().zip(times.skip(1).chain([self.ended]));
        pairs.map(|(one, next)| (next - one).as_secs_f64()).fold(0.0, f64::max)
    }

    /// How far off estimates are, in percent of the whole time, the worst; and of the time that is left, the median.
    fn estimates(&self) -> (f64, f64) {
        let whole = (self.ended - self.started).as_secs_f64();
        let (mut worst, mut of_rest) = (0.0_f64, Vec::new());
        for said in self.said.iter().filter(|said| (said.at - self.started).as_secs_f64() >= whole / 4.0) {
            let left = (self.ended - said.at).as_secs_f64();
            let estimate = said.progress.eta_ms.map_or(f64::INFINITY, |ms| ms as f64 / 1000.0);
            let off = (estimate - left).abs();
            worst = worst.max(off / whole * 100.0);
            of_rest.push(off / left.max(0.001) * 100.0);
        }
        (worst, rushes_bench::sample::median(&of_rest))
    }
}

//! Tasks that do nothing, through REST, journal, QUIC and back: what is left is the farm's own path.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rushes_bench::farm::Farm;
use rushes_bench::sample::percentile;
use rushes_bench::{Bench, Better, Row, process};
use rushes_shared::id::JobId;
use serde_json::{Value, json};

/// Tasks of the one large job, which is the most that a job may have.
const TASKS: u32 = 10_000;
/// Large jobs for many slots.
const WIDE_JOBS: usize = 10;
/// Clients at once, and jobs of one task that each submits.
const CLIENTS: usize = 16;
const JOBS_EACH: usize = 200;
/// Jobs of one task, one after the other on an idle farm.
const SINGLES: usize = 500;
/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let mut farm = Farm::start(scratch.path(), &[])?;
    farm.add_worker_with(&["slots.light=2"])?;
    large_job(&farm, 1_000)?;

    let runs = bench.runs(3);
    let large = (0..runs).map(|_| large_job(&farm, TASKS)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "one job of 10,000 no-ops, 2 slots", &large, Some((10_000.0, 25.0)));
    let small = (0..runs).map(|_| many_clients(&farm)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "jobs of one no-op, 16 clients", &small, None);
    bench.add(Row::of(
        "coordinator's memory after these",
        "MiB",
        Better::Lower,
        &[process::resident_mib(farm.coordinator_pid())?],
    ));

    let mut latency = Vec::new();
    for _ in 0..runs {
        latency.push(singles(&farm)?);
    }
    for (name, permille) in [("p50", 500), ("p99", 990)] {
        let of = |figure: fn(&Single) -> f64| -> Vec<f64> {
            let point = |run: &Vec<Single>| percentile(&run.iter().map(figure).collect::<Vec<_>>(), permille);
            latency.iter().map(point).collect()
        };
        let (accepted, dispatched, done) = (of(|s| s.accepted), of(|s| s.dispatched), of(|s| s.done));
        bench.add(Row::of(format!("one no-op, submit to accepted, {name}"), "ms", Better::Lower, &accepted));
        let start = Row::of(format!("one no-op, submit to start, {name}"), "ms", Better::Lower, &dispatched);
        bench.add(start.target(if permille == 500 { 1.0 } else { 4.0 }));
        bench.add(Row::of(format!("one no-op, submit to done, {name}"), "ms", Better::Lower, &done));
    }
    Ok(())
}

/// The same with as many slots as a large farm has.
pub(crate) fn wide(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let mut farm = Farm::start(scratch.path(), &[])?;
    farm.add_worker_with(&["slots.light=1024"])?;
    large_job(&farm, TASKS)?;
    let runs = (0..bench.runs(3)).map(|_| large_jobs(&farm, WIDE_JOBS)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "100,000 no-ops in ten jobs, 1,024 slots", &runs, Some((50_000.0, 10.0)));
    Ok(())
}

/// Some jobs of as many tasks as a job may have, one behind the other.
fn large_jobs(farm: &Farm, jobs: usize) -> Result<Load> {
    let client = farm.client();
    measured(farm, jobs * TASKS as usize, || {
        (0..jobs).try_for_each(|_| client.submit(&noop(TASKS)).map(drop))?;
        client.drain(PATIENCE)
    })
}

/// Throughput of one run.
struct Load {
    tasks_per_s: f64,
    cpu_us_per_task: f64,
}

fn add_throughput(bench: &mut Bench, name: &str, runs: &[Load], targets: Option<(f64, f64)>) {
    let rates: Vec<f64> = runs.iter().map(|run| run.tasks_per_s).collect();
    let cpu: Vec<f64> = runs.iter().map(|run| run.cpu_us_per_task).collect();
    let rate = Row::of(name, "tasks/s", Better::Higher, &rates);
    let cost = Row::of(format!("{name}, coordinator's CPU"), "us/task", Better::Lower, &cpu);
    match targets {
        Some((least, most)) => {
            bench.add(rate.target(least));
            bench.add(cost.target(most));
        }
        None => {
            bench.add(rate);
            bench.add(cost);
        }
    }
}

fn measured(farm: &Farm, tasks: usize, work: impl FnOnce() -> Result<()>) -> Result<Load> {
    let pid = farm.coordinator_pid();
    let before = process::cpu(pid)?;
    let began = Instant::now();
    work()?;
    let (wall, cpu) = (began.elapsed(), process::cpu(pid)?.saturating_sub(before));
    let tasks = tasks as f64;
    Ok(Load { tasks_per_s: tasks / wall.as_secs_f64(), cpu_us_per_task: cpu.as_secs_f64() * 1e6 / tasks })
}

fn noop(tasks: u32) -> Value {
    json!({ "kind": "noop", "tasks": tasks })
}

/// One job of many tasks, from its submit to the moment at which no job is left.
fn large_job(farm: &Farm, tasks: u32) -> Result<Load> {
    let client = farm.client();
    measured(farm, tasks as usize, || {
        client.submit(&noop(tasks))?;
        client.drain(PATIENCE)
    })
}

/// Many small jobs by several clients, each waiting for its answer before its next submit, until none is left.
fn many_clients(farm: &Farm) -> Result<Load> {
    measured(farm, CLIENTS * JOBS_EACH, || {
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let client = farm.client();
                    scope.spawn(move || (0..JOBS_EACH).try_for_each(|_| client.submit(&noop(1)).map(drop)))
                })
                .collect();
            clients.into_iter().try_for_each(|client| match client.join() {
                Ok(result) => result,
                Err(_) => bail!("a client panicked"),
            })
        })?;
        farm.client().drain(PATIENCE)
    })
}

/// One job of one task: milliseconds from the begin of its submit.
struct Single {
    /// To the answer.
    accepted: f64,
    /// To the news that the task was handed to a worker.
    dispatched: f64,
    /// To the news that the job ended.
    done: f64,
}

fn singles(farm: &Farm) -> Result<Vec<Single>> {
    let client = farm.client();
    let news = client.news()?;
    let (tell, told) = channel();
    // Ends when nobody listens, or with the stream, which ends with the farm.
    std::thread::spawn(move || {
        let mut jobs = news.into_iter().filter_map(|(came, event)| Some((came, event.job?, event.r#type)));
        jobs.all(|item| tell.send(item).is_ok())
    });
    let mut all = Vec::with_capacity(SINGLES);
    for _ in 0..SINGLES {
        let began = Instant::now();
        let id = client.submit(&noop(1))?;
        let accepted = began.elapsed().as_secs_f64() * 1e3;
        let (dispatched, done) = ending(&told, id, began)?;
        all.push(Single { accepted, dispatched, done });
    }
    Ok(all)
}

/// When the job's task was dispatched and when the job ended, in milliseconds since `began`.
fn ending(news: &Receiver<(Instant, JobId, String)>, id: JobId, began: Instant) -> Result<(f64, f64)> {
    let mut dispatched = None;
    loop {
        let (came, job, what) = news.recv_timeout(PATIENCE).context("wait for a job's news")?;
        if job != id {
            continue;
        }
        let at = (came - began).as_secs_f64() * 1e3;
        match what.as_str() {
            "task_dispatched" => dispatched = dispatched.or(Some(at)),
            "job_ended" => {
                let dispatched = dispatched.with_context(|| format!("{id} ended and was not dispatched"))?;
                return Ok((dispatched, at));
            }
            _ => {}
        }
    }
}

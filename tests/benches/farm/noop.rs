//! Tasks that do nothing, through REST, journal, QUIC and back: what is left is the farm's own path.

use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use anyhow::{Context, Result};
use rushes_bench::farm::Farm;
use rushes_bench::sample::percentile;
use rushes_bench::{Bench, Better, Row, process};
use rushes_shared::id::JobId;

use crate::load::{Load, PATIENCE, add_throughput, idle, large_job, many_clients, measured};

/// Tasks of the one large job, which is the most that a job may have.
const TASKS: u32 = 10_000;
/// Large jobs for many slots.
const WIDE_JOBS: usize = 10;
/// Jobs of one task that each client submits.
const JOBS_EACH: usize = 200;
/// Jobs of one task, one after the other on an idle farm.
const SINGLES: usize = 500;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let mut farm = Farm::start(scratch.path(), &[])?;
    farm.add_worker_with(&["slots.light=2"])?;
    large_job(&farm, "noop", 1_000)?;

    let runs = bench.runs(3);
    let large = (0..runs).map(|_| large_job(&farm, "noop", TASKS)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "one job of 10,000 no-ops, 2 slots", &large, (Some(10_000.0), Some(25.0)));
    let small = (0..runs).map(|_| many_clients(&farm, "noop", JOBS_EACH)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "jobs of one no-op, 16 clients", &small, (None, None));
    bench.add(Row::of(
        "coordinator's memory after these",
        "MiB",
        Better::Lower,
        &[process::resident_mib(farm.coordinator_pid())?],
    ));

    let mut latency = Vec::new();
    for _ in 0..runs {
        latency.push(singles(&farm, SINGLES)?);
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
    large_job(&farm, "noop", TASKS)?;
    let runs = (0..bench.runs(3)).map(|_| large_jobs(&farm, WIDE_JOBS)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "100,000 no-ops in ten jobs, 1,024 slots", &runs, (Some(50_000.0), Some(10.0)));
    Ok(())
}

/// Some jobs of as many tasks as a job may have, one behind the other.
fn large_jobs(farm: &Farm, jobs: usize) -> Result<Load> {
    let client = farm.client();
    measured(farm, jobs * TASKS as usize, || {
        (0..jobs).try_for_each(|_| client.submit(&idle("noop", TASKS)).map(drop))?;
        client.drain(PATIENCE)
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

/// Milliseconds from submit to start, of so many jobs of one task, one after the other on an idle farm.
pub(crate) fn starts(farm: &Farm, count: usize) -> Result<Vec<f64>> {
    Ok(singles(farm, count)?.into_iter().map(|single| single.dispatched).collect())
}

fn singles(farm: &Farm, count: usize) -> Result<Vec<Single>> {
    let client = farm.client();
    let news = client.news()?;
    let (tell, told) = channel();
    // Ends when nobody listens, or with the stream, which ends with the farm.
    std::thread::spawn(move || {
        let mut jobs = news.into_iter().filter_map(|(came, event)| Some((came, event.job?, event.r#type)));
        jobs.all(|item| tell.send(item).is_ok())
    });
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        let id = client.submit(&idle("noop", 1))?;
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

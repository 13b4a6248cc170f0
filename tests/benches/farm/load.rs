//! Tasks that do nothing, by the thousand: how many a second, and what each costs the coordinator.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rushes_bench::farm::Farm;
use rushes_bench::{Bench, Better, Row, process};
use serde_json::{Value, json};

/// Longest wait for anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Clients at once.
pub(crate) const CLIENTS: usize = 16;

/// Throughput of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) tasks_per_s: f64,
    pub(crate) cpu_us_per_task: f64,
}

/// A job of one kind, `noop` or `trial`, of so many tasks.
pub(crate) fn idle(kind: &str, tasks: u32) -> Value {
    json!({ "kind": kind, "tasks": tasks })
}

/// Adds a row for the rate and one for the coordinator's CPU, with the bounds that there are.
pub(crate) fn add_throughput(
    bench: &mut Bench,
    name: &str,
    runs: &[Load],
    (least, most): (Option<f64>, Option<f64>),
) {
    let rates: Vec<f64> = runs.iter().map(|run| run.tasks_per_s).collect();
    let rate = Row::of(name, "tasks/s", Better::Higher, &rates);
    bench.add(match least {
        Some(least) => rate.target(least),
        None => rate,
    });
    let cpu: Vec<f64> = runs.iter().map(|run| run.cpu_us_per_task).collect();
    let cost = Row::of(format!("{name}, coordinator's CPU"), "us/task", Better::Lower, &cpu);
    bench.add(match most {
        Some(most) => cost.target(most),
        None => cost,
    });
}

/// Times work of so many tasks.
pub(crate) fn measured(farm: &Farm, tasks: usize, work: impl FnOnce() -> Result<()>) -> Result<Load> {
    let pid = farm.coordinator_pid();
    let before = process::cpu(pid)?;
    let began = Instant::now();
    work()?;
    let (wall, cpu) = (began.elapsed(), process::cpu(pid)?.saturating_sub(before));
    let tasks = tasks as f64;
    Ok(Load { tasks_per_s: tasks / wall.as_secs_f64(), cpu_us_per_task: cpu.as_secs_f64() * 1e6 / tasks })
}

/// One job of many tasks, from its submit to the moment at which no job is left.
pub(crate) fn large_job(farm: &Farm, kind: &str, tasks: u32) -> Result<Load> {
    let client = farm.client();
    measured(farm, tasks as usize, || {
        client.submit(&idle(kind, tasks))?;
        client.drain(PATIENCE)
    })
}

/// Jobs of one task by several clients, each waiting for its answer before its next submit, until none is left.
pub(crate) fn many_clients(farm: &Farm, kind: &str, jobs_each: usize) -> Result<Load> {
    measured(farm, CLIENTS * jobs_each, || {
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let (client, job) = (farm.client(), idle(kind, 1));
                    scope.spawn(move || (0..jobs_each).try_for_each(|_| client.submit(&job).map(drop)))
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

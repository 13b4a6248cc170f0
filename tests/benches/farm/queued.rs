//! What a queue costs: the coordinator's memory with 200,000 tasks that wait.

use anyhow::{Result, bail};
use rushes_bench::farm::Farm;
use rushes_bench::{Bench, Better, Row, process};
use serde_json::json;

/// Tasks that wait.
const QUEUED: u32 = 200_000;
/// Tasks of one large job.
const LARGE: u32 = 10_000;
/// Clients that submit at once.
const CLIENTS: u32 = 16;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for (name, tasks) in [("in jobs of 10,000", LARGE), ("each a job of its own", 1)] {
        let scratch = bench.scratch()?;
        Farm::init(scratch.path())?;
        // Nobody works: all of it waits.
        let farm = Farm::start(scratch.path(), &[])?;
        submit_all(&farm, tasks)?;
        let used = process::resident_mib(farm.coordinator_pid())?;
        let name = format!("200,000 queued tasks, {name}: coordinator's memory");
        bench.add(Row::of(name, "MiB", Better::Lower, &[used]).target(120e6 / f64::from(1 << 20)));
    }
    Ok(())
}

fn submit_all(farm: &Farm, tasks: u32) -> Result<()> {
    let jobs = QUEUED / tasks;
    let clients = CLIENTS.min(jobs);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|n| {
                let client = farm.client();
                let own = jobs / clients + u32::from(n < jobs % clients);
                scope.spawn(move || {
                    let job = json!({ "kind": "noop", "tasks": tasks });
                    (0..own).try_for_each(|_| client.submit(&job).map(drop))
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a client panicked"),
        })
    })?;
    let queued: u64 = farm.client().status()?.tasks.iter().map(|tally| tally.ready).sum();
    if queued < u64::from(QUEUED) {
        bail!("only {queued} tasks wait");
    }
    Ok(())
}

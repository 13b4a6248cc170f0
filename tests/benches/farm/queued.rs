//! What a queue costs: the coordinator's memory with 200,000 tasks that wait, and the wait of a submit while the store
//! makes snapshots of a million.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use rushes_bench::farm::Farm;
use rushes_bench::sample::percentile;
use rushes_bench::{Bench, Better, Row, process};
use serde_json::json;

/// Tasks that wait.
const QUEUED: u32 = 200_000;
/// Tasks of one large job.
const LARGE: u32 = 10_000;
/// Tasks that wait while submits are timed, submits, and records between two snapshots: less than come in while one is
/// made, so that there is always one.
const MILLION: u32 = 1_000_000;
const SINGLES: usize = 2_000;
const EACH_SNAPSHOT: usize = 10;
/// Clients that submit at once.
const CLIENTS: u32 = 16;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for (name, tasks) in [("in jobs of 10,000", LARGE), ("each a job of its own", 1)] {
        let scratch = bench.scratch()?;
        Farm::init(scratch.path())?;
        // Nobody works: all of it waits.
        let farm = Farm::start(scratch.path(), &[])?;
        submit_all(&farm, QUEUED, tasks)?;
        let used = process::resident_mib(farm.coordinator_pid())?;
        let name = format!("200,000 queued tasks, {name}: coordinator's memory");
        bench.add(Row::of(name, "MiB", Better::Lower, &[used]).target(120e6 / f64::from(1 << 20)));
    }
    during_snapshots(bench)
}

/// Snapshots that have to be made during the submits; with fewer, hardly a submit meets one.
const FEWEST: usize = 5;

/// Jobs of one task, one at a time, while a million tasks wait and one snapshot follows another.
fn during_snapshots(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let farm = Farm::start(scratch.path(), &[format!("store.snapshot_records={EACH_SNAPSHOT}")])?;
    submit_all(&farm, MILLION, LARGE)?;
    let client = farm.client();
    let snapshots = || farm.coordinator_log().matches("snapshot made").count();
    let before = snapshots();
    let mut waits = Vec::with_capacity(SINGLES);
    for _ in 0..SINGLES {
        let began = Instant::now();
        client.submit(&json!({ "kind": "noop", "tasks": 1 }))?;
        waits.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let made = snapshots() - before;
    ensure!(made >= FEWEST, "only {made} snapshots were made meanwhile");
    println!("{made} snapshots were made during {SINGLES} submits");
    let name = "submit during snapshots of 1,000,000 queued tasks, p99";
    bench.add(Row::of(name, "ms", Better::Lower, &[percentile(&waits, 990)]).target(5.0));
    Ok(())
}

fn submit_all(farm: &Farm, queued: u32, tasks: u32) -> Result<()> {
    let jobs = queued / tasks;
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
    let waiting: u64 = farm.client().status()?.tasks.iter().map(|tally| tally.ready).sum();
    if waiting < u64::from(queued) {
        bail!("only {waiting} tasks wait");
    }
    Ok(())
}

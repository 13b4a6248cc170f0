//! How soon a coordinator is back after kill -9 with 100,000 jobs that have not ended.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rushes_bench::client::wait_for;
use rushes_bench::farm::Farm;
use rushes_bench::{Bench, Better, Row, process};
use serde_json::json;

/// Jobs in the journal.
const JOBS: usize = 100_000;
/// Clients that submit them.
const CLIENTS: usize = 16;
/// So many records are never reached: all jobs are in the journal, none in a snapshot.
const NO_SNAPSHOT: &str = "store.snapshot_records=1000000000";
/// Longest wait for a snapshot.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    let (dir, journal_only) = (scratch.path(), [NO_SNAPSHOT.to_owned()]);
    Farm::init(dir)?;
    let farm = Farm::start(dir, &journal_only)?;
    let took = submit_all(&farm)?;
    bench.add(Row::of(
        "submits accepted, 16 clients, no worker",
        "jobs/s",
        Better::Higher,
        &[JOBS as f64 / took.as_secs_f64()],
    ));
    let memory = process::resident_mib(farm.coordinator_pid())?;
    bench.add(Row::of("coordinator's memory with 100,000 jobs", "MiB", Better::Lower, &[memory]));
    farm.kill();

    let mut times = Vec::new();
    for _ in 0..bench.runs(5) {
        times.push(restart(&scratch, &journal_only)?);
    }
    bench.add(
        Row::of("ready after kill -9, 100,000 jobs in the journal", "s", Better::Lower, &times).target(2.0),
    );

    let (farm, _) = Farm::start_timed(dir, &[])?;
    // A snapshot is thought of at a commit.
    farm.client().submit(&json!({ "kind": "noop" }))?;
    wait_for("a snapshot", PATIENCE, Duration::from_millis(20), || {
        Ok(farm.coordinator_log().contains("snapshot made"))
    })?;
    farm.kill();
    let mut times = Vec::new();
    for _ in 0..bench.runs(5) {
        times.push(restart(&scratch, &[])?);
    }
    bench.add(
        Row::of("ready after kill -9, 100,000 jobs in a snapshot", "s", Better::Lower, &times).target(2.0),
    );
    Ok(())
}

/// Starts the coordinator, checks that all is there, kills it again. Seconds from its start to ready.
fn restart(scratch: &tempfile::TempDir, settings: &[String]) -> Result<f64> {
    let (farm, took) = Farm::start_timed(scratch.path(), settings)?;
    let jobs = farm.client().status()?.jobs_queued;
    farm.kill();
    if jobs < JOBS as u64 {
        bail!("only {jobs} of {JOBS} jobs are there after the start");
    }
    Ok(took.as_secs_f64())
}

/// Submits the jobs and says how long that took.
fn submit_all(farm: &Farm) -> Result<Duration> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let client = farm.client();
                let next = &next;
                scope.spawn(move || -> Result<()> {
                    while next.fetch_add(1, Ordering::Relaxed) < JOBS {
                        client.submit(&json!({ "kind": "noop" }))?;
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| match client.join() {
            Ok(result) => result,
            Err(_) => bail!("a client panicked"),
        })
    })
    .context("submit the jobs")?;
    Ok(began.elapsed())
}

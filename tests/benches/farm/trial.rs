//! Tasks that do nothing, each in a contained process of its own: what is left is the farm's path and the process.

use anyhow::Result;
use rushes_bench::Bench;
use rushes_bench::farm::Farm;

use crate::load::{CLIENTS, add_throughput, large_job, many_clients};

/// Tasks of the one large job.
const TASKS: u32 = 4_000;
/// Jobs of one task that each client submits.
const JOBS_EACH: usize = 250;
/// What has to be reached, in tasks a second.
const LEAST: f64 = 1_000.0;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let mut farm = Farm::start(scratch.path(), &[])?;
    farm.add_worker_with(&["slots.light=2"])?;
    large_job(&farm, "trial", 200)?;
    let runs = bench.runs(3);
    let large = (0..runs).map(|_| large_job(&farm, "trial", TASKS)).collect::<Result<Vec<_>>>()?;
    add_throughput(bench, "a process a task, one job of 4,000, 2 slots", &large, (Some(LEAST), None));
    let small = (0..runs).map(|_| many_clients(&farm, "trial", JOBS_EACH)).collect::<Result<Vec<_>>>()?;
    let name = format!("a process a task, jobs of one task, {CLIENTS} clients, 2 slots");
    add_throughput(bench, &name, &small, (Some(LEAST), None));
    Ok(())
}

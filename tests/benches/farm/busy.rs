//! A thousand slots with tasks of a second each: whether slots wait for their next task.

use std::time::{Duration, Instant};

use anyhow::Result;
use rushes_bench::farm::Farm;
use rushes_bench::{Bench, Better, Row, process};
use serde_json::{Value, json};

/// Slots of the one worker.
const SLOTS: u32 = 1_000;
/// Rounds of one task a slot, a second each.
const ROUNDS: u32 = 60;
/// Tasks of one job.
const TASKS: u32 = 10_000;
/// Longest wait for all of it.
const PATIENCE: Duration = Duration::from_secs(300);

fn seconds(tasks: u32) -> Value {
    json!({ "kind": "graph", "stages": [{ "name": "hold", "slot": "light", "count": tasks, "hold_ms": 1_000 }] })
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let mut farm = Farm::start(scratch.path(), &[])?;
    farm.add_worker_with(&[&format!("slots.light={SLOTS}")])?;
    let client = farm.client();
    client.submit(&seconds(SLOTS))?;
    client.drain(PATIENCE)?;

    let before = process::cpu(farm.coordinator_pid())?;
    let began = Instant::now();
    for _ in 0..SLOTS * ROUNDS / TASKS {
        client.submit(&seconds(TASKS))?;
    }
    client.drain(PATIENCE)?;
    let (wall, cpu) = (began.elapsed(), process::cpu(farm.coordinator_pid())?.saturating_sub(before));
    let busy = 100.0 * f64::from(ROUNDS) / wall.as_secs_f64();
    let tasks = f64::from(SLOTS * ROUNDS);
    bench.add(
        Row::of("1,000 slots, tasks of 1 s for a minute: slots busy", "%", Better::Higher, &[busy])
            .target(99.0),
    );
    let cpu = cpu.as_secs_f64() * 1e6 / tasks;
    bench.add(Row::of("the same, coordinator's CPU", "us/task", Better::Lower, &[cpu]));
    Ok(())
}

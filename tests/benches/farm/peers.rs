//! The same tasks on other task queues, in the same run: Ray and Celery with Redis from Python packages, HyperQueue by its
//! binary. A peer that cannot be had is left out, and a line says so.

use anyhow::Result;
use rushes_bench::farm::Farm;
use rushes_bench::peer::{HyperQueue, PythonPeer};
use rushes_bench::sample::{Pair, pairs, percentile};
use rushes_bench::{Bench, Better, Row};

use crate::load::large_job;
use crate::noop::starts;

/// Tasks that do nothing, in one run.
const TASKS: u32 = 5_000;
/// Tasks with a process each, in one run.
const PROCESSES: u32 = 2_000;
/// Tasks one after the other.
const SINGLES: usize = 300;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scratch = bench.scratch()?;
    Farm::init(scratch.path())?;
    let mut farm = Farm::start(scratch.path(), &[])?;
    farm.add_worker_with(&["slots.light=2"])?;
    large_job(&farm, "noop", 1_000)?;
    for (name, script, module) in
        [("Ray", "ray_peer", "ray"), ("Celery+Redis", "celery_peer", "celery, redis")]
    {
        match PythonPeer::start(script, module)? {
            Some(peer) => beside(bench, &farm, name, peer)?,
            None => bench.say(&format!("no rows beside {name}: PEERS_VENV names no environment that has it")),
        }
    }
    large_job(&farm, "trial", 200)?;
    let dir = bench.scratch()?;
    let Some(hq) = HyperQueue::start(dir.path())? else {
        bench.say("no row beside HyperQueue: HQ names no binary");
        return Ok(());
    };
    let found = pairs(
        bench.runs(3),
        |_| Ok(large_job(&farm, "trial", PROCESSES)?.tasks_per_s),
        |_| hq.rate(PROCESSES),
    )?;
    let name = format!("a process a task, one job of {PROCESSES}, 2 slots");
    bench.add(Row::beside(name, "tasks/s", Better::Higher, "HyperQueue", &found));
    Ok(())
}

fn beside(bench: &mut Bench, farm: &Farm, name: &str, peer: PythonPeer) -> Result<()> {
    let peer = std::cell::RefCell::new(peer);
    let runs = bench.runs(3);
    let found =
        pairs(runs, |_| Ok(large_job(farm, "noop", TASKS)?.tasks_per_s), |_| peer.borrow_mut().rate(TASKS))?;
    let row = format!("{TASKS} no-ops, 2 slots, beside {name}");
    bench.add(Row::beside(row, "tasks/s", Better::Higher, name, &found));
    let waits: Vec<Pair<Vec<f64>>> =
        pairs(runs, |_| starts(farm, SINGLES), |_| peer.borrow_mut().starts(SINGLES))?;
    for (quantile, permille) in [("p50", 500), ("p99", 990)] {
        let found: Vec<Pair<f64>> =
            waits.iter().map(|pair| pair.map(|waits| percentile(waits, permille))).collect();
        let row = format!("one no-op, submit to start, {quantile}, beside {name}");
        bench.add(Row::beside(row, "ms", Better::Lower, name, &found));
    }
    Ok(())
}

//! How fast a queue in the order of deadlines is worked off: each task that ends starts the one that is due next.

use anyhow::{Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_core::order::OrderRule;
use rushes_core::policy::{OrderPolicy, Policy};
use rushes_shared::job::{JobSpec, Work};
use rushes_shared::units::WallMs;

use crate::farm::{Farm, NOW, clock, cpu_ns};

const JOBS: u64 = 200_000;
const WORKERS: u32 = 10;
const ENDS: u32 = 100_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (mut rates, mut by_cpu, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.runs(3) {
        let order = OrderPolicy { rule: OrderRule::Edf, ..OrderPolicy::default() };
        let mut farm = Farm::new(0, Policy { order, ..Policy::default() }, false);
        for number in 0..JOBS {
            // Spread over a week, in an order that has nothing to do with it.
            let due_ms = 3_600_000 + number * 7_919 % JOBS * 3_000;
            let deadline = Some(WallMs(NOW.wall.0 + due_ms));
            farm.submit_spec(JobSpec { deadline, ..JobSpec::of(Work::Noop { tasks: 1 }) });
        }
        farm.join(WORKERS);
        farm.spent.clear();
        let mut latest = WallMs(0);
        let (began, began_cpu) = (clock(), cpu_ns());
        for _ in 0..ENDS {
            let Some((worker, task, attempt)) = farm.running.pop_front() else { break };
            let due = farm.engine.state().jobs.get(&task.job).and_then(|job| job.spec.deadline);
            farm.end(worker, task, attempt);
            let due = due.unwrap_or_default();
            ensure!(due >= latest, "{task} was started out of turn");
            latest = due;
        }
        rates.push(f64::from(ENDS) / began.elapsed().as_secs_f64());
        by_cpu.push(f64::from(ENDS) * 1e9 / (cpu_ns() - began_cpu));
        p99.push(farm.percentile_ns(990) / 1e6);
    }
    let name = "deadline-ordered dequeue, 200,000 jobs queued";
    bench.add(Row::of(name, "tasks/s", Better::Higher, &rates).target(30_000.0));
    bench.add(Row::of("the same by CPU time", "tasks/CPU s", Better::Higher, &by_cpu).target(30_000.0));
    bench.add(Row::of("the same, p99 of one", "ms", Better::Lower, &p99).target(5.0));
    Ok(())
}

//! How long a simulated day takes on one core, invariants on.

use std::time::Instant;

use anyhow::Result;
use rushes_bench::{Bench, Better, Row};

use crate::{scenario, seeds};

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scenario = scenario("day.toml")?;
    let (mut wall, mut rates, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for seed in seeds(bench.runs(3)) {
        let began = Instant::now();
        let report = rushes_sim::run(&scenario, seed)?;
        let took = began.elapsed().as_secs_f64();
        bench.say(&format!("{} uploads, {} tasks", report.farm.uploads, report.farm.tasks_done));
        wall.push(took);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        rates.push(report.farm.engine_events as f64 / took);
        kept.push(report.farm.kept_share);
    }
    let row = Row::of("a day of 10,000 uploads on 1,000 slots", "s", Better::Lower, &wall);
    bench.add(row.target(10.0));
    bench.add(Row::of("engine events simulated", "events/s", Better::Higher, &rates));
    bench.add(Row::of("core time on kept results", "of 1", Better::Higher, &kept));
    let cost = rushes_sim::measure(&scenario, crate::FIRST_SEED)?;
    for (kind, ns) in [
        ("a submit", cost.submit_ns),
        ("a start", cost.started_ns),
        ("a word of progress", cost.progress_ns),
        ("the end of a task", cost.ended_ns),
        ("a heartbeat", cost.heartbeat_ns),
        ("a timer", cost.timer_ns),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one event")]
        bench.add(Row::of(format!("engine's own time for {kind}"), "ns", Better::Lower, &[ns as f64]));
    }
    Ok(())
}

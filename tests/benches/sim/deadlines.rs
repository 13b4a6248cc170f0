//! Promises: how many are kept, and how many are made beside an admission that knows everything.

use anyhow::Result;
use rushes_bench::sample::Pair;
use rushes_bench::{Bench, Better, Row};
use rushes_sim::{OrderRule, Report};

use crate::{scenario, seeds};

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scenario = scenario("deadlines.toml")?;
    let (mut met, mut admitted, mut feasible, mut given_up) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut fifo, mut edf) = (Vec::new(), Vec::new());
    let (mut unknown, mut hopeless) = (Vec::new(), Vec::new());
    let mut guessed = scenario.clone();
    guessed.content[0].deadline_from_truth = false;
    for seed in seeds(bench.runs(3)) {
        let ours = rushes_sim::run(&scenario, seed)?;
        met.push(kept(&ours));
        let clairvoyant = rushes_sim::clairvoyant(&scenario, seed);
        let promised: u64 = ours.classes.iter().map(|c| c.promised).sum();
        admitted.push(Pair { ours: count(promised), peer: count(clairvoyant.admitted) });
        feasible.push(count(clairvoyant.admitted) / count(clairvoyant.promised));
        given_up.push(ours.farm.quality_given_up);
        fifo.push(kept(&rushes_sim::run_by(&scenario, seed, OrderRule::Fifo)?));
        edf.push(kept(&rushes_sim::run_by(&scenario, seed, OrderRule::Edf)?));
        unknown.push(kept(&rushes_sim::run(&guessed, seed)?));
        let clairvoyant = rushes_sim::clairvoyant(&guessed, seed);
        hopeless.push(1.0 - count(clairvoyant.hopeless) / count(clairvoyant.promised));
    }
    let higher = |name: &str, unit, values: &[f64]| Row::of(name, unit, Better::Higher, values);
    bench.add(higher("deadlines met, of those admitted", "of 1", &met).target(0.999));
    bench.add(higher("the same under fifo", "of 1", &fifo));
    bench.add(higher("the same under edf", "of 1", &edf));
    let beside = Row::beside("jobs admitted", "jobs", Better::Higher, "clairvoyant", &admitted);
    bench.add(beside.target_ratio(0.95));
    bench.add(higher("what the clairvoyant admits", "of 1", &feasible));
    bench.add(higher("met, deadlines from the predicted path", "of 1", &unknown));
    bench.add(higher("those that an empty farm could keep", "of 1", &hopeless));
    bench.add(Row::of("quality given up, mean", "points a job", Better::Lower, &given_up));
    Ok(())
}

/// Share of the promises that were kept.
fn kept(report: &Report) -> f64 {
    let promised: u64 = report.classes.iter().map(|c| c.promised).sum();
    let met: u64 = report.classes.iter().map(|c| c.met).sum();
    count(met) / count(promised).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of jobs fit exactly")]
fn count(jobs: u64) -> f64 {
    jobs as f64
}

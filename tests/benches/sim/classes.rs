//! What premium buys and what it leaves to standard: paired identical jobs at 110 % load.

use anyhow::{Context, Result};
use rushes_bench::sample::Pair;
use rushes_bench::{Bench, Better, Row};
use rushes_shared::job::Class;
use rushes_sim::{ClassReport, OrderRule, Report};

use crate::{scenario, seeds};

fn of(report: &Report, class: Class) -> Result<&ClassReport> {
    let found = report.classes.iter().find(|c| c.class == class);
    found.with_context(|| format!("no job of class {}", class.as_str()))
}

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let scenario = scenario("premium-vs-standard.toml")?;
    let (mut median, mut p95, mut share, mut throughput) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut strict_share, mut kept) = (Vec::new(), Vec::new());
    for seed in seeds(bench.runs(5)) {
        let ours = rushes_sim::run(&scenario, seed)?;
        let fifo = rushes_sim::run_by(&scenario, seed, OrderRule::Fifo)?;
        let strict = rushes_sim::run_by(&scenario, seed, OrderRule::StrictPriority)?;
        let (premium, standard) = (of(&ours, Class::Premium)?, of(&ours, Class::Standard)?);
        median.push(standard.median_s / premium.median_s);
        p95.push(standard.p95_s / premium.p95_s);
        share.push(standard.capacity_share);
        strict_share.push(of(&strict, Class::Standard)?.capacity_share);
        let peer = of(&fifo, Class::Standard)?.capacity_share;
        throughput.push(Pair { ours: standard.capacity_share, peer });
        kept.push(ours.farm.kept_share_of_backlog);
    }
    let higher = |name: &str, unit, values: &[f64]| Row::of(name, unit, Better::Higher, values);
    bench.add(higher("premium sooner than standard, median", "x", &median).target(3.0));
    bench.add(higher("premium sooner than standard, p95", "x", &p95).target(3.0));
    bench.add(higher("standard's share of the capacity", "of 1", &share).target(0.30));
    bench.add(higher("standard's share under strict priority", "of 1", &strict_share));
    let name = "standard's work done while uploads come";
    let beside = Row::beside(name, "of capacity", Better::Higher, "fifo", &throughput);
    bench.add(beside.target_ratio(0.85));
    bench.add(higher("core time on kept results, in backlog", "of 1", &kept).target(0.97));
    Ok(())
}

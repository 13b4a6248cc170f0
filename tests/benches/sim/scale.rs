//! Throughput for each slot, from ten slots to ten thousand.

use anyhow::Result;
use rushes_bench::sample::Pair;
use rushes_bench::{Bench, Better, Row};

use crate::{scenario, seeds};

const SLOTS: [u32; 4] = [10, 100, 1_000, 10_000];

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let base = scenario("scale.toml")?;
    let mut smallest: Vec<f64> = Vec::new();
    for slots in SLOTS {
        let mut scenario = base.clone();
        scenario.node[0].count = slots / 10;
        if slots >= 10_000 {
            scenario.hours /= 3.0;
        }
        let (mut per_slot, mut kept, mut engine) = (Vec::new(), Vec::new(), Vec::new());
        for seed in seeds(bench.runs(3)) {
            let report = rushes_sim::run(&scenario, seed)?;
            per_slot.push(report.classes.iter().map(|c| c.capacity_share).sum::<f64>());
            kept.push(report.farm.kept_share_of_backlog);
            engine.push(report.farm.engine_used);
        }
        if smallest.is_empty() {
            smallest.clone_from(&per_slot);
        }
        let pairs: Vec<Pair<f64>> =
            per_slot.iter().zip(&smallest).map(|(ours, peer)| Pair { ours: *ours, peer: *peer }).collect();
        let name = format!("work done for each slot, {slots} slots");
        let row = Row::beside(name, "of capacity", Better::Higher, "10 slots", &pairs);
        bench.add(row.target_ratio(0.97));
        let name = format!("core time on kept results, in backlog, {slots} slots");
        bench.add(Row::of(name, "of 1", Better::Higher, &kept).target(0.97));
        let name = format!("engine busy, {slots} slots");
        bench.add(Row::of(name, "of 1", Better::Lower, &engine));
    }
    Ok(())
}

//! What an event costs the engine with few and with many jobs waiting, and how fast a journal is folded.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_core::policy::Policy;
use rushes_core::record::{self, Record};
use rushes_core::state::State;

use crate::farm::{Farm, clock};

/// Workers of the farm that the engine believes in.
const WORKERS: u32 = 100;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let runs = bench.runs(3);
    for (jobs, label) in [(1_000_u32, "1,000 jobs"), (100_000, "100,000 jobs")] {
        let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..runs {
            let farm = life(jobs)?;
            let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
            for (kind, took) in &farm.spent {
                for name in [kind, "all events"] {
                    let (count, sum) = sums.entry(name).or_default();
                    *count += 1.0;
                    *sum += took.as_secs_f64() * 1e9;
                }
            }
            for (kind, (count, sum)) in sums {
                kinds.entry(kind).or_default().push(sum / count);
            }
        }
        for (kind, values) in &kinds {
            bench.add(Row::of(format!("handle, {kind}, {label}"), "ns/event", Better::Lower, values));
        }
    }
    let records = Farm::records_of(100_000)?;
    let folds = (0..runs).map(|_| fold(&records)).collect::<Result<Vec<_>>>()?;
    bench.add(Row::of("replay: the fold alone", "records/s", Better::Higher, &folds).target(1_000_000.0));
    let journal = records.iter().map(record::to_bytes).collect::<Result<Vec<_>, _>>()?;
    let rates = (0..runs).map(|_| replay(&journal)).collect::<Result<Vec<_>>>()?;
    bench.add(Row::of("replay: from bytes to state", "records/s", Better::Higher, &rates).target(400_000.0));
    Ok(())
}

/// That many jobs of one no-op are submitted before the first task ends; then all run to their end.
fn life(jobs: u32) -> Result<Farm> {
    let mut farm = Farm::new(WORKERS, Policy::default(), false);
    farm.spent.clear();
    (0..jobs).for_each(|_| farm.submit(1));
    (1..=WORKERS).cycle().take(1_000).for_each(|worker| farm.beat(worker));
    while farm.end_one() {}
    ensure!(farm.engine.state().jobs.is_empty(), "jobs are left that never end");
    Ok(farm)
}

impl Farm {
    /// The journal of that many jobs of one no-op.
    fn records_of(jobs: u32) -> Result<Vec<Record>> {
        let mut farm = Farm::new(WORKERS, Policy::default(), true);
        (0..jobs).for_each(|_| farm.submit(1));
        while farm.end_one() {}
        farm.records.context("records were kept")
    }
}

/// Records per second, from records to state.
fn fold(records: &[Record]) -> Result<f64> {
    let began = clock();
    let mut state = State::default();
    for record in records {
        state.apply(record).context("fold a record")?;
    }
    Ok(records.len() as f64 / began.elapsed().as_secs_f64())
}

/// Records per second, from bytes to state.
fn replay(journal: &[Vec<u8>]) -> Result<f64> {
    let began = clock();
    let mut state = State::default();
    for bytes in journal {
        let record: Record = record::from_bytes(bytes).context("read a record")?;
        state.apply(&record).context("fold a record")?;
    }
    Ok(journal.len() as f64 / began.elapsed().as_secs_f64())
}

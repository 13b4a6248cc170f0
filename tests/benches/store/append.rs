//! How fast the store makes records durable on this disk.

use std::time::Instant;

use anyhow::Result;
use rushes_bench::{Bench, Better, Row};
use rushes_coordinator::store::{Store, StoreOptions};
use rushes_shared::id::Seq;

/// Size of a record in bytes: an accepted job is about this long.
const RECORD: usize = 200;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for (name, each, commits) in
        [("append, 1 record a commit", 1, 2_000), ("append, 100 records a commit", 100, 500)]
    {
        let rates = (0..bench.runs(3)).map(|_| append(bench, each, commits)).collect::<Result<Vec<_>>>()?;
        bench.add(Row::of(name, "records/s", Better::Higher, &rates));
    }
    Ok(())
}

/// Records per second, each commit durable before the next begins.
fn append(bench: &Bench, each: usize, commits: usize) -> Result<f64> {
    let scratch = bench.scratch()?;
    let (mut store, _) = Store::open(scratch.path(), StoreOptions::default())?;
    let epoch = store.begin_epoch()?;
    let began = Instant::now();
    let mut tail = Seq(0);
    for _ in 0..commits {
        tail = store.append(epoch, tail, vec![vec![0x5A; RECORD]; each], Vec::new())?;
    }
    Ok((each * commits) as f64 / began.elapsed().as_secs_f64())
}

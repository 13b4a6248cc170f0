//! How fast the store makes records durable on this disk, and how fast they are back in the engine at a start.

use std::time::Instant;

use anyhow::{Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_coordinator::recover::Replay;
use rushes_coordinator::store::{Origin, Store, StoreOptions};
use rushes_core::engine::Engine;
use rushes_core::event::{Event, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::record;
use rushes_core::state::{State, TenantLimits};
use rushes_shared::id::{Epoch, JobId, Seq, TenantId};
use rushes_shared::job::{JobSpec, Work};
use rushes_shared::units::{MonoMs, Now, WallMs};

/// Size of a record in bytes: an accepted job is about this long.
const RECORD: usize = 200;
/// Jobs whose records are read back.
const JOBS: u64 = 100_000;
/// Records of one commit of these.
const GROUP: usize = 500;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    for (name, each, commits) in
        [("append, 1 record a commit", 1, 2_000), ("append, 100 records a commit", 100, 500)]
    {
        let rates = (0..bench.runs(3)).map(|_| append(bench, each, commits)).collect::<Result<Vec<_>>>()?;
        bench.add(Row::of(name, "records/s", Better::Higher, &rates));
    }
    let journal = journal()?;
    let rates = (0..bench.runs(3)).map(|_| reopen(bench, &journal)).collect::<Result<Vec<_>>>()?;
    let name = "replay through the store, 100,000 jobs";
    bench.add(Row::of(name, "records/s", Better::Higher, &rates).target(400_000.0));
    Ok(())
}

/// The records of so many jobs of one no-op that were accepted and wait.
fn journal() -> Result<Vec<Vec<u8>>> {
    let now = Now { mono: MonoMs(0), wall: WallMs(1_700_000_000_000) };
    let tenant = TenantLimits { max_jobs: u64::MAX, ..TenantLimits::default() };
    let policy = Policy { tenant, ..Policy::default() };
    let (mut engine, effects) = Engine::recover(State::default(), policy, Epoch(1), now);
    let mut records = effects.records;
    for number in 1..=JOBS {
        let event = Event::JobSubmitted {
            reply: ReplyTo(number),
            job: JobId::from_parts(now.wall.0 + number, u128::from(number)),
            tenant: TenantId::default_tenant(),
            submitter: "bench".into(),
            spec: Box::new(JobSpec::of(Work::Noop { tasks: 1 })),
            key: None,
            space_left: true,
        };
        records.extend(engine.handle(now, event).records);
    }
    Ok(records.iter().map(record::to_bytes).collect::<Result<_, _>>()?)
}

/// Records per second, from the opening of a closed store to the engine's state.
fn reopen(bench: &Bench, journal: &[Vec<u8>]) -> Result<f64> {
    let scratch = bench.scratch()?;
    let (mut store, _) = Store::open(scratch.path(), StoreOptions::default())?;
    let epoch = store.begin_epoch()?;
    let mut tail = Seq(0);
    for group in journal.chunks(GROUP) {
        tail = store.append(epoch, tail, group.to_vec(), Vec::new())?;
    }
    drop(store);
    let began = Instant::now();
    let (store, recovery) = Store::open(scratch.path(), StoreOptions::default())?;
    let mut replay = Replay::default();
    for item in recovery.records() {
        let item = item?;
        replay.push((item.origin == Origin::Journal).then_some(item.seq), &item.bytes)?;
    }
    let took = began.elapsed();
    ensure!(replay.records == journal.len() as u64, "only {} records came back", replay.records);
    drop(store);
    Ok(journal.len() as f64 / took.as_secs_f64())
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

//! What an event costs the engine with few and with many jobs waiting, and how fast a journal is folded.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rushes_bench::{Bench, Better, Row};
use rushes_core::engine::Engine;
use rushes_core::event::{Command, Effects, Event, LinkId, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::record::{self, Record};
use rushes_core::state::{State, TenantLimits};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{JobSpec, Work};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, TaskOutcome, TaskValue, Usage};
use rushes_shared::units::{Bytes, Millicores, MonoMs, Now, WallMs};

/// Workers of the farm that the engine believes in.
const WORKERS: u32 = 100;
/// Any time will do; the engine has no clock.
const NOW: Now = Now { mono: MonoMs(0), wall: WallMs(1_700_000_000_000) };

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let runs = bench.runs(3);
    let mut journal = Vec::new();
    for (jobs, label) in [(1_000_u64, "1,000 jobs"), (100_000, "100,000 jobs")] {
        let mut kinds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut all = Vec::new();
        for _ in 0..runs {
            let farm = life(jobs)?;
            for (kind, spent) in &farm.spent {
                kinds.entry(kind).or_default().push(spent.mean_ns());
            }
            all.push(farm.spent.values().fold(Spent::default(), |sum, spent| sum.and(spent)).mean_ns());
            journal = farm.journal;
        }
        bench.add(Row::of(format!("handle, all events, {label}"), "ns/event", Better::Lower, &all));
        for (kind, values) in &kinds {
            bench.add(Row::of(format!("handle, {kind}, {label}"), "ns/event", Better::Lower, values));
        }
    }
    let rates = (0..runs).map(|_| replay(&journal)).collect::<Result<Vec<_>>>()?;
    bench.add(Row::of("replay of the journal of 100,000 jobs", "records/s", Better::Higher, &rates));
    Ok(())
}

/// Time spent on events of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    count: u32,
    total: Duration,
}

impl Spent {
    fn mean_ns(&self) -> f64 {
        self.total.as_secs_f64() * 1e9 / f64::from(self.count.max(1))
    }

    fn and(self, other: &Self) -> Self {
        Self { count: self.count + other.count, total: self.total + other.total }
    }
}

/// A farm without anything but its engine.
struct Farm {
    engine: Engine,
    spent: BTreeMap<&'static str, Spent>,
    journal: Vec<Vec<u8>>,
    running: VecDeque<(WorkerId, TaskId, AttemptId)>,
}

/// That many jobs of one no-op are submitted before the first task ends; then all run to their end.
fn life(jobs: u64) -> Result<Farm> {
    let tenant = TenantLimits { max_jobs: u64::MAX, ..TenantLimits::default() };
    let policy = Policy { tenant, ..Policy::default() };
    let (engine, effects) = Engine::recover(State::default(), policy, Epoch(1), NOW);
    let mut farm = Farm { engine, spent: BTreeMap::new(), journal: Vec::new(), running: VecDeque::new() };
    farm.take_in(effects)?;
    for number in 1..=WORKERS {
        farm.join(number)?;
    }
    for number in 1..=jobs {
        farm.submit(number)?;
    }
    for number in (1..=WORKERS).cycle().take(1_000) {
        let (worker, link) = of(number);
        farm.happen("heartbeat", Event::HeartbeatCame { worker, link })?;
    }
    while let Some((worker, task, attempt)) = farm.running.pop_front() {
        farm.happen("task started", Event::TaskStarted { worker, task, attempt })?;
        let progress = Progress::default();
        farm.happen("progress", Event::TaskProgressed { worker, task, attempt, progress })?;
        let outcome = Box::new(TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() });
        farm.happen("task ended", Event::TaskEnded { worker, task, attempt, outcome })?;
    }
    ensure!(farm.engine.state().jobs.is_empty(), "jobs are left that never end");
    Ok(farm)
}

fn of(number: u32) -> (WorkerId, LinkId) {
    (WorkerId(u128::from(number)), LinkId(u64::from(number)))
}

impl Farm {
    fn happen(&mut self, kind: &'static str, event: Event) -> Result<()> {
        let began = Instant::now();
        let effects = self.engine.handle(NOW, event);
        let took = began.elapsed();
        let spent = self.spent.entry(kind).or_default();
        *spent = spent.and(&Spent { count: 1, total: took });
        self.take_in(effects)
    }

    fn take_in(&mut self, effects: Effects) -> Result<()> {
        for record in &effects.records {
            self.journal.push(record::to_bytes(record).context("write a record")?);
        }
        for gated in effects.commands {
            if let Command::StartTask { worker, order, .. } = gated.command {
                self.running.push_back((worker, order.task, order.attempt));
            }
        }
        Ok(())
    }

    fn join(&mut self, number: u32) -> Result<()> {
        let facts = NodeFacts {
            name: format!("node-{number}"),
            cpu: Millicores(16_000),
            memory: Bytes(64 << 30),
            light_slots: 16,
            ..NodeFacts::default()
        };
        let (worker, link) = of(number);
        let event =
            Event::WorkerJoined { worker, link, instance: 1, facts: Box::new(facts), held: Vec::new() };
        let effects = self.engine.handle(NOW, event);
        self.take_in(effects)
    }

    fn submit(&mut self, number: u64) -> Result<()> {
        let spec = JobSpec::of(Work::Noop { tasks: 1 });
        let event = Event::JobSubmitted {
            reply: ReplyTo(number),
            job: JobId::from_parts(NOW.wall.0 + number, u128::from(number)),
            tenant: TenantId::default_tenant(),
            submitter: "bench".into(),
            spec: Box::new(spec),
            key: None,
            space_left: true,
        };
        self.happen("submit", event)
    }
}

/// The records of a farm's life with that many jobs.
pub(crate) fn journal_of(jobs: u64) -> Result<Vec<Vec<u8>>> {
    Ok(life(jobs)?.journal)
}

/// Records per second, from bytes to state.
fn replay(journal: &[Vec<u8>]) -> Result<f64> {
    let began = Instant::now();
    let mut state = State::default();
    for bytes in journal {
        let record: Record = record::from_bytes(bytes).context("read a record")?;
        state.apply(&record).context("fold a record")?;
    }
    Ok(journal.len() as f64 / began.elapsed().as_secs_f64())
}

//! The engine's figures at size: how long one event takes, what a queued task weighs, how fast records fold.
//!
//! `cargo run --release -p rushes-core --example figures`

use std::time::Instant;

use rushes_core::engine::Engine;
use rushes_core::event::{Command, Effects, Event, LinkId, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::record::Record;
use rushes_core::state::{State, TenantLimits};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{Class, JobSpec, Priority, Work};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{TaskOutcome, TaskValue, Usage};
use rushes_shared::units::{Bytes, Millicores, MonoMs, Now, WallMs};

const TENANTS: u64 = 20;
const EVENTS: u32 = 200_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

struct Farm {
    engine: Engine,
    now: Now,
    running: std::collections::VecDeque<(WorkerId, TaskId, AttemptId)>,
    records: Option<Vec<Record>>,
    jobs: u64,
    /// Nanoseconds of each call of `handle`.
    spent: Vec<u32>,
}

impl Farm {
    fn new(workers: u32, keep: bool) -> Self {
        let now = Now { mono: MonoMs(0), wall: WallMs(1_700_000_000_000) };
        let tenant = TenantLimits { max_jobs: u64::MAX, ..TenantLimits::default() };
        let policy = Policy { tenant, max_jobs: u64::MAX, ..Policy::default() };
        let (engine, effects) = Engine::recover(State::default(), policy, Epoch(1), now);
        let running = std::collections::VecDeque::new();
        let records = keep.then(Vec::new);
        let mut farm = Self { engine, now, running, records, jobs: 0, spent: Vec::new() };
        farm.take_in(effects);
        for n in 1..=workers {
            let facts = NodeFacts {
                name: format!("node-{n}"),
                cpu: Millicores(16_000),
                memory: Bytes(64 << 30),
                light_slots: 16,
                ..NodeFacts::default()
            };
            let (worker, link) = (WorkerId(u128::from(n)), LinkId(u64::from(n)));
            let facts = Box::new(facts);
            farm.tell(Event::WorkerJoined { worker, link, instance: 1, facts, held: Vec::new() });
        }
        farm
    }

    fn tell(&mut self, event: Event) {
        let began = clock();
        let effects = self.engine.handle(self.now, event);
        self.spent.push(u32::try_from(began.elapsed().as_nanos()).unwrap_or(u32::MAX));
        self.take_in(effects);
    }

    fn take_in(&mut self, effects: Effects) {
        for gated in &effects.commands {
            if let Command::StartTask { worker, order, .. } = &gated.command {
                self.running.push_back((*worker, order.task, order.attempt));
            }
        }
        if let Some(records) = &mut self.records {
            records.extend(effects.records);
        }
    }

    fn submit(&mut self, tasks: u32) {
        self.jobs += 1;
        let class = [Class::Bulk, Class::Standard, Class::Premium][(self.jobs % 3) as usize];
        let priority = Priority::new((self.jobs * 37 % 101) as u8).expect("at most 100");
        let spec = JobSpec { class, priority, ..JobSpec::of(Work::Noop { tasks }) };
        let tenant: TenantId = format!("tenant-{}", self.jobs % TENANTS).parse().expect("a tenant");
        self.tell(Event::JobSubmitted {
            reply: ReplyTo(self.jobs),
            job: JobId::from_parts(1_700_000_000_000 + self.jobs, u128::from(self.jobs)),
            tenant,
            submitter: "figures".into(),
            spec: Box::new(spec),
            key: None,
            space_left: true,
        });
    }

    /// The oldest running task starts and ends; another one is started for it.
    fn end_one(&mut self) {
        let Some((worker, task, attempt)) = self.running.pop_front() else { return };
        self.tell(Event::TaskStarted { worker, task, attempt });
        let outcome = TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() };
        self.tell(Event::TaskEnded { worker, task, attempt, outcome: Box::new(outcome) });
    }

    fn percentile(&mut self, permille: usize) -> u32 {
        self.spent.sort_unstable();
        self.spent[(self.spent.len() - 1) * permille / 1_000]
    }
}

/// That many tasks in jobs of so many wait for so many workers of 16 slots; then events come.
fn busy(tasks: u64, per_job: u32, workers: u32) {
    let before = resident();
    let mut farm = Farm::new(workers, false);
    for _ in 0..tasks / u64::from(per_job) {
        farm.submit(per_job);
    }
    let bytes = (resident() - before) / tasks;
    farm.spent.clear();
    for n in 0..EVENTS / 3 {
        farm.end_one();
        if per_job == 1 || n % per_job == 0 {
            farm.submit(per_job);
        }
    }
    let (half, most) = (farm.percentile(500), farm.percentile(990));
    let worst = farm.percentile(1_000);
    println!(
        "{tasks:>9} tasks in jobs of {per_job:>5}, {workers:>5} workers: handle p50 {half:>6} ns, p99 {most:>7} ns, \
         worst {worst:>9} ns; {bytes} bytes a queued task"
    );
}

fn fold() {
    let mut farm = Farm::new(100, true);
    for _ in 0..20 {
        farm.submit(10_000);
    }
    while !farm.running.is_empty() {
        farm.end_one();
    }
    let records = farm.records.take().unwrap_or_default();
    let began = clock();
    let mut state = State::default();
    for record in &records {
        state.apply(record).expect("a record fits");
    }
    let took = began.elapsed();
    let per_s = records.len() as u128 * 1_000_000_000 / took.as_nanos().max(1);
    println!("fold of {} records: {per_s} records/s", records.len());
}

fn main() {
    // Each in a process of its own would be cleaner; the smallest first keeps the memory figures honest.
    let cases: [(u64, u32, u32); 4] =
        [(1_000, 1, 10), (200_000, 1, 100), (200_000, 10_000, 100), (1_000_000, 10_000, 1_000)];
    match std::env::args().nth(1).and_then(|n| n.parse::<usize>().ok()) {
        Some(n) if n < cases.len() => busy(cases[n].0, cases[n].1, cases[n].2),
        _ => {
            let me = std::env::current_exe().expect("the program has a path");
            for n in 0..cases.len() {
                let status = std::process::Command::new(&me).arg(n.to_string()).status();
                assert!(status.is_ok_and(|s| s.success()), "case {n} failed");
            }
            fold();
        }
    }
}

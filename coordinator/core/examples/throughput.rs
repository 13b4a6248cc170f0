//! How long the engine takes for an event with few and with many jobs in the queue, and how fast a journal is replayed.
//!
//! `cargo run --release -p rushes-core --example throughput`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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

/// What happens in one run, and how long each kind of event took in all.
struct Run {
    engine: Engine,
    now: Now,
    journal: Vec<Vec<u8>>,
    /// Tasks that run, oldest first.
    running: std::collections::VecDeque<(WorkerId, TaskId, AttemptId)>,
    spent: BTreeMap<&'static str, (u64, Duration, Duration)>,
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn clock() -> Instant {
    Instant::now()
}

impl Run {
    fn new(workers: u32) -> Self {
        let now = Now { mono: MonoMs(0), wall: WallMs(1_700_000_000_000) };
        let tenant = TenantLimits { max_jobs: u64::MAX, ..TenantLimits::default() };
        let policy = Policy { tenant, ..Policy::default() };
        let (engine, effects) = Engine::recover(State::default(), policy, Epoch(1), now);
        let (running, spent) = (std::collections::VecDeque::new(), BTreeMap::new());
        let mut run = Self { engine, now, journal: Vec::new(), running, spent };
        run.take_in(effects);
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
            run.happen("join", Event::WorkerJoined { worker, link, instance: 1, facts, held: Vec::new() });
        }
        run
    }

    fn happen(&mut self, what: &'static str, event: Event) {
        let started = clock();
        let effects = self.engine.handle(self.now, event);
        let took = started.elapsed();
        let (count, total, worst) = self.spent.entry(what).or_default();
        *count += 1;
        *total += took;
        *worst = took.max(*worst);
        self.take_in(effects);
    }

    fn take_in(&mut self, effects: Effects) {
        let bytes = |r: &Record| record::to_bytes(r).expect("a record fits its limit");
        self.journal.extend(effects.records.iter().map(bytes));
        for gated in effects.commands {
            if let Command::StartTask { worker, order, .. } = gated.command {
                self.running.push_back((worker, order.task, order.attempt));
            }
        }
    }

    fn submit(&mut self, what: &'static str, number: u64, work: Work) {
        let spec = JobSpec::of(work);
        let event = Event::JobSubmitted {
            reply: ReplyTo(number),
            job: JobId::from_parts(1_700_000_000_000 + number, u128::from(number)),
            tenant: TenantId::default_tenant(),
            submitter: "bench".into(),
            spec: Box::new(spec),
            key: None,
            space_left: true,
        };
        self.happen(what, event);
    }

    /// The oldest running task comes further and ends.
    fn end_one(&mut self) -> bool {
        let Some((worker, task, attempt)) = self.running.pop_front() else { return false };
        self.happen("started", Event::TaskStarted { worker, task, attempt });
        let progress = Progress::default();
        self.happen("progress", Event::TaskProgressed { worker, task, attempt, progress });
        let outcome = TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() };
        self.happen("ended", Event::TaskEnded { worker, task, attempt, outcome: Box::new(outcome) });
        true
    }

    fn beats(&mut self, workers: u32, rounds: u32) {
        for _ in 0..rounds {
            for n in 1..=workers {
                let (worker, link) = (WorkerId(u128::from(n)), LinkId(u64::from(n)));
                self.happen("heartbeat", Event::HeartbeatCame { worker, link });
            }
        }
    }

    fn print(&self, title: &str) {
        println!("{title}");
        for (what, (count, total, worst)) in &self.spent {
            let each = total.as_nanos() / u128::from(*count).max(1);
            println!(
                "  {what:<10} {count:>8} x {:>9} us, worst {:>9} us",
                micros(each),
                micros(worst.as_nanos())
            );
        }
    }
}

fn micros(nanos: u128) -> String {
    format!("{}.{:02}", nanos / 1_000, nanos % 1_000 / 10)
}

/// Jobs of one no-op wait; then as many end as there are, at most `ends`.
fn many_jobs(jobs: u64, workers: u32, ends: u32) -> Run {
    let mut run = Run::new(workers);
    for number in 1..=jobs {
        run.submit("submit", number, Work::Noop { tasks: 1 });
    }
    run.beats(workers, 1_000 / workers);
    let started = clock();
    let status = run.engine.status();
    let took = started.elapsed();
    for _ in 0..ends {
        if !run.end_one() {
            break;
        }
    }
    run.print(&format!("{jobs} no-op jobs, {workers} workers; status() {} us", micros(took.as_nanos())));
    assert_eq!(status.jobs_queued + status.jobs_running, jobs);
    run
}

fn one_large_job(tasks: u32) {
    let mut run = Run::new(4);
    run.submit("submit", 1, Work::Noop { tasks });
    while run.end_one() {}
    run.print(&format!("one job of {tasks} no-op tasks, run to its end"));
    assert!(run.engine.state().jobs.is_empty());
}

/// Probes that no worker takes: the queue is looked at and nothing can start.
fn nobody_there(jobs: u64) {
    let mut run = Run::new(0);
    for number in 1..=jobs {
        let input = "/media/film.mov".parse().expect("a path");
        run.submit("submit", number, Work::Probe { input });
    }
    run.happen("tick", Event::TimeCame);
    run.print(&format!("{jobs} probe jobs, no worker"));
}

fn replay(journal: &[Vec<u8>]) {
    let started = clock();
    let mut state = State::default();
    for bytes in journal {
        let record: Record = record::from_bytes(bytes).expect("a record reads back");
        state.apply(&record).expect("a record fits");
    }
    let folded = started.elapsed();
    let jobs = state.jobs.len();
    let now = Now { mono: MonoMs(0), wall: WallMs(1_700_000_100_000) };
    let started = clock();
    let (engine, _) = Engine::recover(state, Policy::default(), Epoch(2), now);
    let recovered = started.elapsed();
    let per_s = journal.len() as u128 * 1_000_000_000 / folded.as_nanos().max(1);
    println!(
        "replay of {} records ({} bytes, {jobs} live jobs): {folded:?}, {per_s} records/s; recover {recovered:?}",
        journal.len(),
        journal.iter().map(Vec::len).sum::<usize>(),
    );
    let started = clock();
    let snapshot: usize = engine.state().compact().map(|r| record::to_bytes(&r).map_or(0, |b| b.len())).sum();
    println!("snapshot of it: {snapshot} bytes in {:?}", started.elapsed());
}

fn main() {
    many_jobs(1_000, 4, u32::MAX);
    many_jobs(100_000, 4, u32::MAX);
    many_jobs(1_000, 1_000, u32::MAX);
    many_jobs(100_000, 1_000, u32::MAX);
    one_large_job(1_000);
    one_large_job(10_000);
    nobody_there(1_000);
    nobody_there(100_000);
    replay(&many_jobs(100_000, 4, 0).journal);
    replay(&many_jobs(100_000, 4, u32::MAX).journal);
}

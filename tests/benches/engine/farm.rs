//! A farm without anything but its engine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rushes_core::engine::Engine;
use rushes_core::event::{Command, Effects, Event, LinkId, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::record::Record;
use rushes_core::state::{State, TenantLimits};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{Class, JobSpec, Priority, Work};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, TaskOutcome, TaskValue, Usage};
use rushes_shared::units::{Bytes, Millicores, MonoMs, Now, WallMs};

/// Any time will do; the engine has no clock.
pub(crate) const NOW: Now = Now { mono: MonoMs(0), wall: WallMs(1_700_000_000_000) };
const TENANTS: u64 = 20;

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

/// CPU time of this thread so far, in nanoseconds: what a neighbour does hardly moves it.
pub(crate) fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

pub(crate) struct Farm {
    pub(crate) engine: Engine,
    /// Records that were made, if they are wanted.
    pub(crate) records: Option<Vec<Record>>,
    /// Tasks that run, oldest first.
    pub(crate) running: VecDeque<(WorkerId, TaskId, AttemptId)>,
    /// Each call of `handle`: what kind of event, and how long it took.
    pub(crate) spent: Vec<(&'static str, Duration)>,
    jobs: u64,
}

impl Farm {
    /// So many workers of 16 cores and 16 light slots.
    pub(crate) fn new(workers: u32, policy: Policy, keeps_records: bool) -> Self {
        let tenant =
            TenantLimits { max_jobs: u64::MAX, max_deadline_jobs: u64::MAX, ..TenantLimits::default() };
        let policy = Policy { tenant, max_jobs: u64::MAX, ..policy };
        let (engine, effects) = Engine::recover(State::default(), policy, Epoch(1), NOW);
        let records = keeps_records.then(Vec::new);
        let mut farm = Self { engine, records, running: VecDeque::new(), spent: Vec::new(), jobs: 0 };
        farm.take_in(effects);
        farm.join(workers);
        farm
    }

    /// So many workers connect.
    pub(crate) fn join(&mut self, workers: u32) {
        for n in 1..=workers {
            let facts = NodeFacts {
                name: format!("node-{n}"),
                cpu: Millicores(16_000),
                memory: Bytes(64 << 30),
                light_slots: 16,
                ..NodeFacts::default()
            };
            let (worker, link, facts) = (WorkerId(u128::from(n)), LinkId(u64::from(n)), Box::new(facts));
            self.happen("join", Event::WorkerJoined { worker, link, instance: 1, facts, held: Vec::new() });
        }
    }

    fn happen(&mut self, kind: &'static str, event: Event) {
        let began = clock();
        let effects = self.engine.handle(NOW, event);
        self.spent.push((kind, began.elapsed()));
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

    /// A job of so many no-ops; classes, priorities and tenants take turns.
    pub(crate) fn submit(&mut self, tasks: u32) {
        let number = self.jobs + 1;
        let class = [Class::Bulk, Class::Standard, Class::Premium][(number % 3) as usize];
        let priority = u8::try_from(number * 37 % 101).ok().and_then(Priority::new).unwrap_or_default();
        self.submit_spec(JobSpec { class, priority, ..JobSpec::of(Work::Noop { tasks }) });
    }

    pub(crate) fn submit_spec(&mut self, spec: JobSpec) {
        self.jobs += 1;
        let tenant: TenantId =
            format!("tenant-{}", self.jobs % TENANTS).parse().expect("it is a tenant's name");
        let event = Event::JobSubmitted {
            reply: ReplyTo(self.jobs),
            job: JobId::from_parts(NOW.wall.0 + self.jobs, u128::from(self.jobs)),
            tenant,
            submitter: "bench".into(),
            spec: Box::new(spec),
            key: None,
            space_left: true,
        };
        self.happen("submit", event);
    }

    pub(crate) fn beat(&mut self, worker: u32) {
        let (worker, link) = (WorkerId(u128::from(worker)), LinkId(u64::from(worker)));
        self.happen("heartbeat", Event::HeartbeatCame { worker, link });
    }

    /// The oldest running task starts, comes further and ends; another one is started in its place. Whether there was one.
    pub(crate) fn end_one(&mut self) -> bool {
        let Some((worker, task, attempt)) = self.running.pop_front() else { return false };
        self.happen("task started", Event::TaskStarted { worker, task, attempt });
        let progress = Progress::default();
        self.happen("progress", Event::TaskProgressed { worker, task, attempt, progress });
        self.end(worker, task, attempt);
        true
    }

    /// The same of a task that is too short to tell how far it is.
    pub(crate) fn start_and_end_one(&mut self) {
        let Some((worker, task, attempt)) = self.running.pop_front() else { return };
        self.happen("task started", Event::TaskStarted { worker, task, attempt });
        self.end(worker, task, attempt);
    }

    /// A task ends.
    pub(crate) fn end(&mut self, worker: WorkerId, task: TaskId, attempt: AttemptId) {
        let outcome = Box::new(TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() });
        self.happen("task ended", Event::TaskEnded { worker, task, attempt, outcome });
    }

    /// The duration, in nanoseconds, that this share of events stays below, in thousandths.
    pub(crate) fn percentile_ns(&mut self, permille: usize) -> f64 {
        self.spent.sort_unstable_by_key(|(_, took)| *took);
        let (_, took) = self.spent[(self.spent.len() - 1) * permille / 1_000];
        took.as_secs_f64() * 1e9
    }
}

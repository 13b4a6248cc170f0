//! Random schedules: broken links, lost and doubled words, restarts, crashes between any record and any command. The
//! laws hold after every step; then the world heals, and every accepted job ends.
//!
//! The schedules are the same at each run. `RUSHES_SEED=<number>` picks others, `RUSHES_CASES=<number>` how many;
//! a failure prints the seed and the smallest schedule that fails.

mod reached;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rushes_core::event::{Event, ReplyTo};
use rushes_core::policy::Policy;
use rushes_core::state::TenantLimits;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, JobId, TenantId, WorkerId};
use rushes_shared::job::{Class, JobChange, JobSpec, Needs, Priority, QualityFloor};
use rushes_shared::task::{SlotKind, TaskOutcome, Usage};
use rushes_shared::units::WallMs;
use rushes_shared::wire::AheadOffer;

use crate::support::samples::{
    audio_only, encode, facts, film_graph, graph, in_class, in_hardware, key, node, noop, probe, stage,
    stream, value_of, with_deadline, with_hardware, with_priority,
};
use crate::support::world::{Ask, World};
use crate::support::{laws, tell};
use reached::{Reached, note};

/// One thing that happens. Numbers pick among what there is, whatever that is by then.
#[derive(Debug, Clone)]
enum Step {
    Submit {
        kind: u8,
        priority: u8,
        key: Option<u8>,
    },
    Cancel(u8),
    /// A live job gets another class, priority or deadline, is paused or resumed.
    Amend(u8, u8),
    Confirm(u8),
    Up(u8),
    Down(u8),
    Depot(u8),
    Inbox,
    /// Everything that is on its way arrives.
    Rest,
    Succeed(u8),
    Fail(u8, u8),
    Stop(u8),
    Progress(u8),
    /// A word about an attempt comes twice.
    Double(u8),
    Connect(u8),
    Cut(u8, bool),
    Kill(u8, bool),
    Leave(u8),
    Drain(u8, bool),
    /// Time passes; the workers whose bit is set send a heartbeat.
    Pass(u16, u8),
    PublishFails(u8),
    /// A named limit becomes another, or none.
    Limit(u8),
    /// A tenant's cap becomes another, or none.
    Cap(u8),
    Crash {
        written: u8,
        requests_arrive: bool,
    },
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..15, 0_u8..3, prop::option::weighted(0.3, 0_u8..3))
            .prop_map(|(kind, priority, key)| Step::Submit { kind, priority, key }),
        2 => any::<u8>().prop_map(Step::Cancel),
        3 => any::<(u8, u8)>().prop_map(|(n, what)| Step::Amend(n, what)),
        8 => (0_u8..6).prop_map(Step::Confirm),
        16 => any::<u8>().prop_map(Step::Up),
        16 => any::<u8>().prop_map(Step::Down),
        6 => any::<u8>().prop_map(Step::Depot),
        4 => Just(Step::Inbox),
        6 => Just(Step::Rest),
        16 => any::<u8>().prop_map(Step::Succeed),
        4 => any::<(u8, u8)>().prop_map(|(n, code)| Step::Fail(n, code)),
        1 => any::<u8>().prop_map(Step::Stop),
        2 => any::<u8>().prop_map(Step::Progress),
        3 => any::<u8>().prop_map(Step::Double),
        10 => any::<u8>().prop_map(Step::Connect),
        4 => any::<(u8, bool)>().prop_map(|(n, arrive)| Step::Cut(n, arrive)),
        2 => any::<(u8, bool)>().prop_map(|(n, arrive)| Step::Kill(n, arrive)),
        1 => any::<u8>().prop_map(Step::Leave),
        1 => any::<(u8, bool)>().prop_map(|(n, on)| Step::Drain(n, on)),
        8 => (prop_oneof![0_u16..500, 500_u16..15_000], any::<u8>()).prop_map(|(ms, beats)| Step::Pass(ms, beats)),
        1 => any::<u8>().prop_map(Step::PublishFails),
        2 => (0_u8..6).prop_map(Step::Limit),
        1 => (0_u8..8).prop_map(Step::Cap),
        2 => (0_u8..5, any::<bool>())
            .prop_map(|(written, requests_arrive)| Step::Crash { written, requests_arrive }),
        8 => Just(Step::Start),
    ]
}

const CODES: [FailureCode; 8] = [
    FailureCode::InputDamaged,
    FailureCode::TransferFailed,
    FailureCode::TransferFailed,
    FailureCode::ProcessDied,
    FailureCode::ProcessDied,
    FailureCode::NodeUnfit,
    FailureCode::CheckFailed,
    FailureCode::EncoderFailed,
];

fn pick<T: Clone>(from: &[T], n: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(n) % from.len()].clone())
}

fn ids(world: &World) -> Vec<WorkerId> {
    world.workers.keys().copied().collect()
}

/// Attempts that run somewhere.
fn running(world: &World) -> Vec<(WorkerId, AttemptId)> {
    let of = |(id, w): (&WorkerId, &crate::support::worker::Worker)| {
        let id = *id;
        w.running().map(move |order| (id, order.attempt)).collect::<Vec<_>>()
    };
    world.workers.iter().flat_map(of).collect()
}

fn succeed(world: &mut World, id: WorkerId, attempt: AttemptId) {
    let order = world.workers[&id].held[&attempt].order.clone();
    // Every third job has no video, every other one is small enough to share a node.
    let source = match order.task.job.0 % 6 {
        0 => audio_only(),
        1 | 3 | 5 => facts(640, 360),
        _ => facts(1280, 720),
    };
    let value = value_of(&order, &source);
    let stages = order.work.output().is_some();
    world.end(id, attempt, TaskOutcome::Succeeded { value, usage: Usage::default() }, stages);
}

fn submit(world: &mut World, kind: u8, priority: u8, number: Option<u8>) {
    let spec = match kind {
        0..=2 => noop(u32::from(kind) + 1),
        3 => probe(),
        4 => encode(2),
        6 => film_graph(),
        5 | 7 => in_hardware(encode(2)),
        8..=11 => promised(world.now.wall.0, kind, priority),
        12 => in_class(large(2, 3_000, u32::from(priority) + 1), Class::Emergency),
        13 => stream(),
        _ => JobSpec { paused: true, ..in_class(noop(2), Class::Bulk) },
    };
    // Some hold a licence each, or two.
    let units = if matches!(kind, 1 | 2 | 8..=11) { u32::from(priority) } else { 0 };
    let limits = (units > 0).then(|| ("licence".to_owned(), units)).into_iter().collect();
    let needs = (units > 0).then(|| Box::new(Needs { limits, ..Needs::default() }));
    let ask = Ask::of(with_priority(JobSpec { needs, ..spec }, priority));
    world.submit(Ask { key: number.map(|n| key(&format!("key-{n}"), n)), ..ask });
}

/// Stages that hold cores, one of them optional, with a deadline that is generous, near, or past hope.
fn promised(now: u64, kind: u8, priority: u8) -> JobSpec {
    let mut stages = vec![
        stage("look", SlotKind::Analyse, 1, 3_000, &[]),
        stage("cut", SlotKind::Encode, 3, 2_000, &[0]),
        stage("extra", SlotKind::Encode, 2, 8_000, &[]),
        stage("join", SlotKind::Finish, 1, 100, &[1]),
    ];
    (stages[0].optional, stages[2].optional) = (true, true);
    let class = [Class::Bulk, Class::Standard, Class::Premium][usize::from(priority) % 3];
    let floor = QualityFloor { drop_optional: kind.is_multiple_of(2), ..QualityFloor::default() };
    let due = now + [1_000, 9_000, 20_000, 600_000][usize::from(kind) % 4];
    JobSpec { floor, ..in_class(with_deadline(graph(stages), due), class) }
}

/// Tasks that take so many cores each for so long.
fn large(count: u32, hold_ms: u32, cores: u32) -> JobSpec {
    let mut stage = stage("hold", SlotKind::Encode, count, hold_ms, &[]);
    stage.demand.cpu = rushes_shared::units::Millicores(cores * 1_000);
    graph(vec![stage])
}

fn change(now: u64, what: u8) -> JobChange {
    let change = JobChange::default();
    match what % 6 {
        0 => JobChange { class: Some(Class::ALL[usize::from(what / 6) % 4]), ..change },
        1 => JobChange { priority: Priority::new(what % 101), ..change },
        2 => JobChange { deadline: Some(Some(WallMs(now + u64::from(what) * 300))), ..change },
        3 => JobChange { deadline: Some(None), ..change },
        4 => JobChange { paused: Some(true), ..change },
        _ => JobChange { paused: Some(false), ..change },
    }
}

fn take(world: &mut World, step: &Step) {
    match *step {
        Step::Submit { kind, priority, key } => submit(world, kind, priority, key),
        Step::Cancel(n) => {
            let jobs: Vec<JobId> = world.engine.iter().flat_map(|e| e.state().jobs.keys().copied()).collect();
            if let Some(job) = pick(&jobs, n) {
                world.cancel(job);
            }
        }
        Step::Amend(n, what) => {
            let jobs: Vec<JobId> = world.engine.iter().flat_map(|e| e.state().jobs.keys().copied()).collect();
            if let Some(job) = pick(&jobs, n) {
                let change = change(world.now.wall.0, what);
                world.amend(job, change);
            }
        }
        Step::Confirm(n) => world.confirm(usize::from(n)),
        Step::Up(n) if !world.up.is_empty() => world.deliver_up(usize::from(n) % world.up.len()),
        Step::Down(n) if !world.down.is_empty() => world.deliver_down(usize::from(n) % world.down.len()),
        Step::Depot(n) if !world.asked.is_empty() => world.deliver_asked(usize::from(n) % world.asked.len()),
        Step::Inbox => {
            if let Some(event) = world.inbox.pop_front() {
                world.tell(event);
            }
        }
        Step::Rest => world.settle(),
        Step::Double(n) if !world.up.is_empty() => {
            let at = usize::from(n) % world.up.len();
            let up = world.up[at].clone();
            if up.stream.is_some() {
                world.up.insert(at, up);
            }
        }
        Step::Succeed(n) => {
            if let Some((id, attempt)) = pick(&running(world), n) {
                succeed(world, id, attempt);
            }
        }
        Step::Fail(n, code) => {
            if let Some((id, attempt)) = pick(&running(world), n) {
                let in_hardware = world.workers[&id].held[&attempt].order.work.hardware().is_some();
                let of_any = CODES[usize::from(code) % CODES.len()];
                let code = if in_hardware { FailureCode::EncoderFailed } else { of_any };
                let failure = Failure::new(code, "it failed", "");
                world.end(id, attempt, TaskOutcome::Failed { failure, usage: Usage::default() }, false);
            }
        }
        Step::Stop(n) => {
            if let Some((id, attempt)) = pick(&running(world), n) {
                world.end(id, attempt, TaskOutcome::Cancelled, false);
            }
        }
        Step::Progress(n) => {
            if let Some((id, attempt)) = pick(&running(world), n) {
                world.progress(id, attempt, 500);
            }
        }
        Step::Pass(ms, beats) => {
            world.pass(u64::from(ms));
            for (id, n) in ids(world).into_iter().zip(0..) {
                if beats >> n & 1 == 1 {
                    world.beat(id);
                }
            }
        }
        Step::PublishFails(n) => {
            let codes = [FailureCode::TransferFailed, FailureCode::TransferFailed, FailureCode::OutputExists];
            world.depot.failing.extend(pick(&codes, n));
        }
        Step::Limit(n) if world.engine.is_some() => limit(world, (n < 4).then(|| u32::from(n))),
        Step::Cap(n) if world.engine.is_some() => cap(world, (n < 3).then(|| u32::from(n))),
        Step::Crash { written, requests_arrive } if world.engine.is_some() => {
            world.crash(usize::from(written), requests_arrive);
        }
        Step::Start if world.engine.is_none() => world.start(),
        Step::Up(_) | Step::Down(_) | Step::Depot(_) | Step::Double(_) | Step::Crash { .. } | Step::Start => {
        }
        Step::Limit(_) | Step::Cap(_) => {}
        Step::Connect(n) | Step::Cut(n, _) | Step::Kill(n, _) | Step::Leave(n) | Step::Drain(n, _) => {
            let id = pick(&ids(world), n).expect("there are workers");
            disturb(world, id, step);
        }
    }
}

fn limit(world: &mut World, most: Option<u32>) {
    world.set_limit("licence", most);
}

fn cap(world: &mut World, most: Option<u32>) {
    let max_running = most.unwrap_or(TenantLimits::default().max_running);
    let limits = TenantLimits { max_running, ..TenantLimits::default() };
    let (tenant, reply) = (TenantId::default_tenant(), ReplyTo(u64::MAX));
    world.tell(Event::TenantSetAsked { reply, tenant, limits });
}

fn disturb(world: &mut World, id: WorkerId, step: &Step) {
    match *step {
        Step::Connect(_) => {
            if !world.workers[&id].alive {
                world.revive(id);
            }
            world.connect(id);
        }
        Step::Cut(_, arrive) => world.cut(id, arrive),
        Step::Kill(_, arrive) => world.kill(id, arrive),
        Step::Leave(_) => world.leave(id),
        Step::Drain(_, on) => world.drain(id, on),
        _ => {}
    }
}

/// Everything works again until nothing is left to do.
fn heal(world: &mut World) {
    world.depot.failing.clear();
    if world.engine.is_none() {
        world.start();
    }
    limit(world, None);
    cap(world, None);
    for _ in 0..300 {
        let paused = world.engine().state().jobs.values().filter(|j| j.spec.paused).map(|j| j.id);
        for job in paused.collect::<Vec<_>>() {
            world.amend(job, JobChange { paused: Some(false), ..JobChange::default() });
        }
        for id in ids(world) {
            if !world.workers[&id].alive {
                world.revive(id);
            }
            world.connect(id);
            world.drain(id, false);
            world.beat(id);
        }
        world.settle();
        laws::hold(world);
        for (id, attempt) in running(world) {
            succeed(world, id, attempt);
        }
        world.settle();
        laws::hold(world);
        let is_done = world.engine().state().jobs.is_empty();
        if is_done && world.workers.values().all(|w| w.held.is_empty() && w.link.is_some()) {
            return;
        }
        world.pass(2_000);
    }
}

fn live_through(steps: &[Step], reached: &mut Reached) {
    let mut world = World::new(Policy::default());
    for name in ['a', 'b', 'c'] {
        let facts = node(&name.to_string());
        world.add_worker(tell::worker(name), if name == 'a' { facts } else { with_hardware(facts) });
        world.workers.get_mut(&tell::worker(name)).expect("just added").sessions = (name != 'a').then_some(1);
        if name != 'c' {
            let offer = AheadOffer { process: 1, lane: 3, round_trip_ms: 20 };
            world.workers.get_mut(&tell::worker(name)).expect("just added").offer = Some(offer);
        }
        world.connect(tell::worker(name));
    }
    for step in steps {
        take(&mut world, step);
        laws::hold(&world);
    }
    heal(&mut world);
    let crashes = steps.iter().any(|s| matches!(s, Step::Crash { .. }));
    laws::hold_at_rest(&world, !crashes);
    note(&world, reached);
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn whatever_happens_the_laws_hold_and_every_accepted_job_ends() {
    let seed = number("RUSHES_SEED", 1);
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { cases: number("RUSHES_CASES", 200), failure_persistence: None, ..Config::default() };
    println!("RUSHES_SEED={seed} RUSHES_CASES={}", config.cases);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let schedules = prop::collection::vec(step(), 1..250);
    let reached = std::cell::RefCell::new(Reached::new());
    let result = runner.run(&schedules, |steps| {
        live_through(&steps, &mut reached.borrow_mut());
        Ok::<(), TestCaseError>(())
    });
    if let Err(error) = result {
        panic!("RUSHES_SEED={seed}: {error}");
    }
    let reached = reached.into_inner();
    println!("{reached:?}");
    reached::assert_all(&reached);
}

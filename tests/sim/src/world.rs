//! The farm on virtual time: the real engine, its shell, its nodes, their owners, and what goes wrong.
//!
//! ```text
//! clients   uploads arrive, are submitted, asked for again after a crash, canceled
//! shell     the engine takes one event at a time; records go to the disk, commands wait for them
//! farm      nodes connect, run attempts, report, are told
//! faults    deaths, partitions, crashes, clock steps
//! checks    invariants after each event, and a recount of everything now and then
//! ```

mod ahead;
mod checks;
mod clients;
mod farm;
mod faults;
mod links;
mod shell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rushes_core::engine::Engine;
use rushes_core::event::{Event, Gated, LinkId};
use rushes_core::policy::Policy;
use rushes_shared::id::AttemptId;
use rushes_shared::units::{MonoMs, Now, WallMs};

use crate::agenda::{Agenda, At};
use crate::chance::Chance;
use crate::depot::{Asked, Depot};
use crate::disk::Disk;
use crate::error::SimError;
use crate::laws::{Law, Violation, broken};
use crate::ledger::Ledger;
use crate::measure::Stopwatch;
use crate::node::Node;
use crate::report::Report;
use crate::scenario::{Moments, Scenario};
use crate::trace::Trace;
use crate::upload::{Owners, Upload};
use faults::Fault;
use links::{Down, Up};

/// The wall clock at the start of every scenario.
const WALL_ZERO: u64 = 1_700_000_000_000;
/// How often the farm's backlog and room are looked at.
const SAMPLE: At = At(1_000_000_000);

/// A step of the world; `Err` where it breaks a law.
type Step = Result<(), Law>;

/// What is to happen. `reign` counts the coordinator's starts: what an older one had planned does not happen.
enum Happening {
    /// The next upload comes.
    Arrive,
    /// Its owner asks once more.
    Submit(u32),
    /// Its owner stops it.
    Cancel(u32),
    /// The engine is free for the next event that waits.
    Serve { reign: u64 },
    /// The time for which the engine wanted to be woken.
    Alarm { reign: u64, at: At },
    /// A commit is on the disk.
    Committed { reign: u64 },
    /// A word arrives at the coordinator.
    Up(Up),
    /// A word arrives at a node.
    Down(Down),
    /// A node's heartbeat arrives.
    Beat { node: usize, link: LinkId },
    /// A running attempt reports.
    Progress { node: usize, attempt: AttemptId },
    /// A running attempt ends.
    End { node: usize, attempt: AttemptId },
    /// The depot gets a request.
    Depot { reign: u64, asked: Asked },
    /// Its answer comes back.
    Answer { reign: u64, event: Box<Event> },
    /// A node tries to connect.
    Connect(usize),
    /// A node sees that its link is gone.
    NodeSeesLoss { node: usize, link: LinkId },
    /// The coordinator sees that a link is gone.
    FarmSeesLoss { node: usize, link: LinkId },
    /// A node that died is there again.
    Revive(usize),
    /// An operator ends a drain.
    Undrain(usize),
    /// Something breaks.
    Strike(Fault),
    /// The coordinator starts.
    Start,
    /// The farm is looked at.
    Sample,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    policy: Policy,
    agenda: Agenda<Happening>,
    trace: Trace,
    ledger: Ledger,

    moments: Moments,
    owners: Owners,
    uploads: Vec<Upload>,
    /// Uploads that wait for the answer to their submit.
    asked: BTreeSet<u32>,
    /// Uploads that were accepted and have not ended.
    accepted: BTreeSet<u32>,
    /// Uploads that have not ended.
    open: u64,
    arriving: bool,

    /// `None` while the coordinator is down.
    engine: Option<Engine>,
    reign: u64,
    reign_began: At,
    clock_offset_ms: i64,
    inbox: VecDeque<Event>,
    free_at: At,
    serving: bool,
    alarm: Option<At>,
    time_came: bool,
    gated: VecDeque<Gated>,
    disk: Disk,
    /// Records in the commit that is under way.
    commit: Option<usize>,
    /// The coordinator dies after its next commit, once it has sent so many of the commands that waited for it.
    dies_after: Option<u64>,
    last_attempt: Option<AttemptId>,
    depot: Depot,
    /// Requests to the depot that were not answered.
    depot_open: u64,

    nodes: Vec<Node>,
    /// Attempts that nodes hold.
    held: u64,
    numbers: u64,
    link_chance: Chance,
    fault_chance: Chance,
    stopwatch: Option<Stopwatch>,
    free_since: checks::Idle,
    /// Attempts that waited on their nodes at the last recount though the engine counts them as running, and since when.
    waits_unseen: BTreeMap<AttemptId, At>,
    recounts: u64,
    /// The state is to be compared with the fold as soon as every record is confirmed.
    compare_due: bool,
}

/// Runs a scenario with a seed to its end.
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    policy: Policy,
    stopwatch: Option<Stopwatch>,
) -> Result<(Report, Option<Stopwatch>), SimError> {
    let mut world = World::new(scenario, seed, policy, stopwatch);
    match world.live() {
        Ok(()) => {
            let watch = world.stopwatch.take();
            Ok((world.report(), watch))
        }
        Err(Law { invariant, detail }) => Err(SimError::Violation(Box::new(Violation {
            invariant,
            scenario: scenario.name.clone(),
            seed,
            at: world.agenda.now(),
            detail,
            recent: world.trace.recent(),
        }))),
    }
}

impl Drop for World<'_> {
    /// A panic of the engine is a fault like a broken invariant: say how to have it again.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (name, at) = (&self.scenario.name, self.agenda.now().s());
            eprintln!(
                "scenario '{name}', seed {}, {at:.6} s after its start; what happened before:",
                self.seed
            );
            self.trace.recent().iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64, policy: Policy, stopwatch: Option<Stopwatch>) -> Self {
        let mut nodes = Vec::new();
        for group in &scenario.node {
            for n in 1..=group.count {
                nodes.push(Node::new(seed, nodes.len() as u64 + 1, group, n));
            }
        }
        let arrivals = Chance::new(seed, "arrivals");
        Self {
            policy,
            agenda: Agenda::default(),
            trace: Trace::default(),
            ledger: Ledger::default(),
            moments: Moments::new(&scenario.arrivals, scenario.uploads_per_hour(), scenario.hours, arrivals),
            owners: Owners::new(seed),
            uploads: Vec::new(),
            asked: BTreeSet::new(),
            accepted: BTreeSet::new(),
            open: 0,
            arriving: true,
            engine: None,
            reign: 0,
            reign_began: At(0),
            clock_offset_ms: 0,
            inbox: VecDeque::new(),
            free_at: At(0),
            serving: false,
            alarm: None,
            time_came: false,
            gated: VecDeque::new(),
            disk: Disk::default(),
            commit: None,
            dies_after: None,
            last_attempt: None,
            depot: Depot::default(),
            depot_open: 0,
            nodes,
            held: 0,
            numbers: 0,
            link_chance: Chance::new(seed, "link"),
            fault_chance: Chance::new(seed, "faults"),
            stopwatch,
            free_since: checks::Idle::default(),
            waits_unseen: BTreeMap::new(),
            recounts: 0,
            compare_due: false,
            scenario,
            seed,
        }
    }

    fn live(&mut self) -> Step {
        self.start()?;
        let groups = self.scenario.node.iter();
        let joins = groups.flat_map(|g| std::iter::repeat_n(At::from_s(g.joins_s), g.count as usize));
        for (node, at) in joins.enumerate() {
            self.agenda.enter(at.plus(At(node as u64 * 1_000)), Happening::Connect(node));
        }
        // Uploads come once the farm is there.
        self.next_arrival();
        self.agenda.enter(SAMPLE, Happening::Sample);
        self.plan_faults();
        let end = At::from_s((self.scenario.hours + self.scenario.settle_hours) * 3600.0);
        while !self.is_at_rest() {
            let what = self.agenda.next().expect("the next sample is always entered");
            if self.agenda.now() > end {
                return Err(broken!(
                    AcceptedEnds,
                    "{} uploads have not ended {} h after the last one could arrive; {} attempts are held",
                    self.open,
                    self.scenario.settle_hours,
                    self.held
                ));
            }
            self.happen(what)?;
        }
        self.check_at_rest()
    }

    fn is_at_rest(&self) -> bool {
        !self.arriving
            && self.open == 0
            && self.held == 0
            && self.engine.is_some()
            && self.gated.is_empty()
            && self.inbox.is_empty()
            && self.depot_open == 0
            && self.disk.pending() == 0
            // What earlier reigns have left staged is looked for once their workers are not waited for any more.
            && self.engine.as_ref().is_some_and(|engine| !engine.status().reattaching)
    }

    fn happen(&mut self, what: Happening) -> Step {
        match what {
            Happening::Arrive => self.arrive()?,
            Happening::Submit(upload) => self.submit(upload)?,
            Happening::Cancel(upload) => self.cancel(upload)?,
            Happening::Serve { reign } if reign == self.reign => self.serve_next()?,
            Happening::Alarm { reign, at } if reign == self.reign => self.alarm_rings(at)?,
            Happening::Committed { reign } if reign == self.reign => self.committed()?,
            Happening::Serve { .. } | Happening::Alarm { .. } | Happening::Committed { .. } => {}
            Happening::Up(up) => self.word_up(up)?,
            Happening::Down(down) => self.word_down(down)?,
            Happening::Beat { node, link } => self.beat(node, link)?,
            Happening::Progress { node, attempt } => self.progress(node, attempt)?,
            Happening::End { node, attempt } => self.attempt_ends(node, attempt)?,
            Happening::Depot { reign, asked } => self.depot_asked(reign, asked)?,
            Happening::Answer { reign, event } => {
                self.depot_open -= 1;
                if reign == self.reign {
                    self.tell(*event)?;
                }
            }
            Happening::Connect(node) => self.connect(node),
            Happening::NodeSeesLoss { node, link } => self.node_sees_loss(node, link),
            Happening::FarmSeesLoss { node, link } => self.farm_sees_loss(node, link)?,
            Happening::Revive(node) => self.revive(node),
            Happening::Undrain(node) => self.drain(node, false)?,
            Happening::Strike(fault) => self.strike(fault)?,
            Happening::Start => self.start()?,
            Happening::Sample => self.sample(),
        }
        Ok(())
    }

    fn clock(&self) -> Now {
        let now = self.agenda.now();
        let wall = (WALL_ZERO + now.ms()).saturating_add_signed(self.clock_offset_ms);
        Now { mono: MonoMs(now.since(self.reign_began).ms()), wall: WallMs(wall) }
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whether faults still strike.
    fn is_disturbed(&self) -> bool {
        self.agenda.now() < self.disturbed_until()
    }

    fn disturbed_until(&self) -> At {
        At::from_s(self.scenario.hours * 3600.0)
    }

    fn sample(&mut self) {
        let now = self.agenda.now();
        self.agenda.enter(now.plus(SAMPLE), Happening::Sample);
        self.look();
    }

    fn report(mut self) -> Report {
        let hash = self.trace.hash();
        let ledger = std::mem::take(&mut self.ledger);
        ledger.report(self.scenario, self.seed, self.agenda.now(), hash, &self.uploads)
    }
}

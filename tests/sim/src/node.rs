//! A simulated worker: honours its capacity, keeps attempts over broken links, repeats results until they are collected,
//! and forgets all of it when its process dies.

use std::collections::BTreeMap;

use rushes_core::event::LinkId;
use rushes_shared::id::{AttemptId, Epoch, WorkerId};
use rushes_shared::node::{EncoderFact, NodeFacts};
use rushes_shared::task::{TaskOrder, TaskOutcome};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::HeldAttempt;

use crate::agenda::At;
use crate::chance::fixed_share;
use crate::laws::{Law, broken};
use crate::scenario::Group;

/// What a node has of a slot kind, or uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) cpu: u32,
    pub(crate) memory: u64,
    pub(crate) light: u32,
}

impl Room {
    pub(crate) fn of(order: &TaskOrder) -> Self {
        if order.slot.is_light() {
            Self { light: 1, ..Self::default() }
        } else {
            Self { cpu: order.demand.cpu.0, memory: order.demand.memory.0, light: 0 }
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            memory: self.memory + other.memory,
            light: self.light + other.light,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu - other.cpu,
            memory: self.memory - other.memory,
            light: self.light - other.light,
        }
    }

    pub(crate) fn fits_in(self, all: Self) -> bool {
        self.cpu <= all.cpu && self.memory <= all.memory && self.light <= all.light
    }
}

/// An attempt that it holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) order: Box<TaskOrder>,
    pub(crate) room: Room,
    pub(crate) since: At,
    /// The farm's backlog clock when it began, in seconds.
    pub(crate) backlog_s: f64,
    /// When it ends, if nothing happens to it.
    pub(crate) ends: At,
    /// How it ended; kept until it is collected.
    pub(crate) outcome: Option<Box<TaskOutcome>>,
    /// Whether the coordinator has a stream for it on the present link.
    pub(crate) attached: bool,
    /// When its last word arrives: later ones do not overtake it.
    pub(crate) clear: At,
}

/// A worker.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: WorkerId,
    pub(crate) facts: NodeFacts,
    pub(crate) speed: f64,
    pub(crate) room: Room,
    pub(crate) used: Room,
    pub(crate) instance: u64,
    /// Whether its process runs.
    pub(crate) alive: bool,
    pub(crate) link: Option<LinkId>,
    /// Whether it was welcomed on this link.
    pub(crate) welcomed: bool,
    /// Since when and until when nothing gets through to it.
    pub(crate) cut_since: At,
    pub(crate) cut_until: At,
    /// The pause before it connects again.
    pub(crate) pause_s: f64,
    /// The highest epoch that it has served.
    pub(crate) epoch: Epoch,
    pub(crate) held: BTreeMap<AttemptId, Held>,
    /// How many orders it holds ahead for each slot.
    pub(crate) ahead: u32,
    /// How many tasks it encodes in hardware at once.
    pub(crate) sessions: u32,
    /// Orders that wait for room.
    pub(crate) line: BTreeMap<AttemptId, Box<TaskOrder>>,
    /// The coordinator's streams to it on its link, with the time when the last word on each arrives.
    pub(crate) streams: BTreeMap<AttemptId, At>,
    /// When the last word on the control stream arrives, to it and from it.
    pub(crate) control_clear: [At; 2],
    /// The coordinator's connection to it.
    pub(crate) served_on: Option<LinkId>,
}

impl Node {
    pub(crate) fn new(seed: u64, number: u64, group: &Group, n: u32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be 0 to 4,000"
        )]
        let cpu = (group.cores * 1000.0) as u32;
        let spread = group.speed_spread * (2.0 * fixed_share(seed, 5, number) - 1.0);
        let encoder = EncoderFact {
            element: "x264enc".into(),
            codec: "h264".into(),
            hardware: false,
            works: true,
            reason: String::new(),
        };
        let hardware = EncoderFact { element: "nvh264enc".into(), hardware: true, ..encoder.clone() };
        let encoders = [encoder, hardware].into_iter().take(1 + usize::from(group.encoder_sessions > 0));
        let facts = NodeFacts {
            name: format!("{}-{n}", group.name),
            cpu: Millicores(cpu),
            memory: Bytes(group.memory_gib << 30),
            light_slots: group.light_slots,
            encoders: encoders.collect(),
            tags: group.tags.clone(),
            ..NodeFacts::default()
        };
        Self {
            id: WorkerId(u128::from(number)),
            speed: group.speed * (1.0 + spread),
            room: Room { cpu, memory: facts.memory.0, light: facts.light_slots },
            facts,
            used: Room::default(),
            instance: 1,
            alive: true,
            link: None,
            welcomed: false,
            cut_since: At(0),
            cut_until: At(0),
            pause_s: 0.0,
            epoch: Epoch(0),
            held: BTreeMap::new(),
            ahead: group.ahead,
            sessions: group.encoder_sessions,
            line: BTreeMap::new(),
            streams: BTreeMap::new(),
            control_clear: [At(0); 2],
            served_on: None,
        }
    }

    /// What it says that it holds.
    pub(crate) fn holds(&self) -> Vec<HeldAttempt> {
        let held = self.held.iter();
        held.map(|(attempt, h)| HeldAttempt {
            task: h.order.task,
            attempt: *attempt,
            finished: h.outcome.is_some(),
        })
        .collect()
    }

    /// Begins an attempt.
    pub(crate) fn begin(&mut self, attempt: AttemptId, held: Held) -> Result<(), Law> {
        let used = self.used.plus(held.room);
        if !used.fits_in(self.room) {
            return Err(broken!(
                CapacityIsKept,
                "{} would use {used:?} of {:?} with {attempt}",
                self.facts.name,
                self.room
            ));
        }
        let in_hardware = |h: &Held| h.outcome.is_none() && h.order.work.hardware().is_some();
        let sessions = self.held.values().chain([&held]).filter(|h| in_hardware(h)).count();
        if sessions > self.sessions as usize {
            let name = &self.facts.name;
            return Err(broken!(
                CapacityIsKept,
                "{name} would encode {sessions} tasks in hardware with {attempt}"
            ));
        }
        self.used = used;
        match self.held.insert(attempt, held) {
            None => Ok(()),
            Some(_) => Err(broken!(AttemptIsUnique, "{attempt} was started twice on {}", self.facts.name)),
        }
    }

    /// Ends an attempt that runs; it stays until it is collected.
    pub(crate) fn end(&mut self, attempt: AttemptId, outcome: TaskOutcome) -> Option<&mut Held> {
        let held = self.held.get_mut(&attempt).filter(|h| h.outcome.is_none())?;
        held.outcome = Some(Box::new(outcome));
        self.used = self.used.minus(held.room);
        Some(held)
    }

    /// Forgets an attempt, running or not.
    pub(crate) fn forget(&mut self, attempt: AttemptId) -> Option<Held> {
        let held = self.held.remove(&attempt)?;
        if held.outcome.is_none() {
            self.used = self.used.minus(held.room);
        }
        Some(held)
    }

    /// Its side of the link ends.
    pub(crate) fn unlink(&mut self) {
        self.link = None;
        self.welcomed = false;
    }

    /// The coordinator's side of the link ends.
    pub(crate) fn unserve(&mut self) {
        self.served_on = None;
        self.streams.clear();
        self.control_clear = [At(0); 2];
    }

    /// What runs there, counted anew.
    pub(crate) fn recount(&self) -> Room {
        let running = self.held.values().filter(|h| h.outcome.is_none());
        running.fold(Room::default(), |room, held| room.plus(held.room))
    }
}

//! One worker of this reign: its link, its lease, what it holds.

mod ends;
mod may_stop;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rushes_shared::id::{AttemptId, TaskId};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Demand, SlotKind, TaskKind};
use rushes_shared::units::{Bytes, Millicores, MonoMs};

use super::hardware::Hardware;
use super::index::{Placed, speed_step};
use super::sums::Sums;
use crate::event::LinkId;
use crate::health::{Health, History};
use crate::order::fair::TenantIx;
use crate::order::signature::{SigIx, Signature};
use crate::promise::ledger::Power;
pub use ends::Ends;
pub(in crate::placement) use may_stop::Begun;
use may_stop::MayStop;

/// What begins the tag that puts a node into a pool of its own: `pool:NAME`.
pub const POOL_TAG: &str = "pool:";

/// An attempt that takes capacity on a node, whether or not it still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The task.
    pub task: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// The slots that it takes.
    pub slot: SlotKind,
    /// What it takes.
    pub demand: Demand,
    /// Since when it takes that.
    pub since: MonoMs,
    /// When it should end, by prediction.
    pub until: MonoMs,
    /// Whose it is.
    pub tenant: TenantIx,
    /// Whether it takes an encoder session.
    pub hardware: bool,
    /// Whether its job is an emergency: it is stopped for no other.
    pub is_emergency: bool,
    /// Whether its worker was told to stop it.
    pub is_ending: bool,
    /// Named limits that it holds; none for nearly all.
    pub limits: Option<Box<BTreeMap<String, u32>>>,
}

impl Holding {
    /// Whether it may be stopped for an emergency.
    #[must_use]
    pub fn is_stoppable(&self) -> bool {
        !self.is_emergency && !self.is_ending
    }
}

/// Whether orders wait on a node for room, by what they wait for. Those that came first begin first, so nothing else of
/// that kind begins there as long as one does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lined {
    /// For light slots.
    pub light: bool,
    /// For cores.
    pub cores: bool,
}

impl Lined {
    /// Whether one waits for light slots, or for cores.
    #[must_use]
    pub fn of(self, light: bool) -> bool {
        if light { self.light } else { self.cores }
    }
}

/// What a node, or all of them, get done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Powers {
    /// While it is open.
    pub open: Power,
    /// While it is there, or only silent and within its lease: what promises are given on.
    pub counted_on: Power,
    /// The same at speed 1.
    pub plain: Power,
}

impl Powers {
    /// With another's part in place of what that was.
    pub(super) fn shift(&mut self, before: Self, after: Self) {
        let sums = [&mut self.open, &mut self.counted_on, &mut self.plain];
        let before = [before.open, before.counted_on, before.plain];
        let after = [after.open, after.counted_on, after.plain];
        for ((sum, before), after) in sums.into_iter().zip(before).zip(after) {
            sum.cores = sum.cores + after.cores - before.cores;
            sum.light = sum.light + after.light - before.light;
        }
    }
}

/// A worker that has connected in this reign and is not gone.
#[derive(Debug)]
pub struct Node {
    /// Its name for people.
    pub name: Arc<str>,
    /// Its present connection.
    pub link: Option<LinkId>,
    /// Its newest connection, present or broken.
    pub newest_link: LinkId,
    /// Tells a reconnect from a restart.
    pub instance: u64,
    /// Its node.
    pub facts: NodeFacts,
    /// Until when its attempts are its own.
    pub lease_until: MonoMs,
    /// Since when its link is broken.
    pub silent_since: Option<MonoMs>,
    /// Whether it said that it leaves.
    pub leaving: bool,
    /// Whether an operator drains it.
    pub draining: bool,
    /// Whether its lease has run out: it may be hung and has to show itself first.
    pub lapsed: bool,
    /// How it stands.
    pub health: Health,
    /// The latest outcomes on it.
    pub history: History,
    /// What is known of its speed, in thousandths; 1000 is what predictions are made for.
    pub speed_permille: u32,
    /// Whether it is much slower than its peers.
    pub slow: bool,
    /// The signature that its free cores are kept for, and since when they should be free.
    pub reserved: Option<(SigIx, MonoMs)>,
    /// Whether several tasks are being stopped there for one emergency: what is free meanwhile is kept for that.
    pub is_clearing: bool,
    /// Whether orders wait there for room.
    pub lined: Lined,
    /// Its hardware encoders.
    pub hardware: Hardware,
    /// What it holds.
    pub holdings: BTreeMap<AttemptId, Box<Holding>>,
    cpu_used: u32,
    memory_used: u64,
    light_used: u32,
    /// Of those that take cores, and light slots.
    may_stop: [MayStop; 2],
    sums: Sums,
    /// When what runs should end, as long as that is the same.
    ends: OnceLock<Box<Ends>>,
    /// Whether its facts or speed have changed since it was put into the index.
    pub(super) shape_changed: bool,
    /// Its entry in the index.
    pub(super) placed: Option<Placed>,
}

impl Node {
    /// A node that has just connected and holds nothing.
    #[must_use]
    pub fn new(link: LinkId, instance: u64, facts: NodeFacts, lease_until: MonoMs) -> Self {
        Self {
            name: facts.name.as_str().into(),
            link: Some(link),
            newest_link: link,
            instance,
            facts,
            lease_until,
            silent_since: None,
            leaving: false,
            draining: false,
            lapsed: false,
            health: Health::Good,
            history: History::default(),
            speed_permille: 1_000,
            slow: false,
            reserved: None,
            is_clearing: false,
            lined: Lined::default(),
            hardware: Hardware::default(),
            holdings: BTreeMap::new(),
            cpu_used: 0,
            memory_used: 0,
            light_used: 0,
            may_stop: Default::default(),
            sums: Sums::default(),
            ends: OnceLock::new(),
            shape_changed: true,
            placed: None,
        }
    }

    /// Takes in what its worker says of it.
    pub fn set_facts(&mut self, facts: NodeFacts) {
        self.name = facts.name.as_str().into();
        self.facts = facts;
        self.shape_changed = true;
    }

    /// Takes in what was learned of its speed.
    pub fn set_speed(&mut self, permille: u32) {
        self.shape_changed |= speed_step(permille) != speed_step(self.speed_permille);
        self.speed_permille = permille;
    }

    /// Whether it gets new tasks.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let is_trusted = match self.health {
            Health::Good => true,
            Health::Quarantined => false,
            Health::Probed => self.holdings.is_empty(),
        };
        self.link.is_some() && !self.leaving && !self.draining && !self.lapsed && is_trusted
    }

    /// Whether it gets tasks, or should get them again before its lease runs out.
    fn is_counted_on(&self) -> bool {
        !self.leaving && !self.draining && self.health != Health::Quarantined
    }

    /// What it gets done.
    #[must_use]
    pub fn powers(&self) -> Powers {
        let (cores, light) = (u64::from(self.facts.cpu.0), u64::from(self.facts.light_slots) * 1_000);
        let speed = u64::from(self.speed_permille);
        let power = Power { cores: cores * speed / 1_000, light: light * speed / 1_000 };
        let of = |counts: bool, power: Power| if counts { power } else { Power::default() };
        let counts = self.is_counted_on();
        Powers {
            open: of(self.is_open(), power),
            counted_on: of(counts, power),
            plain: of(counts, Power { cores, light }),
        }
    }

    /// Whether it has what the signature asks for, room aside.
    #[must_use]
    pub fn can_do(&self, signature: &Signature) -> bool {
        // Whatever hardware does may have to be done again in software.
        let works =
            |codec: &str| self.facts.encoders.iter().any(|e| e.works && !e.hardware && e.codec == codec);
        let has_tag = |tag: &String| self.facts.tags.contains(tag);
        self.facts.wire >= signature.since
            && self.pool() == signature.needs.pool
            && (signature.codec.is_empty() || works(signature.codec))
            && signature.needs.tags.iter().all(has_tag)
    }

    /// The pool that it serves; empty for the common one.
    #[must_use]
    pub fn pool(&self) -> &str {
        self.facts.tags.iter().find_map(|tag| tag.strip_prefix(POOL_TAG)).unwrap_or_default()
    }

    /// Whether the demand fits what is free. A task larger than the whole node fits an idle node.
    #[must_use]
    pub fn fits(&self, slot: SlotKind, demand: Demand) -> bool {
        if slot.is_light() {
            return self.light_free() > 0;
        }
        let taken = self.clamped(demand);
        taken.cpu.0 <= self.cpu_free() && taken.memory.0 <= self.memory_free()
    }

    /// Whether a task that is sent now would begin at once: it fits, and none waits there before it.
    #[must_use]
    pub fn takes(&self, slot: SlotKind, demand: Demand) -> bool {
        !self.lined.of(slot.is_light()) && (slot.is_light() || !self.is_clearing) && self.fits(slot, demand)
    }

    /// What a task takes of this node: its demand, at most the whole node.
    #[must_use]
    pub fn clamped(&self, demand: Demand) -> Demand {
        Demand {
            cpu: Millicores(demand.cpu.0.min(self.facts.cpu.0)),
            memory: Bytes(demand.memory.0.min(self.facts.memory.0)),
        }
    }

    /// What of a holding's demand is met here: none of a light one's, which takes a slot.
    #[must_use]
    pub fn met(&self, holding: &Holding) -> Demand {
        if holding.slot.is_light() { Demand::default() } else { self.clamped(holding.demand) }
    }

    /// Takes capacity for an attempt: a light slot, or a share of the cores.
    pub(super) fn hold(&mut self, attempt: AttemptId, holding: Holding) -> Demand {
        self.ends.take();
        let (light, demand) = (holding.slot.is_light(), self.met(&holding));
        self.cpu_used += demand.cpu.0;
        self.memory_used += demand.memory.0;
        self.light_used += u32::from(light);
        if holding.hardware {
            self.hardware.count(true);
        }
        let holding = Holding { demand, ..holding };
        self.sums.count(&holding, true);
        if holding.is_stoppable() {
            self.count_stoppable(attempt, &holding);
        }
        let before = self.holdings.insert(attempt, Box::new(holding));
        assert!(before.is_none(), "attempt {attempt} is held twice on {}", self.name);
        demand
    }

    /// Gives an attempt's capacity back.
    pub(super) fn release(&mut self, attempt: AttemptId) -> Option<Box<Holding>> {
        let holding = self.holdings.remove(&attempt)?;
        self.ends.take();
        self.sums.count(&holding, false);
        if holding.is_stoppable() {
            self.uncount_stoppable(attempt, &holding);
        }
        self.cpu_used -= holding.demand.cpu.0;
        self.memory_used -= holding.demand.memory.0;
        self.light_used -= u32::from(holding.slot.is_light());
        if holding.hardware {
            self.hardware.count(false);
        }
        Some(holding)
    }

    /// Sums over what runs here.
    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Whether they are those of a recount.
    pub(super) fn recount_sums(&self) -> Result<(), String> {
        let mut sums = Sums::default();
        self.holdings.values().for_each(|holding| sums.count(holding, true));
        (sums == self.sums)
            .then_some(())
            .ok_or_else(|| format!("{} runs {sums:?}, not {:?}", self.name, self.sums))
    }

    /// How long a task should take here that takes so long on a node of speed 1.
    #[must_use]
    pub fn expected_ms(&self, wall_ms: u64) -> u64 {
        wall_ms.saturating_mul(1_000) / u64::from(self.speed_permille.max(1))
    }

    /// CPU that is free.
    #[must_use]
    pub fn cpu_free(&self) -> u32 {
        self.facts.cpu.0.saturating_sub(self.cpu_used)
    }

    /// Memory that is free.
    #[must_use]
    pub fn memory_free(&self) -> u64 {
        self.facts.memory.0.saturating_sub(self.memory_used)
    }

    /// Light slots that are free.
    #[must_use]
    pub fn light_free(&self) -> u32 {
        self.facts.light_slots.saturating_sub(self.light_used)
    }

    /// Light slots in use.
    #[must_use]
    pub fn light_used(&self) -> u32 {
        self.light_used
    }

    /// CPU and memory in use.
    #[must_use]
    pub fn used(&self) -> Demand {
        Demand { cpu: Millicores(self.cpu_used), memory: Bytes(self.memory_used) }
    }

    /// When what runs here should end.
    pub fn ends(&self) -> &Ends {
        self.ends.get_or_init(|| Box::new(Ends::of(self.holdings.values().map(|holding| &**holding))))
    }

    /// When this demand should fit, if nothing else is started here before.
    #[must_use]
    pub fn fits_at(&self, demand: Demand, now: MonoMs) -> MonoMs {
        let wanted = self.clamped(demand);
        let (mut cpu, mut memory) = (self.cpu_free(), self.memory_free());
        let mut at = now;
        for (until, demand) in &self.ends().cores {
            if wanted.cpu.0 <= cpu && wanted.memory.0 <= memory {
                break;
            }
            cpu += demand.cpu.0;
            memory += demand.memory.0;
            at = at.max(*until);
        }
        at
    }
}

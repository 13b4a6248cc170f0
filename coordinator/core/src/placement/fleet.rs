//! The workers of this reign. Whatever changes a node here brings its index entry up to date.

use std::collections::BTreeMap;

use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::{Demand, TaskKind};
use rushes_shared::units::MonoMs;
use rushes_shared::wire::WireVersion;

use super::index::Index;
use super::node::{Holding, Lined, Node, Powers};
use crate::explain::Because;
use crate::health::{Health, History};
use crate::id_map::IdMap;
use crate::order::signature::{SigIx, Signature, Signatures};
use crate::promise::ledger::{Load, Power, Running};

/// A sum for cores, in millicores, and one for light slots.
#[derive(Debug, Clone, Copy, Default)]
struct Weighted {
    cores: u128,
    light: u128,
}

/// Of what runs behind a limit or a cap: the sum of the times at which it should end, times what each holds, and the sum of
/// what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    ends: u128,
    units: u64,
}

impl Held {
    fn count(&mut self, until: MonoMs, units: u32, more: bool) {
        let end = u128::from(until.0) * u128::from(units);
        self.ends = if more { self.ends + end } else { self.ends - end };
        self.units = if more { self.units + u64::from(units) } else { self.units - u64::from(units) };
    }
}

/// What runs, by what it has to pass.
#[derive(Debug, Default)]
pub struct Passing {
    /// Named limits.
    pub limits: BTreeMap<String, Held>,
    /// Tenants by number.
    pub tenants: Vec<Held>,
}

impl Passing {
    fn count(&mut self, holding: &Holding, more: bool) {
        for (name, units) in holding.limits.iter().flat_map(|limits| limits.iter()) {
            let held = self.limits.entry(name.clone()).or_default();
            held.count(holding.until, *units, more);
            if *held == Held::default() {
                self.limits.remove(name);
            }
        }
        let tenant = holding.tenant.0 as usize;
        if self.tenants.len() <= tenant {
            self.tenants.resize_with(tenant + 1, Held::default);
        }
        self.tenants[tenant].count(holding.until, 1, more);
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Fleet {
    nodes: IdMap<WorkerId, Box<Node>>,
    index: Index,
    /// Attempts that take capacity, in the order of [`TaskKind::ALL`].
    running: [u64; TaskKind::ALL.len()],
    cores: u64,
    light: u64,
    powers: Powers,
    /// Of what runs: the sum of the times at which it should end, each times what it takes, and the sum of what it takes.
    ends: (Weighted, Weighted),
    /// The same by named limit and by tenant.
    passing: Passing,
    /// Nodes whose cores are kept for a signature.
    reserved: BTreeMap<SigIx, WorkerId>,
}

impl Fleet {
    /// A node.
    #[must_use]
    pub fn get(&self, id: &WorkerId) -> Option<&Node> {
        self.nodes.get(id).map(|node| &**node)
    }

    /// All nodes by id.
    pub fn iter(&self) -> impl Iterator<Item = (&WorkerId, &Node)> + '_ {
        self.nodes.iter().map(|(id, node)| (id, &**node))
    }

    /// All nodes.
    pub fn values(&self) -> impl Iterator<Item = &Node> + '_ {
        self.nodes.values().map(|node| &**node)
    }

    /// Number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a node.
    pub fn insert(&mut self, id: WorkerId, node: Node) {
        self.cores += u64::from(node.facts.cpu.0);
        self.light += u64::from(node.facts.light_slots);
        self.powers.shift(Powers::default(), node.powers());
        let before = self.nodes.insert(id, Box::new(node));
        assert!(before.is_none(), "{id} is entered twice");
        self.change(id, |_| {});
    }

    /// Takes a node out.
    pub fn remove(&mut self, id: WorkerId) -> Option<Node> {
        self.unreserve_node(id);
        self.change(id, |node| node.leaving = true);
        let mut node = self.nodes.remove(&id)?;
        self.cores -= u64::from(node.facts.cpu.0);
        self.light -= u64::from(node.facts.light_slots);
        self.powers.shift(node.powers(), Powers::default());
        self.index.remove(id, &mut node);
        for holding in node.holdings.values() {
            self.count(holding, false);
        }
        Some(*node)
    }

    /// Changes a node. `None` where there is no such node.
    pub fn change<T>(&mut self, id: WorkerId, with: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let node = self.nodes.get_mut(&id)?;
        let (cores, light) = (node.facts.cpu.0, node.facts.light_slots);
        let before = node.powers();
        let result = with(node);
        self.powers.shift(before, node.powers());
        self.cores = self.cores + u64::from(node.facts.cpu.0) - u64::from(cores);
        self.light = self.light + u64::from(node.facts.light_slots) - u64::from(light);
        self.index.update(id, node);
        Some(result)
    }

    /// Lengthens a node's lease. Nothing else about it changes.
    pub fn renew(&mut self, id: WorkerId, until: MonoMs) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.lease_until = until;
        }
    }

    /// Changes what a node holds, and with it whether it is open only where it has to show itself.
    fn change_room<T>(&mut self, id: WorkerId, with: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let node = self.nodes.get_mut(&id)?;
        if node.health == Health::Probed {
            return self.change(id, with);
        }
        let result = with(node);
        self.index.update(id, node);
        Some(result)
    }

    /// Takes in how an attempt ended on a node that stands well, which stays so: whether it was there, and what of its
    /// latest outcomes were failures. `None` for any other.
    pub fn note_outcome(&mut self, id: WorkerId, with: impl FnOnce(&mut History)) -> Option<usize> {
        let node = self.nodes.get_mut(&id).filter(|node| node.health == Health::Good)?;
        with(&mut node.history);
        Some(node.history.failed())
    }

    /// Takes capacity for an attempt; the demand that is met.
    ///
    /// # Panics
    /// When there is no such node: attempts are placed on nodes that are there.
    pub fn hold(&mut self, id: WorkerId, attempt: AttemptId, holding: Holding) -> Demand {
        let node = self.get(&id).expect("a task is held by a known node");
        // What the node has may have become less since it was sent there.
        let holding = Holding { demand: node.met(&holding), ..holding };
        self.count(&holding, true);
        let met = self.change_room(id, |node| node.hold(attempt, holding));
        met.expect("it was just seen")
    }

    /// Gives an attempt's capacity back.
    pub fn release(&mut self, id: WorkerId, attempt: AttemptId) -> Option<Box<Holding>> {
        let holding = self.change_room(id, |node| node.release(attempt))??;
        self.count(&holding, false);
        Some(holding)
    }

    fn count(&mut self, holding: &Holding, more: bool) {
        self.passing.count(holding, more);
        let count = &mut self.running[place(holding.kind)];
        *count = if more { *count + 1 } else { *count - 1 };
        let (ends, takes) = (&mut self.ends.0, &mut self.ends.1);
        let until = u128::from(holding.until.0);
        let (end, take, part) = match holding.slot.is_light() {
            true => (&mut ends.light, &mut takes.light, 1),
            false => (&mut ends.cores, &mut takes.cores, u128::from(holding.demand.cpu.0)),
        };
        *end = if more { *end + until * part } else { *end - until * part };
        *take = if more { *take + part } else { *take - part };
    }

    /// Whether the sums over what runs are those of a recount; what differs.
    ///
    /// # Errors
    /// The first sum that differs, in words for a developer.
    pub fn recount(&self) -> Result<(), String> {
        let mut sums = Self::default();
        for (id, node) in self.iter() {
            let (mut cpu, mut memory, mut light) = (0, 0, 0);
            for holding in node.holdings.values() {
                sums.count(holding, true);
                cpu += holding.demand.cpu.0;
                memory += holding.demand.memory.0;
                light += u32::from(holding.slot.is_light());
            }
            node.recount_stoppable()?;
            let used = node.used();
            if (cpu, memory) != (used.cpu.0, used.memory.0) || light != node.light_used() {
                return Err(format!("{id} holds {cpu}, {memory}, {light} and counts {used:?}"));
            }
        }
        let of = |fleet: &Self| {
            let tenants: Vec<_> =
                fleet.passing.tenants.iter().filter(|held| **held != Held::default()).collect();
            format!("{:?} {:?} {:?} {tenants:?}", fleet.running, fleet.ends, fleet.passing.limits)
        };
        (of(&sums) == of(self)).then_some(()).ok_or(format!("nodes hold {}, not {}", of(&sums), of(self)))
    }

    /// What is left to do of what runs, by prediction. What runs for longer than expected is set off against the rest.
    #[must_use]
    pub fn running_left(&self, now: MonoMs) -> Running {
        let (ends, takes) = self.ends;
        let left = |ends: u128, takes: u128| ends.saturating_sub(u128::from(now.0) * takes);
        let at_speed =
            |ms: u128| u64::try_from(ms * u128::from(self.usual_speed()) / 1_000).unwrap_or(u64::MAX);
        let left = Load {
            cores_ms: at_speed(left(ends.cores, takes.cores) / 1_000),
            light_ms: at_speed(left(ends.light, takes.light)),
        };
        Running { left, takes: Power { cores: at_speed(takes.cores), light: at_speed(takes.light * 1_000) } }
    }

    /// The same of what runs behind a limit or a cap, in wall time times what is held of it, against thousandths of that.
    #[must_use]
    pub fn held_left<'a>(&'a self, now: MonoMs, of: impl Fn(&'a Passing) -> Option<&'a Held>) -> Running {
        let held = of(&self.passing).copied().unwrap_or_default();
        let speed = u64::from(self.usual_speed());
        let left = held.ends.saturating_sub(u128::from(now.0) * u128::from(held.units));
        let cores_ms = u64::try_from(left * u128::from(speed) / 1_000).unwrap_or(u64::MAX);
        let takes = Power { cores: held.units.saturating_mul(speed), light: 0 };
        Running { left: Load { cores_ms, light_ms: 0 }, takes }
    }

    /// What those nodes get done that promises are given on, of a pool and with these tags.
    #[must_use]
    pub fn counted_on_of(&self, pool: &str, tags: &[String]) -> Power {
        let mut sum = Powers::default();
        for node in self.values() {
            if node.pool() == pool && tags.iter().all(|tag| node.facts.tags.contains(tag)) {
                sum.shift(Powers::default(), node.powers());
            }
        }
        sum.counted_on
    }

    /// Whether a node that is open, or only silent for now, has what the signature asks for.
    #[must_use]
    pub fn is_served(&self, signature: &Signature) -> bool {
        let is_silent = |node: &Node| node.link.is_none() && !node.leaving && !node.draining;
        self.index.nodes(signature).next().is_some()
            || self.values().any(|node| is_silent(node) && node.can_do(signature))
    }

    /// Attempts that take capacity, by kind.
    #[must_use]
    pub fn running(&self, kind: TaskKind) -> u64 {
        self.running[place(kind)]
    }

    /// What the open nodes get done.
    #[must_use]
    pub fn power(&self) -> Power {
        self.powers.open
    }

    /// What they and those get done that are only silent and may be back within their lease: promises are given on it.
    #[must_use]
    pub fn counted_on(&self) -> Power {
        self.powers.counted_on
    }

    /// Their speed in the mean, in thousandths.
    #[must_use]
    pub fn usual_speed(&self) -> u32 {
        let of = |power: u64, plain: u64| power.saturating_mul(1_000).checked_div(plain);
        let Powers { counted_on, plain, .. } = self.powers;
        let speed = of(counted_on.cores, plain.cores).or(of(counted_on.light, plain.light));
        u32::try_from(speed.unwrap_or(1_000)).unwrap_or(1_000).max(1)
    }

    /// Slots of all nodes: light ones, or whole cores.
    #[must_use]
    pub fn slots(&self, light: bool) -> u64 {
        if light { self.light } else { self.cores / 1_000 }
    }

    /// Whether any open node has what the signature asks for, room aside. Looks the groups up that do.
    pub fn is_able(&self, sigs: &mut Signatures, sig: SigIx) -> bool {
        let version = self.index.version();
        if sigs.shapes(sig, version).is_none() {
            let shapes = self.index.able(sigs.get(sig));
            sigs.set_shapes(sig, version, shapes);
        }
        sigs.shapes(sig, version).is_some_and(|shapes| !shapes.is_empty())
    }

    /// Open nodes that have what the signature asks for, room aside; at most so many. None that lacks it is looked at.
    pub fn able(&self, signature: &Signature, most: usize) -> Vec<WorkerId> {
        self.index.nodes(signature).take(most).collect()
    }

    /// Changes what is known of an attempt that takes capacity on a node.
    pub fn change_holding(&mut self, id: WorkerId, attempt: AttemptId, with: impl FnOnce(&mut Holding)) {
        self.change_room(id, |node| node.change_holding(attempt, with));
    }

    /// Open nodes that have what the signature asks for and on which enough may be stopped for it, of a bounded number;
    /// after [`Fleet::is_able`] has looked the groups up.
    #[must_use]
    pub fn stoppable(&self, sigs: &Signatures, sig: SigIx, most: usize) -> Vec<WorkerId> {
        let shapes = sigs.shapes(sig, self.index.version()).unwrap_or_default();
        self.index.stoppable(sigs.get(sig), shapes, most)
    }

    /// Open nodes that have what the signature asks for, those with the most cores free first; in the same way.
    #[must_use]
    pub fn freest(&self, sigs: &Signatures, sig: SigIx, most: usize) -> Vec<WorkerId> {
        let shapes = sigs.shapes(sig, self.index.version()).unwrap_or_default();
        self.index.freest(shapes, most)
    }

    /// Whether nodes lack nothing that the signature asks for but a newer version of the worker.
    #[must_use]
    pub fn is_too_old(&self, signature: &Signature) -> bool {
        let to_old = Signature { since: WireVersion::OLDEST, ..signature.clone() };
        self.values().any(|node| node.can_do(&to_old))
    }

    /// A node with room for a task of this signature: the fastest, then the freest. Nodes that are kept for others are
    /// not looked at, nor is any before [`Fleet::is_able`] has looked the groups up.
    #[must_use]
    pub fn find(&self, sigs: &Signatures, sig: SigIx, not: impl Fn(WorkerId) -> bool) -> Option<WorkerId> {
        let shapes = sigs.shapes(sig, self.index.version()).unwrap_or_default();
        self.index.find(sigs.get(sig), shapes, not)
    }

    /// Why a task of this signature goes to the node that was found for it.
    #[must_use]
    pub fn why_found(&self, sigs: &Signatures, sig: SigIx) -> Because {
        let shapes = sigs.shapes(sig, self.index.version()).unwrap_or_default();
        if self.index.is_only_one(shapes) { Because::OnlyOne } else { Because::FastestFreest }
    }

    /// Whether no node has room for any task of this signature, nor is one kept for anything.
    #[must_use]
    pub fn is_full(&self, sigs: &Signatures, sig: SigIx) -> bool {
        self.reserved.is_empty() && self.find(sigs, sig, |_| false).is_none()
    }

    /// A node with cores free for a task of this signature on which others wait for more than that.
    #[must_use]
    pub fn find_behind(&self, sigs: &Signatures, sig: SigIx) -> Option<WorkerId> {
        let shapes = sigs.shapes(sig, self.index.version()).unwrap_or_default();
        self.index.find_behind(sigs.get(sig), shapes)
    }

    /// Notes whether orders wait on a node for room.
    pub fn set_lined(&mut self, id: WorkerId, lined: Lined) {
        if self.nodes.get(&id).is_some_and(|node| node.lined != lined) {
            self.change(id, |node| node.lined = lined);
        }
    }

    /// The node whose cores are kept for a signature.
    #[must_use]
    pub fn reserved_for(&self, sig: SigIx) -> Option<WorkerId> {
        self.reserved.get(&sig).copied()
    }

    /// All nodes whose cores are kept, with what for.
    pub fn reservations(&self) -> impl Iterator<Item = (SigIx, WorkerId)> + '_ {
        self.reserved.iter().map(|(sig, id)| (*sig, *id))
    }

    /// Keeps a node's cores for a signature from a time on.
    pub fn reserve(&mut self, sig: SigIx, id: WorkerId, from: MonoMs) {
        self.reserved.insert(sig, id);
        self.change(id, |node| node.reserved = Some((sig, from)));
    }

    /// Keeps nothing for a signature any more.
    pub fn unreserve(&mut self, sig: SigIx) {
        if let Some(id) = self.reserved.remove(&sig) {
            self.change(id, |node| node.reserved = None);
        }
    }

    /// Keeps nothing on a node any more.
    pub fn unreserve_node(&mut self, id: WorkerId) {
        if let Some((sig, _)) = self.nodes.get(&id).and_then(|n| n.reserved) {
            self.unreserve(sig);
        }
    }
}

fn place(kind: TaskKind) -> usize {
    kind as usize
}

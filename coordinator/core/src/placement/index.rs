//! Open nodes, grouped by everything but what is free on them, and sorted by that. Finding room costs a few look-ups for
//! each group, however many nodes there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::id::WorkerId;
use rushes_shared::wire::WireVersion;

use super::node::{Begun, Node, POOL_TAG};
use crate::order::signature::Signature;

/// Nodes whose memory differs by less than this count as equally large.
const MEMORY_STEP: u64 = 256 << 20;
/// Steps down in free CPU within a group that one search takes at most.
const MAX_STEPS: usize = 64;
/// Of what nodes of a group could have free, so many different amounts are looked at, the largest first. Nodes on which
/// no emergency runs have the same.
const MOST_YIELDS: usize = 256;
/// CPU that nodes could have free is told apart by so many millicores.
const CPU_STEP: u32 = 250;

/// A group's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShapeIx(u32);

/// What nodes of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    codecs: Vec<String>,
    tags: Vec<String>,
    pool: String,
    /// What of the worker protocol they know.
    wire: WireVersion,
    cpu: u32,
    /// Rounded down.
    memory: u64,
    /// Speed as the power of two of a quarter of an octave.
    speed: i32,
}

impl Shape {
    fn of(node: &Node) -> Self {
        let mut codecs: Vec<String> =
            node.facts.encoders.iter().filter(|e| e.works && !e.hardware).map(|e| e.codec.clone()).collect();
        codecs.sort();
        codecs.dedup();
        let mut tags: Vec<String> =
            node.facts.tags.iter().filter(|t| !t.starts_with(POOL_TAG)).cloned().collect();
        tags.sort();
        tags.dedup();
        Self {
            codecs,
            tags,
            pool: node.pool().to_owned(),
            wire: node.facts.wire,
            cpu: node.facts.cpu.0,
            memory: node.facts.memory.0 / MEMORY_STEP * MEMORY_STEP,
            speed: speed_step(node.speed_permille),
        }
    }

    fn can_do(&self, signature: &Signature) -> bool {
        let needs = &signature.needs;
        self.wire >= signature.since
            && self.pool == needs.pool
            && (signature.codec.is_empty() || self.codecs.iter().any(|c| c == signature.codec))
            && needs.tags.iter().all(|t| self.tags.binary_search(t).is_ok())
    }
}

/// A quarter of an octave is about 19 %: nodes closer than that are equally fast.
pub(super) fn speed_step(permille: u32) -> i32 {
    let speed = u64::from(permille.max(1));
    // The fourth power of the speed has four times its logarithm.
    let fourth = u128::from(speed).pow(4);
    i32::try_from(fourth.ilog2()).unwrap_or(i32::MAX)
}

/// A node's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    shape: ShapeIx,
    /// CPU and memory that are free for any task; `None` while they are kept for one, or others wait for cores there.
    cores: Option<(u32, u64)>,
    /// CPU and memory that are free while others wait there for more.
    behind: Option<(u32, u64)>,
    light: u32,
    /// What could be had of cores and memory, and the attempt that began last of those that would be stopped for it.
    yields: Option<(Yield, Begun)>,
    /// The attempt that began last of those that take light slots and may be stopped.
    latest_light: Option<Begun>,
}

/// CPU in quarters of a core and memory in steps that a node could have free for an emergency, rounded up.
type Yield = (u32, u64);

/// Nodes by the attempt that began last there of those that may be stopped.
type ByLatest = BTreeSet<(Begun, WorkerId)>;

/// Nodes by free CPU, then by free memory.
type ByCpu = BTreeSet<(u32, u64, Reverse<WorkerId>)>;

/// Nodes by free light slots; those that have none are not in.
type ByLight = BTreeSet<(u32, Reverse<WorkerId>)>;

#[derive(Debug)]
struct Group {
    shape: Shape,
    nodes: BTreeSet<WorkerId>,
    by_cpu: ByCpu,
    behind: ByCpu,
    by_light: ByLight,
    by_yield: BTreeMap<Yield, ByLatest>,
    by_latest_light: ByLatest,
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    known: BTreeMap<Shape, ShapeIx>,
    groups: BTreeMap<ShapeIx, Group>,
    made: u32,
}

impl Index {
    /// Changes whenever a group appears or goes.
    #[must_use]
    pub fn version(&self) -> u64 {
        (u64::from(self.made) << 32 | self.groups.len() as u64) + 1
    }

    /// Brings a node's entry up to date.
    pub fn update(&mut self, id: WorkerId, node: &mut Node) {
        if !node.is_open() {
            return self.remove(id, node);
        }
        let is_kept = node.reserved.is_some() || node.is_clearing;
        let free = (!is_kept).then(|| (node.cpu_free(), node.memory_free()));
        let (cores, behind) = if node.lined.cores { (None, free) } else { (free, None) };
        let light = if node.lined.light { 0 } else { node.light_free() };
        let shape = match node.placed {
            Some(placed) if !node.shape_changed => placed.shape,
            _ => self.shape(Shape::of(node)),
        };
        node.shape_changed = false;
        let (cpu, memory) = node.yields();
        let yields = (cpu.div_ceil(CPU_STEP), memory.div_ceil(MEMORY_STEP));
        let yields = node.latest_stoppable(false).map(|latest| (yields, latest));
        let latest_light = node.latest_stoppable(true);
        let placed = Placed { shape, cores, behind, light, yields, latest_light };
        if node.placed == Some(placed) {
            return;
        }
        if node.placed.is_none_or(|p| p.shape != shape) {
            self.remove(id, node);
            self.groups.get_mut(&shape).expect("the group was just looked up").nodes.insert(id);
        }
        let group = self.groups.get_mut(&shape).expect("the group was just looked up");
        let before = node.placed.replace(placed);
        shift(&mut group.by_cpu, id, before.and_then(|p| p.cores), cores);
        shift(&mut group.behind, id, before.and_then(|p| p.behind), behind);
        shift_light(&mut group.by_light, id, before.map_or(0, |p| p.light), light);
        shift_yield(&mut group.by_yield, id, before.and_then(|p| p.yields), yields);
        shift_latest(&mut group.by_latest_light, id, before.and_then(|p| p.latest_light), latest_light);
    }

    /// Takes a node's entry out.
    pub fn remove(&mut self, id: WorkerId, node: &mut Node) {
        let Some(placed) = node.placed.take() else { return };
        let group = self.groups.get_mut(&placed.shape).expect("a placed node has a group");
        shift(&mut group.by_cpu, id, placed.cores, None);
        shift(&mut group.behind, id, placed.behind, None);
        shift_light(&mut group.by_light, id, placed.light, 0);
        shift_yield(&mut group.by_yield, id, placed.yields, None);
        shift_latest(&mut group.by_latest_light, id, placed.latest_light, None);
        group.nodes.remove(&id);
        if group.nodes.is_empty()
            && let Some(group) = self.groups.remove(&placed.shape)
        {
            self.known.remove(&group.shape);
        }
    }

    fn shape(&mut self, shape: Shape) -> ShapeIx {
        if let Some(known) = self.known.get(&shape) {
            return *known;
        }
        self.made = self.made.wrapping_add(1);
        let ix = ShapeIx(self.made);
        self.known.insert(shape.clone(), ix);
        let group = Group {
            shape,
            nodes: BTreeSet::new(),
            by_cpu: ByCpu::new(),
            behind: ByCpu::new(),
            by_light: ByLight::new(),
            by_yield: BTreeMap::new(),
            by_latest_light: ByLatest::new(),
        };
        self.groups.insert(ix, group);
        ix
    }

    /// Groups whose nodes have what the signature asks for, fastest first.
    #[must_use]
    pub fn able(&self, signature: &Signature) -> Vec<ShapeIx> {
        let able = self.groups.iter().filter(|(_, g)| g.shape.can_do(signature));
        let mut able: Vec<(Reverse<i32>, ShapeIx)> =
            able.map(|(ix, g)| (Reverse(g.shape.speed), *ix)).collect();
        able.sort_unstable();
        able.into_iter().map(|(_, ix)| ix).collect()
    }

    /// Nodes in groups that have what the signature asks for.
    pub fn nodes<'a>(&'a self, signature: &'a Signature) -> impl Iterator<Item = WorkerId> + 'a {
        let able = self.groups.values().filter(|group| group.shape.can_do(signature));
        able.flat_map(|group| group.nodes.iter().copied())
    }

    /// Whether one node alone is in these groups.
    #[must_use]
    pub fn is_only_one(&self, shapes: &[ShapeIx]) -> bool {
        matches!(shapes, [shape] if self.groups.get(shape).is_some_and(|group| group.nodes.len() == 1))
    }

    /// The freest node with room in the fastest of these groups that have one.
    #[must_use]
    pub fn find(
        &self,
        signature: &Signature,
        shapes: &[ShapeIx],
        not: impl Fn(WorkerId) -> bool,
    ) -> Option<WorkerId> {
        let mut best: Option<(i32, u64, Reverse<WorkerId>)> = None;
        for group in shapes.iter().filter_map(|ix| self.groups.get(ix)) {
            if best.as_ref().is_some_and(|(speed, ..)| *speed > group.shape.speed) {
                break;
            }
            let found = if signature.slot.is_light() {
                light(group, &not)
            } else {
                cores(&group.shape, &group.by_cpu, signature, &not)
            };
            if let Some((free, id)) = found {
                best = best.max(Some((group.shape.speed, free, id)));
            }
        }
        best.map(|(.., Reverse(id))| id)
    }

    /// Nodes of these groups on which enough may be stopped for such a task, at most so many: those on which something
    /// that may be stopped began last.
    #[must_use]
    pub fn stoppable(&self, signature: &Signature, shapes: &[ShapeIx], most: usize) -> Vec<WorkerId> {
        let mut latest: Vec<(Begun, WorkerId)> = Vec::new();
        for group in shapes.iter().filter_map(|ix| self.groups.get(ix)) {
            if signature.slot.is_light() {
                latest.extend(group.by_latest_light.iter().rev().take(most));
                continue;
            }
            let cpu = signature.cpu.min(group.shape.cpu).div_ceil(CPU_STEP);
            let memory = signature.memory.min(group.shape.memory).div_ceil(MEMORY_STEP);
            let enough = group.by_yield.range((cpu, 0)..).rev().take(MOST_YIELDS);
            let enough = enough.filter(|((_, has), _)| *has >= memory);
            latest.extend(enough.flat_map(|(_, nodes)| nodes.iter().rev().take(most)));
        }
        latest.sort_unstable_by_key(|entry| Reverse(*entry));
        latest.into_iter().take(most).map(|(_, id)| id).collect()
    }

    /// Nodes of these groups with the most cores free, at most so many.
    #[must_use]
    pub fn freest(&self, shapes: &[ShapeIx], most: usize) -> Vec<WorkerId> {
        let groups = shapes.iter().filter_map(|ix| self.groups.get(ix));
        let mut freest: Vec<_> = groups.flat_map(|g| g.by_cpu.iter().rev().take(most)).collect();
        freest.sort_unstable_by_key(|entry| Reverse(*entry));
        freest.into_iter().take(most).map(|(.., Reverse(id))| *id).collect()
    }

    /// A node with cores free for such a task on which others wait for more than that.
    #[must_use]
    pub fn find_behind(&self, signature: &Signature, shapes: &[ShapeIx]) -> Option<WorkerId> {
        let groups = shapes.iter().filter_map(|ix| self.groups.get(ix));
        let mut found = groups.filter_map(|g| cores(&g.shape, &g.behind, signature, &|_| false));
        found.next().map(|(_, Reverse(id))| id)
    }
}

/// Moves a node to its place among those with free cores.
fn shift(set: &mut ByCpu, id: WorkerId, before: Option<(u32, u64)>, after: Option<(u32, u64)>) {
    if before == after {
        return;
    }
    if let Some((cpu, memory)) = before {
        set.remove(&(cpu, memory, Reverse(id)));
    }
    set.extend(after.map(|(cpu, memory)| (cpu, memory, Reverse(id))));
}

/// Moves a node to its place among those with free light slots.
fn shift_light(set: &mut ByLight, id: WorkerId, before: u32, after: u32) {
    if before == after {
        return;
    }
    if before > 0 {
        set.remove(&(before, Reverse(id)));
    }
    if after > 0 {
        set.insert((after, Reverse(id)));
    }
}

/// Moves a node to its place by what began last there.
fn shift_latest(set: &mut ByLatest, id: WorkerId, before: Option<Begun>, after: Option<Begun>) {
    if before == after {
        return;
    }
    if let Some(before) = before {
        set.remove(&(before, id));
    }
    set.extend(after.map(|after| (after, id)));
}

/// Moves a node to its place by what could be had there.
fn shift_yield(
    sets: &mut BTreeMap<Yield, ByLatest>,
    id: WorkerId,
    before: Option<(Yield, Begun)>,
    after: Option<(Yield, Begun)>,
) {
    if before == after {
        return;
    }
    if let Some((yields, latest)) = before
        && let Some(set) = sets.get_mut(&yields)
    {
        set.remove(&(latest, id));
        if set.is_empty() && after.is_none_or(|(other, _)| other != yields) {
            sets.remove(&yields);
        }
    }
    if let Some((yields, latest)) = after {
        sets.entry(yields).or_default().insert((latest, id));
    }
}

fn light(group: &Group, not: &impl Fn(WorkerId) -> bool) -> Option<(u64, Reverse<WorkerId>)> {
    let (free, id) = group.by_light.iter().rev().take(MAX_STEPS).find(|(_, id)| !not(id.0))?;
    Some((u64::from(*free), *id))
}

/// Nodes by falling free CPU; among those with equally much, by falling free memory.
fn cores(
    shape: &Shape,
    nodes: &ByCpu,
    signature: &Signature,
    not: &impl Fn(WorkerId) -> bool,
) -> Option<(u64, Reverse<WorkerId>)> {
    let cpu = signature.cpu.min(shape.cpu);
    let memory = signature.memory.min(shape.memory);
    let mut below = (u32::MAX, u64::MAX, Reverse(WorkerId(0)));
    for _ in 0..MAX_STEPS {
        let (free_cpu, free_memory, id) = nodes.range(..below).next_back()?;
        if *free_cpu < cpu {
            return None;
        }
        if *free_memory < memory {
            // The others with as much CPU have even less memory.
            below = (*free_cpu, 0, Reverse(WorkerId(u128::MAX)));
            continue;
        }
        if !not(id.0) {
            return Some((u64::from(*free_cpu), *id));
        }
        below = (*free_cpu, *free_memory, *id);
    }
    None
}

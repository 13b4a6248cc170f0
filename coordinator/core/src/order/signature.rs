//! What a task needs of a node, as one small number: tasks with equal needs wait, fit and fail to fit together.

use std::collections::BTreeMap;

use rushes_shared::job::Needs;
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::WireVersion;

use crate::placement::index::ShapeIx;

/// Lanes of the queue.
pub(super) const LANES: usize = 7;
const CPU_STEP: u64 = 250;
const MEMORY_STEP: u64 = 128 << 20;

/// A signature's number in this reign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigIx(pub u32);

/// Everything about a task that decides where it may run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature {
    /// The slots that it takes.
    pub slot: SlotKind,
    /// The video codec whose encoder must work there; empty for none.
    pub codec: &'static str,
    /// CPU in millicores, rounded up to a quarter of a core, above four cores in steps of about a tenth; 0 for a light slot.
    pub cpu: u32,
    /// Memory in bytes, rounded up to 128 MiB, above 2 GiB in steps of about a tenth; 0 for a light slot.
    pub memory: u64,
    /// Tags, pool and named limits.
    pub needs: Needs,
    /// The first version of the worker protocol that has orders for it.
    pub since: WireVersion,
}

impl Signature {
    /// The signature of such tasks.
    #[must_use]
    pub fn new(
        slot: SlotKind,
        codec: &'static str,
        demand: Demand,
        needs: Needs,
        since: WireVersion,
    ) -> Self {
        let light = slot.is_light();
        Self {
            slot,
            codec,
            cpu: if light {
                0
            } else {
                u32::try_from(rounded(demand.cpu.0.into(), CPU_STEP)).unwrap_or(u32::MAX)
            },
            memory: if light { 0 } else { rounded(demand.memory.0, MEMORY_STEP) },
            needs,
            since,
        }
    }

    /// The same with what it takes rounded up to a power of two.
    fn coarser(&self) -> Self {
        let up = |amount: u64, step: u64| match amount.div_ceil(step) {
            0 => 0,
            steps => steps.checked_next_power_of_two().unwrap_or(steps).saturating_mul(step),
        };
        let cpu = u32::try_from(up(self.cpu.into(), CPU_STEP)).unwrap_or(u32::MAX);
        Self { cpu, memory: up(self.memory, MEMORY_STEP), ..self.clone() }
    }

    /// What it takes, rounded up.
    #[must_use]
    pub fn demand(&self) -> Demand {
        Demand { cpu: Millicores(self.cpu), memory: Bytes(self.memory) }
    }
}

/// Rounded up to a multiple of the step that has at most four bits: few different values, however large they may be.
fn rounded(amount: u64, step: u64) -> u64 {
    let steps = amount.div_ceil(step);
    let more = u64::BITS.saturating_sub(steps.leading_zeros() + 4);
    let grain = 1_u64 << more;
    steps.div_ceil(grain).saturating_mul(grain).saturating_mul(step)
}

/// Why no task of a signature can start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Every node that could do it is full.
    Full,
    /// No connected node can do it.
    Nowhere,
    /// A named limit is reached.
    Limit(String),
}

#[derive(Debug)]
struct Entry {
    signature: Signature,
    /// Stages of live jobs that have it.
    users: u32,
    /// Entries in the queue.
    queued: u32,
    /// Those of them in each lane.
    lanes: [u32; LANES],
    closed: Option<Closed>,
    /// Whether an entry has left the queue since that was asked.
    has_left: bool,
    /// Shapes of nodes that can do it, fastest first, as of the fleet's version.
    shapes: (u64, Vec<ShapeIx>),
}

/// All signatures in use.
#[derive(Debug, Default)]
pub struct Signatures {
    known: BTreeMap<Signature, SigIx>,
    entries: Vec<Entry>,
    free: Vec<SigIx>,
    /// The one that was taken last: the next one is often the same.
    latest: SigIx,
    /// Signatures that have jobs queued and are not closed.
    ready: usize,
    /// From so many on new ones are rounded up further.
    most: Option<usize>,
}

impl Signatures {
    /// Keeps so many apart; what comes beyond that is rounded up further.
    pub fn bound(&mut self, most: usize) {
        self.most = Some(most);
    }

    /// How many are kept apart.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether a stage has it.
    #[must_use]
    pub fn knows(&self, signature: &Signature) -> bool {
        self.known.contains_key(signature)
    }

    /// The number of a signature, which one more stage has now.
    pub fn take(&mut self, signature: Signature) -> SigIx {
        let latest = self.entries.get(self.latest.0 as usize);
        let is_latest = latest.is_some_and(|entry| entry.users > 0 && entry.signature == signature);
        let known = if is_latest { Some(self.latest) } else { self.known.get(&signature).copied() };
        if let Some(sig) = known {
            self.latest = sig;
            self.entries[sig.0 as usize].users += 1;
            return sig;
        }
        let coarser = signature.coarser();
        if self.most.is_some_and(|most| self.known.len() >= most) && coarser != signature {
            return self.take(coarser);
        }
        let entry = Entry {
            signature,
            users: 1,
            queued: 0,
            lanes: [0; LANES],
            closed: None,
            has_left: false,
            shapes: (0, Vec::new()),
        };
        let sig = self.free.pop().unwrap_or_else(|| {
            SigIx(u32::try_from(self.entries.len()).expect("far fewer than 2^32 signatures"))
        });
        self.known.insert(entry.signature.clone(), sig);
        match self.entries.get_mut(sig.0 as usize) {
            Some(unused) => *unused = entry,
            None => self.entries.push(entry),
        }
        sig
    }

    /// One stage less has it.
    pub fn give_back(&mut self, sig: SigIx) {
        let entry = &mut self.entries[sig.0 as usize];
        entry.users -= 1;
        if entry.users == 0 {
            debug_assert_eq!(entry.queued, 0, "an unused signature has nothing queued");
            self.known.remove(&entry.signature);
            self.free.push(sig);
        }
    }

    /// The signature.
    #[must_use]
    pub fn get(&self, sig: SigIx) -> &Signature {
        &self.entries[sig.0 as usize].signature
    }

    /// Whether tasks of it may start, as far as is known.
    #[must_use]
    pub fn is_open(&self, sig: SigIx) -> bool {
        self.entries[sig.0 as usize].closed.is_none()
    }

    /// Why none may.
    #[must_use]
    pub fn why_closed(&self, sig: SigIx) -> Option<&Closed> {
        self.entries[sig.0 as usize].closed.as_ref()
    }

    /// Whether anything queued may start, as far as is known.
    #[must_use]
    pub fn any_ready(&self) -> bool {
        self.ready > 0
    }

    /// Entries in the queue.
    #[must_use]
    pub fn queued(&self, sig: SigIx) -> u32 {
        self.entries[sig.0 as usize].queued
    }

    /// Signatures with entries in the queue that are closed.
    pub fn closed(&self) -> impl Iterator<Item = (SigIx, &Signature, &Closed)> + '_ {
        self.in_use().filter(|(_, e)| e.queued > 0).filter_map(|(sig, e)| {
            let why = e.closed.as_ref()?;
            Some((sig, &e.signature, why))
        })
    }

    /// Nothing of it starts until [`Signatures::open`].
    pub fn close(&mut self, sig: SigIx, why: Closed) {
        let entry = &mut self.entries[sig.0 as usize];
        self.ready -= usize::from(entry.closed.is_none() && entry.queued > 0);
        entry.closed = Some(why);
    }

    /// Tasks of it may start again.
    pub fn open(&mut self, sig: SigIx) {
        let entry = &mut self.entries[sig.0 as usize];
        self.ready += usize::from(entry.closed.is_some() && entry.queued > 0);
        entry.closed = None;
    }

    /// Opens every closed signature for which this holds.
    pub fn open_where(&mut self, holds: impl Fn(SigIx, &Signature, &Closed) -> bool) {
        for (sig, entry) in (0..).map(SigIx).zip(&mut self.entries) {
            let Some(why) = &entry.closed else { continue };
            if holds(sig, &entry.signature, why) {
                self.ready += usize::from(entry.queued > 0);
                entry.closed = None;
            }
        }
    }

    /// Shapes that can do it, as the fleet said at this version.
    #[must_use]
    pub fn shapes(&self, sig: SigIx, version: u64) -> Option<&[ShapeIx]> {
        let (at, shapes) = &self.entries[sig.0 as usize].shapes;
        (*at == version).then_some(shapes)
    }

    /// Notes them.
    pub fn set_shapes(&mut self, sig: SigIx, version: u64, shapes: Vec<ShapeIx>) {
        self.entries[sig.0 as usize].shapes = (version, shapes);
    }

    /// Entries in the lanes before this one, and in it, that want light slots, or cores.
    #[must_use]
    pub fn queued_before(&self, lane: usize, light: bool) -> (u64, u64) {
        let alike = self.in_use().filter(|(_, entry)| entry.signature.slot.is_light() == light);
        alike.fold((0, 0), |(before, within), (_, entry)| {
            let more: u64 = entry.lanes[..lane].iter().map(|n| u64::from(*n)).sum();
            (before + more, within + u64::from(entry.lanes[lane]))
        })
    }

    /// Whether anything with it is queued in the lanes up to this one.
    #[must_use]
    pub(super) fn waits_up_to(&self, sig: SigIx, lane: usize) -> bool {
        self.entries[sig.0 as usize].lanes[..=lane].iter().any(|count| *count > 0)
    }

    pub(super) fn queue(&mut self, sig: SigIx, lane: usize) {
        let entry = &mut self.entries[sig.0 as usize];
        entry.lanes[lane] += 1;
        entry.queued += 1;
        self.ready += usize::from(entry.queued == 1 && entry.closed.is_none());
    }

    pub(super) fn unqueue(&mut self, sig: SigIx, lane: usize) {
        let entry = &mut self.entries[sig.0 as usize];
        entry.lanes[lane] -= 1;
        entry.queued -= 1;
        entry.has_left = true;
        self.ready -= usize::from(entry.queued == 0 && entry.closed.is_none());
    }

    /// Whether an entry has left the queue since the last time that this was asked.
    pub fn take_has_left(&mut self, sig: SigIx) -> bool {
        std::mem::take(&mut self.entries[sig.0 as usize].has_left)
    }

    fn in_use(&self) -> impl Iterator<Item = (SigIx, &Entry)> + '_ {
        self.known.values().map(|sig| (*sig, &self.entries[sig.0 as usize]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_needs_are_rounded_up_to_few() {
        let of = |cpu: u32, memory: u64| {
            let demand = Demand { cpu: Millicores(cpu), memory: Bytes(memory << 20) };
            Signature::new(SlotKind::Encode, "h264", demand, Needs::default(), WireVersion::OLDEST)
        };
        let mut sigs = Signatures::default();
        sigs.bound(2);
        let exact = [sigs.take(of(1_250, 640)), sigs.take(of(2_500, 640))];
        assert_eq!(sigs.take(of(1_250, 640)), exact[0], "what is known stays apart");
        let cpus = (250..=64_000).step_by(250);
        for cpu in cpus {
            sigs.take(of(cpu, 100 + u64::from(cpu)));
        }
        assert!(sigs.len() <= 2 + 9 * 10, "{}", sigs.len());
        let up = sigs.take(of(3_250, 700));
        assert_eq!(sigs.get(up).demand(), Demand { cpu: Millicores(4_000), memory: Bytes(1 << 30) });
    }

    /// However finely demands are spread, they are of few kinds, and nothing is rounded down or up by more than an eighth
    /// and a step.
    #[test]
    fn demands_of_every_size_are_of_few_kinds() {
        let mut kinds = std::collections::BTreeSet::new();
        for cpu in 0..=1_000_000_u64 {
            let to = rounded(cpu, CPU_STEP);
            assert!(to >= cpu && to <= cpu + cpu / 8 + CPU_STEP, "{cpu} became {to}");
            kinds.insert(to);
        }
        assert!(kinds.len() < 100, "{} kinds", kinds.len());
        let whole: Vec<u64> = [1_000, 2_000, 3_000, 4_000, 8_000, 16_000, 64_000].into();
        assert!(whole.iter().all(|cpu| rounded(*cpu, CPU_STEP) == *cpu), "usual sizes stay what they are");
        let _ = rounded(u64::MAX, MEMORY_STEP);
    }
}

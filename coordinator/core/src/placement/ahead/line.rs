//! What waits on one worker, and what may wait there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::OnceLock;

use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::{Demand, TaskKind};
use rushes_shared::units::MonoMs;
use rushes_shared::wire::AheadOffer;

use crate::order::signature::{SigIx, Signature};
use crate::placement::node::{Holding, Node};

/// Workers are not compared by when they have room for tasks that take no longer than this, in milliseconds.
const SHORTEST_RANKED_MS: u64 = 1;

/// Ranks of urgency.
pub(super) const RANKS: usize = 6;

/// How many there are of each rank.
pub(super) type Ranks = [u32; RANKS];

/// How urgent the last jobs are.
pub const LAST: u8 = 5;

/// An attempt that waits on a worker for room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which try.
    pub attempt: AttemptId,
    /// What it needs.
    pub sig: SigIx,
    /// How urgent its job was when it was sent; lower is sooner.
    pub rank: u8,
    /// Since when its task is ready.
    pub since: MonoMs,
    /// What it will take.
    pub holding: Holding,
    /// Whether the worker was asked to give it back.
    pub is_recalled: bool,
}

/// The attempts ahead on one worker, in the order of their starts.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) offer: AheadOffer,
    pub(super) light: VecDeque<Entry>,
    pub(super) cores: VecDeque<Entry>,
    /// How many of each rank, for cores and for light slots.
    pub(super) ranks: [Ranks; 2],
    /// How many are being recalled, for cores and for light slots.
    pub(super) recalled: [u32; 2],
    /// How many of each rank are not, by signature. A worker holds few different ones.
    unasked: Vec<(SigIx, Ranks)>,
    /// The least that any of those takes that wait for cores, as long as they are the same.
    least: OnceLock<Option<Demand>>,
}

impl Entry {
    /// It is of another rank from now on, and counts as that among all.
    pub(super) fn become_rank(&mut self, rank: u8, on_worker: &mut Ranks, of_sig: &mut Ranks) {
        for ranks in [on_worker, of_sig] {
            ranks[usize::from(self.rank)] -= 1;
            ranks[usize::from(rank)] += 1;
        }
        self.rank = rank;
    }
}

impl Lines {
    pub(super) fn of(&self, light: bool) -> &VecDeque<Entry> {
        if light { &self.light } else { &self.cores }
    }

    pub(super) fn of_mut(&mut self, light: bool) -> &mut VecDeque<Entry> {
        if light { &mut self.light } else { &mut self.cores }
    }

    /// One more, or one less, of a signature and rank is here that is not being recalled; `holders` are the workers on
    /// which there is one.
    pub(super) fn count_unasked(
        &mut self,
        (worker, sig): (WorkerId, SigIx),
        rank: u8,
        holders: &mut [BTreeSet<WorkerId>; RANKS],
        more: bool,
    ) {
        let rank = usize::from(rank);
        let at = self.unasked.iter().position(|(other, _)| *other == sig).unwrap_or_else(|| {
            self.unasked.push((sig, Ranks::default()));
            self.unasked.len() - 1
        });
        let ranks = &mut self.unasked[at].1;
        if more {
            ranks[rank] += 1;
            if ranks[rank] == 1 {
                holders[rank].insert(worker);
            }
            return;
        }
        ranks[rank] -= 1;
        if ranks[rank] == 0 {
            holders[rank].remove(&worker);
            if *ranks == Ranks::default() {
                self.unasked.swap_remove(at);
            }
        }
    }

    /// How many of a signature are here that are not being recalled.
    pub(super) fn unasked(&self, sig: SigIx) -> u32 {
        let ranks = self.unasked.iter().find(|(other, _)| *other == sig);
        ranks.map_or(0, |(_, ranks)| ranks.iter().sum())
    }

    /// What waits has changed.
    pub(super) fn forget_least(&mut self) {
        self.least.take();
    }

    fn least(&self) -> Option<Demand> {
        *self.least.get_or_init(|| {
            let demands = self.cores.iter().map(|entry| entry.holding.demand);
            demands.reduce(|a, b| Demand { cpu: a.cpu.min(b.cpu), memory: a.memory.min(b.memory) })
        })
    }

    /// How many of such tasks are held ahead on this node.
    pub(super) fn depth(&self, node: &Node, want: &Want<'_>) -> u64 {
        let AheadOffer { process, lane, round_trip_ms } = self.offer;
        let light = want.signature.slot.is_light();
        let places = if light { u64::from(node.facts.light_slots) } else { node.ends().cores.len() as u64 };
        if want.kind != TaskKind::Noop {
            return u64::from(process) * places;
        }
        if want.wall_ms <= 1 {
            return u64::from(lane);
        }
        let rounds = u64::from(round_trip_ms).div_ceil(node.expected_ms(want.wall_ms).max(1));
        places.saturating_mul(rounds).min(u64::from(lane))
    }

    /// Whether such a task may wait there: it can do it, and the end of any task there makes room for it, so that the
    /// first in line never keeps room idle that it cannot use.
    pub(super) fn suits(&self, node: &Node, now: MonoMs, want: &Want<'_>) -> bool {
        let is_there = node.is_open() && node.lease_until > now && node.can_do(want.signature);
        if want.signature.slot.is_light() {
            return is_there;
        }
        let taken = node.clamped(want.demand);
        let is_larger = |d: Demand| taken.cpu > d.cpu || taken.memory > d.memory;
        is_there
            && node.reserved.is_none()
            && !node.ends().least.is_some_and(is_larger)
            && !self.least().is_some_and(is_larger)
    }

    /// When there should be room on the node for one more of such tasks behind those that wait. What takes next to no
    /// time is not worth the look.
    pub(super) fn opens_at(&self, node: &Node, now: MonoMs, want: &Want<'_>) -> MonoMs {
        let light = want.signature.slot.is_light();
        if want.wall_ms <= SHORTEST_RANKED_MS {
            return now;
        }
        let held = self.of(light).len();
        if held == 0 && !light {
            return node.fits_at(want.demand, now);
        }
        let count = node.ends().count(light);
        let Some(first) = node.ends().nth(light, held.checked_rem(count).unwrap_or(0)) else { return now };
        let rounds = (held / count) as u64;
        first.max(now).plus(rounds.saturating_mul(node.expected_ms(want.wall_ms)))
    }

    /// What passes while a word goes to the worker and its answer comes back, in milliseconds.
    pub(super) fn slack_ms(&self) -> u64 {
        u64::from(self.offer.round_trip_ms) * 2
    }

    /// Whether a task of this kind ends there at about this time, so that what waits begins before it could elsewhere.
    pub(super) fn opens_now(&self, node: &Node, now: MonoMs, light: bool) -> bool {
        let slack_ms = self.slack_ms();
        let next = node.ends().first_from(light, MonoMs(now.0.saturating_sub(slack_ms)));
        next.is_some_and(|end| end <= now.plus(slack_ms))
    }
}

/// What is looked for a worker that takes it ahead.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// What it needs.
    pub signature: &'a Signature,
    /// Its kind.
    pub kind: TaskKind,
    /// What it takes.
    pub demand: Demand,
    /// What it should take on a node of speed 1, in milliseconds.
    pub wall_ms: u64,
}

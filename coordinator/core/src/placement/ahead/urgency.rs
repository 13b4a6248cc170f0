//! What is more or less urgent than something else among all that waits on workers, found without a look at each of them.

use std::collections::BTreeSet;

use rushes_shared::id::{AttemptId, JobId, WorkerId};
use rushes_shared::units::MonoMs;
use rushes_shared::wire::AheadOffer;

use super::line::{Entry, LAST, Lines, RANKS, Ranks, Want};
use super::{Ahead, Count, MOST_LOOKS};
use crate::order::signature::SigIx;
use crate::placement::fleet::Fleet;
use crate::placement::node::Node;

/// Workers that are looked at most to find those on which such a task could wait.
const MOST_TRIED: usize = 128;

/// Workers by how urgent what they hold ahead is, for cores and for light slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holders([[BTreeSet<WorkerId>; RANKS]; 2]);

impl Holders {
    /// The worker holds something of this rank now.
    pub(super) fn enter(&mut self, worker: WorkerId, light: bool, rank: u8) {
        self.0[usize::from(light)][usize::from(rank)].insert(worker);
    }

    /// The worker holds nothing of this rank any more.
    pub(super) fn leave(&mut self, worker: WorkerId, light: bool, rank: u8) {
        self.0[usize::from(light)][usize::from(rank)].remove(&worker);
    }

    /// Brings a worker up to date whose ranks have changed.
    fn sync(&mut self, worker: WorkerId, ranks: &[Ranks; 2]) {
        for (sets, counts) in self.0.iter_mut().zip(ranks) {
            for (set, count) in sets.iter_mut().zip(counts) {
                if *count > 0 {
                    set.insert(worker)
                } else {
                    set.remove(&worker)
                };
            }
        }
    }

    /// The worker is gone.
    pub(super) fn forget(&mut self, worker: WorkerId) {
        self.sync(worker, &[Ranks::default(); 2]);
    }

    /// Workers that hold something more urgent than this, those with the most urgent first; one that holds several ranks
    /// comes several times.
    fn above(&self, light: bool, bound: u8) -> impl Iterator<Item = WorkerId> + '_ {
        self.0[usize::from(light)][..usize::from(bound)].iter().flatten().copied()
    }

    /// Workers that hold something less urgent than this, those with the least urgent first; in the same way.
    fn below(&self, light: bool, rank: u8) -> impl Iterator<Item = WorkerId> + '_ {
        self.0[usize::from(light)][usize::from(rank) + 1..].iter().rev().flatten().copied()
    }
}

impl Lines {
    /// What waits here is of another rank from now on.
    fn become_rank(&mut self, worker: WorkerId, entry: &mut Entry, rank: u8, count: &mut Count) {
        if !entry.is_recalled {
            self.count_unasked((worker, entry.sig), entry.rank, &mut count.holders, false);
            self.count_unasked((worker, entry.sig), rank, &mut count.holders, true);
        }
        let light = usize::from(entry.holding.slot.is_light());
        entry.become_rank(rank, &mut self.ranks[light], &mut count.ranks);
    }
}

impl Ahead {
    /// The most urgent of what waits with a signature and is more urgent than `bound`, on workers that hear of it and have
    /// no room for it soon. What is being recalled comes first. `rank` is how urgent an entry's job is now; what is less
    /// urgent than it was sorts itself in by that.
    pub fn most_urgent(
        &mut self,
        (fleet, now): (&Fleet, MonoMs),
        (sig, light): (SigIx, bool),
        bound: u8,
        rank: impl Fn(&Entry) -> u8,
    ) -> Option<(WorkerId, AttemptId)> {
        let mut best: Option<((bool, u8, AttemptId), WorkerId)> = None;
        let urgent: BTreeSet<WorkerId> = self.holders.above(light, bound).take(MOST_LOOKS).collect();
        for id in urgent {
            let Some(lines) = self.lines.get_mut(&id) else { continue };
            let is_deaf = |n: &&Node| n.link.is_none() || n.lease_until <= now;
            let Some(node) = fleet.get(&id).filter(|n| !is_deaf(n)) else { continue };
            if lines.offer == AheadOffer::default() || lines.opens_now(node, now, light) {
                continue;
            }
            let count = self.counts.get_mut(&sig).expect("what waits is counted");
            let mut line = std::mem::take(lines.of_mut(light));
            let mut has_changed = false;
            for entry in line.iter_mut().filter(|e| e.sig == sig && e.rank < bound) {
                let rank = rank(entry).min(LAST);
                if rank > entry.rank {
                    lines.become_rank(id, entry, rank, count);
                    has_changed = true;
                }
                let found = (!entry.is_recalled, rank, entry.attempt);
                if rank < bound && best.is_none_or(|(least, _)| found < least) {
                    best = Some((found, id));
                }
            }
            *lines.of_mut(light) = line;
            if has_changed {
                self.holders.sync(id, &lines.ranks);
            }
        }
        best.map(|((.., attempt), id)| (id, attempt))
    }

    /// The least urgent attempt that waits where such a task could, if it is less urgent than `rank` and none is being
    /// recalled for such a reason already.
    #[must_use]
    pub fn less_urgent(
        &self,
        fleet: &Fleet,
        now: MonoMs,
        want: &Want<'_>,
        rank: u8,
    ) -> Option<(WorkerId, AttemptId)> {
        let light = want.signature.slot.is_light();
        let mut seen = BTreeSet::new();
        // Those with the least urgent come first, and stay so.
        let tried = self.holders.below(light, rank).filter(|id| seen.insert(*id)).take(MOST_TRIED);
        let able = tried.filter_map(|id| {
            let lines = self.lines.get(&id)?;
            fleet.get(&id).filter(|node| lines.suits(node, now, want)).map(|_| (id, lines))
        });
        let mut worst: Option<(u8, WorkerId, &Lines)> = None;
        for (id, lines) in able.take(MOST_LOOKS) {
            if lines.recalled[usize::from(light)] > 0 {
                return None;
            }
            let last = lines.ranks[usize::from(light)].iter().rposition(|n| *n > 0);
            let last = last.and_then(|at| u8::try_from(at).ok()).filter(|last| *last > rank);
            if let Some(last) = last.filter(|last| worst.is_none_or(|(most, ..)| *last >= most)) {
                worst = Some((last, id, lines));
            }
        }
        let (last, id, lines) = worst?;
        lines.of(light).iter().rfind(|entry| entry.rank == last).map(|entry| (id, entry.attempt))
    }

    /// What waits of a job on these workers is of another rank from now on.
    pub fn rerank(&mut self, job: JobId, workers: &BTreeSet<WorkerId>, rank: u8) {
        for id in workers {
            let Some(lines) = self.lines.get_mut(id) else { continue };
            for light in [false, true] {
                let mut line = std::mem::take(lines.of_mut(light));
                for entry in line.iter_mut().filter(|e| e.holding.task.job == job) {
                    let count = self.counts.get_mut(&entry.sig).expect("what waits is counted");
                    lines.become_rank(*id, entry, rank.min(LAST), count);
                }
                *lines.of_mut(light) = line;
            }
            self.holders.sync(*id, &lines.ranks);
        }
    }

    /// What [`Ahead::latest`] goes by, counted anew: who holds what that is not being recalled.
    #[cfg(test)]
    fn counted_unasked(&self) -> std::collections::BTreeMap<(SigIx, u8), BTreeSet<WorkerId>> {
        let mut found = std::collections::BTreeMap::new();
        for (id, lines) in &self.lines {
            for entry in lines.light.iter().chain(&lines.cores).filter(|entry| !entry.is_recalled) {
                found.entry((entry.sig, entry.rank)).or_insert_with(BTreeSet::new).insert(*id);
            }
        }
        found
    }

    #[cfg(test)]
    fn kept_unasked(&self) -> std::collections::BTreeMap<(SigIx, u8), BTreeSet<WorkerId>> {
        let sets = self.counts.iter().flat_map(|(sig, count)| {
            (0..).zip(&count.holders).map(|(rank, set)| ((*sig, rank), set.clone()))
        });
        sets.filter(|(_, set)| !set.is_empty()).collect()
    }

    /// The same counted anew.
    #[cfg(test)]
    fn counted_holders(&self) -> Holders {
        let mut holders = Holders::default();
        for (id, lines) in &self.lines {
            let entries = lines.light.iter().chain(&lines.cores);
            entries.for_each(|e| holders.enter(*id, e.holding.slot.is_light(), e.rank));
        }
        holders
    }
}

#[cfg(test)]
mod tests {
    use rushes_shared::id::{Epoch, TaskId};
    use rushes_shared::job::Needs;
    use rushes_shared::node::NodeFacts;
    use rushes_shared::task::{Demand, SlotKind, TaskKind};
    use rushes_shared::units::{Bytes, Millicores};
    use rushes_shared::wire::WireVersion;

    use super::*;
    use crate::event::LinkId;
    use crate::order::fair::TenantIx;
    use crate::order::signature::Signature;
    use crate::placement::node::Holding;
    use crate::splitmix::splitmix;

    fn entry(counter: u64, job: u128, light: bool, rank: u8) -> Entry {
        let slot = if light { SlotKind::Light } else { SlotKind::Encode };
        let holding = Holding {
            is_emergency: false,
            is_ending: false,
            since: MonoMs(0),
            task: TaskId { job: JobId(job), index: 0 },
            kind: TaskKind::Noop,
            slot,
            demand: demand(),
            until: MonoMs(0),
            tenant: TenantIx(0),
            hardware: false,
            limits: None,
        };
        let attempt = AttemptId { epoch: Epoch(1), counter };
        Entry { attempt, sig: SigIx(u32::from(light)), rank, since: MonoMs(0), holding, is_recalled: false }
    }

    fn demand() -> Demand {
        Demand { cpu: Millicores(1_000), memory: Bytes(1) }
    }

    fn worker(n: u64) -> WorkerId {
        WorkerId(u128::from(n))
    }

    #[test]
    fn who_holds_what_is_known_after_every_change() {
        let mut ahead = Ahead::default();
        let mut held: Vec<(WorkerId, Entry)> = Vec::new();
        for n in 0..4_000_u64 {
            let dice = splitmix(n);
            let (id, job, rank) = (worker(dice % 37), u128::from(dice / 37 % 11), (dice / 407 % 6) as u8);
            match dice / 4_000 % 8 {
                0..=3 => {
                    let entry = entry(n + 1, job, dice.is_multiple_of(2), rank);
                    ahead.enter(id, entry.clone());
                    held.push((id, entry));
                }
                4 | 5 if !held.is_empty() => {
                    let (id, entry) = held.swap_remove(
                        usize::try_from(dice / 7 % held.len() as u64).expect("it is in the list"),
                    );
                    ahead.take(id, entry.attempt);
                }
                6 => {
                    let of_job = held.iter().filter(|(_, e)| e.holding.task.job == JobId(job));
                    let workers = of_job.map(|(id, _)| *id).collect();
                    ahead.rerank(JobId(job), &workers, rank);
                }
                _ if dice.is_multiple_of(5) => {
                    ahead.remove(id);
                    held.retain(|(other, _)| *other != id);
                }
                _ if !held.is_empty() => {
                    let at = usize::try_from(dice / 7 % held.len() as u64).expect("it is in the list");
                    ahead.offer(held[at].0, AheadOffer { process: 1, lane: 1, round_trip_ms: 1 });
                    ahead.recall(held[at].0, held[at].1.attempt);
                }
                _ => {}
            }
            assert_eq!(ahead.kept_unasked(), ahead.counted_unasked(), "after change {n}");
            let recalled = ahead.lines.values().flat_map(|l| l.light.iter().chain(&l.cores));
            let recalled = recalled.filter(|entry| entry.is_recalled).count();
            let counted: u32 = ahead.lines.values().flat_map(|lines| lines.recalled).sum();
            assert_eq!(recalled, counted as usize, "after change {n}");
            assert_eq!(ahead.holders, ahead.counted_holders(), "after change {n}");
        }
    }

    /// A thousand workers hold what is urgent, and one holds what is not.
    #[test]
    fn the_least_urgent_is_found_wherever_it_waits() {
        let (mut fleet, mut ahead) = (Fleet::default(), Ahead::default());
        for n in 0..1_000 {
            let facts = NodeFacts { cpu: Millicores(1_000), memory: Bytes(1 << 30), ..NodeFacts::default() };
            fleet.insert(worker(n), Node::new(LinkId(n), n, facts, MonoMs(1_000)));
            ahead.enter(worker(n), entry(n + 1, 1, false, if n == 700 { 4 } else { 2 }));
        }
        let signature = Signature::new(SlotKind::Encode, "", demand(), Needs::default(), WireVersion::OLDEST);
        let want = Want { signature: &signature, kind: TaskKind::Noop, demand: demand(), wall_ms: 10 };
        let found = ahead.less_urgent(&fleet, MonoMs(1), &want, 3);
        assert_eq!(found.map(|(id, _)| id), Some(worker(700)));
        assert_eq!(ahead.less_urgent(&fleet, MonoMs(1), &want, 4), None);
    }
}

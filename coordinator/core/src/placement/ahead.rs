//! What workers hold ahead: attempts that were sent before there was room for them, so that a slot does not wait for a
//! round trip when it becomes free. They take no room; the worker starts them in the order in which they were sent, those
//! for light slots and those for cores apart, and the engine follows by the same rule.

#[cfg(test)]
mod bounds;
mod line;
mod urgency;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::TaskKind;
use rushes_shared::units::MonoMs;
use rushes_shared::wire::AheadOffer;

use super::fleet::Fleet;
use super::node::{Lined, Node};
use crate::order::signature::SigIx;
use line::{Lines, RANKS, Ranks};
use urgency::Holders;

pub use line::{Entry, LAST, Want};

/// Workers among which one is looked for that takes a further attempt ahead.
const MOST_LOOKS: usize = 32;

/// Where a task may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// There.
    On(WorkerId),
    /// On none of those that have a place for it: another one has room sooner.
    Sooner,
    /// All are full.
    None,
}

/// What waits with one signature.
#[derive(Debug, Default)]
struct Count {
    all: u32,
    recalled: u32,
    ranks: Ranks,
    /// Workers with something of a rank that is not being recalled.
    holders: [BTreeSet<WorkerId>; RANKS],
}

/// All of them.
#[derive(Debug, Default)]
pub struct Ahead {
    lines: BTreeMap<WorkerId, Lines>,
    /// Workers that may take more. One that was found full comes back when something of it has changed.
    roomy: BTreeSet<WorkerId>,
    /// By signature.
    counts: BTreeMap<SigIx, Count>,
    /// Workers by how urgent what they hold is.
    holders: Holders,
    kinds: BTreeMap<TaskKind, u64>,
}

impl Ahead {
    /// A worker holds so much ahead, from now on.
    pub fn offer(&mut self, worker: WorkerId, offer: AheadOffer) {
        self.lines.entry(worker).or_default().offer = offer;
        self.roomy.insert(worker);
    }

    /// Something has changed on a worker: it may take more than before.
    pub fn look_again(&mut self, worker: WorkerId) {
        if self.lines.contains_key(&worker) {
            self.roomy.insert(worker);
        }
    }

    /// A worker that has just connected has offered nothing yet.
    pub fn withdraw_offer(&mut self, worker: WorkerId) {
        if let Some(lines) = self.lines.get_mut(&worker) {
            lines.offer = AheadOffer::default();
        }
    }

    /// Whether no worker takes anything ahead.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.lines.is_empty()
    }

    /// Attempts ahead at tasks of a kind.
    #[must_use]
    pub fn count(&self, kind: TaskKind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    /// What the worker holds something ahead for.
    #[must_use]
    pub fn lined(&self, worker: WorkerId) -> Lined {
        let lines = self.lines.get(&worker);
        lines.map_or(Lined::default(), |l| Lined { light: !l.light.is_empty(), cores: !l.cores.is_empty() })
    }

    /// What waits there for light slots, or for cores, in the order of the starts.
    pub fn line(&self, worker: WorkerId, light: bool) -> impl Iterator<Item = &Entry> + '_ {
        self.lines.get(&worker).into_iter().flat_map(move |l| l.of(light))
    }

    /// An attempt that waits there.
    #[must_use]
    pub fn find(&self, worker: WorkerId, attempt: AttemptId) -> Option<&Entry> {
        let lines = self.lines.get(&worker)?;
        [&lines.light, &lines.cores].into_iter().find_map(|line| line.get(place(line, attempt)?))
    }

    /// How many wait before an attempt there, for the same kind of room, and when it should start.
    #[must_use]
    pub fn start_of(
        &self,
        (worker, node): (WorkerId, &Node),
        attempt: AttemptId,
        now: MonoMs,
        takes_ms: impl Fn(&Entry) -> u64,
    ) -> Option<(u32, MonoMs)> {
        let lines = self.lines.get(&worker)?;
        let (light, line) = [(true, &lines.light), (false, &lines.cores)]
            .into_iter()
            .find(|(_, line)| place(line, attempt).is_some())?;
        let at = place(line, attempt)?;
        let mut ends: Vec<MonoMs> =
            node.holdings.values().filter(|h| h.slot.is_light() == light).map(|h| h.until.max(now)).collect();
        ends.sort_unstable();
        let slots = ends.len().max(1);
        // What runs ends in this order, and each end takes the next of the line.
        let rounds: u64 = line.iter().take(at).skip(at % slots).step_by(slots).map(takes_ms).sum();
        let first = ends.get(at % slots).copied().unwrap_or(now);
        Some((u32::try_from(at).unwrap_or(u32::MAX), first.plus(rounds)))
    }

    /// Whether something waits there for light slots, or for cores, that the worker gives back when it is asked to.
    #[must_use]
    pub fn gives_back(&self, worker: WorkerId, light: bool) -> bool {
        let lines = self.lines.get(&worker).filter(|lines| lines.offer != AheadOffer::default());
        lines.is_some_and(|lines| !lines.of(light).is_empty())
    }

    /// What waits there, in the order of the starts.
    pub fn on(&self, worker: WorkerId) -> impl Iterator<Item = &Entry> + '_ {
        self.lines.get(&worker).into_iter().flat_map(|l| l.light.iter().chain(&l.cores))
    }

    /// Signatures of what waits, and whether a recall of one of each is under way.
    pub fn sigs(&self) -> impl Iterator<Item = (SigIx, bool)> + '_ {
        self.counts.iter().map(|(sig, count)| (*sig, count.recalled > 0))
    }

    /// Signatures of which something more urgent waits than this.
    pub fn outranking(&self, rank: u8) -> impl Iterator<Item = SigIx> + '_ {
        let outranks = move |count: &Count| count.ranks[..usize::from(rank)].iter().any(|n| *n > 0);
        self.counts.iter().filter(move |(_, count)| outranks(count)).map(|(sig, _)| *sig)
    }

    /// The open worker that takes such a task ahead, has room for it soonest and then has least ahead, of those that `may`
    /// lets through. It can start the task when any of its tasks ends.
    #[must_use]
    pub fn worker_for(
        &mut self,
        fleet: &Fleet,
        now: MonoMs,
        want: &Want<'_>,
        may: impl Fn(WorkerId, &Node) -> bool,
    ) -> Found {
        let light = want.signature.slot.is_light();
        let (mut best, mut full) = (None, Vec::new());
        for id in self.roomy.iter().take(MOST_LOOKS) {
            let (Some(lines), Some(node)) = (self.lines.get(id), fleet.get(id)) else { continue };
            let held = lines.of(light).len() as u64;
            if held >= lines.depth(node, want) || !node.is_open() {
                full.push(*id);
                continue;
            }
            if !lines.suits(node, now, want) || !may(*id, node) {
                continue;
            }
            let place = (lines.opens_at(node, now, want), held, *id);
            if best.is_none_or(|least| place < least) {
                best = Some(place);
            }
        }
        for id in full {
            self.roomy.remove(&id);
        }
        match best {
            None => Found::None,
            Some((at, _, id)) if self.is_sooner_elsewhere(fleet, now, want, (at, id)) => Found::Sooner,
            Some((.., id)) => Found::On(id),
        }
    }

    /// Whether another node that could do it should have room for such a task clearly before this one has.
    fn is_sooner_elsewhere(
        &self,
        fleet: &Fleet,
        now: MonoMs,
        want: &Want<'_>,
        (at, id): (MonoMs, WorkerId),
    ) -> bool {
        let slack_ms = self.lines.get(&id).map_or(0, Lines::slack_ms);
        if at <= now.plus(slack_ms) {
            return false;
        }
        let none = Lines::default();
        let mut others = fleet.able(want.signature, MOST_LOOKS).into_iter().filter(|other| *other != id);
        others.any(|other| {
            let lines = self.lines.get(&other).unwrap_or(&none);
            let node = fleet.get(&other).filter(|n| lines.suits(n, now, want));
            node.is_some_and(|n| lines.opens_at(n, now, want).plus(slack_ms) < at)
        })
    }

    /// An attempt was sent ahead.
    pub fn enter(&mut self, worker: WorkerId, entry: Entry) {
        let count = self.counts.entry(entry.sig).or_default();
        count.all += 1;
        count.ranks[usize::from(entry.rank)] += 1;
        *self.kinds.entry(entry.holding.kind).or_default() += 1;
        let lines = self.lines.entry(worker).or_default();
        let light = entry.holding.slot.is_light();
        lines.count_unasked((worker, entry.sig), entry.rank, &mut count.holders, true);
        lines.forget_least();
        let ranks = &mut lines.ranks[usize::from(light)][usize::from(entry.rank)];
        *ranks += 1;
        if *ranks == 1 {
            self.holders.enter(worker, light, entry.rank);
        }
        let line = lines.of_mut(light);
        let at = line.partition_point(|before| before.attempt < entry.attempt);
        line.insert(at, entry);
    }

    /// Takes an attempt out.
    pub fn take(&mut self, worker: WorkerId, attempt: AttemptId) -> Option<Entry> {
        let lines = self.lines.get_mut(&worker)?;
        let found = [&mut lines.light, &mut lines.cores].into_iter().find_map(|line| {
            let at = place(line, attempt)?;
            line.remove(at)
        })?;
        let light = found.holding.slot.is_light();
        lines.forget_least();
        if found.is_recalled {
            lines.recalled[usize::from(light)] -= 1;
        } else if let Some(count) = self.counts.get_mut(&found.sig) {
            lines.count_unasked((worker, found.sig), found.rank, &mut count.holders, false);
        }
        let ranks = &mut lines.ranks[usize::from(light)][usize::from(found.rank)];
        *ranks -= 1;
        if *ranks == 0 {
            self.holders.leave(worker, light, found.rank);
        }
        self.roomy.insert(worker);
        self.uncount(&found);
        Some(found)
    }

    /// The attempt that the worker starts next with what is free there.
    #[must_use]
    pub fn next_to_start(&self, worker: WorkerId, node: &Node) -> Option<AttemptId> {
        let lines = self.lines.get(&worker)?;
        let fits = |entry: &&Entry| node.fits(entry.holding.slot, entry.holding.demand);
        let first = lines.light.front().filter(fits).or_else(|| lines.cores.front().filter(fits))?;
        Some(first.attempt)
    }

    /// The worker is gone; what it held ahead.
    pub fn remove(&mut self, worker: WorkerId) -> Vec<Entry> {
        self.roomy.remove(&worker);
        self.holders.forget(worker);
        let Some(lines) = self.lines.remove(&worker) else { return Vec::new() };
        let entries: Vec<Entry> = lines.light.into_iter().chain(lines.cores).collect();
        for entry in &entries {
            if let Some(count) = self.counts.get_mut(&entry.sig) {
                count.holders[usize::from(entry.rank)].remove(&worker);
            }
            self.uncount(entry);
        }
        entries
    }

    /// Notes that an attempt is recalled. Whether it was not before.
    pub fn recall(&mut self, worker: WorkerId, attempt: AttemptId) -> bool {
        let Some(lines) = self.lines.get_mut(&worker) else { return false };
        // One that has offered nothing has begun all that it was sent, and knows no recalls.
        if lines.offer == AheadOffer::default() {
            return false;
        }
        let entry = [&mut lines.light, &mut lines.cores].into_iter().find_map(|line| {
            let at = place(line, attempt)?;
            line.get_mut(at)
        });
        let Some(entry) = entry.filter(|e| !e.is_recalled) else { return false };
        entry.is_recalled = true;
        let (sig, rank, light) = (entry.sig, entry.rank, entry.holding.slot.is_light());
        let count = self.counts.entry(sig).or_default();
        count.recalled += 1;
        lines.recalled[usize::from(light)] += 1;
        lines.count_unasked((worker, sig), rank, &mut count.holders, false);
        true
    }

    /// What has this signature and is not recalled, on the worker with most of it among some of those with the most urgent
    /// of it: the most urgent first, then what would be started last, half of it at most. With the worker.
    #[must_use]
    pub fn latest(&self, sig: SigIx, light: bool, most: usize) -> Vec<(WorkerId, AttemptId)> {
        let holders =
            self.counts.get(&sig).and_then(|count| count.holders.iter().find(|set| !set.is_empty()));
        let looked_at = holders.into_iter().flatten().take(MOST_LOOKS);
        let of_sig = |id: &WorkerId| self.lines.get(id).map_or(0, |lines| lines.unasked(sig));
        let Some((count, worker)) =
            looked_at.map(|id| (of_sig(id), *id)).min_by_key(|(n, id)| (Reverse(*n), *id))
        else {
            return Vec::new();
        };
        let like = |entry: &&Entry| entry.sig == sig && !entry.is_recalled;
        let mut entries: Vec<&Entry> = self.lines[&worker].of(light).iter().rev().filter(like).collect();
        entries.sort_by_key(|e| e.rank);
        let half = count.div_ceil(2) as usize;
        entries.into_iter().take(most.min(half)).map(|e| (worker, e.attempt)).collect()
    }

    fn uncount(&mut self, entry: &Entry) {
        if let Some(kind) = self.kinds.get_mut(&entry.holding.kind) {
            *kind -= 1;
        }
        if let Some(count) = self.counts.get_mut(&entry.sig) {
            count.all -= 1;
            count.recalled -= u32::from(entry.is_recalled);
            count.ranks[usize::from(entry.rank)] -= 1;
            if count.all == 0 {
                self.counts.remove(&entry.sig);
            }
        }
    }
}

/// Where an attempt is in a line. Attempts are numbered in the order in which they are sent.
fn place(line: &VecDeque<Entry>, attempt: AttemptId) -> Option<usize> {
    line.binary_search_by_key(&attempt, |entry| entry.attempt).ok()
}

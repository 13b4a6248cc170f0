//! What workers hold ahead: attempts that were sent before there was room for them, so that a slot does not wait for a
//! round trip when it becomes free. They take no room; the worker starts them in the order in which they were sent, those
//! for light slots and those for cores apart, and the engine follows by the same rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rushes_shared::id::{AttemptId, JobId, WorkerId};
use rushes_shared::task::TaskKind;
use rushes_shared::units::MonoMs;
use rushes_shared::wire::AheadOffer;

use super::fleet::Fleet;
use super::node::{Holding, Node};
use crate::order::signature::{SigIx, Signature};

/// Workers among which one is looked for that takes a further attempt ahead.
const MOST_LOOKS: usize = 32;

/// Ranks of urgency.
pub const RANKS: usize = 6;

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
struct Lines {
    offer: AheadOffer,
    light: VecDeque<Entry>,
    cores: VecDeque<Entry>,
    /// How many of each rank, for light slots and for cores.
    ranks: [[u32; RANKS]; 2],
}

impl Lines {
    fn of(&self, light: bool) -> &VecDeque<Entry> {
        if light { &self.light } else { &self.cores }
    }

    fn of_mut(&mut self, light: bool) -> &mut VecDeque<Entry> {
        if light { &mut self.light } else { &mut self.cores }
    }

    /// How many of such tasks are held ahead on this node.
    fn depth(&self, node: &Node, want: &Want<'_>) -> u64 {
        let AheadOffer { process, lane, round_trip_ms } = self.offer;
        let light = want.signature.slot.is_light();
        let places = if light {
            u64::from(node.facts.light_slots)
        } else {
            node.holdings.values().filter(|h| !h.slot.is_light()).count() as u64
        };
        if want.kind != TaskKind::Noop {
            return u64::from(process) * places;
        }
        if want.wall_ms <= 1 {
            return u64::from(lane);
        }
        let rounds = u64::from(round_trip_ms).div_ceil(node.expected_ms(want.wall_ms).max(1));
        places.saturating_mul(rounds).min(u64::from(lane))
    }
}

/// What is looked for a worker that takes it ahead.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// What it needs.
    pub signature: &'a Signature,
    /// Its kind.
    pub kind: TaskKind,
    /// What it should take on a node of speed 1, in milliseconds.
    pub wall_ms: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Ahead {
    lines: BTreeMap<WorkerId, Lines>,
    /// Workers that may take more. One that was found full comes back when something of it has changed.
    roomy: BTreeSet<WorkerId>,
    /// By signature: how many, and how many of them are being recalled.
    counts: BTreeMap<SigIx, (u32, u32)>,
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

    /// Whether the worker holds something ahead.
    #[must_use]
    pub fn holds_any(&self, worker: WorkerId) -> bool {
        self.lines.get(&worker).is_some_and(|l| !l.light.is_empty() || !l.cores.is_empty())
    }

    /// An attempt that waits there.
    #[must_use]
    pub fn find(&self, worker: WorkerId, attempt: AttemptId) -> Option<&Entry> {
        let lines = self.lines.get(&worker)?;
        [&lines.light, &lines.cores].into_iter().find_map(|line| line.get(place(line, attempt)?))
    }

    /// What waits there, in the order of the starts.
    pub fn on(&self, worker: WorkerId) -> impl Iterator<Item = &Entry> + '_ {
        self.lines.get(&worker).into_iter().flat_map(|l| l.light.iter().chain(&l.cores))
    }

    /// Signatures of what waits, and whether a recall of one of each is under way.
    pub fn sigs(&self) -> impl Iterator<Item = (SigIx, bool)> + '_ {
        self.counts.iter().map(|(sig, (_, recalled))| (*sig, *recalled > 0))
    }

    /// The open worker that takes such a task ahead and has least ahead. It can start the task when any of its tasks ends.
    #[must_use]
    pub fn worker_for(&mut self, fleet: &Fleet, now: MonoMs, want: &Want<'_>) -> Option<WorkerId> {
        let light = want.signature.slot.is_light();
        let (mut best, mut full) = (None, Vec::new());
        for id in self.roomy.iter().take(MOST_LOOKS) {
            let (Some(lines), Some(node)) = (self.lines.get(id), fleet.get(id)) else { continue };
            let held = lines.of(light).len() as u64;
            if held >= lines.depth(node, want) || !node.is_open() {
                full.push(*id);
                continue;
            }
            let starts_next = || {
                let mut of_cores = node.holdings.values().filter(|h| !h.slot.is_light());
                of_cores.all(|holding| node.fits_without(want.signature, holding))
            };
            let suits = node.lease_until > now
                && (light || node.reserved.is_none())
                && node.can_do(want.signature)
                && (light || starts_next());
            if suits && best.is_none_or(|least| (held, *id) < least) {
                best = Some((held, *id));
            }
        }
        for id in full {
            self.roomy.remove(&id);
        }
        best.map(|(_, id)| id)
    }

    /// An attempt was sent ahead.
    pub fn enter(&mut self, worker: WorkerId, entry: Entry) {
        self.counts.entry(entry.sig).or_default().0 += 1;
        *self.kinds.entry(entry.holding.kind).or_default() += 1;
        let lines = self.lines.entry(worker).or_default();
        let light = entry.holding.slot.is_light();
        lines.ranks[usize::from(light)][usize::from(entry.rank).min(RANKS - 1)] += 1;
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
        let light = usize::from(found.holding.slot.is_light());
        lines.ranks[light][usize::from(found.rank).min(RANKS - 1)] -= 1;
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
        let Some(lines) = self.lines.remove(&worker) else { return Vec::new() };
        let entries: Vec<Entry> = lines.light.into_iter().chain(lines.cores).collect();
        entries.iter().for_each(|entry| self.uncount(entry));
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
        self.counts.entry(entry.sig).or_default().1 += 1;
        true
    }

    /// What would be started last of what has this signature and is not recalled: on the worker with most ahead, the
    /// latest first, half of it at most. With the worker.
    #[must_use]
    pub fn latest(&self, sig: SigIx, light: bool, most: usize) -> Vec<(WorkerId, AttemptId)> {
        let longest = self.lines.iter().max_by_key(|(id, l)| {
            (l.of(light).iter().filter(|e| e.sig == sig).count(), std::cmp::Reverse(**id))
        });
        let Some((worker, lines)) = longest else { return Vec::new() };
        let like: Vec<&Entry> = lines.of(light).iter().filter(|e| e.sig == sig && !e.is_recalled).collect();
        let most = most.min(like.len().div_ceil(2));
        like.into_iter().rev().take(most).map(|e| (*worker, e.attempt)).collect()
    }

    /// The least urgent attempt that waits where one of this signature could, if it is less urgent than `rank` and none is
    /// being recalled for such a reason already.
    #[must_use]
    pub fn less_urgent(
        &self,
        fleet: &Fleet,
        signature: &Signature,
        rank: u8,
    ) -> Option<(WorkerId, AttemptId)> {
        let light = signature.slot.is_light();
        let able = self
            .lines
            .iter()
            .filter(|(id, _)| fleet.get(id).is_some_and(|node| node.is_open() && node.can_do(signature)));
        let entries = able.take(MOST_LOOKS).flat_map(|(id, l)| l.of(light).iter().map(move |e| (*id, e)));
        let mut worst: Option<(u8, WorkerId, AttemptId)> = None;
        for (id, entry) in entries {
            if entry.is_recalled {
                return None;
            }
            if entry.rank > rank && worst.is_none_or(|(most, ..)| entry.rank >= most) {
                worst = Some((entry.rank, id, entry.attempt));
            }
        }
        worst.map(|(_, id, attempt)| (id, attempt))
    }

    /// What waits of a job.
    #[must_use]
    pub fn of_job(&self, job: JobId) -> Vec<(WorkerId, AttemptId)> {
        let all = self.lines.iter().flat_map(|(id, l)| l.light.iter().chain(&l.cores).map(move |e| (*id, e)));
        all.filter(|(_, e)| e.holding.task.job == job).map(|(id, e)| (id, e.attempt)).collect()
    }

    fn uncount(&mut self, entry: &Entry) {
        if let Some(kind) = self.kinds.get_mut(&entry.holding.kind) {
            *kind -= 1;
        }
        if let Some((all, recalled)) = self.counts.get_mut(&entry.sig) {
            *all -= 1;
            *recalled -= u32::from(entry.is_recalled);
            if *all == 0 {
                self.counts.remove(&entry.sig);
            }
        }
    }
}

/// Where an attempt is in a line. Attempts are numbered in the order in which they are sent.
fn place(line: &VecDeque<Entry>, attempt: AttemptId) -> Option<usize> {
    line.binary_search_by_key(&attempt, |entry| entry.attempt).ok()
}

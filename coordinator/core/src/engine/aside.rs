//! Ready tasks that no node has room for but those on which they have failed: they wait beside the queue for another one,
//! so that others like them can go ahead. Kept by what they need and avoid, so that a node that has room is asked once for
//! each kind; when nodes come and go they are tried again, so many in a turn.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use rushes_shared::id::{JobId, TaskId, WorkerId};
use rushes_shared::job::Class;
use rushes_shared::units::MonoMs;

use super::{Engine, Timer, Turn};
use crate::order::LOOK_PAST;
use crate::order::signature::SigIx;

/// Tasks that are tried again in one turn when nodes have come or gone.
const MOST_A_TURN: usize = 256;
/// Kinds of tasks that a node with room is asked for.
const MOST_KINDS: usize = 256;
/// Kinds for which nodes are sent nothing ahead.
const MOST_AWAITED: usize = 16;

/// Tasks that fit the same nodes and avoid the same ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    /// Emergencies come first.
    is_other: bool,
    sig: SigIx,
    avoided: Vec<WorkerId>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Since when each is ready, and its kind.
    tasks: BTreeMap<TaskId, (MonoMs, Kind)>,
    kinds: BTreeMap<Kind, BTreeSet<TaskId>>,
    /// The kind that a node was asked for last.
    asked: Option<Kind>,
    /// The kind of emergencies that room was looked for last, where there are more.
    looked: Option<Kind>,
    /// While all are tried again: those behind this one are still to come. With `None` in it, all.
    round: Option<Option<TaskId>>,
    /// Whether another round follows.
    is_round_wanted: bool,
}

impl Aside {
    fn insert(&mut self, task: TaskId, since: MonoMs, kind: Kind) {
        self.kinds.entry(kind.clone()).or_default().insert(task);
        self.tasks.insert(task, (since, kind));
    }

    /// Takes a task out; since when it is ready.
    pub(super) fn remove(&mut self, task: &TaskId) -> Option<MonoMs> {
        let (since, kind) = self.tasks.remove(task)?;
        if let Some(of_kind) = self.kinds.get_mut(&kind) {
            of_kind.remove(task);
            if of_kind.is_empty() {
                self.kinds.remove(&kind);
            }
        }
        Some(since)
    }

    /// Whether a task is among them.
    pub(super) fn has(&self, task: &TaskId) -> bool {
        self.tasks.contains_key(task)
    }

    /// How many of a job have these numbers.
    pub(super) fn count(&self, job: JobId, tasks: std::ops::Range<u32>) -> u32 {
        let of = |index| TaskId { job, index };
        u32::try_from(self.tasks.range(of(tasks.start)..of(tasks.end)).count()).unwrap_or(u32::MAX)
    }

    fn of_job(&self, job: JobId) -> Vec<TaskId> {
        let all = TaskId { job, index: 0 }..=TaskId { job, index: u32::MAX };
        self.tasks.range(all).map(|(task, _)| *task).collect()
    }

    /// Forgets the tasks of a job that have these numbers.
    pub(super) fn forget_some(&mut self, job: JobId, tasks: std::ops::Range<u32>) {
        for task in self.of_job(job).into_iter().filter(|task| tasks.contains(&task.index)) {
            self.remove(&task);
        }
    }

    /// Forgets the tasks of a job.
    pub(super) fn forget(&mut self, job: JobId) {
        if !self.tasks.is_empty() {
            for task in self.of_job(job) {
                self.remove(&task);
            }
        }
    }

    /// What the emergencies among them need and avoid.
    pub(super) fn emergencies(&self) -> impl Iterator<Item = (SigIx, &[WorkerId])> + '_ {
        let kinds = self.kinds.keys().take_while(|kind| !kind.is_other);
        kinds.map(|kind| (kind.sig, kind.avoided.as_slice()))
    }

    /// So many of the same, on from where the last look ended.
    pub(super) fn next_emergencies(&mut self, most: usize) -> Vec<(SigIx, Vec<WorkerId>)> {
        let looked = self.looked.take();
        let behind = looked.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let kinds = self.kinds.range((behind, Bound::Unbounded)).take_while(|(kind, _)| !kind.is_other);
        let before = looked.as_ref().map(|looked| self.kinds.range(..=looked)).into_iter().flatten();
        let next: Vec<&Kind> = kinds.chain(before).map(|(kind, _)| kind).take(most).collect();
        self.looked = next.last().filter(|_| next.len() == most).map(|kind| (*kind).clone());
        next.into_iter().map(|kind| (kind.sig, kind.avoided.clone())).collect()
    }

    /// Emergencies that need and avoid this.
    pub(super) fn like(&self, sig: SigIx, avoided: &[WorkerId]) -> impl Iterator<Item = &TaskId> + '_ {
        let kind = Kind { is_other: false, sig, avoided: avoided.to_vec() };
        self.kinds.get(&kind).into_iter().flatten()
    }

    /// The kinds that a node is asked for now: those behind the last one that was, and then from the first on.
    fn next_kinds(&self) -> impl Iterator<Item = (&Kind, &BTreeSet<TaskId>)> + '_ {
        let asked = self.asked.as_ref();
        let behind = self.kinds.range((asked.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let before = asked.map(|asked| self.kinds.range(..=asked)).into_iter().flatten();
        behind.chain(before).take(MOST_KINDS)
    }

    /// The next of those that are tried again in this round.
    fn next_of_round(&mut self) -> Vec<TaskId> {
        let Some(behind) = self.round else { return Vec::new() };
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<TaskId> =
            self.tasks.range((from, Bound::Unbounded)).take(MOST_A_TURN).map(|(task, _)| *task).collect();
        self.round = match next.last() {
            Some(last) if next.len() == MOST_A_TURN => Some(Some(*last)),
            _ => std::mem::take(&mut self.is_round_wanted).then_some(None),
        };
        next
    }
}

impl Engine {
    /// Sets a task aside that no node but those that it avoids has room for.
    pub(super) fn park(&mut self, task: TaskId) {
        let run = self.runs.get_mut(&task.job).expect("a queued job has a run");
        let stage = run.stage_of(task.index);
        let (since, sig) = (stage.ready_since(task.index), stage.sig);
        self.withdraw(task);
        let job = &self.state.jobs[&task.job];
        let trouble = job.tasks[task.index as usize].trouble.as_ref();
        let avoided = trouble.map_or_else(Vec::new, |t| t.bad_on.iter().copied().collect());
        let is_other = job.spec.class != Class::Emergency;
        self.aside.insert(task, since, Kind { is_other, sig, avoided });
    }

    /// What tasks need that were set aside and could start, and the nodes that they avoid, of a bounded number of kinds.
    /// Emergencies are looked after elsewhere.
    pub(super) fn awaited_aside(&self) -> Vec<(SigIx, Vec<WorkerId>)> {
        let kinds = self.aside.next_kinds().filter(|(kind, _)| kind.is_other).take(MOST_AWAITED);
        let could = kinds.filter(|(_, tasks)| {
            let mut some = tasks.iter().take(LOOK_PAST);
            some.any(|task| self.may_start(task.job) && self.limit_reached(task.job).is_none())
        });
        could.map(|(kind, _)| (kind.sig, kind.avoided.clone())).collect()
    }

    /// Queues tasks again that were set aside and neither avoid this node nor find no room there.
    pub(super) fn unpark(&mut self, worker: WorkerId) {
        let Some(node) = self.fleet.get(&worker).filter(|_| !self.aside.tasks.is_empty()) else { return };
        let fits = |kind: &Kind| {
            let signature = self.order.sigs.get(kind.sig);
            node.can_do(signature) && node.takes(signature.slot, signature.demand())
        };
        let (mut back, mut asked) = (Vec::new(), None);
        for (kind, tasks) in self.aside.next_kinds() {
            asked = Some(kind.clone());
            if !kind.avoided.contains(&worker) && fits(kind) {
                back.extend(tasks.iter().take(LOOK_PAST - back.len()));
            }
            if back.len() == LOOK_PAST {
                break;
            }
        }
        self.aside.asked = asked;
        back.into_iter().for_each(|task| self.put_back(task));
    }

    /// Has all tasks tried again that were set aside: the nodes that they wait for may be gone.
    pub(super) fn unpark_all(&mut self) {
        match self.aside.round {
            Some(Some(_)) => self.aside.is_round_wanted = true,
            Some(None) | None => self.aside.round = Some(None),
        }
    }

    /// Queues the next of those that are to be tried again; where more are left, the next turn goes on at once.
    pub(super) fn go_on_with_round(&mut self, turn: &mut Turn) {
        if self.aside.round.is_none() {
            return;
        }
        self.aside.next_of_round().into_iter().for_each(|task| self.put_back(task));
        if self.aside.round.is_some() {
            self.wake_at(turn.now.mono.plus(1), Timer::Rest);
        }
    }

    /// Queues the tasks of a job again that were set aside: what they need, or how urgent they are, is to change.
    pub(super) fn unpark_job(&mut self, job: JobId) {
        self.aside.of_job(job).into_iter().for_each(|task| self.put_back(task));
    }

    fn put_back(&mut self, task: TaskId) {
        if let Some(since) = self.aside.remove(&task) {
            self.make_ready(since, task);
        }
    }
}

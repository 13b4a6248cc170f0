//! What is known of a live job only in memory: its place in the queue, its ready tasks, its live attempts.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::failure::Failure;
use rushes_shared::id::WorkerId;
use rushes_shared::job::Class;
use rushes_shared::task::TaskKind;
use rushes_shared::units::{MonoMs, WallMs};

use super::conflicts::Worth;
use super::live::{Live, any_runs};
use crate::event::ReplyTo;
use crate::job::{Stage, Task};
use crate::list::Row;
use crate::order::Spot;
use crate::order::fair::TenantIx;
use crate::order::signature::SigIx;
use crate::promise::ledger::{Booking, Load, Power};

/// Nodes that are remembered to have a job's input.
const MOST_INPUT_NODES: usize = 8;

/// How a job stands to its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Promise {
    /// It has none, or it is given up.
    #[default]
    None,
    /// There is time to spare.
    Fine,
    /// There is little: it goes ahead.
    AtRisk,
}

/// A live job.
#[derive(Debug)]
pub(super) struct JobRun {
    pub(super) tenant: TenantIx,
    /// Its priority, computed where its content's value decides.
    pub(super) priority: u8,
    /// Where it stands in the queue; `None` while nothing of it may start.
    pub(super) spot: Option<Spot>,
    pub(super) promise: Promise,
    /// Whether it was judged if the promise can be kept.
    pub(super) is_judged: bool,
    /// The class under which it has booked, and how much; see [`JobRun::booked`].
    booked_class: Class,
    pub(super) load: Load,
    pub(super) stages: Row<StageRun>,
    /// Tasks that have not succeeded.
    pub(super) open: u32,
    /// Whether a task has succeeded or failed.
    pub(super) touched: bool,
    /// Whether it is among [`super::Engine::jobs_started`].
    pub(super) is_started: bool,
    /// Whether it counts as one whose input is yet to be probed.
    pub(super) is_unplanned: bool,
    /// Live attempts by task index.
    pub(super) live: Live,
    rare: Option<Box<Rare>>,
}

/// What a job without deadline, files and owners who change their mind does not have: there may be a million that only
/// wait.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// The deadline under which it is among the promises that are fine.
    pub(super) fine_until: WallMs,
    /// The deadline under which it has booked.
    booked_until: Option<WallMs>,
    /// When its promise is looked at next.
    pub(super) looks_at: Option<MonoMs>,
    /// Its place among the promises that may yield, or that wait to be given again.
    pub(super) worth: Option<Worth>,
    /// The state of the books, and what may be promised of the farm, when quality was last given up in vain for it.
    pub(super) eased_in_vain: Option<(u64, Power)>,
    /// Publishes under way or waiting: tries so far, by output.
    pub(super) publishing: BTreeMap<u32, u32>,
    /// Why the last of them did not come about; nothing once one has.
    pub(super) held_up: Option<Box<Failure>>,
    /// Outputs that the depot has been asked to publish and has not answered for.
    pub(super) publishes_in_flight: BTreeSet<u32>,
    /// Those who want the job canceled and wait until the depot has answered: what it publishes now is published.
    pub(super) cancels: Vec<ReplyTo>,
    /// Whether one task at a time is tried, because its attempts all fail.
    pub(super) is_held_back: bool,
    /// Workers that have read the input and may still have it, latest last.
    pub(super) input_on: Vec<WorkerId>,
}

static NOTHING: Rare = Rare {
    fine_until: WallMs(0),
    booked_until: None,
    looks_at: None,
    worth: None,
    eased_in_vain: None,
    publishing: BTreeMap::new(),
    held_up: None,
    publishes_in_flight: BTreeSet::new(),
    cancels: Vec::new(),
    is_held_back: false,
    input_on: Vec::new(),
};

/// The tasks of one stage that are not over.
#[derive(Debug)]
pub(super) struct StageRun {
    /// Index of its first task.
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) kind: TaskKind,
    pub(super) sig: SigIx,
    /// Stages that have to be complete before.
    pub(super) waits: u32,
    /// Tasks that have not succeeded.
    pub(super) open: u32,
    /// Tasks that have live attempts.
    pub(super) live: u32,
    /// Those of them that run, and do not only wait on their workers: they are off the books.
    pub(super) running: u32,
    /// Ready tasks: those of `next..` and those that came back.
    pub(super) ready: u32,
    /// Whether the tasks of `next..` are ready.
    pub(super) is_released: bool,
    /// Whether it waits for workers of the reign before to re-attach.
    pub(super) is_held: bool,
    /// What a task should take when the stage was entered, in milliseconds; more than 49 days are 49 days.
    pub(super) wall_ms: u32,
    /// Whether that is among the wall times of the ledger.
    pub(super) counts_wall: bool,
    /// Whether it is left out of the job.
    pub(super) is_left_out: bool,
    /// Since when the tasks of `next..` are ready.
    pub(super) since: MonoMs,
    /// The first task that has not been started in this reign.
    next: u32,
    odd: Option<Box<Odd>>,
}

/// Tasks that are not in the order of the plan. Most stages have none.
#[derive(Debug, Default)]
struct Odd {
    /// Tasks of `next..` that were taken out of turn.
    skip: BTreeSet<u32>,
    /// Ready tasks that were started before, and since when.
    returned: BTreeMap<u32, MonoMs>,
}

static NONE_ODD: Odd = Odd { skip: BTreeSet::new(), returned: BTreeMap::new() };

impl JobRun {
    pub(super) fn new(tenant: TenantIx, priority: u8) -> Self {
        Self {
            tenant,
            priority,
            spot: None,
            promise: Promise::None,
            is_judged: false,
            booked_class: Class::default(),
            load: Load::default(),
            stages: Row::default(),
            open: 0,
            touched: false,
            is_started: false,
            is_unplanned: false,
            live: Live::default(),
            rare: None,
        }
    }

    /// What few jobs have.
    pub(super) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    /// The same to change it.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What it has booked.
    pub(super) fn booked(&self) -> Booking {
        Booking { class: self.booked_class, deadline: self.rare().booked_until, load: self.load }
    }

    /// Books something else; what it had booked before.
    pub(super) fn rebook(&mut self, booking: Booking) -> Booking {
        let before = self.booked();
        (self.booked_class, self.load) = (booking.class, booking.load);
        if before.deadline != booking.deadline {
            self.rare_mut().booked_until = booking.deadline;
        }
        before
    }

    /// The stage of a task.
    pub(super) fn stage_of(&mut self, task: u32) -> &mut StageRun {
        let stage = self.stages.iter_mut().find(|s| task < s.first + s.count);
        stage.expect("a known task has a stage")
    }

    /// Whether an attempt at a task runs, and does not only wait on its worker for room.
    pub(super) fn has_running(&self, task: u32) -> bool {
        self.live.get(&task).is_some_and(|live| any_runs(live))
    }

    /// Keeps the count of jobs of which a task has been started.
    pub(super) fn count_started(&mut self, jobs: &mut u64) {
        let is_started = self.touched || self.stages.iter().any(|s| s.running > 0);
        match (self.is_started, is_started) {
            (false, true) => *jobs += 1,
            (true, false) => *jobs -= 1,
            (true, true) | (false, false) => {}
        }
        self.is_started = is_started;
    }

    /// Whether a task is among the ready ones.
    pub(super) fn has_ready(&self, sig: SigIx) -> bool {
        self.stages.iter().any(|s| s.sig == sig && s.ready > 0)
    }

    /// Signatures of its ready tasks, some more than once.
    pub(super) fn ready_sigs(&self) -> impl Iterator<Item = SigIx> + '_ {
        self.stages.iter().filter(|s| s.ready > 0).map(|s| s.sig)
    }

    /// Notes that a worker has read the input.
    pub(super) fn note_input_on(&mut self, worker: WorkerId) {
        let input_on = &mut self.rare_mut().input_on;
        if !input_on.contains(&worker) {
            if input_on.len() == MOST_INPUT_NODES {
                input_on.remove(0);
            }
            input_on.push(worker);
        }
    }
}

impl StageRun {
    pub(super) fn new(first: u32, stage: &Stage, sig: SigIx, waits: u32, tasks: &[Task]) -> Self {
        let count = stage.count;
        let own = &tasks[first as usize..(first + count) as usize];
        let open = if stage.dropped { 0 } else { own.iter().filter(|t| t.success.is_none()).count() };
        Self {
            first,
            count,
            kind: stage.step.kind(),
            sig,
            waits,
            open: u32::try_from(open).expect("no more than the stage has"),
            live: 0,
            running: 0,
            ready: 0,
            is_released: false,
            is_held: false,
            wall_ms: u32::try_from(stage.prediction.wall_ms).unwrap_or(u32::MAX),
            counts_wall: open > 0,
            is_left_out: stage.dropped,
            since: MonoMs(0),
            next: first,
            odd: None,
        }
    }

    fn odd(&self) -> &Odd {
        self.odd.as_deref().unwrap_or(&NONE_ODD)
    }

    fn odd_mut(&mut self) -> &mut Odd {
        self.odd.get_or_insert_default()
    }

    fn end(&self) -> u32 {
        self.first + self.count
    }

    /// Makes the tasks that were never started ready.
    pub(super) fn release(&mut self, now: MonoMs, tasks: &[Task]) {
        debug_assert!(!self.is_released, "a stage is released once");
        self.is_released = true;
        self.since = now;
        let waits = |i: &u32| !tasks[*i as usize].is_over() && !self.odd().skip.contains(i);
        let fresh = (self.next..self.end()).filter(waits).count();
        self.ready += u32::try_from(fresh).expect("no more than the stage has");
    }

    /// Whether a task that is not over is ready.
    pub(super) fn is_ready(&self, task: u32) -> bool {
        self.odd().returned.contains_key(&task)
            || (self.is_released && task >= self.next && !self.odd().skip.contains(&task))
    }

    /// Since when a ready task is ready.
    pub(super) fn ready_since(&self, task: u32) -> MonoMs {
        self.odd().returned.get(&task).copied().unwrap_or(self.since)
    }

    /// Ready tasks that are next before this one.
    pub(super) fn ready_before(&self, task: u32) -> u32 {
        let Odd { skip, returned } = self.odd();
        let before = if returned.contains_key(&task) {
            returned.range(..task).count()
        } else {
            let skipped = skip.range(self.next..task.max(self.next)).count();
            (returned.len() + task.saturating_sub(self.next) as usize).saturating_sub(skipped)
        };
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// Makes a task that was started, or taken out, ready again.
    pub(super) fn put_back(&mut self, task: u32, now: MonoMs) {
        self.odd_mut().returned.insert(task, now);
        if task >= self.next {
            self.odd_mut().skip.insert(task);
        }
        self.ready += 1;
    }

    /// Takes a task out of turn. Whether it was ready.
    pub(super) fn withdraw(&mut self, task: u32) -> bool {
        let was_ready = self.is_ready(task);
        self.ready -= u32::from(was_ready);
        self.odd_mut().returned.remove(&task);
        if task >= self.next {
            self.odd_mut().skip.insert(task);
        }
        was_ready
    }

    /// The ready task that is next: those that came back first.
    pub(super) fn peek(&mut self, tasks: &[Task]) -> Option<u32> {
        if let Some((task, _)) = self.odd().returned.first_key_value() {
            return Some(*task);
        }
        if !self.is_released {
            return None;
        }
        while self.next < self.end() {
            let was_skipped = self.odd.as_mut().is_some_and(|odd| odd.skip.remove(&self.next));
            if !was_skipped && !tasks[self.next as usize].is_over() {
                return Some(self.next);
            }
            self.next += 1;
        }
        None
    }

    /// Takes the task that [`StageRun::peek`] gave.
    pub(super) fn take(&mut self, task: u32) {
        self.ready -= 1;
        if self.odd.as_mut().is_none_or(|odd| odd.returned.remove(&task).is_none()) {
            debug_assert_eq!(task, self.next, "the next task is taken");
            self.next += 1;
        }
    }

    /// Whether nothing of it has been started, as far as is known: a worker that has not re-attached yet may be on it.
    pub(super) fn is_untouched(&self) -> bool {
        !self.is_held
            && self.next == self.first
            && self.open == self.count
            && self.odd().skip.is_empty()
            && self.odd().returned.is_empty()
    }

    /// Once all that was sent of it has come back and none was tried, it is as if nothing had been sent.
    pub(super) fn begin_anew(&mut self, is_tried: impl Fn(u32) -> bool) {
        let is_back = self.is_released && self.open == self.count && self.ready == self.count;
        if is_back && !(self.first..self.first + self.count).any(is_tried) {
            let returned = self.odd().returned.values().copied().min();
            self.since = returned.map_or(self.since, |at| at.min(self.since));
            (self.next, self.odd) = (self.first, None);
        }
    }

    /// Nothing of it is ready any more.
    pub(super) fn clear(&mut self) {
        self.ready = 0;
        self.is_released = false;
        self.is_held = false;
        if let Some(odd) = &mut self.odd {
            odd.returned.clear();
        }
    }
}

/// Ready tasks by kind.
#[derive(Debug, Default)]
pub(super) struct ReadyCounts(BTreeMap<TaskKind, u64>);

impl ReadyCounts {
    pub(super) fn add(&mut self, kind: TaskKind, count: u32) {
        *self.0.entry(kind).or_default() += u64::from(count);
    }

    pub(super) fn sub(&mut self, kind: TaskKind, count: u32) {
        *self.0.entry(kind).or_default() -= u64::from(count);
    }

    pub(super) fn get(&self, kind: TaskKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_untried_was_never_begun() {
        let stage = Stage {
            step: crate::job::Step::Trial,
            slot: rushes_shared::task::SlotKind::Light,
            count: 3,
            after: Vec::new(),
            demand: rushes_shared::task::Demand::default(),
            prediction: crate::job::Prediction::default(),
            optional: false,
            dropped: false,
        };
        let tasks = vec![Task::default(); 5];
        let mut run = StageRun::new(2, &stage, SigIx(0), 0, &tasks);
        run.release(MonoMs(7), &tasks);
        for _ in 0..2 {
            let task = run.peek(&tasks).expect("it is ready");
            run.take(task);
        }
        run.put_back(3, MonoMs(9));
        run.begin_anew(|_| false);
        assert!(!run.is_untouched(), "one is still away");
        run.put_back(2, MonoMs(8));
        run.begin_anew(|_| false);
        assert!(run.is_untouched() && run.ready == 3 && run.since == MonoMs(7));
        let mut order = Vec::new();
        while let Some(task) = run.peek(&tasks) {
            run.take(task);
            order.push(task);
        }
        assert_eq!(order, [2, 3, 4]);
    }

    /// There may be a million that only wait: what is added here is paid for by each.
    #[test]
    fn a_waiting_job_is_small() {
        assert!(size_of::<JobRun>() <= 136, "{}", size_of::<JobRun>());
        assert!(size_of::<crate::job::Job>() <= 128, "{}", size_of::<crate::job::Job>());
    }
}

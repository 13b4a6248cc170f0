//! The tasks of one stage of a live job: which are ready, in what order, and which have been taken out of it.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::task::TaskKind;
use rushes_shared::units::MonoMs;

use crate::job::{Stage, Task};
use crate::order::signature::SigIx;

/// The tasks of one stage that are not over.
#[derive(Debug)]
pub(in crate::engine) struct StageRun {
    /// Index of its first task.
    pub(in crate::engine) first: u32,
    pub(in crate::engine) count: u32,
    pub(in crate::engine) kind: TaskKind,
    pub(in crate::engine) sig: SigIx,
    /// Stages that have to be complete before.
    pub(in crate::engine) waits: u32,
    /// Tasks that have not succeeded.
    pub(in crate::engine) open: u32,
    /// Tasks that have live attempts.
    pub(in crate::engine) live: u32,
    /// Those of them that run, and do not only wait on their workers: they are off the books.
    pub(in crate::engine) running: u32,
    /// Ready tasks: those of `next..` and those that came back.
    pub(in crate::engine) ready: u32,
    /// Whether the tasks of `next..` are ready.
    pub(in crate::engine) is_released: bool,
    /// Whether it waits for workers of the reign before to re-attach.
    pub(in crate::engine) is_held: bool,
    /// What a task should take when the stage was entered, in milliseconds; more than 49 days are 49 days.
    pub(in crate::engine) wall_ms: u32,
    /// Whether that is among the wall times of the ledger.
    pub(in crate::engine) counts_wall: bool,
    /// Whether it is left out of the job.
    pub(in crate::engine) is_left_out: bool,
    /// Since when the tasks of `next..` are ready.
    pub(in crate::engine) since: MonoMs,
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

impl StageRun {
    pub(in crate::engine) fn new(first: u32, stage: &Stage, sig: SigIx, waits: u32, tasks: &[Task]) -> Self {
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
    pub(in crate::engine) fn release(&mut self, now: MonoMs, tasks: &[Task]) {
        debug_assert!(!self.is_released, "a stage is released once");
        self.is_released = true;
        self.since = now;
        let waits = |i: &u32| !tasks[*i as usize].is_over() && !self.odd().skip.contains(i);
        let fresh = (self.next..self.end()).filter(waits).count();
        self.ready += u32::try_from(fresh).expect("no more than the stage has");
    }

    /// Whether a task that is not over is ready.
    pub(in crate::engine) fn is_ready(&self, task: u32) -> bool {
        self.odd().returned.contains_key(&task)
            || (self.is_released && task >= self.next && !self.odd().skip.contains(&task))
    }

    /// Since when a ready task is ready.
    pub(in crate::engine) fn ready_since(&self, task: u32) -> MonoMs {
        self.odd().returned.get(&task).copied().unwrap_or(self.since)
    }

    /// Ready tasks that are next before this one.
    pub(in crate::engine) fn ready_before(&self, task: u32) -> u32 {
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
    pub(in crate::engine) fn put_back(&mut self, task: u32, now: MonoMs) {
        self.odd_mut().returned.insert(task, now);
        if task >= self.next {
            self.odd_mut().skip.insert(task);
        }
        self.ready += 1;
    }

    /// Takes a task out of turn. Whether it was ready.
    pub(in crate::engine) fn withdraw(&mut self, task: u32) -> bool {
        let was_ready = self.is_ready(task);
        self.ready -= u32::from(was_ready);
        self.odd_mut().returned.remove(&task);
        if task >= self.next {
            self.odd_mut().skip.insert(task);
        }
        was_ready
    }

    /// The ready task that is next: those that came back first.
    pub(in crate::engine) fn peek(&mut self, tasks: &[Task]) -> Option<u32> {
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
    pub(in crate::engine) fn take(&mut self, task: u32) {
        self.ready -= 1;
        if self.odd.as_mut().is_none_or(|odd| odd.returned.remove(&task).is_none()) {
            debug_assert_eq!(task, self.next, "the next task is taken");
            self.next += 1;
        }
    }

    /// Whether nothing of it has been started, as far as is known: a worker that has not re-attached yet may be on it.
    pub(in crate::engine) fn is_untouched(&self) -> bool {
        !self.is_held
            && self.next == self.first
            && self.open == self.count
            && self.odd().skip.is_empty()
            && self.odd().returned.is_empty()
    }

    /// Once all that was sent of it has come back and none was tried, it is as if nothing had been sent.
    pub(in crate::engine) fn begin_anew(&mut self, is_tried: impl Fn(u32) -> bool) {
        let is_back = self.is_released && self.open == self.count && self.ready == self.count;
        if is_back && !(self.first..self.first + self.count).any(is_tried) {
            let returned = self.odd().returned.values().copied().min();
            self.since = returned.map_or(self.since, |at| at.min(self.since));
            (self.next, self.odd) = (self.first, None);
        }
    }

    /// Nothing of it is ready any more.
    pub(in crate::engine) fn clear(&mut self) {
        self.ready = 0;
        self.is_released = false;
        self.is_held = false;
        if let Some(odd) = &mut self.odd {
            odd.returned.clear();
        }
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
}

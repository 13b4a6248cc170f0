//! When what waits should start: from the books, what runs and what the nodes get done. The same figures that forecasts and
//! placement are made of; what they take for granted is said with each.

use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::job::Class;
use rushes_shared::units::{MonoMs, Now, WallMs};

use super::super::Engine;
use super::super::run::{JobRun, StageRun};
use crate::explain::{Assumes, Sent, Start, Waiting};
use crate::job::{Job, LiveTask, Stage};
use crate::order::signature::SigIx;
use crate::order::{AheadOf, Spot};
use crate::promise::ledger::Load;
use crate::promise::path::{self, Left};

/// Nodes among which one is looked for on which room is made first.
const MOST_LOOKS: usize = 32;
/// Running attempts of a stage among which the last to end is looked for.
const MOST_ENDS: usize = 1_000;

impl Engine {
    /// The work that stands before a job, of the kind of room that it wants.
    pub(super) fn load_ahead(
        &self,
        job: &Job,
        run: &JobRun,
        spot: Spot,
        ahead: AheadOf,
        light: bool,
    ) -> Load {
        let own = run.booked();
        let of = |class: Class| self.ledger.ahead_of(class);
        let higher = |class: Class| match class {
            Class::Bulk => of(Class::Standard),
            Class::Standard => of(Class::Premium),
            Class::Premium => of(Class::Emergency),
            Class::Emergency => Load::default(),
        };
        let within = |class: Class| {
            let lane = of(class).minus(higher(class)).minus(own.load);
            share(lane, ahead.within, ahead.lane.saturating_sub(1))
        };
        let all = match spot {
            Spot::Emergency(..) => within(Class::Emergency),
            Spot::AtRisk(..) => {
                let due = job.spec.deadline.map_or_else(Load::default, |at| self.ledger.due_by(at));
                of(Class::Emergency).plus(due).minus(own.load)
            }
            Spot::Fair(class, ..) => higher(class).plus(within(class)),
            Spot::Plain(..) => {
                share(self.ledger.all().minus(own.load), ahead.within, ahead.lane.saturating_sub(1))
            }
            Spot::Wide(..) => self.ledger.all().minus(own.load),
        };
        if light { Load { cores_ms: 0, ..all } } else { Load { light_ms: 0, ..all } }
    }

    /// When the first of the tasks should start that wait in a job's stage for this; `before_ms` is how long the farm needs
    /// for what stands before the job.
    pub(super) fn start_of_wait(
        &self,
        now: Now,
        (job, run): (&Job, &JobRun),
        at: usize,
        (why, before_ms): (&Waiting, Option<u64>),
    ) -> Option<Start> {
        let stage = &run.stages[at];
        match why {
            Waiting::Turn | Waiting::Room | Waiting::Reserved(_) => {
                let room = self.room_at(now.mono, stage.sig)?;
                Some(start(now, room.plus(before_ms?), Assumes::Queue))
            }
            Waiting::Stages(_) => {
                let end = self.stages_end(now, (job, run), at, before_ms)?;
                Some(start(now, end, Assumes::Stages))
            }
            Waiting::Reattachment => {
                let until = self.reattach.as_ref()?.until;
                Some(start(now, until, Assumes::Reattachment))
            }
            Waiting::Backoff => {
                let tasks = stage.first..stage.first + stage.count;
                let waiting = tasks.take(MOST_ENDS).filter_map(|index| self.retried_at(job, run, index));
                let at = waiting.min()?.max(now.wall);
                Some(Start { at, assumes: Assumes::Backoff })
            }
            Waiting::NoNode
            | Waiting::OldNodes
            | Waiting::ShutNodes
            | Waiting::Limit(_)
            | Waiting::TenantCap
            | Waiting::AnotherNode
            | Waiting::OnWorker
            | Waiting::Failing
            | Waiting::Pause => None,
        }
    }

    /// When a task that failed and waits is tried again, as was decided when it failed.
    pub(super) fn retried_at(&self, job: &Job, run: &JobRun, index: u32) -> Option<WallMs> {
        let entry = job.tasks.get(index as usize).filter(|task| !task.is_over())?;
        let last = entry.last_failure().filter(|_| !run.live.contains_key(&index))?;
        let delay_ms = self.policy.retry_delay_ms(entry.failures(), Self::retry_salt(index, last.attempt));
        Some(WallMs(last.at.0.saturating_add(delay_ms)))
    }

    /// When room should be made for a task of this signature, of some of the nodes that get such tasks.
    fn room_at(&self, now: MonoMs, sig: SigIx) -> Option<MonoMs> {
        let signature = self.order.sigs.get(sig);
        let reserved = self.fleet.reserved_for(sig).and_then(|id| self.fleet.get(&id)?.reserved);
        if let Some((_, from)) = reserved {
            return Some(from.max(now));
        }
        let able = self.fleet.able(signature, MOST_LOOKS);
        let nodes = able.iter().filter_map(|id| self.fleet.get(id));
        let room = nodes.filter_map(|node| {
            if !signature.slot.is_light() {
                return Some(node.fits_at(signature.demand(), now));
            }
            let ends = node.holdings.values().filter(|h| h.slot.is_light()).map(|h| h.until.max(now));
            if node.light_free() > 0 { Some(now) } else { ends.min() }
        });
        room.min()
    }

    /// When the stages should be complete that a stage comes after.
    fn stages_end(
        &self,
        now: Now,
        (job, run): (&Job, &JobRun),
        until: usize,
        before_ms: Option<u64>,
    ) -> Option<MonoMs> {
        let begin = now.mono.plus(before_ms?);
        let mut ends: Vec<MonoMs> = Vec::with_capacity(until);
        let last_of = |stage: &Stage, ends: &[MonoMs]| {
            let before = stage.after.iter().filter_map(|at| ends.get(*at as usize));
            before.copied().max().unwrap_or(now.mono)
        };
        for (stage, entered) in job.stages.iter().zip(run.stages.iter()).take(until) {
            let from = last_of(stage, &ends);
            let end = if entered.open == 0 {
                from
            } else {
                let room = if entered.waits == 0 { self.room_at(now.mono, entered.sig)? } else { begin };
                self.stage_end(now, run, (stage, entered), from.max(begin).max(room))
            };
            ends.push(end);
        }
        job.stages.get(until).map(|stage| last_of(stage, &ends))
    }

    /// When a stage should be complete of which what waits starts at `from`.
    fn stage_end(
        &self,
        now: Now,
        run: &JobRun,
        (stage, entered): (&Stage, &StageRun),
        from: MonoMs,
    ) -> MonoMs {
        let live = run.live.range(entered.first..entered.first + entered.count).take(MOST_ENDS);
        let running =
            live.flat_map(|(_, live)| live.iter()).filter_map(|live| self.expected_end(now.mono, live));
        let running = running.max().unwrap_or(now.mono);
        let waiting = entered.open.saturating_sub(entered.live);
        if waiting == 0 { running } else { running.max(from.plus(self.takes_ms(stage, waiting))) }
    }

    /// How long so many tasks of a stage take if they have all that the farm has.
    pub(super) fn takes_ms(&self, stage: &Stage, tasks: u32) -> u64 {
        let left = [Left { stage, open: tasks, running_ms: None, rest_ms: None }];
        path::remaining(&left, self.predictor(), self.fleet.counted_on(), self.fleet.usual_speed()).p50_ms
    }

    /// When an attempt that runs should end: by its own word, or as predicted.
    pub(super) fn expected_end(&self, now: MonoMs, live: &LiveTask) -> Option<MonoMs> {
        let holding = self.fleet.get(&live.worker).and_then(|node| node.holdings.get(&live.attempt));
        let by_itself = live.progress.eta_ms.map(|rest_ms| now.plus(rest_ms));
        by_itself.or_else(|| holding.map(|h| h.until.max(now)))
    }

    /// What is known of an attempt that its worker holds ahead.
    pub(super) fn sent(&self, now: Now, task: TaskId, live: &LiveTask) -> Sent {
        let (worker, attempt) = (live.worker, live.attempt);
        let place = self.sent_place(now.mono, worker, attempt);
        let (before, at) = place.map_or((0, None), |(before, at)| (before, Some(at)));
        Sent {
            task,
            attempt,
            worker,
            because: live.because,
            before,
            is_recalled: self.ahead.find(worker, attempt).is_some_and(|entry| entry.is_recalled),
            start: at.map(|at| start(now, at, Assumes::Worker)),
        }
    }

    fn sent_place(&self, now: MonoMs, worker: WorkerId, attempt: AttemptId) -> Option<(u32, MonoMs)> {
        let node = self.fleet.get(&worker)?;
        self.ahead.start_of((worker, node), attempt, now, |entry| {
            let task = entry.holding.task;
            let job = self.state.jobs.get(&task.job);
            job.map_or(0, |job| node.expected_ms(job.stage_of(task.index).1.prediction.wall_ms))
        })
    }
}

/// A part of some work.
fn share(load: Load, part: u64, all: u64) -> Load {
    let of = |ms: u64| {
        let of = u128::from(ms) * u128::from(part.min(all)) / u128::from(all.max(1));
        u64::try_from(of).unwrap_or(u64::MAX)
    };
    Load { cores_ms: of(load.cores_ms), light_ms: of(load.light_ms) }
}

fn start(now: Now, at: MonoMs, assumes: Assumes) -> Start {
    Start { at: WallMs(now.wall.0.saturating_add(at.since(now.mono))), assumes }
}

//! Stops running work for emergencies that fit nowhere: the cheapest set on one node whose end makes room, and none where
//! that room would not be used. A turn stops a bounded number of sets; where more is wanted, the next turn goes on at once.

mod rooms;
mod search;

use std::collections::BTreeSet;

use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};

use super::run::JobRun;
use super::{Engine, Timer, Turn};
use crate::event::Decision;
use crate::job::Stopped;
use crate::order::signature::{Closed, SigIx};
use crate::order::{LOOK_PAST, Pick};
use rooms::Room;
use search::{Found, Stop};

pub(super) use rooms::Rooms;

/// Tasks for which room is made in one turn.
const MOST_STOPS: u32 = 16;
/// Jobs of each tenant and kind that are looked at from the head of the emergency lane, and all of them together.
const MOST_HEADS: usize = 64;
const MOST_LOOKED_AT: usize = 256;
/// Kinds of tasks in the lane for which room is looked for in one turn, and as many of those that avoid some nodes; the
/// next turn goes on with the others.
const MOST_KINDS: usize = 32;

impl Engine {
    /// Stops the work that is cheapest to lose for tasks of emergencies that fit nowhere.
    pub(super) fn preempt_for_emergencies(&mut self, turn: &mut Turn) {
        let mut most = MOST_STOPS;
        if self.order.has_emergencies() {
            most = self.make_rooms_in_line(turn, most);
        }
        for (sig, avoided) in self.aside.next_emergencies(MOST_KINDS) {
            most = self.make_rooms_aside(turn, sig, &avoided, most);
        }
        if most == 0 {
            self.wake_at(turn.now.mono.plus(1), Timer::Rest);
        }
    }

    /// Makes room for emergencies in the order of their lane, kind by kind, on from where the last turn had to end; at most
    /// for so many tasks, and how many more there may be.
    fn make_rooms_in_line(&mut self, turn: &mut Turn, mut most: u32) -> u32 {
        let (short_of_room, mut end) = self.short_of_room();
        // Jobs that need the same come one after the other, and are looked for once.
        let mut found: Option<(SigIx, Found)> = None;
        let mut kinds = 0;
        for (job, sig) in short_of_room {
            if most == 0 {
                break;
            }
            self.set_aside_first(job, sig);
            let lacks = self.lacks_room(job, sig).min(most);
            if lacks == 0 {
                continue;
            }
            if found.as_ref().is_none_or(|(other, _)| *other != sig) {
                if kinds == MOST_KINDS {
                    end = found.map(|(last, _)| last);
                    break;
                }
                kinds += 1;
                found = Some((sig, self.cheapest_to_lose(turn.now.mono, sig, most as usize, &[])));
            }
            let Some((_, found)) = &mut found else { continue };
            let rooms = (0..lacks).take_while(|_| self.make_room(turn, (job, sig, None), found));
            most -= u32::try_from(rooms.count()).unwrap_or(0);
        }
        self.rooms.looked_to = end;
        most
    }

    /// Makes room for emergencies that were set aside, as they avoid these nodes; at most for so many in this turn, and how
    /// many more there may be.
    fn make_rooms_aside(&mut self, turn: &mut Turn, sig: SigIx, avoided: &[WorkerId], most: u32) -> u32 {
        if matches!(self.order.sigs.why_closed(sig), Some(Closed::Limit(_) | Closed::Nowhere)) || most == 0 {
            return most;
        }
        let waits = |task: &&TaskId| self.may_start(task.job) && !self.rooms.is_for(**task);
        let tasks: Vec<TaskId> =
            self.aside.like(sig, avoided).filter(waits).take(most as usize).copied().collect();
        if tasks.is_empty() {
            return most;
        }
        let mut found = self.cheapest_to_lose(turn.now.mono, sig, tasks.len(), avoided);
        let mut made = 0;
        for task in tasks {
            if self.may_have(task.job, &self.runs[&task.job]) == 0 {
                continue;
            }
            if !self.make_room(turn, (task.job, sig, Some(task)), &mut found) {
                break;
            }
            made += 1;
        }
        most - made
    }

    /// Makes room for one task where the least is lost of what was found. Whether there is any.
    fn make_room(
        &mut self,
        turn: &mut Turn,
        (by, sig, task): (JobId, SigIx, Option<TaskId>),
        found: &mut Found,
    ) -> bool {
        let Some(stop) = found.take() else { return false };
        let worker = stop.worker;
        self.stop_for(turn, (by, sig, task), stop);
        self.look_again_at(turn.now.mono, sig, worker, found);
        true
    }

    fn stop_for(&mut self, turn: &mut Turn, (by, sig, task): (JobId, SigIx, Option<TaskId>), stop: Stop) {
        let Stop { worker, attempts, wanted, .. } = stop;
        // What waits there would take the room, and so would what it is kept for.
        self.recall_all(turn, worker);
        let light = self.order.sigs.get(sig).slot.is_light();
        let kept = self.fleet.get(&worker).and_then(|node| node.reserved);
        if kept.is_some_and(|(kept_for, _)| kept_for != sig && !light) {
            self.fleet.unreserve_node(worker);
        }
        if attempts.len() > 1 {
            // The first that is gone leaves room for what is smaller.
            self.fleet.change(worker, |node| node.is_clearing = true);
        }
        let limits =
            self.state.jobs[&by].spec.needs.as_ref().map(|needs| needs.limits.keys().cloned().collect());
        let left = if attempts.is_empty() {
            let stopped = self.rooms.on(worker).flat_map(|room| room.left.iter().copied());
            let waits = self.ahead.line(worker, light);
            stopped.chain(waits.map(|entry| entry.attempt)).collect()
        } else {
            attempts.iter().map(|(attempt, _)| *attempt).collect()
        };
        let tenant = self.runs[&by].tenant;
        self.rooms.enter(Room {
            by,
            sig,
            task,
            tenant,
            limits: limits.unwrap_or_default(),
            worker,
            wanted,
            left,
        });
        for (attempt, task) in attempts {
            self.stop_attempt(turn, worker, attempt);
            let live = self.take_live(worker, task, attempt).expect("what may be stopped is live");
            let lost_ms = turn.now.wall.0.saturating_sub(live.since.0);
            self.refund(task, &live);
            let lost_permille = live.progress.permille.min(1_000);
            self.note_stopped(task, Stopped::once(task, worker, by, lost_ms, turn.now.wall));
            let decision = Decision::Preempted { task, worker, by, lost_ms, lost_permille };
            self.decided(turn, Some(task.job), decision);
            self.make_ready(turn.now.mono, task);
            self.came_back(turn, task);
            self.wake_for_promise(turn.now, task.job, 1);
        }
    }

    /// Keeps in mind what was stopped of a job, for those who look at it.
    fn note_stopped(&mut self, task: TaskId, stopped: Stopped) {
        let Some(run) = self.runs.get_mut(&task.job) else { return };
        let rare = run.rare_mut();
        let before = rare.stopped.take();
        rare.stopped = Some(Box::new(before.map_or(stopped.clone(), |before| stopped.after(&before))));
    }

    /// What emergencies need for which room is being made, or wanted: what was sent ahead meanwhile to where they may go
    /// would take it.
    pub(super) fn awaited_by_emergencies(&self) -> BTreeSet<SigIx> {
        let mut awaited: BTreeSet<SigIx> = self.rooms.sigs().collect();
        for (sig, avoided) in self.aside.emergencies().take(MOST_KINDS) {
            let mut tasks = self.aside.like(sig, avoided).take(LOOK_PAST);
            if tasks.any(|task| self.may_start(task.job)) {
                awaited.insert(sig);
            }
        }
        if self.order.has_emergencies() {
            let wants = |(job, sig): &(JobId, SigIx)| self.ready_for_room(*job, *sig) > 0;
            awaited.extend(self.heads(None).filter(wants).map(|(_, sig)| sig));
        }
        awaited
    }

    /// Whether a job is in the queue, or would be if it had a task ready.
    pub(super) fn may_start(&self, job: JobId) -> bool {
        self.runs.get(&job).is_some_and(|run| run.spot.is_some())
    }

    /// Jobs of the emergency lane for whose tasks room is to be made, of a bounded number that is looked at; and the kind
    /// of the last one where there are more.
    fn short_of_room(&self) -> (Vec<(JobId, SigIx)>, Option<SigIx>) {
        let heads: Vec<_> = self.heads(self.rooms.looked_to).collect();
        let end = heads.last().filter(|_| heads.len() == MOST_LOOKED_AT).map(|(_, sig)| *sig);
        let lacks = |(job, sig): &(JobId, SigIx)| self.lacks_room(*job, *sig) > 0;
        (heads.into_iter().filter(lacks).collect(), end)
    }

    fn heads(&self, behind: Option<SigIx>) -> impl Iterator<Item = (JobId, SigIx)> + '_ {
        self.order.emergencies(MOST_HEADS, behind).take(MOST_LOOKED_AT)
    }

    /// Sets tasks of a job aside that are next and avoid some nodes, so that room is made for each where it may go.
    fn set_aside_first(&mut self, job: JobId, sig: SigIx) {
        for _ in 0..MOST_STOPS {
            let Some(index) = self.peek(Pick { job, sig }) else { return };
            let task = TaskId { job, index };
            if !self.awaits_another_node(sig, task) {
                return;
            }
            self.park(task);
        }
    }

    /// Tasks of a job in the emergency lane that would start if there were room.
    fn ready_for_room(&self, job: JobId, sig: SigIx) -> u32 {
        if self.order.sigs.why_closed(sig) != Some(&Closed::Full) {
            return 0;
        }
        self.runs[&job].stages.iter().filter(|s| s.sig == sig).map(|s| s.ready).sum()
    }

    /// For how many of them room is to be made that is not being made yet.
    fn lacks_room(&self, job: JobId, sig: SigIx) -> u32 {
        let lacks = self.ready_for_room(job, sig).saturating_sub(self.rooms.of(job, sig));
        if lacks == 0 { 0 } else { lacks.min(self.may_have(job, &self.runs[&job])) }
    }

    /// For how many more tasks of a job room may be made: no more than the tenant's cap and named limits let start, less
    /// what is being made for others under the same.
    fn may_have(&self, job: JobId, run: &JobRun) -> u32 {
        let tenant = self.tenants.at(run.tenant);
        let cap = tenant.limits.max_running.saturating_sub(tenant.running);
        let mut most = cap.saturating_sub(self.rooms.of_tenant(run.tenant));
        // One whose attempts all fail is tried a task at a time.
        if run.rare().is_held_back {
            most = most.min(1_u32.saturating_sub(self.rooms.of_job(job)));
        }
        let needs = self.state.jobs.get(&job).and_then(|job| job.spec.needs.as_ref());
        for (name, count) in needs.iter().flat_map(|needs| &needs.limits) {
            let Some(limit) = self.state.limits.get(name) else { continue };
            let held = self.limits_held.get(name).copied().unwrap_or(0);
            let free = limit.saturating_sub(held) / (*count).max(1);
            most = most.min(free.saturating_sub(self.rooms.of_limit(name)));
        }
        most
    }

    /// An attempt does not take room any more that may have been stopped for an emergency.
    pub(super) fn note_gone(&mut self, worker: WorkerId, attempt: AttemptId) {
        let is_clear = self.rooms.gone(attempt) && self.rooms.on(worker).next().is_none();
        if is_clear && self.fleet.get(&worker).is_some_and(|node| node.is_clearing) {
            self.fleet.change(worker, |node| node.is_clearing = false);
        }
    }
}

//! Sends tasks ahead: a worker holds its next tasks before the running ones end, so that no slot waits for a round trip.
//!
//! An attempt that was sent ahead is in its task's live set like any other, takes no room, and is not said to run. The
//! worker starts such attempts as room becomes free, in the order in which they were sent; the engine follows by the same
//! rule when it hears what made the room, and at the latest when it hears of the attempt itself. A recall asks the
//! worker to give an attempt back. It may cross the start; the worker's answer, which names the attempt, settles that.

mod recall;

use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::job::Class;
use rushes_shared::units::MonoMs;
use rushes_shared::wire::AheadOffer;

use super::{Engine, Turn};
use crate::event::LinkId;
use crate::explain::Because;
use crate::job::LiveTask;
use crate::order::Spot;
use crate::order::signature::{Closed, SigIx};
use crate::placement::ahead::{Entry, Found, LAST, Want};
use crate::placement::node::{Holding, Node};

impl Engine {
    /// A worker says how much it holds ahead.
    pub(super) fn ahead_offered(&mut self, turn: &Turn, worker: WorkerId, link: LinkId, offer: AheadOffer) {
        self.renew_lease(turn.now, worker, link);
        if self.fleet.get(&worker).is_some_and(|n| n.link == Some(link)) {
            self.ahead.offer(worker, offer);
        }
    }

    /// A worker has given an attempt back that it had not started.
    pub(super) fn task_recalled(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        task: TaskId,
        attempt: AttemptId,
    ) {
        let since = self.ahead.find(worker, attempt).map_or(turn.now.mono, |entry| entry.since);
        let held = self.free(worker, attempt);
        if let Some(other) = held.map(|h| h.task).filter(|held| *held != task) {
            return self.is_confused(turn, worker, other, attempt);
        }
        self.back_untried(turn, worker, (task, attempt), since);
    }

    /// Queues a task again of whose attempt nothing was done, if it still counts, as if it had never been sent.
    pub(super) fn back_untried(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        (task, attempt): (TaskId, AttemptId),
        since: MonoMs,
    ) {
        let Some(live) = self.take_live(worker, task, attempt) else { return };
        self.refund(task, &live);
        self.make_ready(since, task);
        self.came_back(turn, task);
    }

    /// Takes back what a tenant and a class were charged for an attempt of which they have nothing.
    pub(super) fn refund(&mut self, task: TaskId, live: &LiveTask) {
        // One that was adopted was charged in the reign before.
        if live.because == Because::Held {
            return;
        }
        let (run, job) = (&self.runs[&task.job], &self.state.jobs[&task.job]);
        let cost_ms = job.stage_of(task.index).1.prediction.cpu_ms;
        self.order.refund(job.spec.class, run.tenant, run.priority, cost_ms);
    }

    /// A task is ready again after an attempt that counts for nothing: where all of its stage is back and none of it was
    /// tried, what the stage gave up may change again.
    pub(super) fn came_back(&mut self, turn: &mut Turn, task: TaskId) {
        if let Some((run, job)) = self.runs.get_mut(&task.job).zip(self.state.jobs.get(&task.job)) {
            let is_tried = |index: u32| {
                job.tasks
                    .get(index as usize)
                    .is_none_or(|task| task.success.is_some() || task.trouble.is_some())
            };
            run.stage_of(task.index).begin_anew(is_tried);
        }
        self.undo_if_late(turn, task.job);
    }

    /// What was given up for a deadline that is past saving is taken back, where it can be now.
    pub(super) fn undo_if_late(&mut self, turn: &mut Turn, id: JobId) {
        if self.state.jobs.get(&id).is_some_and(|job| job.late.is_some() && job.has_trades()) {
            self.undo_all_trades(turn, id);
        }
    }

    /// A task is ready again after its delay.
    pub(super) fn retry_due(&mut self, turn: &mut Turn, task: TaskId) {
        self.make_ready(turn.now.mono, task);
        self.came_back(turn, task);
    }

    /// An attempt waits on its worker from now on.
    fn enter_ahead(&mut self, worker: WorkerId, entry: Entry) {
        self.ahead.enter(worker, entry);
        self.fleet.set_lined(worker, self.ahead.lined(worker));
    }

    /// An attempt waits on its worker no longer.
    pub(super) fn take_ahead(&mut self, worker: WorkerId, attempt: AttemptId) -> Option<Entry> {
        let entry = self.ahead.take(worker, attempt)?;
        self.fleet.set_lined(worker, self.ahead.lined(worker));
        // It may have stood before an emergency there.
        self.note_gone(worker, attempt);
        Some(entry)
    }

    /// What waits of a job on workers is as urgent as the job is now.
    pub(super) fn rerank_ahead(&mut self, job: JobId) {
        if let Some(run) = self.runs.get(&job).filter(|run| run.live.ahead() > 0) {
            let waiting = run.live.values().flatten().filter(|live| live.is_ahead);
            let workers = waiting.map(|live| live.worker).collect();
            self.ahead.rerank(job, &workers, rank_of(run.spot));
        }
    }

    /// Takes what an attempt of a reign before needs. Where that is not free, another one that the worker names has ended
    /// and was not heard of, and this one is counted once that is; whether it is so.
    pub(super) fn adopt_holding(
        &mut self,
        now: MonoMs,
        worker: WorkerId,
        attempt: AttemptId,
        task: TaskId,
    ) -> bool {
        let holding = self.holding_of(now, worker, task, self.prefers_hardware(task));
        self.count_holding(&holding);
        let node = self.fleet.get(&worker).expect("the worker has just been entered");
        if node_fits(node, &holding) {
            self.fleet.hold(worker, attempt, holding);
            return false;
        }
        let run = self.runs.get_mut(&task.job).expect("a live job has a run");
        let sig = run.stage_of(task.index).sig;
        run.live.count_ahead();
        let entry = Entry { attempt, sig, rank: LAST, since: now, holding, is_recalled: false };
        self.enter_ahead(worker, entry);
        true
    }

    /// Follows the workers on which room became free: what they have started of what they hold ahead runs.
    pub(super) fn follow_starts(&mut self, turn: &mut Turn) {
        while let Some(worker) = self.freed.pop_first() {
            while let Some(node) = self.fleet.get(&worker)
                && let Some(attempt) = self.ahead.next_to_start(worker, node)
            {
                self.promote(turn, worker, attempt);
            }
            self.open_for(worker);
        }
    }

    /// An attempt that waited on its worker for room runs, if it did wait. Where the room is not free yet, because what
    /// made it was not heard of, it is counted once that is.
    pub(super) fn promote(&mut self, turn: &mut Turn, worker: WorkerId, attempt: AttemptId) {
        let Some(entry) = self.ahead.find(worker, attempt) else { return };
        let Some(node) = self.fleet.get(&worker) else { return };
        if !node_fits(node, &entry.holding) {
            return;
        }
        let Some(Entry { holding, since, .. }) = self.take_ahead(worker, attempt) else { return };
        let task = holding.task;
        let queued_ms = turn.now.mono.since(since);
        let wall_ms = self.state.jobs.get(&task.job).map(|j| j.stage_of(task.index).1.prediction.wall_ms);
        let takes_ms = self.fleet.get(&worker).map_or(0, |node| node.expected_ms(wall_ms.unwrap_or(0)));
        let until = turn.now.mono.plus(takes_ms);
        let (slot, wanted) = (holding.slot, holding.demand);
        let is_emergency = self.is_emergency(task.job);
        let met = self.fleet.hold(
            worker,
            attempt,
            Holding { since: turn.now.mono, until, is_emergency, ..holding },
        );
        // It was counted as it was sent, before the node may have become smaller.
        if let Some(run) = self.runs.get_mut(&task.job) {
            run.live.count(slot, wanted, false);
            run.live.count(slot, met, true);
        }
        let ran = self.runs.get(&task.job).is_some_and(|run| run.has_running(task.index));
        let Some(live) = self.live_mut(worker, task, attempt) else {
            return self.fleet.change_holding(worker, attempt, |holding| holding.is_ending = true);
        };
        (live.is_ahead, live.since, live.queued_ms) = (false, turn.now.wall, queued_ms);
        self.runs.get_mut(&task.job).expect("a live attempt has a run").live.uncount_ahead(1);
        self.note_running(task, ran, true);
        self.note_start(turn, task, (worker, attempt), queued_ms);
    }

    /// An attempt ends of which nothing was heard before, not even that there was room for it.
    pub(super) fn ended_ahead(&mut self, turn: &mut Turn, worker: WorkerId, attempt: AttemptId) {
        self.promote(turn, worker, attempt);
        let Some((task, since)) = self.ahead.find(worker, attempt).map(|e| (e.holding.task, e.since)) else {
            return;
        };
        let queued_ms = turn.now.mono.since(since);
        let Some(live) = self.live_mut(worker, task, attempt) else { return };
        (live.since, live.queued_ms) = (turn.now.wall, queued_ms);
        self.note_start(turn, task, (worker, attempt), queued_ms);
    }

    /// Fills up what workers hold ahead, in the order of the queue, from what fits nowhere now. Then looks whether what is
    /// ahead could start sooner elsewhere.
    pub(super) fn prefetch(&mut self, turn: &mut Turn) {
        if self.ahead.is_unused() {
            return;
        }
        self.send_ahead(turn);
        self.recall_for_idle(turn);
    }

    fn send_ahead(&mut self, turn: &mut Turn) {
        let emergencies = self.awaited_by_emergencies();
        let has_emergencies = !emergencies.is_empty();
        // Room that is waited for by what waits on no worker: nothing is sent there that would have it first.
        let mut awaited: Vec<(SigIx, Vec<WorkerId>)> =
            emergencies.into_iter().map(|sig| (sig, Vec::new())).chain(self.awaited_aside()).collect();
        let mut passed: Vec<SigIx> = Vec::new();
        loop {
            let may = |e: &Self, sig: SigIx| {
                e.order.sigs.queued(sig) > 0
                    && e.order.sigs.why_closed(sig) == Some(&Closed::Full)
                    && !passed.contains(&sig)
            };
            // Nothing that has to wait: this costs a look at the signatures that are closed.
            if !self.order.sigs.closed().any(|(sig, ..)| may(self, sig)) {
                return;
            }
            let Some(pick) = self.pick(may) else { return };
            let Some(index) = self.peek(pick) else { return };
            let task = TaskId { job: pick.job, index };
            let run = &self.runs[&pick.job];
            let (job, rank) = (&self.state.jobs[&pick.job], rank_of(run.spot));
            let is_troubled = job.tasks[index as usize].trouble.is_some();
            // Emergencies have work stopped for them instead.
            if rank == 0 || self.limit_reached(pick.job).is_some() {
                passed.push(pick.sig);
                continue;
            }
            let (_, stage) = job.stage_of(index);
            let signature = self.order.sigs.get(pick.sig);
            let (kind, wall_ms, now) = (stage.step.kind(), stage.prediction.wall_ms, turn.now.mono);
            let want = Want { signature, kind, demand: stage.demand, wall_ms };
            let (rooms, sigs) = (&self.rooms, &self.order.sigs);
            // A task that has failed is placed with care; whether an encoder is free, and a limit, is known where it starts.
            if is_troubled || self.prefers_hardware(task) || !signature.needs.limits.is_empty() {
                let bad = job.tasks[index as usize].trouble.as_ref();
                let avoided = bad.map_or_else(Vec::new, |trouble| trouble.bad_on.iter().copied().collect());
                awaited.push((pick.sig, avoided));
                passed.push(pick.sig);
                continue;
            }
            let is_awaited = |(sig, avoided): &(SigIx, Vec<WorkerId>), id: WorkerId, node: &Node| {
                node.can_do(sigs.get(*sig)) && !avoided.contains(&id)
            };
            let may = |id, node: &Node| {
                !rooms.is_on(id) && !awaited.iter().any(|awaited| is_awaited(awaited, id, node))
            };
            match self.ahead.worker_for(&self.fleet, now, &want, may) {
                Found::On(worker) => self.start_ahead(turn, pick.sig, task, worker),
                Found::Sooner => passed.push(pick.sig),
                Found::None => {
                    passed.push(pick.sig);
                    let is_new = !run.touched && run.live.is_empty() && !has_emergencies;
                    if is_new
                        && let Some((worker, attempt)) = self.ahead.less_urgent(&self.fleet, now, &want, rank)
                    {
                        self.recall(turn, worker, attempt);
                    }
                }
            }
        }
    }

    fn start_ahead(&mut self, turn: &mut Turn, sig: SigIx, task: TaskId, worker: WorkerId) {
        let rank = rank_of(self.runs[&task.job].spot);
        let since = self.take_ready(sig, task);
        let attempt = self.next_attempt();
        let holding = self.holding_of(turn.now.mono, worker, task, false);
        self.count_holding(&holding);
        let entry = Entry { attempt, sig, rank, since, holding: holding.clone(), is_recalled: false };
        self.enter_ahead(worker, entry);
        self.runs.get_mut(&task.job).expect("a live job has a run").live.count_ahead();
        let mut live = self.live_of(turn, attempt, (worker, Because::SoonestRoom), 0);
        live.is_ahead = true;
        self.add_live(task, live);
        self.send_order(turn, task, (worker, attempt), holding.demand, None);
    }
}

/// How urgent the first job is that only its class decides on.
const RANK_CLASSES: u8 = 2;

fn node_fits(node: &Node, holding: &Holding) -> bool {
    node.fits(holding.slot, holding.demand)
}

/// How urgent a job is by where it stands; lower is sooner.
fn rank_of(spot: Option<Spot>) -> u8 {
    match spot {
        Some(Spot::Emergency(..)) => 0,
        Some(Spot::AtRisk(..)) => 1,
        Some(Spot::Fair(Class::Premium | Class::Emergency, ..)) => 2,
        Some(Spot::Fair(Class::Standard, ..) | Spot::Plain(..)) => 3,
        Some(Spot::Fair(Class::Bulk, ..)) => 4,
        Some(Spot::Wide(..)) | None => LAST,
    }
}

//! Starts what can start, in the order of the queue. Every turn ends with it; where nothing is queued that could start,
//! it costs nothing.

mod within_job;

use std::sync::Arc;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::task::{Delivery, Demand, Progress, TaskOrder, Usage};
use rushes_shared::units::{MonoMs, Now};

use super::hardware::prefers_hardware;
use super::{Engine, Turn};
use crate::event::{Command, FarmNews};
use crate::explain::Because;
use crate::job::LiveTask;
use crate::order::Pick;
use crate::order::signature::{Closed, SigIx};
use crate::placement::node::Node;

/// Nodes among which a task that fits nowhere looks for the one where it fits soonest.
const MOST_RESERVE_LOOKS: usize = 32;

/// Where a task can go now.
enum Place {
    /// There.
    On((WorkerId, Because)),
    /// Nowhere: tasks like it have to wait.
    Closed(Closed),
    /// It avoids nodes on which it failed and waits for another; tasks like it may pass.
    Awaits,
}

impl Engine {
    pub(super) fn dispatch(&mut self, turn: &mut Turn) {
        self.mind_tightness(turn);
        self.drop_idle_reservations();
        self.follow_starts(turn);
        self.go_on_with_round(turn);
        self.start_all(turn);
        self.prefetch(turn);
        self.preempt_for_emergencies(turn);
    }

    fn start_all(&mut self, turn: &mut Turn) {
        // Signatures whose room is kept for something more urgent that comes back from a worker.
        let mut kept: Vec<SigIx> = Vec::new();
        while self.order.sigs.any_ready() {
            let may = |e: &Self, sig: SigIx| e.order.sigs.is_open(sig) && !kept.contains(&sig);
            let Some(pick) = self.pick(may) else { return };
            self.reserve_ahead_of(turn.now.mono, pick);
            let Some(index) = self.peek(pick) else {
                // Nothing of it is ready: the queue and the run would disagree for ever.
                unreachable!("{} is queued without a ready task", pick.job)
            };
            let task = TaskId { job: pick.job, index };
            match self.place(turn.now, pick.sig, task) {
                Place::On((worker, _)) if self.asks_back_for(turn, pick, worker) => kept.push(pick.sig),
                Place::On(to) => {
                    self.start(turn, pick.sig, task, to);
                    // To know that by a look at the index is cheaper than by trying the next task.
                    if self.fleet.is_full(&self.order.sigs, pick.sig) {
                        self.close(turn, pick.sig, Closed::Full);
                    }
                }
                Place::Closed(why) => self.close(turn, pick.sig, why),
                Place::Awaits => self.park(task),
            }
        }
    }

    fn close(&mut self, turn: &mut Turn, sig: SigIx, why: Closed) {
        if why == Closed::Full {
            self.clear_line_for(turn, sig);
        }
        self.order.sigs.close(sig, why);
    }

    fn place(&mut self, now: Now, sig: SigIx, task: TaskId) -> Place {
        if let Some(name) = self.limit_reached(task.job) {
            return Place::Closed(Closed::Limit(name.to_owned()));
        }
        if !self.fleet.is_able(&mut self.order.sigs, sig) {
            return Place::Closed(Closed::Nowhere);
        }
        loop {
            let Some(to) = self.node_for(now.mono, sig, task) else {
                if self.takes_what_is_kept(sig, task) {
                    continue;
                }
                return self.why_not(sig, task);
            };
            let worker = to.0;
            let node = self.fleet.get(&worker).expect("the index knows only nodes that are there");
            if node.lease_until > now.mono {
                return Place::On(to);
            }
            // It may be hung and has to show itself first.
            self.fleet.change(worker, |node| node.lapsed = true);
            if !self.fleet.is_able(&mut self.order.sigs, sig) {
                return Place::Closed(Closed::Nowhere);
            }
        }
    }

    /// The node for a task: the one that is kept for its like, one that has the input, the fastest and freest, or one
    /// that is kept for a large task which this one does not delay.
    fn node_for(&self, now: MonoMs, sig: SigIx, task: TaskId) -> Option<(WorkerId, Because)> {
        let (job, run) = (&self.state.jobs[&task.job], &self.runs[&task.job]);
        let entry = &job.tasks[task.index as usize];
        let signature = self.order.sigs.get(sig);
        let (slot, demand) = (signature.slot, signature.demand());
        let wall_ms = job.stage_of(task.index).1.prediction.wall_ms;
        let avoids = self.awaits_another_node(sig, task);
        let not = |id: WorkerId| avoids && entry.is_bad_on(id);
        let suits = |id: &WorkerId| {
            let node = self.fleet.get(id)?;
            let in_time = |from| now.plus(node.expected_ms(wall_ms)) <= from;
            let is_free = node
                .reserved
                .is_none_or(|(kept_for, from)| kept_for == sig || slot.is_light() || in_time(from));
            let suits = is_free && node.is_open() && node.can_do(signature) && node.takes(slot, demand);
            (suits && !not(*id)).then_some((node.cpu_free(), *id))
        };
        let because = |why| move |id| (id, why);
        let kept = self.fleet.reserved_for(sig).filter(|id| suits(id).is_some());
        let is_fast = |id: &&WorkerId| self.fleet.get(id).is_some_and(|n| !n.slow);
        let near = || run.rare().input_on.iter().filter(is_fast).filter_map(suits).max().map(|(_, id)| id);
        let found = || self.fleet.find(&self.order.sigs, sig, not);
        let filled = || self.fleet.reservations().find_map(|(_, id)| suits(&id)).map(|(_, id)| id);
        let has_none = |id: WorkerId| not(id) || self.encoder_for(id, task).is_none();
        let in_hardware = || {
            let wants_it = prefers_hardware(job, task.index);
            wants_it.then(|| self.fleet.find(&self.order.sigs, sig, has_none)).flatten()
        };
        kept.map(because(Because::Reserved))
            .or_else(|| in_hardware().map(because(Because::HasEncoder)))
            .or_else(|| near().map(because(Because::HasInput)))
            .or_else(|| found().map(because(self.fleet.why_found(&self.order.sigs, sig))))
            .or_else(|| filled().map(because(Because::Backfill)))
    }

    /// Has a node with room for the task kept no longer for others that come after it. Whether there was one.
    fn takes_what_is_kept(&mut self, sig: SigIx, task: TaskId) -> bool {
        let spot = self.runs[&task.job].spot;
        let entry = &self.state.jobs[&task.job].tasks[task.index as usize];
        let (signature, avoids) = (self.order.sigs.get(sig), self.awaits_another_node(sig, task));
        let suits = |id: &WorkerId| {
            let node = self.fleet.get(id);
            let is_free = |node: &Node| {
                node.is_open() && node.can_do(signature) && node.takes(signature.slot, signature.demand())
            };
            node.is_some_and(is_free) && !(avoids && entry.is_bad_on(*id))
        };
        let may_take = |kept_for: SigIx| kept_for != sig && self.order.may_take_from(spot, kept_for);
        let found = self.fleet.reservations().find(|(kept_for, id)| may_take(*kept_for) && suits(id));
        let Some((kept_for, worker)) = found else { return false };
        self.fleet.unreserve(kept_for);
        self.open_for(worker);
        true
    }

    /// Whether every open node that could do the task is one that it avoids.
    fn is_only_one(&self, sig: SigIx, entry: &crate::job::Task) -> bool {
        let bad = entry.trouble.as_ref().map_or(0, |t| t.bad_on.len());
        let able = self.fleet.able(self.order.sigs.get(sig), bad + 1);
        able.iter().all(|id| entry.is_bad_on(*id))
    }

    fn why_not(&self, sig: SigIx, task: TaskId) -> Place {
        if self.awaits_another_node(sig, task) { Place::Awaits } else { Place::Closed(Closed::Full) }
    }

    /// Whether a task avoids nodes on which it failed, and there are others that could do it.
    pub(super) fn awaits_another_node(&self, sig: SigIx, task: TaskId) -> bool {
        let entry = &self.state.jobs[&task.job].tasks[task.index as usize];
        entry.has_bad_nodes() && !self.is_only_one(sig, entry)
    }

    /// Keeps a node for the job at the head of the queue, if its task fits nowhere yet and `pick` would overtake it.
    fn reserve_ahead_of(&mut self, now: MonoMs, pick: Pick) {
        if self.order.sigs.get(pick.sig).slot.is_light() {
            return;
        }
        let most = self.policy.order.max_reservations;
        while self.fleet.reservations().count() < most {
            let waits = |e: &Self, sig: SigIx| {
                let sigs = &e.order.sigs;
                let is_large = !sigs.get(sig).slot.is_light() && sigs.why_closed(sig) == Some(&Closed::Full);
                sig == pick.sig || (is_large && e.fleet.reserved_for(sig).is_none())
            };
            let Some(ahead) = self.pick(waits).filter(|p| p.sig != pick.sig) else { return };
            if !self.reserve(now, ahead.sig) {
                return;
            }
        }
    }

    /// Keeps the node on which tasks of this signature fit soonest. Whether there is one.
    fn reserve(&mut self, now: MonoMs, sig: SigIx) -> bool {
        let signature = self.order.sigs.get(sig);
        let able = self.fleet.able(signature, MOST_RESERVE_LOOKS);
        let free = able.into_iter().filter_map(|id| {
            let node = self.fleet.get(&id).filter(|n| n.reserved.is_none())?;
            Some((node.fits_at(signature.demand(), now), id))
        });
        let Some((from, id)) = free.min() else { return false };
        self.fleet.reserve(sig, id, from);
        true
    }

    /// A node is not kept for a signature of which nothing waits any more that may start, or that it cannot do any more.
    fn drop_idle_reservations(&mut self) {
        let caps_reached = std::mem::take(&mut self.caps_reached);
        let kept: Vec<(SigIx, WorkerId)> = self.fleet.reservations().collect();
        for (sig, worker) in kept {
            let why = self.order.sigs.why_closed(sig);
            let waits_for_room = matches!(why, None | Some(Closed::Full));
            let suits = self.fleet.get(&worker).is_some_and(|node| node.can_do(self.order.sigs.get(sig)));
            // Only then may what is queued be of tenants that may start nothing, which takes a look at the queue to know.
            let may_be_idle = self.order.sigs.take_has_left(sig) | caps_reached;
            let waits = self.order.sigs.queued(sig) > 0
                && (!may_be_idle || self.order.pick(|other| other == sig).is_some());
            if waits_for_room && suits && waits {
                continue;
            }
            self.fleet.unreserve(sig);
            self.open_for(worker);
        }
    }

    fn start(&mut self, turn: &mut Turn, sig: SigIx, task: TaskId, to: (WorkerId, Because)) {
        let since = self.take_ready(sig, task);
        if self.fleet.reserved_for(sig) == Some(to.0) {
            self.fleet.unreserve(sig);
        }
        self.launch(turn, task, to, since);
    }

    /// Takes a task out of the queue, to be sent; since when it was ready.
    pub(super) fn take_ready(&mut self, sig: SigIx, task: TaskId) -> MonoMs {
        let run = self.runs.get_mut(&task.job).expect("a live job has a run");
        let stage = run.stage_of(task.index);
        let since = stage.ready_since(task.index);
        let kind = stage.kind;
        stage.take(task.index);
        self.ready.sub(kind, 1);
        let (spot, tenant, priority) = (run.spot, run.tenant, run.priority);
        if !run.has_ready(sig) {
            self.file(task.job, sig);
        }
        let job = &self.state.jobs[&task.job];
        let (cost, class) = (job.stage_of(task.index).1.prediction.cpu_ms, job.spec.class);
        if let Some(spot) = spot {
            self.order.charge(spot, class, tenant, priority, cost);
        }
        since
    }

    pub(super) fn next_attempt(&mut self) -> AttemptId {
        self.attempts += 1;
        AttemptId { epoch: self.state.epoch, counter: self.attempts }
    }

    /// Sends an attempt at a task to a worker that has room for it.
    pub(super) fn launch(&mut self, turn: &mut Turn, task: TaskId, to: (WorkerId, Because), since: MonoMs) {
        let worker = to.0;
        let attempt = self.next_attempt();
        let encoder = self.encoder_for(worker, task);
        let demand = self.hold(turn.now.mono, worker, attempt, task, encoder.is_some());
        let queued_ms = turn.now.mono.since(since);
        let mut live = self.live_of(turn, attempt, to, queued_ms);
        live.encoder.clone_from(&encoder);
        self.add_live(task, live);
        if self.send_order(turn, task, (worker, attempt), demand, encoder) {
            self.note_start(turn, task, (worker, attempt), queued_ms);
        }
    }

    /// A live attempt that begins now.
    pub(super) fn live_of(
        &self,
        turn: &Turn,
        attempt: AttemptId,
        (worker, because): (WorkerId, Because),
        queued_ms: u64,
    ) -> LiveTask {
        let node = self.fleet.get(&worker).expect("the task was placed on a known worker");
        LiveTask {
            attempt,
            worker,
            worker_name: Arc::clone(&node.name),
            since: turn.now.wall,
            queued_ms,
            because,
            encoder: None,
            is_ahead: false,
            started: false,
            progress: Progress::default(),
            moved_at: None,
        }
    }

    /// Sends an order for an attempt. Where nobody knows what the task works on, it is given up instead.
    pub(super) fn send_order(
        &mut self,
        turn: &mut Turn,
        task: TaskId,
        (worker, attempt): (WorkerId, AttemptId),
        demand: Demand,
        encoder: Option<Arc<str>>,
    ) -> bool {
        let job = &self.state.jobs[&task.job];
        let plan = job.stage_of(task.index).1;
        let (slot, limits) = (plan.slot, self.policy.limits_of(plan.step.kind()));
        let Some(mut work) = job.work_of(task.index) else {
            self.free(worker, attempt);
            let live = self.take_live(worker, task, attempt).expect("the attempt was just entered");
            self.attempt_failed(turn, task, &live, unknown_input(), Usage::default());
            return false;
        };
        if let Some(element) = encoder {
            work = work.with_encoder(element.to_string());
        }
        let order = TaskOrder { task, attempt, delivery: Delivery::Durable, slot, demand, limits, work };
        let node = self.fleet.get(&worker).expect("the task was placed on a known worker");
        let link = node.link.expect("an open node has a link");
        self.command(turn, Command::StartTask { worker, link, order: Box::new(order) });
        true
    }

    /// An attempt begins: it may turn out to be a straggler, and those who watch are told.
    pub(super) fn note_start(
        &mut self,
        turn: &mut Turn,
        task: TaskId,
        (worker, attempt): (WorkerId, AttemptId),
        queued_ms: u64,
    ) {
        let kind = self.watch_for_straggler(turn.now.mono, task, (worker, attempt));
        let news = FarmNews::TaskDispatched { task, kind, attempt, worker, queued_ms };
        self.notify(turn, Some(task.job), news);
    }

    /// Enters an attempt into its task's live set.
    pub(super) fn add_live(&mut self, task: TaskId, live: LiveTask) {
        let run = self.runs.get_mut(&task.job).expect("a live job has a run");
        let shift = run.live.push(task.index, live);
        if shift.attempts == 1 {
            run.stage_of(task.index).live += 1;
        }
        self.note_running(task, shift.ran, shift.runs);
        self.refile(task.job);
    }
}

/// Of what a task is made from nothing was found out, and nothing will be.
fn unknown_input() -> Failure {
    Failure::new(
        FailureCode::InputUnreadable,
        "the task's input was not probed, so that nothing is known of it",
        "submit the job again, with a probe of that input that is not optional",
    )
}

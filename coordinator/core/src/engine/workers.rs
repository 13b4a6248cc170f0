//! Workers come, fall silent, come back, go. Leases run on monotonic time; "worker lost" is decided here and nowhere else.

use std::collections::BTreeSet;

use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::Progress;
use rushes_shared::units::Now;
use rushes_shared::wire::HeldAttempt;

use super::{Engine, Timer, Turn};
use crate::event::{Command, FarmNews, LinkId, Refusal, Reply, ReplyTo};
use crate::explain::Because;
use crate::job::LiveTask;
use crate::placement::node::Node;
use crate::promise::ledger::Power;
use crate::record::Record;

/// What a worker says when it connects.
pub(super) struct Hello {
    pub(super) instance: u64,
    pub(super) facts: NodeFacts,
    pub(super) held: Vec<HeldAttempt>,
}

impl Engine {
    pub(super) fn worker_joined(&mut self, turn: &mut Turn, worker: WorkerId, link: LinkId, hello: Hello) {
        if self.fleet.get(&worker).is_some_and(|node| node.newest_link > link) {
            // Connections are served side by side: this one was overtaken by the one that replaced it.
            return self.command(turn, Command::CloseLink { worker, link });
        }
        let Hello { instance, facts, mut held } = hello;
        // An attempt that it names twice counts as it was named first.
        let mut named = BTreeSet::new();
        held.retain(|item| named.insert(item.attempt));
        let name = facts.name.clone();
        let known = self.state.workers.get(&worker);
        if known.is_none_or(|k| !k.expected || k.name != name) {
            let at = turn.now.wall;
            self.emit(turn, Record::WorkerSeen { worker, name: name.clone(), at });
            self.wake_to_forget_workers(turn.now);
        }
        let was_powerless = self.fleet.counted_on() == Power::default();
        let restarted = self.reconnect(turn.now, worker, link, instance, facts);
        self.node_changed(worker);
        if was_powerless && self.reattach.is_none() {
            self.power_is_back(turn);
        }
        self.drop_what_is_not_held(turn, worker, &held, restarted);
        let (kept, unwanted) = self.sort_held(turn.now, worker, held);
        let give_up = unwanted.iter().map(|(_, attempt)| *attempt).collect();
        let draining = self.state.workers.get(&worker).is_some_and(|k| k.draining);
        self.command(turn, Command::Welcome { worker, link, give_up, draining });
        self.drop_unless_winner(turn, &unwanted);
        self.notify(turn, None, FarmNews::WorkerJoined { worker, name });
        for HeldAttempt { task, attempt, .. } in kept {
            self.command(turn, Command::AttachTask { worker, link, task, attempt });
            let kind = self.state.jobs[&task.job].step(task.index).kind();
            self.notify(turn, Some(task.job), FarmNews::TaskAdopted { task, kind, attempt, worker });
        }
        if let Some(window) = &mut self.reattach {
            window.workers.remove(&worker);
            if window.workers.is_empty() {
                self.close_reattach_window(turn);
            }
        }
        self.look_again_at_leases(turn.now);
    }

    /// Leases that ran out while most workers were away are looked at again once others are here, a whole lease later:
    /// after a fault on this side, workers come back one by one.
    fn look_again_at_leases(&mut self, now: Now) {
        let is_due = |node: &Node| node.lease_until <= now.mono;
        let due: Vec<WorkerId> = self.fleet.iter().filter(|(_, n)| is_due(n)).map(|(id, _)| *id).collect();
        for worker in due {
            self.wake_at(now.mono.plus(self.policy.lease_ms), Timer::Lease(worker));
        }
    }

    /// Enters the connection; says whether the worker's process is another than before.
    fn reconnect(
        &mut self,
        now: Now,
        worker: WorkerId,
        link: LinkId,
        instance: u64,
        facts: NodeFacts,
    ) -> bool {
        let lease_until = now.mono.plus(self.policy.lease_ms);
        self.wake_at(lease_until, Timer::Lease(worker));
        let known = self.state.workers.get(&worker);
        let draining = known.is_some_and(|k| k.draining);
        let speed = known.map_or(1_000, |k| k.speed_permille);
        let Some(node) = self.fleet.get(&worker) else {
            let mut node = Node::new(link, instance, facts, lease_until);
            node.draining = draining;
            node.set_speed(speed);
            self.fleet.insert(worker, node);
            self.resume_quarantine(now, worker);
            self.resume_encoder(now, worker);
            return true;
        };
        let restarted = node.instance != instance;
        self.fleet.change(worker, |node| {
            node.link = Some(link);
            node.newest_link = link;
            node.instance = instance;
            node.hardware.sessions = 0;
            node.set_facts(facts);
            node.lease_until = lease_until;
            node.lapsed = false;
            node.silent_since = None;
            node.leaving = false;
        });
        restarted
    }

    /// A node has come, gone, or changed: what waited for its like is looked at again.
    pub(super) fn node_changed(&mut self, worker: WorkerId) {
        self.open_for(worker);
        self.unpark_all();
        self.note_room();
    }

    /// Attempts that were dispatched to the worker and that it does not have.
    fn drop_what_is_not_held(
        &mut self,
        turn: &mut Turn,
        worker: WorkerId,
        held: &[HeldAttempt],
        restarted: bool,
    ) {
        let has: BTreeSet<(TaskId, AttemptId)> = held.iter().map(|h| (h.task, h.attempt)).collect();
        let node = self.fleet.get(&worker).expect("the worker has just been entered");
        let ran: Vec<TaskId> = node.holdings.values().map(|holding| holding.task).collect();
        if restarted && !ran.is_empty() {
            self.note_lost_with(worker, &ran);
        }
        let node = self.fleet.get(&worker).expect("the worker has just been entered");
        let gone = node.holdings.iter().filter(|(attempt, held)| !has.contains(&(held.task, **attempt)));
        let gone: Vec<AttemptId> = gone.map(|(attempt, _)| *attempt).collect();
        for attempt in gone {
            let Some(holding) = self.free(worker, attempt) else { continue };
            let Some(live) = self.take_live(worker, holding.task, attempt) else { continue };
            if restarted || live.started {
                let what = if restarted {
                    "its worker was restarted"
                } else {
                    "its worker does not know it any more"
                };
                self.lose(turn, holding.task, &live, what);
            } else {
                // The order went into a connection that was already dead: nothing has been tried.
                self.make_ready(turn.now.mono, holding.task);
                self.came_back(turn, holding.task);
            }
        }
        self.take_back_ahead(turn, worker, &has);
    }

    /// Attempts that were ahead on the worker when its connection broke: it has kept those that it has started, and
    /// forgotten the others.
    fn take_back_ahead(&mut self, turn: &mut Turn, worker: WorkerId, has: &BTreeSet<(TaskId, AttemptId)>) {
        self.ahead.withdraw_offer(worker);
        for (attempt, task) in self.ahead.on(worker).map(|e| (e.attempt, e.holding.task)).collect::<Vec<_>>()
        {
            if has.contains(&(task, attempt)) {
                self.promote(turn, worker, attempt);
            } else {
                self.task_recalled(turn, worker, task, attempt);
            }
        }
    }

    /// Parts what a worker holds into attempts that count and attempts to give up.
    fn sort_held(
        &mut self,
        now: Now,
        worker: WorkerId,
        held: Vec<HeldAttempt>,
    ) -> (Vec<HeldAttempt>, Vec<(TaskId, AttemptId)>) {
        let (mut kept, mut unwanted) = (Vec::new(), Vec::new());
        for item in held {
            let known = self.live_mut(worker, item.task, item.attempt).is_some();
            if known || self.adopt_attempt(now, worker, &item) {
                kept.push(item);
            } else {
                self.free(worker, item.attempt);
                unwanted.push((item.task, item.attempt));
            }
        }
        (kept, unwanted)
    }

    /// Takes up an attempt of a reign before, if its task still wants one.
    fn adopt_attempt(&mut self, now: Now, worker: WorkerId, held: &HeldAttempt) -> bool {
        let HeldAttempt { task, attempt, .. } = *held;
        let Some(job) = self.state.jobs.get(&task.job) else { return false };
        let Some(entry) = job.tasks.get(task.index as usize) else { return false };
        let run = &self.runs[&task.job];
        let is_older = attempt.epoch < self.state.epoch;
        // Attempts at a task are made in order, so one up to the last that failed was given up before it, if it did not
        // fail itself; its staged file is dropped.
        let was_given_up = entry.last_failure().is_some_and(|f| f.attempt >= attempt);
        let is_held = self.fleet.get(&worker).is_some_and(|n| n.holdings.contains_key(&attempt));
        let is_live = run.live.contains_key(&task.index);
        let is_left_out = job.stage_of(task.index).1.dropped || self.strays.contains(&attempt);
        if !is_older || entry.is_over() || was_given_up || is_held || is_live || is_left_out {
            return false;
        }
        self.withdraw(task);
        self.aside.remove(&task);
        let is_ahead = self.adopt_holding(now.mono, worker, attempt, task);
        let node = self.fleet.get(&worker).expect("the worker has just been entered");
        let live = LiveTask {
            attempt,
            worker,
            worker_name: std::sync::Arc::clone(&node.name),
            since: now.wall,
            queued_ms: 0,
            because: Because::Held,
            encoder: None,
            is_ahead,
            started: true,
            progress: Progress::default(),
            moved_at: None,
        };
        self.add_live(task, live);
        if !is_ahead {
            self.watch_for_straggler(now.mono, task, (worker, attempt));
        }
        true
    }

    pub(super) fn renew_lease(&mut self, now: Now, worker: WorkerId, link: LinkId) {
        let until = now.mono.plus(self.policy.lease_ms);
        let Some(node) = self.fleet.get(&worker).filter(|n| n.link == Some(link)) else { return };
        if node.lapsed {
            self.fleet.change(worker, |node| {
                node.lease_until = until;
                node.lapsed = false;
            });
            self.node_changed(worker);
        } else {
            self.fleet.renew(worker, until);
        }
    }

    pub(super) fn worker_leaving(&mut self, turn: &mut Turn, worker: WorkerId, link: LinkId) {
        self.renew_lease(turn.now, worker, link);
        if self.fleet.get(&worker).is_some_and(|n| n.link == Some(link)) {
            self.fleet.change(worker, |node| node.leaving = true);
            self.node_closed(worker);
            self.recall_all(turn, worker);
        }
    }

    pub(super) fn link_lost(&mut self, turn: &mut Turn, worker: WorkerId, link: LinkId) {
        if self.fleet.get(&worker).is_none_or(|n| n.link != Some(link)) {
            return;
        }
        self.fleet.change(worker, |node| {
            node.link = None;
            node.silent_since = Some(turn.now.mono);
        });
        self.node_closed(worker);
        let node = self.fleet.get(&worker).expect("it was just changed");
        if node.leaving && node.holdings.is_empty() {
            self.worker_gone(turn, worker);
        } else {
            self.notify(turn, None, FarmNews::WorkerSilent { worker });
        }
    }

    pub(super) fn lease_due(&mut self, turn: &mut Turn, worker: WorkerId) {
        let Some(node) = self.fleet.get(&worker) else { return };
        if node.lease_until > turn.now.mono {
            let again = node.lease_until;
            return self.wake_at(again, Timer::Lease(worker));
        }
        if !node.lapsed {
            self.fleet.change(worker, |node| node.lapsed = true);
            self.node_closed(worker);
        }
        if let Some(until) = self.held_back_until(turn.now) {
            return self.wake_at(until, Timer::Lease(worker));
        }
        self.worker_gone(turn, worker);
    }

    /// When most workers are silent at once, the fault is more likely here than there (a network, or this process stood
    /// still): leases wait, within a bound.
    fn held_back_until(&self, now: Now) -> Option<rushes_shared::units::MonoMs> {
        let is_silent = |n: &&Node| n.link.is_none() || n.lease_until <= now.mono;
        let silent: Vec<&Node> = self.fleet.values().filter(is_silent).collect();
        let oldest = silent.iter().map(|n| n.silent_since.unwrap_or(n.lease_until)).min()?;
        let until = oldest.plus(self.policy.mass_loss_hold_ms);
        (silent.len() * 2 > self.fleet.len() && until > now.mono).then_some(until)
    }

    /// The worker is not there any more: what it held goes elsewhere.
    fn worker_gone(&mut self, turn: &mut Turn, worker: WorkerId) {
        let Some(node) = self.fleet.remove(worker) else { return };
        self.note_loss();
        let waited = self.ahead.remove(worker);
        for entry in &waited {
            self.rooms.gone(entry.attempt);
            self.after_release(&entry.holding);
        }
        for (attempt, holding) in &node.holdings {
            self.rooms.gone(*attempt);
            self.after_release(holding);
        }
        self.unpark_all();
        if let Some(link) = node.link {
            self.command(turn, Command::CloseLink { worker, link });
        }
        let at = turn.now.wall;
        self.emit(turn, Record::WorkerGone { worker, at });
        let lost = !node.holdings.is_empty();
        self.notify(turn, None, FarmNews::WorkerGone { worker, lost });
        let held: Vec<TaskId> = node.holdings.values().map(|holding| holding.task).collect();
        self.note_lost_with(worker, &held);
        for (attempt, holding) in &node.holdings {
            if let Some(live) = self.take_live(worker, holding.task, *attempt) {
                self.lose(turn, holding.task, &live, "its worker was silent for longer than its lease");
            }
        }
        // Nothing of these has been tried.
        for entry in waited {
            self.back_untried(turn, worker, (entry.holding.task, entry.attempt), entry.since);
        }
    }

    /// A node takes nothing new for now: cores are not kept there, and tasks that waited for it look elsewhere.
    pub(super) fn node_closed(&mut self, worker: WorkerId) {
        self.note_loss();
        self.fleet.unreserve_node(worker);
        self.unpark_all();
    }

    pub(super) fn drain_asked(&mut self, turn: &mut Turn, reply: ReplyTo, worker: WorkerId, draining: bool) {
        let answer = match self.state.workers.get(&worker) {
            None => Reply::Refused(Refusal::NoWorker(worker)),
            Some(known) => {
                if known.draining != draining {
                    self.emit(turn, Record::WorkerDrained { worker, draining });
                    self.notify(turn, None, FarmNews::WorkerDrained { worker, draining });
                }
                self.fleet.change(worker, |node| node.draining = draining);
                if draining {
                    self.node_closed(worker);
                    self.recall_all(turn, worker);
                } else {
                    self.node_changed(worker);
                }
                if let Some(link) = self.fleet.get(&worker).and_then(|n| n.link) {
                    self.command(turn, Command::TellDraining { worker, link, draining });
                }
                Reply::Drained { worker, draining }
            }
        };
        self.command(turn, Command::Answer { to: reply, reply: answer });
    }
}

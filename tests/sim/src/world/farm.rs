//! Nodes at work: what they do when they are told something, and how attempts come to their ends.

use rushes_core::event::Event;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::AttemptId;
use rushes_shared::task::{Progress, TaskOrder, TaskOutcome, Usage};

use super::links::{Down, Order};
use super::{Happening, Step, World};
use crate::agenda::At;
use crate::chance::fixed_share;
use crate::laws::broken;
use crate::node::{Held, Room};
use crate::spec;
use crate::upload::number;

/// How long a task stream waits for the welcome that is on its way.
const A_MOMENT: At = At(1_000_000);

impl World<'_> {
    pub(super) fn word_down(&mut self, down: Down) -> Step {
        let Down { node, link, order } = down;
        let place = &mut self.nodes[node];
        if place.link != Some(link) || !place.alive {
            return Ok(());
        }
        if !place.welcomed && !matches!(order, Order::Welcome { .. }) {
            // A worker takes no task streams before it was welcomed.
            let at = self.agenda.now().plus(A_MOMENT);
            self.agenda.enter(at, Happening::Down(Down { node, link, order }));
            return Ok(());
        }
        match order {
            Order::Welcome { epoch, give_up } => {
                if epoch < place.epoch {
                    place.unlink();
                    self.connect_soon(node);
                    return Ok(());
                }
                place.epoch = epoch;
                place.welcomed = true;
                place.pause_s = 0.0;
                for attempt in give_up {
                    self.forget(node, attempt);
                }
                self.offer_ahead(node, link);
                self.start_next(node)?;
            }
            Order::Start(order) => self.enter(node, order)?,
            Order::Recall(attempt) => self.give_back(node, attempt)?,
            Order::Attach(attempt) => self.attach(node, attempt)?,
            Order::Cancel(attempt) => {
                if !self.stop_waiting(node, attempt) {
                    self.stop(node, attempt);
                }
                self.start_next(node)?;
            }
            Order::Collected(attempt) => {
                let held = place.held.get(&attempt);
                if held.is_some_and(|h| h.outcome.is_none()) {
                    return Err(broken!(NoTaskLost, "{attempt} was collected before it ended"));
                }
                self.forget(node, attempt);
            }
            Order::Draining => {}
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, node: usize, order: Box<TaskOrder>) -> Step {
        let now = self.agenda.now();
        let (task, attempt) = (order.task, order.attempt);
        let (worker, served, speed) = {
            let place = &self.nodes[node];
            (place.id, place.epoch, place.speed)
        };
        if attempt.epoch < served {
            let text = "a newer coordinator was here";
            let failure = Failure::new(FailureCode::NodeUnfit, text, "none is needed");
            self.say_of(node, attempt, Event::TaskRefused { worker, task, attempt, failure });
            return Ok(());
        }
        let upload = &self.uploads[number(task.job) as usize];
        let true_ms = upload.true_ms(&self.scenario.truth, task.index, Some(attempt)) * spec::pace(&order);
        let whole = At::from_s(true_ms / speed / 1000.0);
        let ends = now.plus(At::from_s(whole.s() * self.worked_share(&order)));
        let room = Room::of(&order);
        let backlog_s = self.ledger.backlog_s(now);
        let held =
            Held { order, room, since: now, backlog_s, ends, outcome: None, attached: true, clear: At(0) };
        self.nodes[node].begin(attempt, held)?;
        self.held += 1;
        self.ledger.busy_changes(now, room, true);
        self.ledger.held_changes(room, true);
        self.say_of(node, attempt, Event::TaskStarted { worker, task, attempt });
        self.agenda.enter(ends, Happening::End { node, attempt });
        let report = now.plus(At::from_s(self.scenario.progress_s));
        if report < ends {
            self.agenda.enter(report, Happening::Progress { node, attempt });
        }
        Ok(())
    }

    /// How much of an attempt's work is done when it ends: all of it, or less where it fails.
    fn worked_share(&self, order: &TaskOrder) -> f64 {
        match self.fault_of(order, self.agenda.now()) {
            None => 1.0,
            Some(_) => 0.05 + 0.9 * fixed_share(self.seed, 6, order.attempt.counter),
        }
    }

    /// What makes an attempt fail that began then, if anything does. After the faults' time all goes well, or jobs with
    /// many tasks would never end.
    fn fault_of(&self, order: &TaskOrder, began: At) -> Option<FailureCode> {
        let (task, attempt) = (order.task, order.attempt);
        let faults = &self.scenario.faults;
        if self.uploads[number(task.job) as usize].is_doomed(task.index, faults.permanent_failures) {
            return Some(FailureCode::InputDamaged);
        }
        if began >= self.disturbed_until() {
            return None;
        }
        let drawn = fixed_share(self.seed ^ attempt.epoch.0 << 48, 7, attempt.counter);
        if drawn < faults.process_deaths {
            Some(FailureCode::ProcessDied)
        } else if drawn < faults.process_deaths + faults.transient_failures {
            Some(FailureCode::TransferFailed)
        } else {
            let drawn = fixed_share(self.seed ^ attempt.epoch.0 << 48, 8, attempt.counter);
            let fails = order.work.hardware().is_some() && drawn < faults.encoder_failures;
            fails.then_some(FailureCode::EncoderFailed)
        }
    }

    pub(super) fn progress(&mut self, node: usize, attempt: AttemptId) -> Step {
        let now = self.agenda.now();
        let place = &self.nodes[node];
        let Some(held) = place.held.get(&attempt).filter(|h| h.outcome.is_none()) else { return Ok(()) };
        let (worker, task, ends) = (place.id, held.order.task, held.ends);
        let (done, whole) = (now.since(held.since).ms(), ends.since(held.since).ms().max(1));
        let permille = u16::try_from(done * 1000 / whole).unwrap_or(1000).min(1000);
        let progress = Progress { permille, eta_ms: Some(ends.since(now).ms()), ..Progress::default() };
        let next = now.plus(At::from_s(self.scenario.progress_s));
        if next < ends {
            self.agenda.enter(next, Happening::Progress { node, attempt });
        }
        self.say_of(node, attempt, Event::TaskProgressed { worker, task, attempt, progress });
        Ok(())
    }

    /// An attempt comes to its own end.
    pub(super) fn attempt_ends(&mut self, node: usize, attempt: AttemptId) -> Step {
        let now = self.agenda.now();
        let Some(held) = self.nodes[node].held.get(&attempt) else { return Ok(()) };
        if held.outcome.is_some() || held.ends != now {
            return Ok(());
        }
        let task = held.order.task;
        let ms = now.since(held.since).ms();
        let usage = Usage { wall_ms: ms, run_ms: ms, cpu_ms: ms, ..Usage::default() };
        let outcome = match self.fault_of(&held.order, held.since) {
            Some(code) => {
                let failure = Failure::new(code, "the attempt failed, as the scenario wants", "see its log");
                TaskOutcome::Failed { failure, usage }
            }
            None => {
                let value = spec::value(&held.order, &self.uploads[number(task.job) as usize]);
                if spec::stages_a_file(&held.order) {
                    self.depot.stage(attempt);
                }
                TaskOutcome::Succeeded { value, usage }
            }
        };
        self.finish(node, attempt, outcome);
        self.start_next(node)
    }

    /// The coordinator wants an attempt stopped.
    fn stop(&mut self, node: usize, attempt: AttemptId) {
        let held = self.nodes[node].held.get(&attempt);
        if held.is_some_and(|h| h.outcome.is_none()) {
            self.finish(node, attempt, TaskOutcome::Cancelled);
        }
    }

    fn finish(&mut self, node: usize, attempt: AttemptId, outcome: TaskOutcome) {
        let now = self.agenda.now();
        let succeeded = matches!(outcome, TaskOutcome::Succeeded { .. });
        let told = Box::new(outcome.clone());
        let place = &mut self.nodes[node];
        let worker = place.id;
        let Some(held) = place.end(attempt, outcome) else { return };
        let (task, room, since, backlog_s) = (held.order.task, held.room, held.since, held.backlog_s);
        self.ledger.busy_changes(now, room, false);
        self.ledger.worked(attempt, room, since, now, backlog_s, succeeded);
        self.say_of(node, attempt, Event::TaskEnded { worker, task, attempt, outcome: told });
    }

    /// Its process or the coordinator's word takes an attempt off a node.
    pub(super) fn forget(&mut self, node: usize, attempt: AttemptId) {
        let now = self.agenda.now();
        let Some(held) = self.nodes[node].forget(attempt) else { return };
        self.held -= 1;
        self.ledger.held_changes(held.room, false);
        if held.outcome.is_none() {
            self.ledger.busy_changes(now, held.room, false);
            self.ledger.worked(attempt, held.room, held.since, now, held.backlog_s, false);
        }
    }

    fn attach(&mut self, node: usize, attempt: AttemptId) -> Step {
        let place = &mut self.nodes[node];
        let worker = place.id;
        let Some(held) = place.held.get_mut(&attempt) else {
            return Err(broken!(
                NoTaskLost,
                "{attempt} is attached on {}, which does not hold it and never forgot it",
                place.facts.name
            ));
        };
        held.attached = true;
        let task = held.order.task;
        if let Some(outcome) = held.outcome.clone() {
            self.say_of(node, attempt, Event::TaskEnded { worker, task, attempt, outcome });
        }
        Ok(())
    }
}

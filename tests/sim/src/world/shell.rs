//! The coordinator: one event after another through the engine, its records to the disk, its commands once they may
//! leave. Each event takes its time.

use rushes_core::engine::Engine;
use rushes_core::event::{Command, Effects, Event, FarmNews};
use rushes_core::job::Job;
use rushes_core::record::Record;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::units::MonoMs;

use super::links::Order;
use super::{Happening, Step, World};
use crate::agenda::At;
use crate::depot::Asked;
use crate::laws::broken;
use crate::scenario::{EventKind, WorkShape};
use crate::spec;
use crate::upload::number;

/// All is counted anew after so many events.
const RECOUNT: u64 = 1_000;

impl World<'_> {
    /// Starts the coordinator on what the disk has.
    pub(super) fn start(&mut self) -> Step {
        let now = self.agenda.now();
        let (epoch, state) = self.disk.open()?;
        self.reign += 1;
        self.reign_began = now;
        self.trace.world(now, "the coordinator starts", 0);
        let (engine, effects) = Engine::recover(state, self.policy.clone(), epoch, self.clock());
        self.engine = Some(engine);
        self.free_at = now;
        self.absorb(effects)?;
        self.set_alarm();
        Ok(())
    }

    /// The coordinator's process dies. Of the records that wait, so many are on the disk all the same.
    pub(super) fn crash(&mut self, written: u64) -> Step {
        self.trace.world(self.agenda.now(), "the coordinator dies", 0);
        for _ in 0..written {
            self.confirm_one()?;
        }
        self.disk.crash();
        self.depot.die();
        self.engine = None;
        self.reign += 1;
        self.gated.clear();
        self.inbox.clear();
        (self.commit, self.alarm, self.serving, self.time_came) = (None, None, false, false);
        self.dies_after = None;
        self.links_break();
        self.owners_ask_again();
        let pause = self.fault_chance.between(self.scenario.faults.restart_s);
        self.agenda.enter(self.agenda.now().plus(At::from_s(pause)), Happening::Start);
        Ok(())
    }

    /// Brings an event to the engine: now, or once it is free.
    pub(super) fn tell(&mut self, event: Event) -> Step {
        if self.engine.is_none() {
            return Ok(());
        }
        if self.inbox.is_empty() && self.free_at <= self.agenda.now() {
            return self.serve(event);
        }
        self.inbox.push_back(event);
        self.ledger.inbox(self.inbox.len());
        if !self.serving {
            self.serving = true;
            self.agenda.enter(self.free_at, Happening::Serve { reign: self.reign });
        }
        Ok(())
    }

    pub(super) fn serve_next(&mut self) -> Step {
        self.serving = false;
        let Some(event) = self.inbox.pop_front() else { return Ok(()) };
        self.serve(event)?;
        // The event may have ended the reign, and the inbox with it.
        if !self.inbox.is_empty() && !self.serving {
            self.serving = true;
            self.agenda.enter(self.free_at, Happening::Serve { reign: self.reign });
        }
        Ok(())
    }

    fn serve(&mut self, event: Event) -> Step {
        let now = self.agenda.now();
        self.trace.event(now, &event);
        let kind = EventKind::of(&event);
        if kind == EventKind::Timer {
            self.time_came = false;
        }
        let clock = self.clock();
        let engine = self.engine.as_mut().expect("events are dropped while it is down");
        let due = if kind == EventKind::Timer { engine.timers_due(clock.mono) } else { 0 };
        let watch = self.stopwatch.as_mut();
        let effects = match watch {
            None => engine.handle(clock, event),
            Some(watch) => watch.time(kind, || engine.handle(clock, event)),
        };
        if kind == EventKind::Timer && due > 0 && engine.timers_due(clock.mono) >= due {
            return Err(broken!(TimersAreWorkedOff, "{due} timers stay due"));
        }
        let cost = At(self.scenario.cost.of(kind));
        self.free_at = now.plus(cost);
        self.ledger.served(kind, cost);
        self.absorb(effects)?;
        self.set_alarm();
        if self.ledger.events().is_multiple_of(RECOUNT) {
            self.recount()?;
        }
        Ok(())
    }

    /// Wakes the engine when it wants to be woken.
    pub(super) fn set_alarm(&mut self) {
        let Some(MonoMs(wake)) = self.engine.as_ref().and_then(Engine::next_wake) else { return };
        let at = self.reign_began.plus(At::from_ms(wake));
        if !self.time_came && self.alarm.is_none_or(|alarm| at < alarm) {
            self.alarm = Some(at);
            self.agenda.enter(at, Happening::Alarm { reign: self.reign, at });
        }
    }

    pub(super) fn alarm_rings(&mut self, at: At) -> Step {
        if self.alarm != Some(at) {
            return Ok(());
        }
        self.alarm = None;
        let mono = self.clock().mono;
        if self.engine.as_ref().and_then(Engine::next_wake).is_some_and(|wake| wake <= mono) {
            self.time_came = true;
            return self.tell(Event::TimeCame);
        }
        self.set_alarm();
        Ok(())
    }

    fn absorb(&mut self, effects: Effects) -> Step {
        self.disk.append(effects.records);
        let last = self.engine.as_ref().map(|e| e.state().seq).unwrap_or_default();
        if let Some(gated) = effects.commands.iter().find(|gated| gated.after > last) {
            return Err(broken!(
                CommandFollowsRecord,
                "{:?} is not made yet, and {:?} waits for it",
                gated.after,
                gated.command
            ));
        }
        self.gated.extend(effects.commands);
        self.begin_commit();
        self.release(u64::MAX)?;
        Ok(())
    }

    fn begin_commit(&mut self) {
        let count = self.disk.pending();
        if self.commit.is_none() && count > 0 {
            self.commit = Some(count);
            let cost = &self.scenario.cost;
            let takes = At(cost.commit_us * 1_000 + cost.record_ns * count as u64);
            let at = self.free_at.max(self.agenda.now()).plus(takes);
            self.agenda.enter(at, Happening::Committed { reign: self.reign });
        }
    }

    pub(super) fn committed(&mut self) -> Step {
        for _ in 0..self.commit.take().unwrap_or(0) {
            self.confirm_one()?;
        }
        if self.compare_due && self.disk.pending() == 0 {
            self.compare_due = false;
            let engine = self.engine.as_ref().expect("a commit of this reign ends while it lasts");
            self.disk.is_folded_to(engine.state())?;
        }
        match self.dies_after.take() {
            Some(sent) => {
                self.release(sent)?;
                self.crash(0)
            }
            None => {
                self.release(u64::MAX)?;
                self.begin_commit();
                Ok(())
            }
        }
    }

    /// Lets out what waited only for records that are on the disk now, at most so many.
    fn release(&mut self, most: u64) -> Step {
        let reign = self.reign;
        let mut left = most;
        while left > 0 && self.gated.front().is_some_and(|g| g.after <= self.disk.confirmed()) {
            let gated = self.gated.pop_front().expect("it was just seen");
            left -= 1;
            self.trace.command(self.agenda.now(), &gated.command);
            self.perform(gated.command)?;
            if self.reign != reign {
                break;
            }
        }
        Ok(())
    }

    fn confirm_one(&mut self) -> Step {
        let Some((record, ended)) = self.disk.confirm_one()? else { return Ok(()) };
        match record {
            Record::TaskSucceeded { task, attempt, .. } => {
                let upload = &mut self.uploads[number(task.job) as usize];
                let content = &self.scenario.content[upload.content];
                let before = upload.runnable(content);
                if !upload.succeeded(task.index) {
                    return Err(broken!(SucceedsOnce, "{task} succeeded again, by {attempt}"));
                }
                self.ledger.runnable_changes(before, upload.runnable(content));
                let class = upload.class;
                let in_time = self.is_disturbed();
                self.ledger.kept(attempt, class, in_time);
            }
            Record::JobAccepted { job, .. } => {
                let upload = &self.uploads[number(job) as usize];
                let content = &self.scenario.content[upload.content];
                self.ledger.runnable_changes([0, 0], upload.runnable(content));
            }
            Record::Traded { job, .. }
            | Record::TradeUndone { job, .. }
            | Record::StageDropped { job, .. } => {
                self.stages_change(job);
            }
            Record::AttemptFailed { .. } => self.ledger.attempt_failed(),
            Record::OutputPublished { job, output, artifact, .. } => {
                let upload = &mut self.uploads[number(job) as usize];
                if upload.published & 1 << output != 0 {
                    return Err(broken!(PublishedOnce, "{job} announced its output {output} again"));
                }
                upload.published |= 1 << output;
                if self.depot.there(&artifact.location) != artifact.attempt {
                    let what = broken!(PublishedOnce, "{job} announced {output}, which is not at its place");
                    return Err(what);
                }
            }
            _ => {}
        }
        match ended {
            Some(job) => self.check_end(&job),
            None => Ok(()),
        }
    }

    /// Stages are left out, or taken in again.
    fn stages_change(&mut self, job: JobId) {
        let Some(stages) = self.disk.durable().jobs.get(&job).map(|j| &j.stages) else { return };
        let upload = &mut self.uploads[number(job) as usize];
        let content = &self.scenario.content[upload.content];
        let before = upload.runnable(content);
        if content.work == WorkShape::Graph {
            for (stretch, stage) in upload.stretches.iter_mut().zip(stages.iter()) {
                stretch.is_dropped = stage.dropped;
            }
        }
        self.ledger.runnable_changes(before, upload.runnable(content));
    }

    fn check_end(&mut self, job: &Job) -> Step {
        let state = job.ended.as_ref().map_or(JobState::Failed, |e| e.state);
        let upload = &self.uploads[number(job.id) as usize];
        self.ledger.runnable_changes(upload.runnable(&self.scenario.content[upload.content]), [0, 0]);
        if state == JobState::Succeeded {
            self.ledger
                .gave_up(job.trades.iter().filter(|t| t.undone.is_none()).map(|t| u64::from(t.loss)).sum());
        }
        let undone = spec::undone(job);
        let unpublished = job.published.len() < spec::wanted_outputs(job);
        if state == JobState::Succeeded && (undone > 0 || unpublished || job.tasks.is_empty()) {
            return Err(broken!(
                SuccessIsComplete,
                "{} succeeded with {undone} tasks undone and {} outputs published",
                job.id,
                job.published.len()
            ));
        }
        self.job_ended(job.id, state)
    }

    fn perform(&mut self, command: Command) -> Step {
        match command {
            Command::Answer { to, reply } => self.answered(to, &reply)?,
            Command::Welcome { worker, link, give_up, .. } => {
                let epoch = self.disk.durable().epoch;
                self.order(worker, link, None, Order::Welcome { epoch, give_up });
            }
            Command::StartTask { worker, link, order } => {
                let attempt = order.attempt;
                if self.last_attempt.is_some_and(|last| attempt <= last) {
                    return Err(broken!(AttemptIsUnique, "{attempt} comes after {:?}", self.last_attempt));
                }
                self.last_attempt = Some(attempt);
                self.open_stream(worker, link, attempt);
                self.order(worker, link, Some(attempt), Order::Start(order));
            }
            Command::AttachTask { worker, link, attempt, .. } => {
                self.open_stream(worker, link, attempt);
                self.order(worker, link, Some(attempt), Order::Attach(attempt));
            }
            Command::CancelTask { worker, attempt } => {
                self.order_newest(worker, attempt, Order::Cancel(attempt));
            }
            Command::RecallTask { worker, attempt } => {
                self.order_newest(worker, attempt, Order::Recall(attempt));
            }
            Command::CollectOutcome { worker, attempt } => {
                self.order_newest(worker, attempt, Order::Collected(attempt));
            }
            Command::CloseLink { worker, link } => self.close_link(worker, link)?,
            Command::TellDraining { worker, link, .. } => self.order(worker, link, None, Order::Draining),
            Command::Publish { job, output, from, to } => {
                self.ask_depot(Asked::Publish { job, output, from: Box::new(from), to: Box::new(to) });
            }
            Command::DropStaged { attempts } => self.ask_depot(Asked::Drop(attempts)),
            Command::FindStaged { before, after } => self.ask_depot(Asked::Find { before, after }),
            Command::Notify(event) => self.news(&event.what)?,
        }
        Ok(())
    }

    fn news(&mut self, news: &FarmNews) -> Step {
        if let FarmNews::TaskDispatched { task, queued_ms, .. } = news {
            let now = self.agenda.now();
            let upload = &mut self.uploads[number(task.job) as usize];
            upload.first_start.get_or_insert(now);
            let class = upload.class;
            self.ledger.waited(class, *queued_ms);
            return self.check_wait(class, *queued_ms, *task);
        }
        Ok(())
    }

    fn ask_depot(&mut self, asked: Asked) {
        self.depot_open += 1;
        let at = self.agenda.now().plus(At::from_ms(self.scenario.cost.depot_ms));
        self.agenda.enter(at, Happening::Depot { reign: self.reign, asked });
    }

    pub(super) fn depot_asked(&mut self, reign: u64, asked: Asked) -> Step {
        // What a coordinator that died had asked for arrives, or not.
        let arrives = reign == self.reign || self.fault_chance.happens(0.5);
        if !arrives {
            self.depot_open -= 1;
            return Ok(());
        }
        match asked {
            Asked::Drop(attempts) => {
                self.depot.drop_staged(&attempts, reign == self.reign);
                self.depot_open -= 1;
            }
            Asked::Find { before, after } => {
                let event = Box::new(Event::StagedFound { attempts: self.depot.find_staged(before, after) });
                let at = self.agenda.now().plus(At::from_s(self.scenario.link.delay_ms / 1000.0));
                self.agenda.enter(at, Happening::Answer { reign, event });
            }
            Asked::Publish { job, output, from, to } => {
                let fails =
                    self.is_disturbed() && self.fault_chance.happens(self.scenario.faults.publish_failures);
                let result = if fails {
                    Err(Failure::new(FailureCode::TransferFailed, "the depot's disk is busy", "wait"))
                } else {
                    self.depot.publish(&from, &to)?
                };
                let event = Box::new(Event::PublishEnded { job, output, result });
                let at = self.agenda.now().plus(At::from_s(self.scenario.link.delay_ms / 1000.0));
                self.agenda.enter(at, Happening::Answer { reign, event });
            }
        }
        Ok(())
    }
}

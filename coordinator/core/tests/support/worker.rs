//! A fake worker. Its attempts outlive its links; its results are repeated until they are collected; a restart forgets
//! them all.

use std::collections::{BTreeMap, BTreeSet};

use rushes_core::event::LinkId;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, TaskId};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, TaskOrder, TaskOutcome};
use rushes_shared::wire::{AheadOffer, HeldAttempt};

/// What the coordinator says to it.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Welcome { epoch: Epoch, give_up: Vec<AttemptId> },
    Start(Box<TaskOrder>),
    Attach(AttemptId),
    Cancel(AttemptId),
    Recall(AttemptId),
    Collected(AttemptId),
    Draining,
}

/// What it says about an attempt.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one at a time in a test")]
pub(crate) enum Said {
    Started,
    Progress(Progress),
    Ended(TaskOutcome),
    Refused(Failure),
    Recalled,
}

/// An attempt that it holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) order: TaskOrder,
    pub(crate) outcome: Option<TaskOutcome>,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) instance: u64,
    pub(crate) facts: NodeFacts,
    pub(crate) link: Option<LinkId>,
    /// Whether it was welcomed on this link.
    pub(crate) welcomed: bool,
    /// Attempts that have a stream on this link.
    pub(crate) streams: BTreeSet<AttemptId>,
    /// The highest epoch that it has served.
    pub(crate) epoch: Epoch,
    pub(crate) held: BTreeMap<AttemptId, Held>,
    /// What it holds ahead, if it does.
    pub(crate) offer: Option<AheadOffer>,
    /// How many tasks it encodes in hardware at once, if it takes such orders.
    pub(crate) sessions: Option<u32>,
    /// Orders that wait for room.
    pub(crate) waiting: Vec<TaskOrder>,
    /// Whether its process runs.
    pub(crate) alive: bool,
}

impl Worker {
    pub(crate) fn new(facts: NodeFacts) -> Self {
        Self {
            instance: 1,
            facts,
            link: None,
            welcomed: false,
            streams: BTreeSet::new(),
            epoch: Epoch(0),
            held: BTreeMap::new(),
            offer: None,
            sessions: None,
            waiting: Vec::new(),
            alive: true,
        }
    }

    /// Its link broke, or it was stopped.
    pub(crate) fn unlink(&mut self) -> Option<LinkId> {
        self.welcomed = false;
        self.streams.clear();
        self.link.take()
    }

    /// Whether there is room for a task beside those that run.
    fn fits(&self, order: &TaskOrder) -> bool {
        let (mut cpu, mut memory, mut light) = (0, 0, 0);
        for task in self.running().chain([order]) {
            if task.slot.is_light() {
                light += 1;
            } else {
                cpu += task.demand.cpu.0;
                memory += task.demand.memory.0;
            }
        }
        let facts = &self.facts;
        if order.slot.is_light() {
            light <= facts.light_slots
        } else {
            cpu <= facts.cpu.0 && memory <= facts.memory.0
        }
    }

    /// Starts what waits and has room now, light tasks and others each in their order.
    pub(crate) fn start_waiting(&mut self) -> Vec<(TaskId, AttemptId, Said)> {
        let mut words = Vec::new();
        for light in [true, false] {
            let of_kind = |(_, o): &(usize, &TaskOrder)| o.slot.is_light() == light;
            let first = |waiting: &[TaskOrder]| {
                let line = waiting.iter().enumerate().filter(of_kind);
                line.min_by_key(|(_, o)| o.attempt).map(|(at, _)| at)
            };
            while let Some(at) = first(&self.waiting) {
                if !self.fits(&self.waiting[at]) {
                    break;
                }
                let order = self.waiting.remove(at);
                words.push((order.task, order.attempt, Said::Started));
                self.held.insert(order.attempt, Held { order, outcome: None });
            }
        }
        words
    }

    /// What it says that it holds.
    pub(crate) fn holds(&self) -> Vec<HeldAttempt> {
        let held = self.held.iter();
        held.map(|(attempt, h)| HeldAttempt {
            task: h.order.task,
            attempt: *attempt,
            finished: h.outcome.is_some(),
        })
        .collect()
    }

    /// Attempts that take capacity.
    pub(crate) fn running(&self) -> impl Iterator<Item = &TaskOrder> + '_ {
        self.held.values().filter(|h| h.outcome.is_none()).map(|h| &h.order)
    }

    /// Does what it is told; what it says about which attempt, in return. `Err`: it leaves, because this coordinator
    /// is an older one.
    pub(crate) fn take(&mut self, order: Order) -> Result<Vec<(TaskId, AttemptId, Said)>, ()> {
        match order {
            Order::Welcome { epoch, give_up } => {
                if epoch < self.epoch {
                    return Err(());
                }
                self.epoch = epoch;
                self.welcomed = true;
                for attempt in give_up {
                    self.held.remove(&attempt);
                }
                return Ok(self.start_waiting());
            }
            Order::Start(order) => {
                let (task, attempt) = (order.task, order.attempt);
                if attempt.epoch < self.epoch {
                    let text = "a newer coordinator was here";
                    let failure = Failure::new(FailureCode::NodeUnfit, text, "");
                    return Ok(vec![(task, attempt, Said::Refused(failure))]);
                }
                self.streams.insert(attempt);
                assert!(!self.held.contains_key(&attempt), "{attempt} was started twice");
                if self.offer.is_some() {
                    self.waiting.push(*order);
                    return Ok(self.start_waiting());
                }
                self.held.insert(attempt, Held { order: *order, outcome: None });
                return Ok(vec![(task, attempt, Said::Started)]);
            }
            Order::Attach(attempt) => {
                let Some(held) = self.held.get(&attempt) else {
                    panic!("{attempt} is attached, but not held; nothing but a restart forgets it")
                };
                self.streams.insert(attempt);
                let ended = held.outcome.clone().map(|o| (held.order.task, attempt, Said::Ended(o)));
                return Ok(ended.into_iter().collect());
            }
            Order::Recall(attempt) => {
                if let Some(at) = self.waiting.iter().position(|o| o.attempt == attempt) {
                    let order = self.waiting.remove(at);
                    let mut words = vec![(order.task, attempt, Said::Recalled)];
                    words.extend(self.start_waiting());
                    return Ok(words);
                }
            }
            Order::Cancel(attempt) => {
                if let Some(at) = self.waiting.iter().position(|o| o.attempt == attempt) {
                    let order = self.waiting.remove(at);
                    let task = order.task;
                    let outcome = Some(TaskOutcome::Cancelled);
                    self.held.insert(attempt, Held { order, outcome });
                    let mut words = vec![(task, attempt, Said::Ended(TaskOutcome::Cancelled))];
                    words.extend(self.start_waiting());
                    return Ok(words);
                }
                if let Some(held) = self.held.get_mut(&attempt)
                    && held.outcome.is_none()
                {
                    held.outcome = Some(TaskOutcome::Cancelled);
                    let mut words = vec![(held.order.task, attempt, Said::Ended(TaskOutcome::Cancelled))];
                    words.extend(self.start_waiting());
                    return Ok(words);
                }
            }
            Order::Collected(attempt) => {
                let held = self.held.remove(&attempt);
                assert!(held.is_none_or(|h| h.outcome.is_some()), "{attempt} was collected before it ended");
            }
            Order::Draining => {}
        }
        Ok(Vec::new())
    }
}

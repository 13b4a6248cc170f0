//! The lane: the one stream of all tasks that this worker answers itself, without a process. A task holds a place for
//! its time and succeeds.
//!
//! As with every attempt, its outcome is kept until it is collected, and a broken connection ends nothing: at the next
//! one the worker names what it holds here, and the coordinator asks for each of them on a stream of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use quinn::SendStream;
use rushes_net::NetError;
use rushes_net::framed::FrameReader;
use rushes_shared::failure::Failure;
use rushes_shared::frame;
use rushes_shared::id::{AttemptId, TaskId};
use rushes_shared::task::{TaskOutcome, TaskValue};
use rushes_shared::wire::{LANE_FRAME, LaneBound, LaneEnd, LaneEntry, LaneOrder, LaneReply, LaneSuccess};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::held::LaneTask;
use crate::metrics::LaneMeters;
use crate::slots::{Grant, Share};
use crate::task_stream::may_take;
use crate::worker::Worker;

/// Serves the lane of a connection until that ends. `is_brief`: the coordinator knows the short form of success.
///
/// # Errors
/// The connection's, or a message that does not belong here.
pub async fn serve(
    worker: &Worker,
    send: &mut SendStream,
    reader: &mut FrameReader,
    is_brief: bool,
) -> Result<(), NetError> {
    let (granted, mut grants) = mpsc::unbounded_channel();
    let mut lane = Lane {
        worker,
        meters: LaneMeters::default(),
        now: Instant::now(),
        due: BinaryHeap::new(),
        waiting: HashMap::new(),
        granted,
        is_brief,
        ended: Vec::new(),
        recalled: Vec::new(),
        refused: Vec::new(),
    };
    let mut leaving = worker.leaving.subscribe();
    leaving.mark_changed();
    loop {
        let next = lane.due.peek().map(|Reverse((at, _))| *at);
        tokio::select! {
            message = reader.next::<LaneBound>() => {
                let Some(message) = message? else { return Ok(()) };
                lane.now = Instant::now();
                match message {
                    LaneBound::Start(orders) => orders.into_iter().for_each(|order| lane.start(order, None)),
                    LaneBound::Enter(entries) => entries.into_iter().for_each(|entry| lane.enter(entry)),
                    LaneBound::Recall(attempts) => attempts.into_iter().for_each(|a| lane.give_back(a)),
                    LaneBound::Cancel(attempts) => attempts.into_iter().for_each(|a| lane.cancel(a)),
                    LaneBound::Collected(attempts) => worker.held.lane.forget(&attempts),
                }
            }
            () = sleep_until(next.unwrap_or(lane.now)), if next.is_some() => {
                lane.now = Instant::now();
                lane.time_came();
            }
            Some((attempt, share)) = grants.recv() => {
                lane.now = Instant::now();
                lane.begin(attempt, share);
            }
            Ok(()) = leaving.changed() => {
                if *leaving.borrow_and_update() {
                    lane.now = Instant::now();
                    lane.waiting.keys().copied().collect::<Vec<_>>().into_iter().for_each(|a| lane.give_back(a));
                    worker.held.lane.running(lane.now).into_iter().for_each(|a| lane.cancel(a));
                }
            }
        }
        // What ended has made room for what waits; both are told together.
        while let Ok((attempt, share)) = grants.try_recv() {
            lane.begin(attempt, share);
        }
        lane.report(send).await?;
    }
}

/// An end to be told.
enum End {
    Brief(LaneSuccess),
    Whole(Box<LaneEnd>),
}

/// The same ends as messages, in order: neighbours of one sort share one.
fn replies(ends: impl Iterator<Item = End>) -> Vec<LaneReply> {
    let mut all = Vec::new();
    for end in ends {
        match (end, all.last_mut()) {
            (End::Brief(end), Some(LaneReply::Succeeded(ends))) if ends.len() < LANE_FRAME => ends.push(end),
            (End::Whole(end), Some(LaneReply::Ended(ends))) if ends.len() < LANE_FRAME => ends.push(*end),
            (End::Brief(end), _) => all.push(LaneReply::Succeeded(vec![end])),
            (End::Whole(end), _) => all.push(LaneReply::Ended(vec![*end])),
        }
    }
    all
}

/// One connection's lane.
struct Lane<'a> {
    worker: &'a Worker,
    meters: LaneMeters,
    now: Instant,
    due: BinaryHeap<Reverse<(Instant, AttemptId)>>,
    /// Orders that wait for room, and who tells that there is some. As many as the slots let wait.
    waiting: HashMap<AttemptId, LaneOrder>,
    granted: mpsc::UnboundedSender<(AttemptId, Share)>,
    /// Whether the coordinator knows the short form of success.
    is_brief: bool,
    /// To be told.
    ended: Vec<End>,
    recalled: Vec<(TaskId, AttemptId)>,
    refused: Vec<LaneReply>,
}

impl Lane<'_> {
    /// Takes an order that waits where there is no room.
    fn enter(&mut self, entry: LaneEntry) {
        let LaneEntry { order, slot, demand } = entry;
        let LaneOrder { task, attempt, .. } = order;
        if self.waiting.contains_key(&attempt) || self.worker.held.lane.find(attempt).is_some() {
            return;
        }
        let granted = self.granted.clone();
        let grant = move || -> Grant {
            // Nobody listens any more where the lane has ended: the share is given back.
            Box::new(move |share| drop(granted.send((attempt, share))))
        };
        match self.worker.slots.enter(attempt, slot, demand, grant) {
            Ok(Some(share)) => self.start(order, Some(share)),
            Ok(None) => drop(self.waiting.insert(attempt, order)),
            Err(failure) => self.refuse(task, attempt, failure),
        }
    }

    /// There is room for an order that waited.
    fn begin(&mut self, attempt: AttemptId, share: Share) {
        if let Some(order) = self.waiting.remove(&attempt) {
            self.start(order, Some(share));
        }
    }

    /// Gives an order back, unless it has been started.
    fn give_back(&mut self, attempt: AttemptId) {
        // One that has its share already is about to be started.
        if self.waiting.contains_key(&attempt) && self.worker.slots.leave(attempt) {
            self.recalled.extend(self.waiting.remove(&attempt).map(|order| (order.task, attempt)));
        }
    }

    fn refuse(&mut self, task: TaskId, attempt: AttemptId, failure: Failure) {
        info!(%failure, "an order was refused");
        self.refused.push(LaneReply::Refused { task, attempt, failure });
    }

    fn start(&mut self, order: LaneOrder, share: Option<Share>) {
        let LaneOrder { task, attempt, .. } = order;
        if let Err(failure) = may_take(self.worker, attempt) {
            return self.refuse(task, attempt, failure);
        }
        self.meters.started();
        let held = self.worker.held.lane.enter(order, share, self.now);
        if !self.tell(attempt, held) {
            self.due.push(Reverse((held.due, attempt)));
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
        if let Some(order) = self.waiting.remove(&attempt) {
            self.worker.slots.leave(attempt);
            // Like one that was started and stopped: its outcome is kept until it is collected.
            let late = self.now + Duration::from_millis(1);
            self.worker.held.lane.enter(LaneOrder { hold_ms: order.hold_ms.max(1), ..order }, None, late);
        }
        if let Some(held) = self.worker.held.lane.cancel(attempt, self.now) {
            self.tell(attempt, held);
        }
    }

    fn time_came(&mut self) {
        while let Some(Reverse((at, attempt))) = self.due.peek().copied() {
            if at > self.now {
                break;
            }
            self.due.pop();
            // One that was canceled is told already.
            if let Some(held) = self.worker.held.lane.find(attempt).filter(|held| !held.is_canceled) {
                self.tell(attempt, held);
            }
        }
    }

    /// Notes a task's outcome for the next report, if it has one.
    fn tell(&mut self, attempt: AttemptId, held: LaneTask) -> bool {
        let Some(outcome) = held.outcome(self.now) else { return false };
        self.meters.ended(&outcome);
        self.worker.held.lane.release(attempt);
        let task = held.task;
        match outcome {
            TaskOutcome::Succeeded { value: TaskValue::Nothing, usage } if self.is_brief => {
                self.ended.push(End::Brief(LaneSuccess { task, attempt, usage }));
            }
            outcome => self.ended.push(End::Whole(Box::new(LaneEnd { task, attempt, outcome }))),
        }
        true
    }

    async fn report(&mut self, send: &mut SendStream) -> Result<(), NetError> {
        let mut bytes = Vec::new();
        for reply in replies(self.ended.drain(..)) {
            bytes.extend(frame::encode(&reply)?);
        }
        for recalled in self.recalled.chunks(LANE_FRAME) {
            bytes.extend(frame::encode(&LaneReply::Recalled(recalled.to_vec()))?);
        }
        self.recalled.clear();
        for refused in self.refused.drain(..) {
            bytes.extend(frame::encode(&refused)?);
        }
        if !bytes.is_empty() {
            send.write_chunk(bytes.into()).await?;
        }
        Ok(())
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        // What was not started is forgotten; the coordinator sends it again, here or elsewhere.
        for attempt in self.waiting.keys() {
            self.worker.slots.leave(*attempt);
        }
    }
}

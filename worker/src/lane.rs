//! The lane: the one stream of all tasks that this worker answers itself, without a process. A task holds a place for
//! its time and succeeds.
//!
//! As with every attempt, its outcome is kept until it is collected, and a broken connection ends nothing: at the next
//! one the worker names what it holds here, and the coordinator asks for each of them on a stream of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use quinn::SendStream;
use rushes_net::NetError;
use rushes_net::framed::FrameReader;
use rushes_shared::frame;
use rushes_shared::id::AttemptId;
use rushes_shared::task::TaskKind;
use rushes_shared::wire::{LANE_FRAME, LaneBound, LaneEnd, LaneOrder, LaneReply};
use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::held::LaneTask;
use crate::metrics;
use crate::task_stream::may_take;
use crate::worker::Worker;

/// Serves the lane of a connection until that ends.
///
/// # Errors
/// The connection's, or a message that does not belong here.
pub async fn serve(worker: &Worker, send: &mut SendStream, reader: &mut FrameReader) -> Result<(), NetError> {
    let mut lane =
        Lane { worker, now: Instant::now(), due: BinaryHeap::new(), ended: Vec::new(), refused: Vec::new() };
    let mut leaving = worker.leaving.subscribe();
    leaving.mark_changed();
    loop {
        let next = lane.due.peek().map(|Reverse((at, _))| *at);
        tokio::select! {
            message = reader.next::<LaneBound>() => {
                let Some(message) = message? else { return Ok(()) };
                lane.now = Instant::now();
                match message {
                    LaneBound::Start(orders) => orders.into_iter().for_each(|order| lane.start(order)),
                    LaneBound::Cancel(attempts) => attempts.into_iter().for_each(|a| lane.cancel(a)),
                    LaneBound::Collected(attempts) => worker.held.lane.forget(&attempts),
                }
            }
            () = sleep_until(next.unwrap_or(lane.now)), if next.is_some() => {
                lane.now = Instant::now();
                lane.time_came();
            }
            Ok(()) = leaving.changed() => {
                if *leaving.borrow_and_update() {
                    lane.now = Instant::now();
                    worker.held.lane.running(lane.now).into_iter().for_each(|a| lane.cancel(a));
                }
            }
        }
        lane.report(send).await?;
    }
}

/// One connection's lane.
struct Lane<'a> {
    worker: &'a Worker,
    now: Instant,
    due: BinaryHeap<Reverse<(Instant, AttemptId)>>,
    /// To be told.
    ended: Vec<LaneEnd>,
    refused: Vec<LaneReply>,
}

impl Lane<'_> {
    fn start(&mut self, order: LaneOrder) {
        let LaneOrder { task, attempt, .. } = order;
        if let Err(failure) = may_take(self.worker, attempt) {
            info!(%failure, "an order was refused");
            return self.refused.push(LaneReply::Refused { task, attempt, failure });
        }
        metrics::task_started(TaskKind::Noop);
        let held = self.worker.held.lane.enter(order, self.now);
        if !self.tell(attempt, held) {
            self.due.push(Reverse((held.due, attempt)));
        }
    }

    fn cancel(&mut self, attempt: AttemptId) {
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
        metrics::task_ended(TaskKind::Noop, &outcome);
        self.ended.push(LaneEnd { task: held.task, attempt, outcome });
        true
    }

    async fn report(&mut self, send: &mut SendStream) -> Result<(), NetError> {
        let mut bytes = Vec::new();
        while !self.ended.is_empty() {
            let rest = self.ended.split_off(self.ended.len().min(LANE_FRAME));
            let told = std::mem::replace(&mut self.ended, rest);
            bytes.extend(frame::encode(&LaneReply::Ended(told))?);
        }
        for refused in self.refused.drain(..) {
            bytes.extend(frame::encode(&refused)?);
        }
        if !bytes.is_empty() {
            send.write_chunk(bytes.into()).await?;
        }
        Ok(())
    }
}

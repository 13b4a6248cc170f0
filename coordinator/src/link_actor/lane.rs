//! The lane of one connection: the one stream of all tasks that the worker answers itself.
//!
//! What is there when a frame is written goes into it, what a frame brings goes to the engine in one message: under load
//! the cost of a frame and of a message is shared by many tasks, and a single task waits for nobody.

use quinn::{Connection, VarInt};
use rushes_core::event::Event;
use rushes_net::NetError;
use rushes_net::framed::FrameReader;
use rushes_shared::frame;
use rushes_shared::id::{AttemptId, WorkerId};
use rushes_shared::task::{TaskOutcome, TaskValue};
use rushes_shared::wire::{
    LANE_FRAME, LaneBound, LaneEnd, LaneEntry, LaneOrder, LaneReply, LaneSuccess, close,
};
use tokio::sync::mpsc;

use crate::engine_actor::{EngineActor, HappenedAll, tell};

use actix::Addr;

/// Words that may wait for the lane; a worker that is so far behind is disconnected.
const QUEUE: usize = 65_536;

/// A word for the lane.
#[derive(Debug, Clone, Copy)]
pub(super) enum LaneWord {
    Start(LaneOrder),
    Enter(LaneEntry),
    Recall(AttemptId),
    Cancel(AttemptId),
    Collected(AttemptId),
}

/// Opens the lane and serves it on the present arbiter until the connection ends.
pub(super) fn open(
    connection: Connection,
    worker: WorkerId,
    engine: Addr<EngineActor>,
) -> mpsc::Sender<LaneWord> {
    let (sender, words) = mpsc::channel(QUEUE);
    actix_rt::spawn(async move {
        if let Err(error) = serve(&connection, worker, &engine, words).await {
            tracing::info!(%worker, %error, "the worker's lane broke, and its connection is closed with it");
            // The worker comes back and says what it holds; an attempt without a stream would be heard of no more.
            connection.close(VarInt::from_u32(close::PROTOCOL), b"the lane broke; connect again");
        }
    });
    sender
}

async fn serve(
    connection: &Connection,
    worker: WorkerId,
    engine: &Addr<EngineActor>,
    mut words: mpsc::Receiver<LaneWord>,
) -> Result<(), NetError> {
    let (mut send, recv) = connection.open_bi().await?;
    let writer = async {
        let mut taken = Vec::with_capacity(LANE_FRAME);
        while words.recv_many(&mut taken, LANE_FRAME).await > 0 {
            let mut bytes = Vec::new();
            for message in messages(&taken) {
                bytes.extend(frame::encode(&message)?);
            }
            taken.clear();
            send.write_chunk(bytes.into()).await?;
        }
        Ok::<(), NetError>(())
    };
    let reader = async {
        let mut reader = FrameReader::new(recv);
        while let Some(reply) = reader.next::<LaneReply>().await? {
            tell(engine, HappenedAll(events(worker, reply))).await;
        }
        Err::<(), _>(NetError::Truncated)
    };
    // The writer ends with its actor, in good order; the reader only by a fault or with the connection.
    tokio::select! {
        ended = writer => ended,
        ended = reader => ended,
    }
}

/// The same words as messages. What is forgotten comes first: nothing else is said of those attempts any more. The rest
/// stays in order, and neighbours of one sort share a message.
fn messages(words: &[LaneWord]) -> Vec<LaneBound> {
    let collected: Vec<AttemptId> = words
        .iter()
        .filter_map(|word| match word {
            LaneWord::Collected(attempt) => Some(*attempt),
            _ => None,
        })
        .collect();
    let mut all = Vec::new();
    let mut rest = words.len() - collected.len();
    if !collected.is_empty() {
        all.push(LaneBound::Collected(collected));
    }
    for word in words {
        match (*word, all.last_mut()) {
            (LaneWord::Collected(_), _) => continue,
            (LaneWord::Start(order), Some(LaneBound::Start(orders))) => orders.push(order),
            (LaneWord::Enter(entry), Some(LaneBound::Enter(entries))) => entries.push(entry),
            (LaneWord::Cancel(attempt), Some(LaneBound::Cancel(attempts)))
            | (LaneWord::Recall(attempt), Some(LaneBound::Recall(attempts))) => attempts.push(attempt),
            (LaneWord::Start(order), _) => all.push(LaneBound::Start(begun(rest, order))),
            (LaneWord::Enter(entry), _) => all.push(LaneBound::Enter(begun(rest, entry))),
            (LaneWord::Cancel(attempt), _) => all.push(LaneBound::Cancel(begun(rest, attempt))),
            (LaneWord::Recall(attempt), _) => all.push(LaneBound::Recall(begun(rest, attempt))),
        }
        rest -= 1;
    }
    all
}

/// A list with its first item and room for as many as may follow.
fn begun<T>(most: usize, first: T) -> Vec<T> {
    let mut list = Vec::with_capacity(most);
    list.push(first);
    list
}

fn events(worker: WorkerId, reply: LaneReply) -> Vec<Event> {
    match reply {
        LaneReply::Ended(ends) => {
            let event = |LaneEnd { task, attempt, mut outcome }| {
                if let TaskOutcome::Failed { failure, .. } = &mut outcome {
                    failure.clip();
                }
                Event::TaskEnded { worker, task, attempt, outcome: Box::new(outcome) }
            };
            ends.into_iter().map(event).collect()
        }
        LaneReply::Succeeded(ends) => {
            let event = |LaneSuccess { task, attempt, usage }| {
                let outcome = Box::new(TaskOutcome::Succeeded { value: TaskValue::Nothing, usage });
                Event::TaskEnded { worker, task, attempt, outcome }
            };
            ends.into_iter().map(event).collect()
        }
        LaneReply::Recalled(given) => {
            given.into_iter().map(|(task, attempt)| Event::TaskRecalled { worker, task, attempt }).collect()
        }
        LaneReply::Refused { task, attempt, mut failure } => {
            failure.clip();
            vec![Event::TaskRefused { worker, task, attempt, failure }]
        }
    }
}

#[cfg(test)]
mod tests {
    use rushes_shared::id::{Epoch, JobId, TaskId};

    use super::*;

    fn attempt(counter: u64) -> AttemptId {
        AttemptId { epoch: Epoch(1), counter }
    }

    #[test]
    fn what_is_collected_comes_first_and_neighbours_share_a_message() {
        let order = |counter| LaneOrder {
            task: TaskId { job: JobId(1), index: 0 },
            attempt: attempt(counter),
            hold_ms: 0,
        };
        let words = [
            LaneWord::Start(order(1)),
            LaneWord::Start(order(2)),
            LaneWord::Collected(attempt(1)),
            LaneWord::Cancel(attempt(2)),
            LaneWord::Start(order(3)),
            LaneWord::Collected(attempt(2)),
        ];
        let expected = vec![
            LaneBound::Collected(vec![attempt(1), attempt(2)]),
            LaneBound::Start(vec![order(1), order(2)]),
            LaneBound::Cancel(vec![attempt(2)]),
            LaneBound::Start(vec![order(3)]),
        ];
        assert_eq!(messages(&words), expected);
    }
}

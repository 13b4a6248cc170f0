//! The lane, against a coordinator that is played by hand: many tasks on one stream, none of them lost with it.

use std::time::Duration;

use quinn::{SendStream, VarInt};
use rushes_net::framed::{self, FrameReader};
use rushes_shared::id::{Epoch, JobId, TaskId};
use rushes_shared::task::{Demand, SlotKind, TaskOutcome, TaskValue};
use rushes_shared::wire::{LaneBound, LaneEnd, LaneEntry, LaneOrder, LaneReply, close};
use tokio::time::timeout;

use crate::fake::{Farm, Link, attempt};

/// Longer than any test holds a place.
const LONG_MS: u64 = 600_000;

struct Lane {
    send: SendStream,
    reader: FrameReader,
}

impl Lane {
    async fn open(link: &Link) -> Self {
        let (send, recv) = link.connection.open_bi().await.expect("a stream");
        Self { send, reader: FrameReader::new(recv) }
    }

    async fn say(&mut self, message: LaneBound) {
        framed::send(&mut self.send, &message).await.expect("it is sent");
    }

    /// The next `count` ends.
    async fn ends(&mut self, count: usize) -> Vec<LaneEnd> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = timeout(Duration::from_secs(20), self.reader.next::<LaneReply>());
            match next.await.expect("a reply comes").expect("it reads").expect("the lane is open") {
                LaneReply::Ended(ends) => all.extend(ends),
                LaneReply::Succeeded(ends) => all.extend(ends.into_iter().map(|end| LaneEnd {
                    task: end.task,
                    attempt: end.attempt,
                    outcome: TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: end.usage },
                })),
                LaneReply::Refused { failure, .. } => panic!("refused: {failure}"),
                LaneReply::Recalled(given) => panic!("recalled: {given:?}"),
            }
        }
        all
    }
}

fn order(counter: u64, hold_ms: u64) -> LaneOrder {
    let task = TaskId { job: JobId(1), index: u32::try_from(counter).expect("a small number") };
    LaneOrder { task, attempt: attempt(Epoch(1), counter), hold_ms }
}

fn is_success(end: &LaneEnd) -> bool {
    matches!(end.outcome, TaskOutcome::Succeeded { value: TaskValue::Nothing, .. })
}

#[tokio::test]
async fn many_tasks_on_the_lane_end_each_once_and_are_forgotten_when_collected() {
    let farm = Farm::new();
    let _worker = farm.worker(&[]);
    let link = farm.welcome().await;
    let mut lane = Lane::open(&link).await;
    lane.say(LaneBound::Start((1..=3_000).map(|n| order(n, n % 3)).collect())).await;
    let mut ends = lane.ends(3_000).await;
    assert!(ends.iter().all(is_success));
    ends.sort_by_key(|end| end.attempt);
    ends.dedup_by_key(|end| end.attempt);
    assert_eq!(ends.len(), 3_000);
    lane.say(LaneBound::Collected(ends.iter().map(|end| end.attempt).collect())).await;
    // Another order shows that the one before was read.
    lane.say(LaneBound::Start(vec![order(4_000, 0)])).await;
    let _last = lane.ends(1).await;
    link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"restart");
    let held = farm.welcome().await.held;
    assert_eq!(
        held.iter().map(|h| (h.attempt, h.finished)).collect::<Vec<_>>(),
        [(attempt(Epoch(1), 4_000), true)]
    );
}

#[tokio::test]
async fn a_task_on_the_lane_outlives_its_connection_and_can_be_canceled_on_either() {
    let farm = Farm::new();
    let _worker = farm.worker(&[]);
    let link = farm.welcome().await;
    let mut lane = Lane::open(&link).await;
    lane.say(LaneBound::Start(vec![order(1, LONG_MS), order(2, LONG_MS), order(3, 0)])).await;
    assert!(is_success(&lane.ends(1).await[0]));
    lane.say(LaneBound::Cancel(vec![attempt(Epoch(1), 2), attempt(Epoch(1), 99)])).await;
    let end = lane.ends(1).await.remove(0);
    assert_eq!((end.attempt, end.outcome), (attempt(Epoch(1), 2), TaskOutcome::Cancelled));
    lane.say(LaneBound::Collected(vec![attempt(Epoch(1), 2), attempt(Epoch(1), 3)])).await;
    lane.say(LaneBound::Start(vec![order(4, 0)])).await;
    let _last = lane.ends(1).await;
    link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"restart");

    let link = farm.welcome().await;
    let held: Vec<_> = link.held.iter().map(|h| (h.attempt, h.finished)).collect();
    assert_eq!(held, [(attempt(Epoch(1), 1), false), (attempt(Epoch(1), 4), true)]);
    let mut finished = link.attach(attempt(Epoch(1), 4)).await;
    assert_eq!(finished.value().await, TaskValue::Nothing);
    let mut running = link.attach(attempt(Epoch(1), 1)).await;
    running.say(&rushes_shared::wire::TaskBound::Cancel).await;
    assert_eq!(running.outcome().await, TaskOutcome::Cancelled);
}

/// With one place: the first holds it, the others wait.
async fn with_one_place(farm: &Farm, orders: Vec<LaneOrder>) -> (Link, Lane) {
    let link = farm.welcome().await;
    let mut lane = Lane::open(&link).await;
    let entry = |order| LaneEntry { order, slot: SlotKind::Light, demand: Demand::default() };
    lane.say(LaneBound::Enter(orders.into_iter().map(entry).collect())).await;
    (link, lane)
}

#[tokio::test]
async fn orders_beyond_the_room_wait_and_begin_in_their_order_when_one_ends() {
    let farm = Farm::new();
    let _worker = farm.worker(&["slots.light=1"]);
    let orders = vec![order(1, LONG_MS), order(2, 0), order(3, 0), order(4, LONG_MS), order(5, 0)];
    let (_link, mut lane) = with_one_place(&farm, orders).await;
    lane.say(LaneBound::Recall(vec![attempt(Epoch(1), 1), attempt(Epoch(1), 3)])).await;
    let reply = timeout(Duration::from_secs(20), lane.reader.next::<LaneReply>());
    let reply = reply.await.expect("a reply comes").expect("it reads").expect("the lane is open");
    let third = order(3, 0);
    assert_eq!(reply, LaneReply::Recalled(vec![(third.task, third.attempt)]), "the first has begun");
    lane.say(LaneBound::Cancel(vec![attempt(Epoch(1), 1), attempt(Epoch(1), 5)])).await;
    let ends: Vec<_> =
        lane.ends(3).await.into_iter().map(|end| (end.attempt.counter, is_success(&end))).collect();
    assert_eq!(ends, [(1, false), (5, false), (2, true)], "the fourth has begun, and the fifth never did");
}

#[tokio::test]
async fn what_was_not_begun_is_forgotten_with_the_connection() {
    let farm = Farm::new();
    let _worker = farm.worker(&["slots.light=1"]);
    let (link, mut lane) = with_one_place(&farm, vec![order(1, 0), order(2, LONG_MS), order(3, 0)]).await;
    assert!(is_success(&lane.ends(1).await[0]));
    link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"restart");
    let link = farm.welcome().await;
    let held: Vec<_> = link.held.iter().map(|h| (h.attempt.counter, h.finished)).collect();
    assert_eq!(held, [(1, true), (2, false)]);
    // What runs keeps its place on the new connection.
    let mut lane = Lane::open(&link).await;
    let entry = |order| LaneEntry { order, slot: SlotKind::Light, demand: Demand::default() };
    lane.say(LaneBound::Enter(vec![entry(order(4, 0))])).await;
    let mut running = link.attach(attempt(Epoch(1), 2)).await;
    running.say(&rushes_shared::wire::TaskBound::Cancel).await;
    assert_eq!(running.outcome().await, TaskOutcome::Cancelled);
    let end = lane.ends(1).await.remove(0);
    assert!(end.attempt.counter == 4 && is_success(&end), "it begins once there is room: {end:?}");
}

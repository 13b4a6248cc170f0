//! A worker against a coordinator that is played by hand: connecting, refusing, losing and finding.

use std::io::Read as _;

use crate::fake::{Farm, attempt, order, probe, until};
use quinn::VarInt;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::Epoch;
use rushes_shared::task::{Demand, TaskValue, TaskWork};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::{FarmBound, TaskReply, close};
use rustix::process::{Signal, kill_process};

#[tokio::test]
async fn a_worker_tells_its_facts_and_answers_a_noop_at_once() {
    let farm = Farm::new();
    let _worker = farm.worker(&["tags=gpu,rack-3", "slots.light=7"]);
    let link = farm.welcome().await;
    assert_eq!((link.epoch, link.held.len(), link.facts.name.as_str()), (Epoch(0), 0, "test"));
    assert_eq!((link.facts.tags.len(), link.facts.light_slots), (2, 7));
    assert!(link.facts.sandbox.starts_with("landlock-v"), "{}", link.facts.sandbox);

    let mut stream = link.start(order(Epoch(1), 1, TaskWork::Noop { hold_ms: 0, cpu_ms: 0 })).await;
    assert_eq!(stream.next().await, TaskReply::Started);
    assert_eq!(stream.value().await, TaskValue::Nothing);

    // What was collected is forgotten.
    let mut again = link.attach(attempt(Epoch(1), 1)).await;
    let reply = again.next().await;
    assert!(matches!(&reply, TaskReply::Refused(f) if f.code == FailureCode::WorkerLost), "{reply:?}");
}

#[tokio::test]
async fn heartbeats_come_as_often_as_the_coordinator_wants() {
    let farm = Farm::new();
    let _worker = farm.worker(&[]);
    let mut link = farm.welcome().await;
    assert!(matches!(link.next().await, FarmBound::Ahead(_)), "first it says what it holds ahead");
    for _ in 0..5 {
        assert_eq!(link.next().await, FarmBound::Heartbeat);
    }
}

#[tokio::test]
async fn an_outcome_is_repeated_until_it_is_collected() {
    let farm = Farm::new();
    let _worker = farm.worker(&[]);
    let link = farm.welcome().await;
    let mut stream = link.start(order(Epoch(1), 1, TaskWork::Noop { hold_ms: 0, cpu_ms: 0 })).await;
    assert_eq!(stream.next().await, TaskReply::Started);
    assert!(matches!(stream.next().await, TaskReply::Outcome(_)));
    link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"restart");

    let link = farm.welcome().await;
    assert_eq!(
        (link.held.len(), link.held[0].attempt, link.held[0].finished),
        (1, attempt(Epoch(1), 1), true)
    );
    let mut stream = link.attach(attempt(Epoch(1), 1)).await;
    assert_eq!(stream.value().await, TaskValue::Nothing);
    link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"restart");
    assert_eq!(farm.welcome().await.held, []);
}

#[tokio::test]
async fn a_lower_reign_is_never_served_even_after_a_restart() {
    let mut farm = Farm::new();
    farm.epoch = Epoch(5);
    let mut worker = farm.worker(&[]);
    let link = farm.welcome().await;
    // An order of an older reign on a current connection.
    let mut stale = link.start(order(Epoch(4), 9, TaskWork::Noop { hold_ms: 0, cpu_ms: 0 })).await;
    assert!(matches!(stale.next().await, TaskReply::Refused(_)));
    kill_process(worker.pid(), Signal::KILL).expect("it lives");
    worker.ended().await;

    let _worker = farm.worker(&[]);
    let mut link = farm.accept().await;
    assert_eq!(link.epoch, Epoch(5), "it was on disk before anything was served");
    link.welcome(Epoch(4), ":1", Vec::new()).await;
    let closed = link.connection.closed().await.to_string();
    assert!(closed.contains("reign 4"), "{closed}");
    // And it comes back, for the current one.
    assert_eq!(farm.welcome().await.epoch, Epoch(5));
}

#[tokio::test]
async fn what_is_beyond_the_capacity_is_refused() {
    let farm = Farm::new();
    let _worker = farm.worker(&["slots.cpu_millicores=1500", "slots.memory_mib=100"]);
    let link = farm.welcome().await;
    let facts = (link.facts.cpu, link.facts.memory);
    assert_eq!(facts, (Millicores(1500), Bytes(100 << 20)));
    let work = crate::fake::encode(&crate::fake::input("/x"), &Default::default(), Default::default());
    let mut too_much = order(Epoch(1), 1, work);
    too_much.demand = Demand { cpu: Millicores(1600), memory: Bytes(1) };
    let mut stream = link.start(too_much).await;
    let TaskReply::Refused(failure) = stream.next().await else { panic!("it was accepted") };
    assert!(failure.message.contains("1600 more are wanted"), "{failure}");
}

#[tokio::test]
async fn an_input_that_is_not_there_fails_in_the_depots_words() {
    let farm = Farm::new();
    let _worker = farm.worker(&[]);
    let link = farm.welcome().await;
    let mut stream = link.start(order(Epoch(1), 1, probe("/media/none.mp4"))).await;
    let failure = stream.failure().await;
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (FailureCode::InputNotFound, "there is no such file")
    );
    assert_eq!(farm.attempts_on_disk(), 0);
}

#[tokio::test]
async fn a_fetch_is_cancelled_at_once() {
    let farm = Farm::new();
    farm.depot.put(crate::fake::depot::HANGING, vec![7; 1 << 20]);
    let _worker = farm.worker(&[]);
    let link = farm.welcome().await;
    let mut stream = link.start(order(Epoch(1), 1, probe(crate::fake::depot::HANGING))).await;
    until("half of it is there", || farm.depot.reads() == 1 && farm.attempts_on_disk() == 1).await;
    let told = std::time::Instant::now();
    stream.say(&rushes_shared::wire::TaskBound::Cancel).await;
    assert_eq!(stream.outcome().await, rushes_shared::task::TaskOutcome::Cancelled);
    assert!(told.elapsed().as_secs() < 2);
    assert_eq!(farm.attempts_on_disk(), 0);
}

#[tokio::test]
async fn another_farms_certificate_ends_the_worker_with_words() {
    let farm = Farm::new();
    farm.enrol(&crate::fake::identities::Farm::new());
    let mut worker = farm.worker_with_log(&["link.refusals_max=2"]);
    let endpoint = farm.endpoint.clone();
    let refusing = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            assert!(incoming.await.is_err(), "a foreign worker must not get in");
        }
    });
    assert_eq!(worker.ended().await.code(), Some(3));
    refusing.abort();
    let mut log = String::new();
    worker.child.stderr.take().expect("it is piped").read_to_string(&mut log).expect("it is text");
    assert!(log.contains("another farm") && log.contains("the worker gives up"), "{log}");
}

#[tokio::test]
async fn a_removed_worker_is_told_to_join_again() {
    let farm = Farm::new();
    let mut worker = farm.worker_with_log(&["link.refusals_max=2"]);
    for _ in 0..2 {
        let link = farm.accept().await;
        link.connection.close(VarInt::from_u32(close::UNKNOWN_WORKER), b"it was removed by the operator");
        link.connection.closed().await;
    }
    assert_eq!(worker.ended().await.code(), Some(3));
    let mut log = String::new();
    worker.child.stderr.take().expect("it is piped").read_to_string(&mut log).expect("it is text");
    assert!(log.contains("not enrolled") && log.contains("removed by the operator"), "{log}");
}

#[tokio::test]
async fn two_workers_do_not_share_a_directory() {
    let farm = Farm::new();
    let _worker = farm.worker(&[]);
    let _link = farm.welcome().await;
    let second = farm.command(&[]).output().expect("it runs");
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && text.contains("another worker runs in"), "{text}");
}

#[tokio::test]
async fn a_worker_says_that_it_leaves_and_ends_in_good_order() {
    let farm = Farm::new();
    let mut worker = farm.worker(&["metrics.bind=127.0.0.1:0", "log.format=json"]);
    let link = farm.welcome().await;
    kill_process(worker.pid(), Signal::TERM).expect("it lives");
    // With nothing to do it may be gone before it has said so; the end of its connection says the same.
    let closed = link.connection.closed().await;
    assert!(closed.to_string().contains("the worker stops"), "{closed}");
    assert!(worker.ended().await.success());
}

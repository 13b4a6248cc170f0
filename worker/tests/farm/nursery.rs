//! The process that bears task processes is killed: its tasks end and can be tried again, and another one takes its place.
//! And a task that waits for room on the worker fetches its input meanwhile.

use rushes_shared::failure::FailureCode;
use rushes_shared::id::Epoch;
use rushes_shared::task::{SlotKind, TaskOutcome, TaskValue};
use rushes_shared::units::Millicores;
use rushes_shared::wire::{TaskBound, TaskReply};
use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Farm, attempt, encode, is_alive, order, probe, slow_encode, until};

const CLIP: &str = "/media/clip.mp4";
const OTHER: &str = "/media/other.mp4";

/// The parent of a process.
fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let rest = stat.rsplit_once(") ").expect("its name is in brackets").1;
    rest.split(' ').nth(1).and_then(|ppid| ppid.parse().ok()).expect("its parent is told")
}

#[tokio::test]
async fn a_killed_nursery_takes_its_tasks_along_and_the_next_task_gets_a_new_one() {
    let farm = Farm::new();
    farm.depot.put(CLIP, crate::fake::media::clip(900, 640, 360));
    let _worker = farm.worker(&["pool.warm=0"]);
    let link = farm.welcome().await;
    let mut stream = link.start(order(Epoch(1), 1, probe(CLIP))).await;
    let TaskValue::Probed { input, facts } = stream.value().await else { panic!("a probe was asked for") };

    let mut stream = link.start(order(Epoch(1), 2, slow_encode(&input, &facts))).await;
    stream.encoding().await;
    let processes = farm.task_processes();
    let [process] = processes[..] else { panic!("one works: {processes:?}") };
    let nursery = parent_of(process);
    kill_process(Pid::from_raw(nursery).expect("a pid"), Signal::KILL).expect("it lives");
    let failure = stream.failure().await;
    assert_eq!((failure.code, failure.class), (FailureCode::ProcessDied, FailureCode::ProcessDied.class()));
    until("the process is gone", || !is_alive(process)).await;
    assert_eq!(farm.attempts_on_disk(), 0);

    let settings = rushes_shared::encode::EncodeSettings::default();
    let mut stream = link.start(order(Epoch(1), 3, slow_encode(&input, &facts))).await;
    stream.encoding().await;
    let processes = farm.task_processes();
    let [process] = processes[..] else { panic!("one works: {processes:?}") };
    assert_ne!(parent_of(process), nursery);
    stream.say(&TaskBound::Cancel).await;
    stream.outcome().await;
    let mut stream = link.start(order(Epoch(1), 4, encode(&input, &facts, settings))).await;
    assert!(matches!(stream.value().await, TaskValue::Encoded(_)), "the try after it succeeds");
}

#[tokio::test]
async fn an_order_that_ends_while_it_waits_gives_its_place_in_line_to_the_next() {
    let farm = Farm::new();
    for file in [CLIP, OTHER] {
        farm.depot.put(file, crate::fake::media::clip(if file == CLIP { 900 } else { 30 }, 640, 360));
    }
    let _worker = farm.worker(&["pool.warm=0", "slots.cpu_millicores=2000", "slots.light=1"]);
    let link = farm.welcome().await;
    let mut stream = link.start(order(Epoch(1), 1, probe(CLIP))).await;
    let TaskValue::Probed { input, facts } = stream.value().await else { panic!("a probe was asked for") };
    let mut running = link.start(order(Epoch(1), 2, slow_encode(&input, &facts))).await;
    running.encoding().await;
    let processes = farm.task_processes();
    let [process] = processes[..] else { panic!("one works: {processes:?}") };

    let on_cores = |counter, file, cpu| {
        let mut order = order(Epoch(1), counter, probe(file));
        (order.slot, order.demand.cpu) = (SlotKind::Encode, Millicores(cpu));
        order
    };
    let before = farm.depot.reads();
    let mut large = link.start(on_cores(3, OTHER, 2_000)).await;
    until("it waits", || farm.depot.reads() > before).await;
    let mut next = link.start(on_cores(4, OTHER, 1_000)).await;
    large.say(&TaskBound::Cancel).await;
    assert_eq!(large.outcome().await, TaskOutcome::Cancelled);
    assert!(matches!(next.value().await, TaskValue::Probed { .. }));
    assert!(
        is_alive(process),
        "it began in the half of the cores that was free, and waited for nobody's end"
    );

    let mut large = link.start(on_cores(5, "/media/none.mp4", 2_000)).await;
    large.failure().await;
    let mut next = link.start(on_cores(6, OTHER, 1_000)).await;
    assert!(matches!(next.value().await, TaskValue::Probed { .. }));
    assert!(
        is_alive(process),
        "it began in the half of the cores that was free, and waited for nobody's end"
    );
    running.say(&TaskBound::Cancel).await;
    running.outcome().await;
}

#[tokio::test]
async fn a_task_beyond_the_room_fetches_its_input_waits_and_can_be_recalled() {
    let farm = Farm::new();
    for file in [CLIP, OTHER] {
        farm.depot.put(file, crate::fake::media::clip(if file == CLIP { 900 } else { 30 }, 640, 360));
    }
    let _worker = farm.worker(&["pool.warm=0", "slots.cpu_millicores=1000", "slots.light=1"]);
    let link = farm.welcome().await;
    let mut stream = link.start(order(Epoch(1), 1, probe(CLIP))).await;
    let TaskValue::Probed { input, facts } = stream.value().await else { panic!("a probe was asked for") };
    let mut running = link.start(order(Epoch(1), 2, slow_encode(&input, &facts))).await;
    running.encoding().await;

    let behind = |counter| {
        let mut order = order(Epoch(1), counter, probe(OTHER));
        (order.slot, order.demand.cpu) = (SlotKind::Encode, Millicores(1_000));
        order
    };
    let before = farm.depot.reads();
    let mut next = link.start(behind(3)).await;
    let mut recalled = link.start(behind(4)).await;
    until("inputs are fetched ahead", || farm.depot.reads() > before).await;
    recalled.say(&TaskBound::Recall).await;
    assert_eq!(recalled.next().await, TaskReply::Recalled, "nothing is said of it but that");
    assert_eq!(farm.task_processes().len(), 1, "one slot, one process");

    running.say(&TaskBound::Recall).await;
    running.say(&TaskBound::Cancel).await;
    running.outcome().await;
    assert_eq!(next.next().await, TaskReply::Started, "it begins when there is room");
    assert!(matches!(next.value().await, TaskValue::Probed { .. }));
    until("all attempts are gone", || farm.attempts_on_disk() == 0).await;

    // One that waits when its worker loses the coordinator is forgotten.
    let mut running = link.start(order(Epoch(1), 5, slow_encode(&input, &facts))).await;
    running.encoding().await;
    let _waits = link.start(behind(6)).await;
    link.connection.close(quinn::VarInt::from_u32(rushes_shared::wire::close::UNAVAILABLE), b"restart");
    let held: Vec<_> = farm.welcome().await.held.iter().map(|h| h.attempt).collect();
    assert_eq!(held, [attempt(Epoch(1), 5)]);
}

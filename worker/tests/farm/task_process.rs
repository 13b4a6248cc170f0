//! Real task processes under a real worker, doing real encodes: how they end, and what is left of them.

use std::time::{Duration, Instant};

use crate::fake::{
    Farm, Link, TaskStream, WorkerProcess, attempt, is_alive, order, probe, slow_encode, until,
};
use quinn::VarInt;
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::{Epoch, TenantId};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{ALLOCATOR, Phase, TaskOrder, TaskOutcome, TaskValue, TaskWork};
use rushes_shared::wire::{TaskBound, close};
use rustix::process::{Pid, Signal, kill_process};

const CLIP: &str = "/media/clip.mp4";

/// A worker that is about to encode a clip whose encode takes long.
struct Scene {
    farm: Farm,
    worker: WorkerProcess,
    link: Link,
    input: Artifact,
    facts: MediaFacts,
}

impl Scene {
    /// `warm=0`: the only task process there is, is the one that works.
    async fn new(frames: u32, settings: &[&str]) -> Self {
        let farm = Farm::new();
        farm.depot.put(CLIP, crate::fake::media::clip(frames, 640, 360));
        let settings: Vec<&str> = ["pool.warm=0"].iter().chain(settings).copied().collect();
        let worker = farm.worker(&settings);
        let link = farm.welcome().await;
        let mut stream = link.start(order(Epoch(1), 1, probe(CLIP))).await;
        let TaskValue::Probed { input, facts } = stream.value().await else {
            panic!("a probe was asked for")
        };
        Self { farm, worker, link, input, facts }
    }

    fn order(&self) -> TaskOrder {
        order(Epoch(1), 2, slow_encode(&self.input, &self.facts))
    }

    /// Starts the encode and waits until it really encodes. Returns its stream and process.
    async fn encoding(&self, order: TaskOrder) -> (TaskStream, i32) {
        let mut stream = self.link.start(order).await;
        stream.encoding().await;
        let processes = self.farm.task_processes();
        assert_eq!(processes.len(), 1, "{processes:?}");
        (stream, processes[0])
    }

    async fn nothing_is_left(&self, process: i32) {
        until("the process is gone", || !is_alive(process)).await;
        assert_eq!(self.farm.attempts_on_disk(), 0);
        assert_eq!(self.farm.task_processes(), Vec::<i32>::new());
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("it lives");
}

#[tokio::test]
async fn a_file_goes_through_probe_encode_check_and_storage() {
    let scene = Scene::new(60, &[]).await;
    assert_eq!((scene.facts.video[0].frames, scene.facts.video[0].width), (60, 640));
    assert!(scene.input.size.is_some() && scene.input.hash.is_some());
    let work = crate::fake::encode(&scene.input, &scene.facts, EncodeSettings::default());
    let mut stream = scene.link.start(order(Epoch(1), 2, work)).await;
    let mut phases = Vec::new();
    let outcome = loop {
        match stream.next().await {
            rushes_shared::wire::TaskReply::Progress(progress) => {
                phases.push((progress.phase, progress.permille))
            }
            rushes_shared::wire::TaskReply::Outcome(outcome) => break outcome,
            _ => {}
        }
    };
    let TaskOutcome::Succeeded { value: TaskValue::Encoded(output), usage } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(phases.is_sorted() && phases.iter().all(|(phase, _)| *phase >= Phase::Running), "{phases:?}");
    let stored = scene.farm.depot.get(&output.artifact.location).expect("it was staged");
    assert_eq!(
        output.artifact.location,
        Location::Staged(attempt(Epoch(1), 2), "out.mp4".parse().expect("valid"))
    );
    assert_eq!(output.artifact.size.map(|s| s.0), Some(stored.len() as u64));
    assert_eq!((output.check.frames_decoded, output.check.problems.len()), (60, 0));
    assert!(
        usage.cpu_ms > 0 && usage.max_rss_bytes > 1 << 20 && usage.bytes_out == stored.len() as u64,
        "{usage:?}"
    );
    assert_eq!(scene.farm.depot.reads(), 1, "the probe's input was kept for the encode");
    assert_eq!(scene.farm.attempts_on_disk(), 0);
}

#[tokio::test]
async fn an_upload_with_other_content_than_its_name_says_is_not_worked_on() {
    let farm = Farm::new();
    let place = Location::Upload(TenantId::default_tenant(), ContentHash([7; 32]));
    farm.depot.put_at(&place, b"something else".to_vec());
    let _worker = farm.worker(&["pool.warm=0"]);
    let link = farm.welcome().await;
    let work = TaskWork::Probe { input: Artifact::unseen(place) };
    let failure = link.start(order(Epoch(1), 1, work)).await.failure().await;
    assert_eq!(failure.code, FailureCode::InputDamaged, "{failure}");
    assert!(failure.message.contains("other content"), "{failure}");
    assert_eq!(farm.task_processes(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_cancelled_encode_is_gone_within_two_seconds() {
    let scene = Scene::new(900, &[]).await;
    let (mut stream, process) = scene.encoding(scene.order()).await;
    let told = Instant::now();
    stream.say(&TaskBound::Cancel).await;
    assert_eq!(stream.outcome().await, TaskOutcome::Cancelled);
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    scene.nothing_is_left(process).await;
}

#[tokio::test]
async fn a_killed_process_is_a_failure_that_may_be_tried_again() {
    let scene = Scene::new(900, &[]).await;
    let (mut stream, process) = scene.encoding(scene.order()).await;
    signal(process, Signal::KILL);
    let failure = stream.failure().await;
    assert_eq!((failure.code, failure.class), (FailureCode::ProcessDied, FailureCode::ProcessDied.class()));
    assert!(failure.message.contains("SIGKILL"), "{failure}");
    scene.nothing_is_left(process).await;
}

#[tokio::test]
async fn a_crash_names_its_signal() {
    let scene = Scene::new(900, &[]).await;
    let (mut stream, process) = scene.encoding(scene.order()).await;
    signal(process, Signal::ABORT);
    let failure = stream.failure().await;
    assert!(failure.code == FailureCode::ProcessDied && failure.message.contains("SIGABRT"), "{failure}");
    scene.nothing_is_left(process).await;
}

#[tokio::test]
async fn a_process_that_hangs_is_killed_at_the_stall_limit() {
    let scene = Scene::new(900, &[]).await;
    let mut order = scene.order();
    order.limits.stall_ms = 6000;
    let (mut stream, process) = scene.encoding(order).await;
    signal(process, Signal::STOP);
    let failure = stream.failure().await;
    assert_eq!(failure.code, FailureCode::ProcessStalled, "{failure}");
    scene.nothing_is_left(process).await;
}

#[tokio::test]
async fn limits_on_cpu_and_wall_time_end_an_encode() {
    let scene = Scene::new(900, &[]).await;
    let mut order = scene.order();
    order.limits.cpu_s = 1;
    let mut stream = scene.link.start(order).await;
    let failure = stream.failure().await;
    assert!(failure.code == FailureCode::LimitReached && failure.message.contains("CPU time"), "{failure}");

    let mut order = scene.order();
    order.attempt.counter = 3;
    order.limits.wall_ms = 1500;
    let mut stream = scene.link.start(order).await;
    let failure = stream.failure().await;
    assert!(
        failure.code == FailureCode::LimitReached && failure.message.contains("longer than"),
        "{failure}"
    );
    assert_eq!(failure.class, FailureClass::Permanent, "it would take as long again");
    assert_eq!(scene.farm.attempts_on_disk(), 0);
}

#[tokio::test]
async fn a_task_process_ends_with_its_worker_and_a_successor_cleans_up() {
    let mut scene = Scene::new(900, &[]).await;
    let (_stream, process) = scene.encoding(scene.order()).await;
    let killed = Instant::now();
    kill_process(scene.worker.pid(), Signal::KILL).expect("it lives");
    scene.worker.ended().await;
    until("the process is gone", || !is_alive(process)).await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert_eq!(scene.farm.attempts_on_disk(), 1, "nobody could clean up");

    let _successor = scene.farm.worker(&[]);
    let link = scene.farm.welcome().await;
    assert_eq!(link.held, []);
    assert_ne!(link.instance, scene.link.instance);
    assert_eq!(scene.farm.attempts_on_disk(), 0);
}

#[tokio::test]
async fn a_successor_ends_a_process_that_could_not_end_itself() {
    let mut scene = Scene::new(900, &[]).await;
    let (_stream, process) = scene.encoding(scene.order()).await;
    // A stopped process reads no end of file, and dies of its parent's death all the same.
    signal(process, Signal::STOP);
    kill_process(scene.worker.pid(), Signal::KILL).expect("it lives");
    scene.worker.ended().await;
    let _successor = scene.farm.worker(&[]);
    let _link = scene.farm.welcome().await;
    until("the process is gone", || !is_alive(process)).await;
}

#[tokio::test]
async fn an_encode_outlives_the_link_and_is_adopted() {
    let scene = Scene::new(240, &[]).await;
    let (_stream, process) = scene.encoding(scene.order()).await;
    scene.link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"the coordinator was killed");

    let mut link = scene.farm.accept().await;
    assert_eq!(link.instance, scene.link.instance, "the same run of the worker");
    assert_eq!(link.held.len(), 1);
    assert!(!link.held[0].finished || !is_alive(process));
    link.welcome(Epoch(2), &scene.farm.depot.address, Vec::new()).await;
    let mut stream = link.attach(attempt(Epoch(1), 2)).await;
    let value = stream.value().await;
    assert!(matches!(value, TaskValue::Encoded(_)), "{value:?}");
    scene.nothing_is_left(process).await;
}

#[tokio::test]
async fn what_is_given_up_at_a_reconnect_is_stopped() {
    let scene = Scene::new(900, &[]).await;
    let (_stream, process) = scene.encoding(scene.order()).await;
    scene.link.connection.close(VarInt::from_u32(close::UNAVAILABLE), b"the coordinator was killed");
    let mut link = scene.farm.accept().await;
    link.welcome(Epoch(2), &scene.farm.depot.address, vec![attempt(Epoch(1), 2)]).await;
    until("the process is gone", || !is_alive(process)).await;
    until("its directory is gone", || scene.farm.attempts_on_disk() == 0).await;
}

#[tokio::test]
async fn a_worker_without_grace_gives_back_what_it_stopped() {
    let mut scene = Scene::new(900, &["shutdown.grace_s=0"]).await;
    let (mut stream, process) = scene.encoding(scene.order()).await;
    kill_process(scene.worker.pid(), Signal::TERM).expect("it lives");
    assert_eq!(stream.outcome().await, TaskOutcome::Cancelled, "no failure of the task");
    assert!(scene.worker.ended().await.success());
    scene.nothing_is_left(process).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_worker_at_once() {
    let mut scene = Scene::new(900, &["shutdown.grace_s=600"]).await;
    let (_stream, process) = scene.encoding(scene.order()).await;
    kill_process(scene.worker.pid(), Signal::TERM).expect("it lives");
    while scene.link.next().await != rushes_shared::wire::FarmBound::Leaving {}
    assert!(is_alive(process), "the first signal lets it work on");
    kill_process(scene.worker.pid(), Signal::TERM).expect("it lives");
    assert!(scene.worker.ended().await.success());
    until("the process is gone", || !is_alive(process)).await;
}

#[tokio::test]
async fn a_task_process_inherits_neither_files_nor_environment() {
    let scene = Scene::new(900, &[]).await;
    let (_stream, process) = scene.encoding(scene.order()).await;
    let environment =
        String::from_utf8_lossy(&crate::fake::read(format!("/proc/{process}/environ").as_ref())).into_owned();
    let names: Vec<&str> =
        environment.split('\0').filter_map(|v| v.split_once('=')).map(|(name, _)| name).collect();
    let own = ["GST_REGISTRY", "GST_REGISTRY_UPDATE", "HOME", "LANG"];
    let known: Vec<&str> = own.into_iter().chain(ALLOCATOR.map(|(name, _)| name)).collect();
    assert!(!names.is_empty() && names.iter().all(|n| known.contains(n)), "{environment}");
    assert!(ALLOCATOR.iter().all(|(name, _)| names.contains(name)), "frames' memory is kept: {environment}");
    let files = |pid: i32| -> Vec<String> {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
        entries
            .filter_map(|e| Some(std::fs::read_link(e.path()).ok()?.to_string_lossy().into_owned()))
            .collect()
    };
    let of_worker = files(scene.worker.pid().as_raw_nonzero().get());
    for file in files(process) {
        // The three pipes are shared with the worker on purpose; sockets pairs of its own are harmless.
        let own = file.starts_with("pipe:")
            || file.starts_with("anon_inode:")
            || file.contains("/scratch/1-2/")
            || (file.starts_with("socket:") && !of_worker.contains(&file));
        assert!(own, "it holds {file}");
    }
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
}

//! `kill -9` of a worker, of its task process, and a task process that hangs.

use std::time::{Duration, Instant};

use rushes_shared::failure::FailureCode;
use rushes_shared::task::TaskKind;
use rushes_shared::view::{JobView, TaskView};
use rushes_tests::media::{self, Facts};
use rushes_tests::program::exists;
use rushes_tests::{Farm, FarmPlan, SOON, tasks, until};
use rustix::process::Signal;

fn encode_of(job: &JobView) -> &TaskView {
    job.tasks.iter().find(|t| t.kind == TaskKind::Encode).expect("the job has an encode")
}

/// Why the encode's latest failed attempt failed.
fn cause(task: &TaskView) -> Option<FailureCode> {
    task.last_failure.as_ref().map(|f| f.code)
}

fn is_whole(farm: &Farm) {
    assert_eq!(farm.delivered(), ["film.mp4"], "the one right file and nothing else");
    let facts = Facts::of(&farm.out().join("film.mp4"));
    assert_eq!((facts.frames(), facts.size()), (200, (480, 270)));
    until("nothing is staged any more", SOON, || farm.staged().is_empty().then_some(()));
}

#[test]
fn the_task_of_a_killed_worker_runs_elsewhere_and_its_leavings_go() {
    let clip = media::long();
    let mut farm = FarmPlan::new(2).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let before = farm.api().encoding(id);
    let victim = farm.worker_named(before.worker_name.as_deref().expect("it runs on a worker"));
    let process = farm.task_process(victim);

    let killed = Instant::now();
    farm.kill_worker(victim);
    until("the task process ends with its worker", SOON, || (!exists(process)).then_some(()));
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(5), "the task process outlived its worker by {took:?}");
    assert!(
        !media::files_in(&farm.worker(victim).dir.join("scratch")).is_empty(),
        "it left its scratch behind"
    );

    let job = farm.api().succeeded(id);
    let encode = encode_of(&job);
    assert_eq!((encode.attempts, encode.failures), (2, 1), "{encode:#?}");
    assert_eq!(cause(encode), Some(FailureCode::WorkerLost));
    assert_ne!(encode.attempt, before.attempt);
    assert_ne!(encode.worker, before.worker, "it ran on the other worker");
    is_whole(&farm);
    let metrics = farm.api().metrics();
    assert_eq!(metrics.sum("rushes_workers_lost_total", &[]), 1.0);

    farm.start_worker(victim);
    farm.worker_program(victim).hear("an earlier run was killed");
    farm.connected(2);
    assert_eq!(media::files_in(&farm.worker(victim).dir.join("scratch")), Vec::<String>::new());
    is_whole(&farm);
}

#[test]
fn a_worker_that_was_thought_lost_cannot_deliver_any_more() {
    let clip = media::long();
    let mut farm = FarmPlan::new(2).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let before = farm.api().encoding(id);
    let silent = farm.worker_named(before.worker_name.as_deref().expect("it runs on a worker"));
    // The worker sleeps, its task process goes on: as when a machine is cut off.
    farm.worker_program(silent).signal(Signal::STOP);
    let job = farm.api().succeeded(id);
    assert_ne!(encode_of(&job).worker, before.worker);
    farm.worker_program(silent).signal(Signal::CONT);
    farm.connected(2);
    until("the old attempt is given up", SOON * 2, || {
        (tasks::at_work(&farm.worker(silent).dir).is_empty()
            && media::files_in(&farm.worker(silent).dir.join("scratch")).is_empty())
        .then_some(())
    });
    is_whole(&farm);
    let after = farm.api().job(id);
    assert_eq!(encode_of(&after).attempt, encode_of(&job).attempt);
}

#[test]
fn a_killed_task_process_is_tried_again_and_counted() {
    let clip = media::long();
    let farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let before = farm.api().encoding(id);
    tasks::signal(farm.task_process(0), Signal::KILL);

    let job = farm.api().succeeded(id);
    let encode = encode_of(&job);
    assert_eq!((encode.attempts, encode.failures), (2, 1), "{encode:#?}");
    assert_eq!(cause(encode), Some(FailureCode::ProcessDied));
    assert_ne!(encode.attempt, before.attempt);
    is_whole(&farm);
    let failed = farm.api().metrics().sum("rushes_attempts_total", &["kind=\"encode\"", "process_died"]);
    assert_eq!(failed, 1.0, "{}", farm.api().metrics().0);
}

#[test]
fn a_task_process_that_hangs_is_killed_tried_again_and_counted() {
    let clip = media::long();
    let farm = FarmPlan::new(1).set("engine.encode.stall_ms=2000").start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let _running = farm.api().encoding(id);
    let process = farm.task_process(0);
    tasks::signal(process, Signal::STOP);

    let job = farm.api().succeeded(id);
    let encode = encode_of(&job);
    assert_eq!((encode.attempts, encode.failures), (2, 1), "{encode:#?}");
    assert_eq!(cause(encode), Some(FailureCode::ProcessStalled));
    assert!(!exists(process), "the hanging process is gone");
    is_whole(&farm);
    let failed = farm.api().metrics().sum("rushes_attempts_total", &["kind=\"encode\"", "process_stalled"]);
    assert_eq!(failed, 1.0, "{}", farm.api().metrics().0);
}

#[test]
fn a_task_that_keeps_dying_is_given_up_with_its_cause() {
    let clip = media::long();
    let farm = FarmPlan::new(1).set("engine.max_attempts=2").start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    // A probe that dies as well would leave the encode one more attempt.
    let _running = farm.api().encoding(id);
    for _ in 0..2 {
        let process = farm.task_process(0);
        tasks::signal(process, Signal::KILL);
        until("the killed process is gone", SOON, || (!exists(process)).then_some(()));
    }
    let job = farm.api().ended(id);
    let failure = job.failure.as_ref().expect("a failed job has a cause");
    assert_eq!(failure.code, FailureCode::ProcessDied, "{job:#?}");
    assert!(!failure.advice.is_empty() && failure.message.contains("SIGKILL"), "{failure:?}");
    assert_eq!(farm.delivered(), Vec::<String>::new());
    assert_eq!(farm.staged(), Vec::<String>::new());
}

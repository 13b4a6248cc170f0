//! `kill -9` of the coordinator while a file is encoded: the work goes on without it and is taken up again.

use rushes_shared::job::TaskState;
use rushes_shared::task::TaskKind;
use rushes_tests::media::{self, Facts};
use rushes_tests::program::exists;
use rushes_tests::wait::ENCODE;
use rushes_tests::{FarmPlan, tasks, until};
use rustix::process::Signal;

#[test]
fn an_encode_outlives_its_coordinator_and_is_not_started_again() {
    let clip = media::long();
    let mut farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let before = farm.api().encoding(id);
    let process = farm.task_process(0);

    farm.kill_coordinator();
    assert!(exists(process), "the task process works on while nobody watches");
    farm.start_coordinator();

    let job = farm.api().succeeded(id);
    let encode = job.tasks.iter().find(|t| t.kind == TaskKind::Encode).expect("the job has an encode");
    assert_eq!((encode.state, encode.attempts, encode.failures), (TaskState::Succeeded, 1, 0), "{encode:#?}");
    assert_eq!(encode.attempt, before.attempt, "the very attempt of before the crash succeeded");
    assert_eq!(encode.worker, before.worker);
    let adopted = farm.api().metrics().sum("rushes_attempts_adopted_total", &[]);
    assert_eq!(adopted, 1.0, "the new coordinator took the running attempt up");
    let starts =
        farm.worker_log(0).lines().filter(|l| l.contains("attempt started") && l.contains("encode")).count();
    assert_eq!(starts, 1, "the worker began to encode once");
    let log = farm.worker_log(0);
    assert!(
        log.contains("the other side has restarted"),
        "the new coordinator told the worker at once:\n{log}"
    );

    assert_eq!(farm.delivered(), ["film.mp4"]);
    assert_eq!(Facts::of(&farm.out().join("film.mp4")).frames(), 200);
    assert_eq!(farm.staged(), Vec::<String>::new());
}

#[test]
fn an_encode_that_ended_while_the_coordinator_was_down_is_collected() {
    let clip = media::long();
    let mut farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let before = farm.api().encoding(id);
    // Stopped, so that its end falls between two coordinators whatever the machine's speed.
    let process = farm.task_process(0);
    tasks::signal(process, Signal::STOP);
    farm.kill_coordinator();
    tasks::signal(process, Signal::CONT);
    until("the encode itself is done", ENCODE, || {
        tasks::at_work(&farm.worker(0).dir).is_empty().then_some(())
    });
    farm.start_coordinator();

    let job = farm.api().succeeded(id);
    let encode = job.tasks.iter().find(|t| t.kind == TaskKind::Encode).expect("the job has an encode");
    assert_eq!((encode.attempts, &encode.attempt), (1, &before.attempt));
    assert_eq!(farm.delivered(), ["film.mp4"]);
}

#[test]
fn a_coordinator_that_stops_in_good_order_leaves_running_work_alone() {
    let clip = media::long();
    let mut farm = FarmPlan::new(1).start();
    let id = farm.api().submit(&farm.encode(&clip, "film.mp4", "slower"));
    let before = farm.api().encoding(id);
    farm.stop_coordinator();
    farm.start_coordinator();
    let job = farm.api().succeeded(id);
    let encode = job.tasks.iter().find(|t| t.kind == TaskKind::Encode).expect("the job has an encode");
    assert_eq!((encode.attempts, &encode.attempt), (1, &before.attempt));
}

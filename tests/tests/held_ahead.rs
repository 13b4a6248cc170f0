//! Tasks that a worker holds before there is room for them, on a farm of real processes: whoever is killed, each of them
//! is done once, and none of them has failed.

use rushes_shared::id::JobId;
use rushes_shared::job::TaskState;
use rushes_shared::view::JobView;
use rushes_tests::wait::ENCODE;
use rushes_tests::{Farm, FarmPlan, until};
use serde_json::json;

/// Tasks of a job; all but the first are sent ahead.
const TASKS: u32 = 6;

/// A worker with one place and a job whose tasks hold it one after another. The first one runs.
fn one_runs_and_others_are_held(hold_ms: u32) -> (Farm, JobId) {
    let farm = FarmPlan::new(1).set_worker("slots.light=1").set_worker("ahead.round_trip_ms=10000").start();
    let stage = json!({ "name": "hold", "slot": "light", "count": TASKS, "hold_ms": hold_ms });
    let id = farm.api().submit(&json!({ "kind": "graph", "stages": [stage] }));
    until("the first task runs", ENCODE, || (running(&farm.api().job(id)) == [0]).then_some(()));
    (farm, id)
}

fn running(job: &JobView) -> Vec<usize> {
    let tasks = job.tasks.iter().enumerate();
    tasks.filter(|(_, task)| task.state == TaskState::Running).map(|(index, _)| index).collect()
}

fn failures(job: &JobView) -> Vec<u32> {
    job.tasks.iter().map(|task| task.failures).collect()
}

#[test]
fn a_killed_coordinator_finds_each_task_once_and_none_that_has_failed() {
    let (mut farm, id) = one_runs_and_others_are_held(1_000);
    farm.kill_coordinator();
    farm.start_coordinator();
    let job = farm.api().succeeded(id);
    assert_eq!(failures(&job), [0; TASKS as usize]);
    // Each ran for itself: they share one place.
    let mut ends: Vec<_> = job.tasks.iter().map(|task| task.ended_at.clone()).collect();
    ends.sort();
    ends.dedup();
    assert_eq!(ends.len(), TASKS as usize, "{ends:?}");
}

#[test]
fn a_killed_worker_has_lost_what_it_ran_and_nothing_of_what_it_held() {
    let (mut farm, id) = one_runs_and_others_are_held(1_000);
    let lost = running(&farm.api().job(id))[0];
    farm.kill_worker(0);
    farm.start_worker(0);
    let failed = failures(&farm.api().succeeded(id));
    // Another one may have begun between the look and the kill; never more than one at a time.
    assert!(failed.iter().sum::<u32>() == 1 && failed[lost..=lost + 1].contains(&1), "{failed:?}");
}

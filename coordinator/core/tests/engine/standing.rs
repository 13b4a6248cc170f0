//! What was promised stands through restarts, silence and work that runs long: promises are given up for what is lost, and
//! not for what is only away.

use rushes_core::event::Event;
use rushes_core::explain::Standing;
use rushes_core::policy::{Admission, Policy, PromisePolicy};
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobChange, JobSpec};
use rushes_shared::task::{Progress, SlotKind};
use rushes_shared::units::Millicores;

use crate::support::samples::{NOW, graph, in_class, stage, with_deadline};
use crate::support::scene::{Scene, check_with};
use crate::support::tell;

/// Promises may fill the farm, and tasks take what was predicted.
fn exact() -> Policy {
    let promise = PromisePolicy {
        admission: Admission::Advise,
        load_permille: 1_000,
        p90_permille: 1_000,
        ..PromisePolicy::default()
    };
    Policy { promise, ..Policy::default() }
}

/// So many tasks of so many seconds on one core.
fn tasks(count: u32, seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, seconds * 1_000, &[])])
}

/// The same on more cores.
fn wide(cores: u32, seconds: u32) -> JobSpec {
    let mut stage = stage("hold", SlotKind::Encode, 1, seconds * 1_000, &[]);
    stage.demand.cpu = Millicores(cores * 1_000);
    graph(vec![stage])
}

fn due(seconds: u64, spec: JobSpec) -> JobSpec {
    with_deadline(spec, NOW + seconds * 1_000)
}

fn is_late(scene: &Scene, job: u128) -> bool {
    scene.world.engine().state().jobs[&JobId(job)].late.is_some()
}

/// The owner asks for the same again, so that the promise is looked at.
fn look_again(s: &mut Scene) {
    let deadline = s.world.engine().state().jobs[&JobId(1)].spec.deadline;
    s.amend(1, JobChange { deadline: Some(deadline), ..JobChange::default() });
}

/// Three nodes of one core that are busy, and promises that take all three of them.
fn full_of_promises(s: &mut Scene) {
    for name in ['a', 'b', 'c'] {
        s.join_with_cores(name, 1);
    }
    s.submit(tasks(3, 5));
    for _ in 0..3 {
        s.submit(due(100, tasks(1, 60)));
    }
    s.submit(due(100, tasks(6, 15)));
    assert!([2, 3, 4, 5].iter().all(|job| !is_late(s, *job)));
}

#[test]
fn the_first_worker_that_is_back_after_a_restart_costs_no_promise() {
    let scene = check_with(
        exact(),
        |s| {
            full_of_promises(s);
            s.crash();
            s.start();
            s.connect('a');
            s.wait(3_000);
            assert!([2, 3, 4, 5].iter().all(|job| !is_late(s, *job)), "the others may be back");
            s.connect('b');
            s.connect('c');
        },
        |s| s.wait(1_000),
        &[],
    );
    assert!([2, 3, 4, 5].iter().all(|job| !is_late(&scene, *job)));
}

#[test]
fn promises_for_which_too_few_workers_come_back_are_given_up_when_they_are_not_waited_for_any_more() {
    let scene = check_with(
        exact(),
        |s| {
            full_of_promises(s);
            s.crash();
            s.start();
            s.connect('a');
        },
        |s| s.wait(s.world.policy.reattach_ms + 2_000),
        &["b gone", "c gone"],
    );
    let late = [2, 3, 4, 5].iter().filter(|job| is_late(&scene, **job)).count();
    assert!(late >= 2, "{late} of 4 are late: one node is left of three");
}

#[test]
fn workers_that_are_silent_within_their_lease_cost_no_promise() {
    let scene = check_with(
        exact(),
        |s| {
            full_of_promises(s);
            s.cut('b');
            s.cut('c');
        },
        |s| s.submit(due(140, wide(1, 10))),
        &["accepted j6"],
    );
    assert!([2, 3, 4, 5, 6].iter().all(|job| !is_late(&scene, *job)));
}

#[test]
fn what_runs_for_long_takes_only_the_node_on_which_it_runs() {
    let scene = check_with(
        exact(),
        |s| {
            s.join_with_cores('a', 8);
            s.submit(wide(8, 36_000));
            s.join_with_cores('b', 8);
        },
        |s| {
            s.dry_run(due(3_600, wide(8, 600)));
            s.dry_run(due(3_600, wide(8, 3_700)));
        },
        &["can be kept", "cannot be kept"],
    );
    assert_eq!(scene.world.engine().state().jobs.len(), 1);
}

#[test]
fn an_emergency_is_counted_once_and_waits_for_no_promise() {
    let scene = check_with(
        exact(),
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 1));
            s.submit(due(90, tasks(1, 60)));
        },
        |s| s.submit(due(60, in_class(tasks(1, 40), Class::Emergency))),
        &["accepted j3", "cancel #1-1 on a", "collect #1-1 on a", "start j3.0 #1-2 on a"],
    );
    assert!(!is_late(&scene, 3), "it takes 40 seconds and has 60");
    let told = scene.world.engine().explain(scene.world.now, JobId(3)).expect("a live job");
    assert_eq!(told.forecast.can_keep, Some(true));
}

#[test]
fn a_first_guess_of_how_long_a_task_will_take_makes_nobody_late() {
    let scene = check_with(
        exact(),
        |s| {
            s.join_with_cores('a', 1);
            s.submit(due(50, tasks(1, 30)));
        },
        |s| {
            let (worker, task, attempt) = (tell::worker('a'), tell::task("1.0"), s.attempt('a', "1.0"));
            let progress = Progress { permille: 1, eta_ms: Some(4_000_000), ..Progress::default() };
            s.tell(Event::TaskProgressed { worker, task, attempt, progress });
            look_again(s);
            assert!(!is_late(s, 1), "it has hardly begun");
            s.wait(6_000);
        },
        &["amended j1"],
    );
    assert!(is_late(&scene, 1), "it still says so after a fair part of its time");
}

#[test]
fn a_late_promise_is_given_again_as_long_as_its_deadline_has_not_passed() {
    let scene = check_with(
        exact(),
        |s| {
            s.join_with_cores('a', 1);
            s.submit(due(50, tasks(1, 30)));
            let (worker, task, attempt) = (tell::worker('a'), tell::task("1.0"), s.attempt('a', "1.0"));
            let progress = |permille, eta_ms| Event::TaskProgressed {
                worker,
                task,
                attempt,
                progress: Progress { permille, eta_ms: Some(eta_ms), ..Progress::default() },
            };
            s.tell(progress(100, 4_000_000));
            look_again(s);
            assert!(is_late(s, 1));
            s.tell(progress(500, 10_000));
        },
        |s| s.wait(12_000),
        &[],
    );
    assert!(!is_late(&scene, 1), "it has found its pace");
    let told = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(told.standing, Standing::NotQueued, "it runs");
}

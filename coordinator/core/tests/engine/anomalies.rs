//! What is out of the ordinary is told once, shown while it lasts, and acted on where that makes sense.

use rushes_core::anomaly::Anomaly;
use rushes_core::event::{Event, FarmNews};
use rushes_core::policy::{HealthPolicy, Policy};
use rushes_shared::failure::FailureCode;
use rushes_shared::job::JobSpec;
use rushes_shared::task::{Progress, SlotKind, TaskOutcome, TaskValue, Usage};

use crate::support::samples::{graph, stage};
use crate::support::scene::{Scene, check, check_with};
use crate::support::tell;

fn tasks(count: u32, seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, seconds * 1_000, &[])])
}

fn health(change: impl FnOnce(&mut HealthPolicy)) -> Policy {
    let mut health = HealthPolicy::default();
    change(&mut health);
    Policy { health, ..Policy::default() }
}

fn told(scene: &Scene, name: &str) -> usize {
    let decisions = scene.world.news.iter().filter_map(|n| match &n.what {
        FarmNews::Decided(decision) => Some(decision),
        _ => None,
    });
    decisions.filter(|d| d.name() == name && !d.to_string().is_empty()).count()
}

fn lasting(scene: &Scene) -> Vec<&'static str> {
    let status = scene.world.engine().status();
    status.anomalies.iter().filter(|a| !a.to_string().is_empty()).map(Anomaly::name).collect()
}

fn progress(s: &mut Scene, name: char, task: &str, permille: u16) {
    let (worker, attempt) = (tell::worker(name), s.attempt(name, task));
    let progress = Progress { permille, ..Progress::default() };
    s.tell(Event::TaskProgressed { worker, task: tell::task(task), attempt, progress });
}

#[test]
fn a_task_that_has_stopped_coming_further_is_tried_elsewhere_as_well() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 600));
            s.join_with_cores('b', 1);
            progress(s, 'a', "1.0", 100);
            s.wait(50_000);
            progress(s, 'a', "1.0", 200);
            s.wait(50_000);
            progress(s, 'a', "1.0", 200);
            assert_eq!((told(s, "task_stalled"), lasting(s)), (0, vec![]), "it came further");
        },
        |s| {
            s.wait(20_000);
            assert_eq!((told(s, "task_stalled"), lasting(s)), (1, vec!["tasks_stalled"]));
            s.done('b', "1.0");
        },
        &[
            "start j1.0 #1-2 on b",
            "cancel #1-1 on a",
            "drop #1-1",
            "j1 succeeded",
            "collect #1-2 on b",
            "collect #1-1 on a",
        ],
    );
    assert_eq!((told(&scene, "task_stalled"), lasting(&scene)), (1, vec![]));
}

#[test]
fn a_stalled_task_that_goes_on_is_in_order_again_and_nowhere_else_is_no_harm() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 600));
            progress(s, 'a', "1.0", 100);
        },
        |s| {
            s.wait(190_000);
            assert_eq!((told(s, "task_stalled"), lasting(s)), (1, vec!["tasks_stalled"]));
            progress(s, 'a', "1.0", 101);
            assert_eq!(lasting(s), [""; 0]);
            s.wait(70_000);
        },
        &[],
    );
    assert_eq!(
        (told(&scene, "task_stalled"), lasting(&scene)),
        (2, vec!["tasks_stalled"]),
        "it stands again"
    );
}

#[test]
fn a_stalled_task_is_tried_elsewhere_again_where_the_second_attempt_failed() {
    let mut scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 600));
            progress(s, 'a', "1.0", 100);
            s.join_with_cores('b', 1);
            s.join_with_cores('c', 1);
            s.wait(70_000);
        },
        |_| {},
        &[],
    );
    let elsewhere = |s: &Scene| ['b', 'c'].into_iter().find(|name| s.runs(*name, "1.0"));
    let second = elsewhere(&scene).expect("it is tried elsewhere");
    scene.fail(second, "1.0", FailureCode::TransferFailed);
    assert_eq!(elsewhere(&scene), None);
    scene.wait(70_000);
    assert!(scene.runs('a', "1.0") && elsewhere(&scene).is_some(), "{:?}", scene.world.trace);
}

#[test]
fn failures_of_one_kind_that_pile_up_are_told_once_and_shown_while_they_last() {
    let policy = health(|h| (h.burst_failures, h.burst_window_ms) = (3, 30_000));
    let scene = check_with(
        policy,
        |s| {
            s.join_with_cores('a', 8);
            s.submit(tasks(6, 10));
            for task in ["1.0", "1.1"] {
                s.fail('a', task, FailureCode::TransferFailed);
            }
            assert_eq!((told(s, "error_burst"), lasting(s)), (0, vec![]));
        },
        |s| {
            for task in ["1.2", "1.3", "1.4"] {
                s.fail('a', task, FailureCode::TransferFailed);
            }
            s.world.trace.clear();
            assert_eq!((told(s, "error_burst"), lasting(s)), (1, vec!["error_burst"]));
            s.wait(50_000);
            s.world.trace.clear();
        },
        &[],
    );
    assert_eq!((told(&scene, "error_burst"), lasting(&scene)), (1, vec![]));
}

#[test]
fn a_node_far_below_the_median_is_slow_until_it_keeps_up() {
    let ran = |s: &mut Scene, task: &str, run_ms| {
        let usage = Usage { run_ms, ..Usage::default() };
        let name = s.runner(task);
        s.end(name, task, TaskOutcome::Succeeded { value: TaskValue::Nothing, usage });
    };
    let scene = check(
        |s| {
            s.join_with_cores('c', 1);
            s.submit(tasks(40, 10));
            for task in 0..4 {
                ran(s, &format!("1.{task}"), 80_000);
            }
            s.join_with_cores('a', 1);
            s.wait(11_000);
            assert_eq!(lasting(s), [""; 0], "two nodes have no median");
            s.join_with_cores('b', 1);
        },
        |s| {
            s.wait(11_000);
            s.world.trace.clear();
            assert_eq!((told(s, "node_slow"), lasting(s)), (1, vec!["node_slow"]));
            let mut task = 4;
            for _ in 0..10 {
                while s.runner(&format!("1.{task}")) != 'c' {
                    task += 1;
                }
                ran(s, &format!("1.{task}"), 3_000);
                task += 1;
            }
            s.wait(11_000);
            s.world.trace.clear();
        },
        &[],
    );
    assert_eq!((told(&scene, "node_slow"), told(&scene, "node_keeps_up")), (1, 1));
    assert_eq!(lasting(&scene), [""; 0]);
}

#[test]
fn a_queue_that_outgrows_the_farm_is_told_until_it_settles() {
    let policy = health(|h| (h.growth_window_ms, h.watch_ms) = (60_000, 5_000));
    let scene = check_with(
        policy,
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 600));
            s.submit(tasks(30, 10));
            s.wait(100_000);
            assert_eq!((told(s, "queue_growing"), lasting(s)), (0, vec![]), "one batch is no growth");
            for _ in 0..20 {
                s.submit(tasks(1, 10));
                s.wait(5_000);
            }
        },
        |s| {
            s.world.trace.clear();
            assert_eq!((told(s, "queue_growing"), lasting(s)), (1, vec!["queue_growing"]));
            s.wait(70_000);
            s.world.trace.clear();
        },
        &[],
    );
    assert_eq!((told(&scene, "queue_settled"), lasting(&scene)), (1, vec![]));
}

//! How attempts end, and what follows.

use rushes_core::event::{Event, FarmNews};
use rushes_core::job::JobDoc;
use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::JobId;
use rushes_shared::task::{TaskKind, TaskOutcome, TaskValue, Usage};

use crate::support::samples::{audio_only, encode, encoded, facts, noop, probe};
use crate::support::scene::{Scene, check};
use crate::support::tell;
use crate::support::worker::Held;

fn ended(scene: &Scene, job: u128) -> JobDoc {
    JobDoc::archived(scene.world.disk.archive()[&JobId(job)].clone())
}

#[test]
fn a_permanent_failure_is_not_retried() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(encode(1));
        },
        |s| s.fail('a', "1.0", FailureCode::InputNotFound),
        &["j1.0 failed on a: input_not_found, given up", "j1 failed: input_not_found", "collect #1-1 on a"],
    );
    assert_eq!(scene.starts(TaskKind::Probe), 1);
}

#[test]
fn a_transient_failure_is_retried_with_growing_delay_and_given_up_in_the_end() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(probe());
            for _ in 0..4 {
                s.fail('a', "1.0", FailureCode::TransferFailed);
                s.wait(20_000);
            }
        },
        |s| s.fail('a', "1.0", FailureCode::TransferFailed),
        &["j1.0 failed on a: transfer_failed, given up", "j1 failed: transfer_failed", "collect #1-5 on a"],
    );
    let delays: Vec<u64> = scene
        .world
        .news
        .iter()
        .filter_map(|n| match n.what {
            FarmNews::AttemptFailed { retry_ms, .. } => retry_ms,
            _ => None,
        })
        .collect();
    assert!(delays.len() == 4 && delays.is_sorted() && delays[3] > 4 * delays[0], "{delays:?}");
    let cause = ended(&scene, 1).job.ended.and_then(|e| e.failure).expect("a cause");
    assert!(cause.message.contains("5 attempts"), "{cause}");
}

#[test]
fn nothing_starts_before_its_delay_is_over() {
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(probe());
        s.fail('a', "1.0", FailureCode::TransferFailed);
    };
    check(given, |s| s.wait(800), &[]);
    check(given, |s| s.wait(1_200), &["start j1.0 #1-2 on a"]);
}

#[test]
fn a_task_that_brings_down_three_nodes_is_poison() {
    let scene = check(
        |s| {
            s.join("abc");
            s.submit(probe());
            s.fail('a', "1.0", FailureCode::ProcessDied);
            s.wait(3_000);
            s.fail('b', "1.0", FailureCode::ProcessDied);
            s.wait(3_000);
        },
        |s| s.fail('c', "1.0", FailureCode::ProcessDied),
        &["j1.0 failed on c: process_died, given up", "j1 failed: process_died", "collect #1-3 on c"],
    );
    let cause = ended(&scene, 1).job.ended.and_then(|e| e.failure).expect("a cause");
    assert!(cause.class == FailureClass::Permanent && cause.message.contains("3 different nodes"), "{cause}");
}

#[test]
fn nodes_that_merely_cannot_do_a_task_do_not_make_it_poison() {
    check(
        |s| {
            s.join("abc");
            s.submit(probe());
            s.fail('a', "1.0", FailureCode::NodeUnfit);
            s.wait(3_000);
            s.fail('b', "1.0", FailureCode::NodeUnfit);
            s.wait(3_000);
        },
        |s| s.fail('c', "1.0", FailureCode::ProcessDied),
        &["j1.0 failed on c: process_died, again later", "collect #1-3 on c"],
    );
}

#[test]
fn a_probe_without_video_ends_an_encode_at_once() {
    check(
        |s| {
            s.join("a");
            s.submit(encode(1));
            s.source = audio_only();
        },
        |s| s.done('a', "1.0"),
        &["j1 failed: stream_missing", "collect #1-1 on a"],
    );
}

#[test]
fn a_result_that_is_not_this_tasks_is_a_failure_of_the_node() {
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(encode(1));
        s.done('a', "1.0");
    };
    let expect = ["drop #1-2", "j1.1 failed on a: node_unfit, again later", "collect #1-2 on a"];
    check(given, |s| s.ends_with('a', "1.1", TaskValue::Nothing), &expect);

    let mut another = rushes_shared::id::AttemptId { epoch: rushes_shared::id::Epoch(1), counter: 77 };
    check(
        given,
        |s| s.ends_with('a', "1.1", TaskValue::Encoded(encoded(another, "0.mp4", facts(2, 2)))),
        &expect,
    );
    another.counter = 2;
    let mut failed_check = encoded(another, "0.mp4", facts(2, 2));
    failed_check.check.problems.push("a frame is missing".into());
    check(given, |s| s.ends_with('a', "1.1", TaskValue::Encoded(failed_check.clone())), &expect);
    let mut unhashed = encoded(another, "0.mp4", facts(2, 2));
    unhashed.artifact.hash = None;
    check(given, |s| s.ends_with('a', "1.1", TaskValue::Encoded(unhashed.clone())), &expect);
}

#[test]
fn an_attempt_that_the_worker_stops_by_itself_goes_elsewhere_uncounted() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(probe());
            s.join("b");
            s.leave('a');
        },
        |s| s.end('a', "1.0", TaskOutcome::Cancelled),
        &["collect #1-1 on a", "start j1.0 #1-2 on b"],
    );
    assert_eq!(scene.world.engine().state().jobs[&JobId(1)].tasks[0].failures(), 0);
}

#[test]
fn a_worker_that_stops_attempts_and_stays_does_not_get_them_back_at_once() {
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(probe());
    };
    check(given, |s| s.end('a', "1.0", TaskOutcome::Cancelled), &["collect #1-1 on a"]);
    let stopped = |s: &mut Scene| {
        given(s);
        s.end('a', "1.0", TaskOutcome::Cancelled);
    };
    check(stopped, |s| s.wait(1_000), &["start j1.0 #1-2 on a"]);
}

#[test]
fn a_canceled_attempt_keeps_its_capacity_until_the_worker_confirms() {
    // Both light slots run the first job; its cancel is on its way.
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(noop(2));
        s.submit(noop(2));
        s.world.cancel(JobId(1));
        s.world.confirm(usize::MAX);
        assert!(s.world.trace.iter().all(|line| !line.starts_with("start j2")), "{:?}", s.world.trace);
    };
    check(
        given,
        Scene::rest,
        &["collect #1-1 on a", "start j2.0 #1-3 on a", "collect #1-2 on a", "start j2.1 #1-4 on a"],
    );
}

#[test]
fn a_canceled_attempt_frees_its_capacity_when_its_worker_is_gone() {
    let scene = check(
        |s| {
            s.join("ab");
            s.submit(noop(4));
            s.world.cancel(JobId(1));
            s.world.confirm(usize::MAX);
            s.kill('a');
            s.mute.push(tell::worker('a'));
            s.restart('a');
        },
        |s| s.connect('a'),
        &["welcome a"],
    );
    assert!(scene.world.engine().workers().iter().all(|w| w.running.is_empty()));
}

#[test]
fn a_result_that_comes_twice_counts_once() {
    let again = |s: &mut Scene| {
        let attempt = rushes_shared::id::AttemptId { epoch: rushes_shared::id::Epoch(1), counter: 1 };
        let outcome = TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() };
        s.tell(Event::TaskEnded {
            worker: tell::worker('a'),
            task: tell::task("1.0"),
            attempt,
            outcome: Box::new(outcome),
        });
    };
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(noop(3));
        s.done('a', "1.0");
    };
    check(given, again, &["collect #1-1 on a"]);
}

#[test]
fn the_attempt_that_won_keeps_its_file_when_its_result_comes_again() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(encode(1));
            s.done('a', "1.0");
            let attempt = s.attempt('a', "1.1");
            let order = s.world.workers[&tell::worker('a')].held[&attempt].order.clone();
            let value = crate::support::samples::value_of(&order, &s.source);
            let outcome = TaskOutcome::Succeeded { value, usage: Usage::default() };
            s.world.end(tell::worker('a'), attempt, outcome.clone(), true);
            // The result is recorded and its publish asked for; before the depot answers, the link breaks.
            s.world.deliver_up(0);
            s.world.confirm(usize::MAX);
            s.world.cut(tell::worker('a'), false);
            s.world
                .workers
                .get_mut(&tell::worker('a'))
                .expect("a")
                .held
                .insert(attempt, Held { order, outcome: Some(outcome) });
            let asked = std::mem::take(&mut s.world.asked);
            s.connect('a');
            s.world.asked.extend(asked);
        },
        Scene::rest,
        &["j1 succeeded"],
    );
    assert!(
        scene.world.depot.published.len() == 1 && scene.world.workers[&tell::worker('a')].held.is_empty()
    );
}

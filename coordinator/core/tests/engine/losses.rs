//! Attempts that are lost with their nodes: nodes that come and go fail no job, and a task that always loses its node ends one.

use rushes_core::policy::Policy;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::JobId;

use crate::support::samples::probe;
use crate::support::scene::{Scene, check, check_with};

fn cause(scene: &Scene) -> Failure {
    let ended = scene.world.disk.archive()[&JobId(1)].ended.clone().expect("it has ended");
    ended.failure.expect("a cause")
}

/// Loses the task's node, and waits until the task runs again.
fn lose(s: &mut Scene) {
    lose_at_once(s);
    s.wait(130_000);
}

#[test]
fn nodes_that_come_and_go_fail_no_job() {
    let given = |s: &mut Scene| {
        s.join("ab");
        s.submit(probe());
        (0..12).for_each(|_| lose(s));
    };
    check(
        given,
        |s| {
            s.done(s.runner("1.0"), "1.0");
            s.world.trace.retain(|line| line.starts_with("j1"));
        },
        &["j1 succeeded"],
    );
    // Nor do those take its own attempts away.
    let scene = check(
        |s| {
            given(s);
            for _ in 0..4 {
                s.fail(s.runner("1.0"), "1.0", FailureCode::TransferFailed);
                s.wait(130_000);
            }
            lose(s);
        },
        |s| {
            s.fail(s.runner("1.0"), "1.0", FailureCode::TransferFailed);
            s.world.trace.retain(|line| line.starts_with("j1 "));
        },
        &["j1 failed: transfer_failed"],
    );
    assert!(cause(&scene).message.contains("5 attempts"), "{}", cause(&scene));
}

#[test]
fn a_task_that_always_loses_its_node_is_given_up_also_over_a_restart() {
    let policy = Policy { max_lost: 4, ..Policy::default() };
    let scene = check_with(
        policy,
        |s| {
            s.join("ab");
            s.submit(probe());
            lose(s);
            lose(s);
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
            s.wait(130_000);
            lose(s);
        },
        |s| {
            lose(s);
            s.world.trace.retain(|line| line.starts_with("j1 "));
        },
        &["j1 failed: worker_lost"],
    );
    let cause = cause(&scene);
    assert!(cause.message.contains("4 attempts were lost with their workers"), "{cause}");
    assert!(cause.class == FailureClass::Permanent && cause.advice.contains("engine.max_lost"), "{cause}");
}

/// Loses six nodes that run the task and nothing else, and before that as many that run nothing.
fn six_lost(s: &mut Scene, others: &str) {
    s.join("abcdefgh");
    s.submit(probe());
    for _ in 0..5 {
        let name = s.runner("1.0");
        s.kill(name);
        s.wait(200_000);
    }
    for other in others.chars() {
        s.join(&other.to_string());
        s.kill(other);
        s.wait(200_000);
    }
    let name = s.runner("1.0");
    s.kill(name);
    s.wait(30_000);
    s.world.trace.retain(|line| line.starts_with("j1 "));
}

#[test]
fn a_task_with_which_alone_nodes_are_lost_is_poison() {
    let scene = check(|_| {}, |s| six_lost(s, ""), &["j1 failed: worker_lost"]);
    let cause = cause(&scene);
    assert!(cause.message.contains("6 workers were lost while this task was all that they ran"), "{cause}");
    // Where others are lost as well, the task is not to blame.
    check(|_| {}, |s| six_lost(s, "z"), &[]);
}

#[test]
fn so_is_one_whose_nodes_come_back_at_once() {
    let scene = check(
        |s| {
            s.join("abcdef");
            s.submit(probe());
            (0..5).for_each(|_| lose(s));
        },
        |s| {
            lose_at_once(s);
            s.world.trace.retain(|line| line.starts_with("j1 "));
        },
        &["j1 failed: worker_lost"],
    );
    let cause = cause(&scene);
    assert!(cause.message.contains("6 workers were lost while this task was all that they ran"), "{cause}");
}

fn lose_at_once(s: &mut Scene) {
    let name = s.runner("1.0");
    s.restart(name);
    s.connect(name);
}

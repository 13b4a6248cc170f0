//! Workers that name another task than they were given: nothing is believed, nothing is lost, nothing wedges.

use rushes_core::event::Event;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, TaskId, WorkerId};
use rushes_shared::task::{TaskOutcome, TaskValue, Usage};

use crate::support::samples::{noop, probe};
use crate::support::scene::check;
use crate::support::tell;

/// A worker that takes one task for another loses its connection, and neither task is stuck.
#[test]
fn an_answer_that_names_another_task_than_was_ordered_wedges_no_job() {
    type Says = fn(WorkerId, TaskId, AttemptId) -> Event;
    let ended: Says = |worker, task, attempt| {
        let outcome = TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() };
        Event::TaskEnded { worker, task, attempt, outcome: Box::new(outcome) }
    };
    let refused: Says = |worker, task, attempt| {
        let failure = Failure::new(FailureCode::NodeUnfit, "no", "ask another");
        Event::TaskRefused { worker, task, attempt, failure }
    };
    let recalled: Says = |worker, task, attempt| Event::TaskRecalled { worker, task, attempt };
    for says in [ended, refused, recalled] {
        let mut scene = check(
            |s| {
                s.join("a");
                s.submit(probe());
                s.submit(noop(1));
                let (attempt, other) = (s.attempt('a', "1.0"), tell::task("2.0"));
                s.world.trace.clear();
                s.tell(says(tell::worker('a'), other, attempt));
            },
            |_| {},
            &[],
        );
        assert!(scene.world.workers[&tell::worker('a')].link.is_none(), "its connection ended");
        scene.connect('a');
        scene.wait(5_000);
        scene.done('a', "1.0");
        scene.done('a', "2.0");
        assert!(scene.world.engine().state().jobs.is_empty());
        assert!(scene.world.engine().workers()[0].running.is_empty());
    }
}

#[test]
fn a_worker_that_comes_back_with_another_task_than_it_was_given_wedges_no_job() {
    let mut scene = check(
        |s| {
            s.join("a");
            s.submit(probe());
            s.submit(noop(2));
            s.cut('a');
        },
        |s| {
            let attempt = s.attempt('a', "1.0");
            let order = s.world.workers.get_mut(&tell::worker('a')).and_then(|w| w.held.get_mut(&attempt));
            order.expect("it holds it").order.task = tell::task("2.1");
            s.connect('a');
        },
        &[
            "j1.0 failed on a: worker_lost, again later",
            "welcome a, give up #1-1",
            "attach j2.0 #1-2 on a",
            "start j2.1 #1-3 on a",
        ],
    );
    scene.wait(5_000);
    for task in ["2.0", "2.1", "1.0"] {
        scene.wait(100);
        scene.done('a', task);
    }
    assert!(scene.world.engine().state().jobs.is_empty());
}

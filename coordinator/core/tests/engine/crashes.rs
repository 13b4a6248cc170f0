//! The coordinator dies and starts again.

use rushes_core::event::Event;
use rushes_core::policy::Policy;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{Epoch, JobId};
use rushes_shared::job::JobState;
use rushes_shared::task::TaskKind;
use rushes_shared::wire::HeldAttempt;

use crate::support::samples::{encode, noop, probe};
use crate::support::scene::{Scene, check};
use crate::support::tell;
use crate::support::worker::Order;
use crate::support::world::{Ask, World};

fn encoding_on_a(s: &mut Scene) {
    s.join("ab");
    s.submit(encode(1));
    s.done('a', "1.0");
    assert_eq!(s.starts(TaskKind::Encode), 1);
}

#[test]
fn an_encode_goes_on_over_a_crash_and_is_not_started_again() {
    let scene = check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.wait(60_000);
            s.start();
        },
        |s| {
            s.connect('a');
            s.connect('b');
            s.done('a', "1.1");
        },
        &[
            "welcome a",
            "attach j1.1 #1-2 on a",
            "welcome b",
            "publish j1/0 from #1-2",
            "collect #1-2 on a",
            "j1 succeeded",
        ],
    );
    assert_eq!(scene.starts(TaskKind::Encode), 1);
    let job = &scene.world.disk.archive()[&JobId(1)];
    assert_eq!(job.tasks[1].failures(), 0);
}

#[test]
fn a_result_that_was_finished_and_not_collected_is_collected_after_the_crash() {
    let scene = check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.done('a', "1.1");
            s.start();
        },
        |s| {
            s.connect('a');
        },
        &[
            "welcome a",
            "attach j1.1 #1-2 on a",
            "publish j1/0 from #1-2",
            "collect #1-2 on a",
            "j1 succeeded",
        ],
    );
    assert_eq!(scene.starts(TaskKind::Encode), 1);
}

#[test]
fn a_result_that_was_recorded_and_not_collected_is_given_up_and_keeps_its_file() {
    let scene = check(
        |s| {
            encoding_on_a(s);
            let attempt = s.attempt('a', "1.1");
            let order = &s.world.workers[&tell::worker('a')].held[&attempt].order;
            let value = crate::support::samples::value_of(order, &s.source);
            let usage = rushes_shared::task::Usage::default();
            let outcome = rushes_shared::task::TaskOutcome::Succeeded { value, usage };
            s.world.end(tell::worker('a'), attempt, outcome, true);
            s.world.deliver_up(0);
            // The record is on the disk, but nobody was told.
            s.world.crash(usize::MAX, false);
            s.world.start();
            let asked = std::mem::take(&mut s.world.asked);
            assert!(asked.is_empty());
            s.world.confirm(usize::MAX);
        },
        |s| {
            // The worker is there before the depot has answered.
            s.world.connect(tell::worker('a'));
            s.world.deliver_up(0);
            s.rest();
        },
        &["welcome a, give up #1-2", "j1 succeeded"],
    );
    assert_eq!(scene.world.depot.published.len(), 1);
}

#[test]
fn what_a_lost_worker_staged_and_nobody_told_of_is_dropped_after_the_crash() {
    check(
        |s| {
            encoding_on_a(s);
            // Staged, and not told: the worker dies, and the coordinator with it.
            let attempt = s.attempt('a', "1.1");
            s.world.depot.staged.insert(attempt);
            s.kill('a');
            s.crash();
            s.start();
            s.connect('b');
            assert!(s.world.depot.staged.contains(&attempt), "its worker may come back");
        },
        |s| s.wait(20_500),
        &["a gone", "start j1.1 #2-1 on b", "drop #1-2"],
    );
}

#[test]
fn who_does_not_come_back_in_time_is_not_waited_for() {
    check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.start();
            s.connect('b');
        },
        |s| s.wait(20_500),
        &["a gone", "start j1.1 #2-1 on b"],
    );
}

#[test]
fn while_the_window_is_open_nothing_of_the_reign_before_starts_twice() {
    check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.start();
            s.connect('b');
        },
        |s| s.wait(19_000),
        &[],
    );
}

#[test]
fn the_window_closes_early_when_everybody_is_back() {
    check(
        |s| {
            encoding_on_a(s);
            s.restart('a');
            s.crash();
            s.start();
            s.connect('b');
        },
        |s| s.connect('a'),
        &["welcome a", "start j1.1 #2-1 on a"],
    );
}

#[test]
fn an_attempt_that_comes_back_after_the_window_goes_on_if_its_task_still_waits() {
    check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.start();
            s.wait(21_000);
        },
        |s| s.connect('a'),
        &["welcome a", "attach j1.1 #1-2 on a"],
    );
}

#[test]
fn an_attempt_that_comes_back_too_late_is_given_up() {
    check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.start();
            s.connect('b');
            s.wait(21_000);
        },
        |s| s.connect('a'),
        &["welcome a, give up #1-2", "drop #1-2"],
    );
}

#[test]
fn an_attempt_that_was_counted_as_lost_is_not_adopted_even_if_others_failed_since() {
    check(
        |s| {
            encoding_on_a(s);
            s.join("c");
            s.mute.push(tell::worker('a'));
            s.cut('a');
            s.wait(13_000);
            let heir = if s.world.workers[&tell::worker('b')].held.is_empty() { 'c' } else { 'b' };
            s.fail(heir, "1.1", FailureCode::TransferFailed);
            s.crash();
            s.start();
        },
        |s| s.connect('a'),
        &["welcome a, give up #1-2", "drop #1-2"],
    );
}

#[test]
fn a_job_canceled_while_its_worker_was_away_is_given_up_there() {
    let scene = check(
        |s| {
            encoding_on_a(s);
            s.crash();
            s.done('a', "1.1");
            s.start();
            s.cancel(1);
        },
        |s| s.connect('a'),
        &["welcome a, give up #1-2", "drop #1-2"],
    );
    assert!(scene.world.depot.staged.is_empty());
}

#[test]
fn a_submit_that_was_answered_is_there_and_one_that_was_not_may_be() {
    for written in 0..3 {
        let mut world = World::new(Policy::default());
        world.confirm(usize::MAX);
        world.submit(Ask::of(noop(1)));
        assert!(world.replies.is_empty(), "the answer waits for the disk");
        world.crash(written, false);
        world.start();
        world.settle();
        assert_eq!(world.engine().state().jobs.len(), written.min(1), "{written} records were written");
        if written == 1 {
            let tasks = &world.engine().state().jobs[&JobId(1)].tasks;
            assert_eq!(tasks.len(), 1, "a job whose plan was lost is planned again");
        }
    }
}

#[test]
fn a_job_ends_although_its_last_record_was_torn_off() {
    // A failure that ends the job makes two records; the crash keeps the first of them.
    let fails = |s: &mut Scene| {
        s.join("a");
        s.submit(probe());
        let attempt = s.attempt('a', "1.0");
        let failure = rushes_shared::failure::Failure::new(FailureCode::InputEmpty, "the file is empty", "");
        let usage = rushes_shared::task::Usage::default();
        let outcome = rushes_shared::task::TaskOutcome::Failed { failure, usage };
        s.world.end(tell::worker('a'), attempt, outcome, false);
        s.world.deliver_up(0);
        assert_eq!(s.world.disk.pending(), 2);
        s.world.crash(1, false);
    };
    let scene = check(fails, Scene::start, &["j1 failed: input_empty"]);
    assert_eq!(
        scene.world.disk.archive()[&JobId(1)].ended.as_ref().expect("it ended").state,
        JobState::Failed
    );
}

#[test]
fn a_worker_that_has_seen_a_newer_reign_refuses_an_older_one() {
    let mut scene = check(|s| s.join("a"), |_| {}, &[]);
    let worker = scene.world.workers.get_mut(&tell::worker('a')).expect("it joined");
    worker.epoch = Epoch(9);
    assert!(worker.take(Order::Welcome { epoch: Epoch(1), give_up: Vec::new() }).is_err());
}

#[test]
fn an_attempt_of_a_reign_to_come_is_not_adopted() {
    use rushes_shared::id::AttemptId;
    check(
        |s| s.submit(noop(1)),
        |s| {
            let (worker, link) = (tell::worker('a'), rushes_core::event::LinkId(500));
            s.world.add_worker(worker, crate::support::samples::node("a"));
            let attempt = AttemptId { epoch: Epoch(8), counter: 1 };
            let held = vec![HeldAttempt { task: tell::task("1.0"), attempt, finished: false }];
            let facts = Box::new(crate::support::samples::node("a"));
            s.world.tell(Event::WorkerJoined { worker, link, instance: 1, facts, held });
            s.world.confirm(usize::MAX);
        },
        &["welcome a, give up #8-1", "start j1.0 #1-1 on a"],
    );
}

#[test]
#[should_panic(expected = "the engine emits only records that fit")]
fn a_reign_that_does_not_rise_does_not_begin() {
    let world = World::new(Policy::default());
    let state = world.engine().state().clone();
    let epoch = state.epoch;
    drop(rushes_core::engine::Engine::recover(state, Policy::default(), epoch, world.now));
}

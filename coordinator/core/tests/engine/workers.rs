//! Workers that fall silent, come back, restart, leave, are drained.

use rushes_core::event::{Event, LinkId};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::JobId;
use rushes_shared::task::TaskKind;

use crate::support::samples::{encode, node, noop, probe};
use crate::support::scene::{Scene, check};
use crate::support::tell;

fn failures(scene: &Scene, job: u128) -> u32 {
    scene.world.engine().state().jobs[&JobId(job)].tasks.iter().map(|t| t.failures()).sum()
}

/// Three workers, the first of which probes and then goes silent.
fn one_of_three_is_silent(s: &mut Scene) {
    s.join("a");
    s.submit(probe());
    s.join("bc");
    s.mute.push(tell::worker('a'));
}

#[test]
fn a_lease_that_runs_out_sends_the_task_elsewhere() {
    check(
        |s| {
            one_of_three_is_silent(s);
            s.cut('a');
        },
        |s| s.wait(13_000),
        &["a lost", "j1.0 failed on a: worker_lost, again later", "start j1.0 #1-2 on b"],
    );
}

#[test]
fn a_worker_that_hangs_loses_its_link_with_its_lease() {
    check(
        one_of_three_is_silent,
        |s| s.wait(10_500),
        &["close a", "a lost", "j1.0 failed on a: worker_lost, again later"],
    );
}

#[test]
fn a_heartbeat_keeps_a_lease_alive() {
    check(
        |s| {
            one_of_three_is_silent(s);
            s.mute.clear();
        },
        |s| s.wait(60_000),
        &[],
    );
}

#[test]
fn a_late_result_of_an_attempt_that_was_given_up_is_discarded_and_its_file_dropped() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(encode(1));
            s.done('a', "1.0");
            s.join("bc");
            s.mute.push(tell::worker('a'));
            s.cut('a');
            s.wait(13_000);
            let attempt = s.attempt('a', "1.1");
            let order = &s.world.workers[&tell::worker('a')].held[&attempt].order;
            let value = crate::support::samples::value_of(order, &s.source);
            s.ends_with('a', "1.1", value);
            assert!(s.world.depot.staged.contains(&attempt));
        },
        |s| s.connect('a'),
        &["welcome a, give up #1-2", "drop #1-2"],
    );
    assert!(scene.world.depot.staged.is_empty());
}

#[test]
fn a_worker_that_reconnects_keeps_its_attempt() {
    let scene = check(
        |s| {
            one_of_three_is_silent(s);
            s.cut('a');
            s.wait(5_000);
        },
        |s| s.connect('a'),
        &["welcome a", "attach j1.0 #1-1 on a"],
    );
    assert_eq!((scene.starts(TaskKind::Probe), failures(&scene, 1)), (1, 0));
}

#[test]
fn a_result_made_while_the_link_was_down_counts() {
    let scene = check(
        |s| {
            one_of_three_is_silent(s);
            s.cut('a');
            s.done('a', "1.0");
        },
        |s| s.connect('a'),
        &["welcome a", "attach j1.0 #1-1 on a", "j1 succeeded", "collect #1-1 on a"],
    );
    assert_eq!(scene.starts(TaskKind::Probe), 1);
}

#[test]
fn an_attempt_is_lost_at_once_when_its_worker_was_restarted() {
    let scene = check(
        |s| {
            one_of_three_is_silent(s);
            s.restart('a');
        },
        |s| s.connect('a'),
        &["j1.0 failed on a: worker_lost, again later", "welcome a"],
    );
    assert_eq!(failures(&scene, 1), 1);
}

#[test]
fn an_order_that_was_lost_in_a_dying_link_is_given_again_uncounted() {
    let scene = check(
        |s| {
            s.join("a");
            s.world.submit(crate::support::world::Ask::of(probe()));
            s.world.confirm(usize::MAX);
            // The order is on its way when the link breaks.
            s.world.cut(tell::worker('a'), true);
            s.rest();
        },
        |s| s.connect('a'),
        &["welcome a", "start j1.0 #1-2 on a"],
    );
    assert_eq!(failures(&scene, 1), 0);
}

#[test]
fn when_most_workers_fall_silent_at_once_their_leases_wait() {
    let given = |s: &mut Scene| {
        one_of_three_is_silent(s);
        s.cut('a');
        s.cut('b');
        s.mute.push(tell::worker('b'));
    };
    check(given, |s| s.wait(50_000), &[]);
    check(
        |s| {
            given(s);
            s.wait(50_000);
        },
        |s| s.connect('a'),
        &["welcome a", "attach j1.0 #1-1 on a"],
    );
    // The bound is one minute from the first one's silence.
    check(
        |s| {
            given(s);
            s.wait(50_000);
        },
        |s| s.wait(13_000),
        &["a lost", "j1.0 failed on a: worker_lost, again later", "b gone", "start j1.0 #1-2 on c"],
    );
}

#[test]
fn a_coordinator_that_stood_still_does_not_blame_its_workers() {
    // The process was stopped for half a minute: every lease has run out before a heartbeat could be read.
    check(
        |s| {
            s.join("abc");
            s.submit(probe());
        },
        |s| {
            s.world.pass(30_000);
            s.wait(3_000);
        },
        &[],
    );
}

#[test]
fn leases_that_wait_run_again_as_soon_as_other_workers_are_there() {
    check(
        |s| {
            s.join("a");
            s.submit(probe());
            s.kill('a');
            s.wait(15_000);
        },
        |s| {
            s.join("b");
            s.wait(12_000);
        },
        &["welcome b", "a lost", "j1.0 failed on a: worker_lost, again later", "start j1.0 #1-2 on b"],
    );
}

#[test]
fn a_drained_worker_ends_what_it_has_and_gets_nothing_new() {
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(noop(3));
        s.drain('a', true);
    };
    check(
        |s| {
            given(s);
            s.done('a', "1.0");
        },
        |s| s.drain('a', false),
        &["tell a resume", "resumed a", "start j1.2 #1-3 on a"],
    );
    check(given, |s| s.done('a', "1.0"), &["collect #1-1 on a"]);
    check(|_| {}, |s| s.drain('z', true), &["refused NoWorker"]);
}

#[test]
fn a_drain_outlives_a_crash_and_a_reconnect() {
    check(
        |s| {
            s.join("a");
            s.drain('a', true);
            s.crash();
            s.start();
            s.submit(noop(1));
        },
        |s| s.connect('a'),
        &["welcome a"],
    );
}

#[test]
fn a_worker_that_leaves_gets_nothing_new_and_is_gone_with_its_link() {
    check(
        |s| {
            s.join("a");
            s.leave('a');
            s.submit(noop(1));
        },
        |s| s.cut('a'),
        &["a gone"],
    );
}

#[test]
fn a_refused_order_counts_and_goes_on() {
    check(
        |s| {
            s.join("a");
            s.submit(probe());
        },
        |s| {
            let failure = Failure::new(FailureCode::NodeUnfit, "an older coordinator", "");
            let attempt = s.attempt('a', "1.0");
            let (worker, task) = (tell::worker('a'), tell::task("1.0"));
            s.tell(Event::TaskRefused { worker, task, attempt, failure });
        },
        &["j1.0 failed on a: node_unfit, again later"],
    );
}

#[test]
fn words_of_an_old_link_change_nothing() {
    let worker = tell::worker('a');
    let old = LinkId(1);
    let given = |s: &mut Scene| {
        s.join("a");
        s.submit(noop(1));
        s.cut('a');
        s.connect('a');
    };
    check(given, |s| s.tell(Event::LinkLost { worker, link: old }), &[]);
    let scene = check(given, |s| s.tell(Event::WorkerLeaving { worker, link: old }), &[]);
    assert!(!scene.world.engine().workers()[0].leaving);
}

#[test]
fn a_hello_that_a_newer_connection_has_overtaken_is_turned_away() {
    let worker = tell::worker('a');
    check(
        |s| {
            s.world.add_worker(worker, node("a"));
            s.world.connect(worker);
            s.world.cut(worker, true);
            s.world.connect(worker);
            let newest = s.world.up.len() - 1;
            s.world.deliver_up(newest);
            s.world.confirm(usize::MAX);
            s.submit(noop(1));
        },
        |s| s.done('a', "1.0"),
        &["j1 succeeded", "collect #1-1 on a"],
    );
}

#[test]
fn a_worker_that_claims_what_it_cannot_have_harms_nobody() {
    use rushes_shared::id::{AttemptId, Epoch, TaskId};
    use rushes_shared::wire::HeldAttempt;
    let claim = |job, index, epoch, counter| HeldAttempt {
        task: TaskId { job: JobId(job), index },
        attempt: AttemptId { epoch: Epoch(epoch), counter },
        finished: false,
    };
    // The same attempt for two tasks, twice the same one, a task that is not there, a future one, a finished one.
    let held = vec![
        claim(2, 0, 0, 9),
        claim(2, 1, 0, 9),
        claim(2, 0, 0, 9),
        claim(2, 99, 0, 1),
        claim(1, 0, 0, 2),
        claim(77, 0, 0, 3),
        claim(2, 1, 5, 1),
    ];
    check(
        |s| {
            s.join("b");
            s.submit(noop(1));
            s.done('b', "1.0");
            s.cut('b');
            s.submit(noop(2));
        },
        |s| {
            let (worker, link) = (tell::worker('a'), LinkId(1_000));
            s.world.add_worker(worker, node("a"));
            s.world.workers.get_mut(&worker).expect("it was added").link = Some(link);
            let facts = Box::new(node("a"));
            s.world.tell(Event::WorkerJoined { worker, link, instance: 1, facts, held });
            s.world.confirm(usize::MAX);
            s.world.trace.retain(|line| line.starts_with("welcome") || line.starts_with("attach"));
        },
        &["welcome a, give up #0-1 #0-2 #0-3 #5-1", "attach j2.0 #0-9 on a"],
    );
}

#[test]
fn drained_workers_are_counted_among_those_that_are_connected() {
    let given = |s: &mut Scene| {
        s.join("abc");
        s.drain('b', true);
        s.drain('c', true);
        s.cut('c');
    };
    let status = check(given, |_| (), &[]).world.engine().status();
    assert_eq!((status.workers_connected, status.workers_draining, status.workers_silent), (2, 1, 1));
}

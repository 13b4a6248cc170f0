//! What keeps an emergency from room: nothing that is kept free for others, waits on a worker, or was given up; and nobody
//! else that cannot be helped. Nothing is stopped that need not be.

use rushes_core::policy::{HealthPolicy, OrderPolicy, Policy, PromisePolicy};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobChange, JobSpec, Needs};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{SlotKind, TaskOutcome, TaskValue, Usage};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::AheadOffer;

use super::{emergency, stopped, tasks};
use crate::support::samples::{graph, in_class, node, stage, with_deadline};
use crate::support::scene::{Scene, check, check_with};
use crate::support::tell;

const HOUR_MS: u32 = 3_600_000;

/// One task of so many cores that takes an hour.
fn hour(cores: u32) -> JobSpec {
    let mut stage = stage("hold", SlotKind::Encode, 1, HOUR_MS, &[]);
    stage.demand.cpu = Millicores(cores * 1_000);
    graph(vec![stage])
}

/// The same where nodes have this tag.
fn tagged(tag: &str, spec: JobSpec) -> JobSpec {
    let needs = Needs { tags: vec![tag.to_owned()], ..Needs::default() };
    JobSpec { needs: Some(Box::new(needs)), ..spec }
}

/// A node with so many cores and this tag, which holds one task ahead where it says so.
fn join_tagged(s: &mut Scene, name: char, cores: u32, tag: &str, holds_ahead: bool) {
    let worker = tell::worker(name);
    let facts = NodeFacts {
        cpu: Millicores(cores * 1_000),
        light_slots: 1,
        tags: vec![tag.to_owned()],
        ..node(&name.to_string())
    };
    s.world.add_worker(worker, facts);
    let offer = AheadOffer { process: 1, lane: 1, round_trip_ms: 20 };
    s.world.workers.get_mut(&worker).expect("just added").offer = holds_ahead.then_some(offer);
    s.connect(name);
}

/// So much runs on a node of four cores, and the rest of them is kept free for a task that wants them all.
fn all_cores_are_kept(s: &mut Scene, running: u32) {
    s.join_with_cores('a', 4);
    s.submit(tasks(running, 2));
    s.submit(tasks(1, 4));
    s.submit(hour(1));
    s.wait(1_000);
    assert!(!s.runs('a', "2.0") && !s.runs('a', "3.0"), "{:?}", s.world.trace);
}

#[test]
fn cores_that_are_kept_free_for_others_are_an_emergencys() {
    let scene = check(
        |s| all_cores_are_kept(s, 1),
        |s| s.submit(emergency(1, 2)),
        &["accepted j4", "start j4.0 #1-2 on a"],
    );
    assert_eq!(stopped(&scene), []);
}

#[test]
fn what_runs_on_a_node_that_is_kept_for_others_is_stopped_for_an_emergency() {
    let mut scene = check(
        |s| all_cores_are_kept(s, 2),
        |s| s.submit(emergency(1, 2)),
        &["accepted j4", "cancel #1-2 on a", "collect #1-2 on a", "start j4.0 #1-3 on a"],
    );
    assert_eq!(stopped(&scene), [(1, 1_000)]);
    scene.done('a', "4.0");
    assert!(scene.runs('a', "1.1"), "it came before the large task: {:?}", scene.world.trace);
    scene.done('a', "1.0");
    assert!(!scene.runs('a', "3.0"), "cores are kept again: {:?}", scene.world.trace);
    scene.done('a', "1.1");
    assert!(scene.runs('a', "2.0"), "{:?}", scene.world.trace);
}

#[test]
fn cores_that_are_kept_for_another_emergency_stay_so() {
    check(
        |s| {
            s.join_with_cores('a', 4);
            s.submit(emergency(1, 2));
            s.submit(emergency(1, 4));
            s.submit(hour(1));
            s.wait(1_000);
        },
        |s| s.submit(emergency(1, 2)),
        &["accepted j4"],
    );
}

/// It would end later than the large task could begin, and is due before anything else.
#[test]
fn cores_that_are_kept_free_for_others_are_those_of_a_promise_at_risk() {
    let promise = PromisePolicy { p90_permille: 1_000, ..PromisePolicy::default() };
    check_with(
        Policy { promise, ..Policy::default() },
        |s| all_cores_are_kept(s, 1),
        |s| {
            let due = s.world.now.wall.0 + 70_000;
            s.submit(with_deadline(tasks(1, 2), due));
        },
        &["accepted j4", "start j4.0 #1-2 on a"],
    );
}

/// Sixteen that come before it want a node on which another emergency runs.
#[test]
fn emergencies_that_cannot_be_helped_keep_no_other_from_its_room() {
    let mut scene = check(
        |s| {
            join_tagged(s, 'a', 4, "big", false);
            s.submit(tagged("big", emergency(1, 4)));
            s.join_with_cores('b', 1);
            s.submit(tasks(1, 1));
            (0..20).for_each(|_| s.submit(tagged("big", emergency(1, 4))));
        },
        |_| {},
        &[],
    );
    scene.submit(emergency(1, 1));
    assert!(scene.runs('b', "23.0"), "{:?}", scene.world.trace);
    assert_eq!(stopped(&scene), [(2, 0)]);
}

/// Tasks of as many kinds as this, which want a node with that tag.
fn kinds(count: u32) -> impl Iterator<Item = JobSpec> {
    (0..count).map(|n| {
        let mut stage = stage("hold", SlotKind::Encode, 1, HOUR_MS, &[]);
        stage.demand.cpu = Millicores(1_000 * (1 + n / 12));
        stage.demand.memory = Bytes(u64::from(1 + n % 12) << 27);
        tagged("big", in_class(graph(vec![stage]), Class::Emergency))
    })
}

/// Of all kinds of emergencies that wait, so many are looked at in a turn: the others have theirs in the next one.
#[test]
fn very_many_kinds_of_emergencies_that_cannot_be_helped_keep_no_other_from_its_room() {
    let mut scene = check(
        |s| {
            join_tagged(s, 'a', 4, "big", false);
            s.submit(tagged("big", emergency(1, 4)));
            s.join_with_cores('b', 1);
            s.submit(tasks(1, 1));
            kinds(36).for_each(|spec| s.submit(spec));
        },
        |_| {},
        &[],
    );
    // Of a kind that was never seen before, which comes behind all the others.
    let mut other = stage("hold", SlotKind::Encode, 1, HOUR_MS, &[]);
    other.demand.memory = Bytes(1 << 30);
    scene.submit(in_class(graph(vec![other]), Class::Emergency));
    scene.wait(2_000);
    assert!(scene.runs('b', "39.0"), "{:?}", scene.world.trace);
    assert_eq!(stopped(&scene).len(), 1);
}

/// The same of those that have failed on one node and have no other.
#[test]
fn very_many_kinds_that_avoid_a_node_keep_no_other_from_its_room() {
    let health = HealthPolicy { failed: 1_000, burst_failures: 0, ..HealthPolicy::default() };
    let mut scene = check_with(
        Policy { health, ..Policy::default() },
        |s| {
            join_tagged(s, 'c', 1, "big", false);
            s.submit(tagged("big", emergency(1, 1)));
            let facts = NodeFacts {
                cpu: Millicores(64_000),
                memory: Bytes(1 << 40),
                tags: vec!["big".to_owned()],
                ..node("a")
            };
            s.join_as('a', facts);
            kinds(36).for_each(|spec| s.submit(spec));
            (2..38).for_each(|job| s.fail('a', &format!("{job}.0"), FailureCode::NodeUnfit));
            s.wait(70_000);
            s.submit(emergency(1, 1));
            s.fail('a', "38.0", FailureCode::NodeUnfit);
            join_tagged(s, 'b', 1, "small", false);
            s.submit(tagged("small", hour(1)));
        },
        |_| {},
        &[],
    );
    scene.wait(70_000);
    assert!(scene.runs('b', "38.0"), "{:?}", scene.world.trace);
}

/// Two tasks of an optional stage: one has failed and waits for a node that it does not avoid, the other ends the stage.
#[test]
fn nothing_is_stopped_for_a_task_whose_stage_is_left_out() {
    let health = HealthPolicy { failed: 100, ..HealthPolicy::default() };
    let scene = check_with(
        Policy { health, ..Policy::default() },
        |s| {
            s.join_with_cores('b', 1);
            s.submit(emergency(1, 1));
            s.join_with_cores('a', 3);
            let mut extra = stage("extra", SlotKind::Encode, 2, HOUR_MS, &[]);
            extra.optional = true;
            let main = stage("main", SlotKind::Encode, 1, HOUR_MS, &[]);
            s.submit(in_class(graph(vec![main, extra]), Class::Emergency));
            s.fail('a', "2.2", FailureCode::NodeUnfit);
            s.wait(70_000);
            assert!(!s.runs('b', "2.2") && !s.runs('a', "2.2"), "it waits for the other node");
            s.fail('a', "2.1", FailureCode::Unsupported);
        },
        |s| s.amend(1, JobChange { class: Some(Class::Standard), ..JobChange::default() }),
        &["amended j1"],
    );
    assert_eq!(stopped(&scene), []);
}

/// One core is free there, behind a larger task that waits for three.
#[test]
fn room_that_is_there_once_what_waits_before_it_is_given_back_costs_no_work() {
    let mut scene = check(
        |s| {
            s.join_with_cores('b', 1);
            s.submit(hour(1));
            join_tagged(s, 'a', 4, "x", true);
            s.submit(tagged("x", tasks(1, 3)));
            s.submit(tagged("x", tasks(1, 3)));
            s.wait(1_000);
        },
        |s| s.submit(emergency(1, 1)),
        &["accepted j4", "recall #1-3 on a", "start j4.0 #1-4 on a"],
    );
    assert_eq!(stopped(&scene), []);
    scene.done('a', "4.0");
    let is_sent = |line: &String| line == "start j3.0 #1-5 on a";
    assert!(scene.world.trace.iter().any(is_sent), "it waits there again: {:?}", scene.world.trace);
}

/// What waited there begins before its worker hears of that, and leaves as much as what ran before it.
#[test]
fn where_what_waits_begins_in_spite_of_its_recall_there_is_room_all_the_same() {
    let mut scene = check(
        |s| {
            s.join_with_cores('b', 1);
            s.submit(hour(1));
            join_tagged(s, 'a', 4, "x", true);
            s.submit(tagged("x", tasks(1, 3)));
            s.submit(tagged("x", tasks(1, 3)));
            s.wait(1_000);
        },
        |_| {},
        &[],
    );
    let attempt = scene.attempt('a', "2.0");
    let outcome = TaskOutcome::Succeeded { value: TaskValue::Nothing, usage: Usage::default() };
    // Both are on their way at once.
    scene.world.end(tell::worker('a'), attempt, outcome, false);
    scene.submit(emergency(1, 1));
    assert!(scene.runs('a', "3.0") && scene.runs('a', "4.0"), "{:?}", scene.world.trace);
    assert_eq!(stopped(&scene), []);
}

/// It was sent before all the others, waited on its worker for a minute, and began last.
#[test]
fn what_began_last_is_the_cheapest_whenever_it_was_sent() {
    let nodes: Vec<char> = ('a'..).take(40).collect();
    let last = nodes[39];
    let scene = check(
        |s| {
            join_tagged(s, last, 1, "x", true);
            s.submit(tagged("x", tasks(1, 1)));
            s.submit(tagged("x", hour(1)));
            for name in &nodes[..39] {
                s.join_with_cores(*name, 1);
                s.submit(hour(1));
            }
            s.wait(60_000);
            s.done(last, "1.0");
            assert!(s.runs(last, "2.0"), "{:?}", s.world.trace);
            s.wait(1_000);
        },
        |s| {
            s.submit(emergency(1, 1));
            assert!(s.runs(last, "42.0"), "{:?}", s.world.trace);
        },
        &[
            "accepted j42",
            "cancel #1-2 on \u{88}",
            "collect #1-2 on \u{88}",
            "start j42.0 #1-42 on \u{88}",
            "start j2.0 #1-43 on \u{88}",
        ],
    );
    assert_eq!(stopped(&scene), [(2, 1_000)]);
}

/// An emergency waits for another one, for which there is no help; it could not go to where others work.
#[test]
fn workers_to_which_no_emergency_may_go_hold_tasks_ahead_while_one_waits() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(emergency(1, 1));
            s.submit(emergency(1, 1));
            join_tagged(s, 'b', 1, "pool:other", true);
        },
        |s| {
            let needs = Needs { pool: "other".to_owned(), ..Needs::default() };
            s.submit(JobSpec { needs: Some(Box::new(needs)), ..tasks(3, 1) });
        },
        &["accepted j3", "start j3.0 #1-2 on b", "start j3.1 #1-3 on b"],
    );
    assert!(scene.runs('b', "3.0") && !scene.runs('b', "3.1"));
}

/// What waited there would begin as soon as the other emergency ends, in the place of this one. No cores are kept for it.
#[test]
fn nothing_is_sent_ahead_to_where_an_emergency_may_go_that_waits() {
    let order = OrderPolicy { max_reservations: 0, ..OrderPolicy::default() };
    check_with(
        Policy { order, ..Policy::default() },
        |s| {
            join_tagged(s, 'b', 1, "x", true);
            s.submit(emergency(1, 1));
            s.submit(emergency(1, 1));
        },
        |s| {
            s.submit(tagged("x", tasks(1, 1)));
            s.done('b', "1.0");
        },
        &["accepted j3", "j1 succeeded", "collect #1-1 on b", "start j2.0 #1-2 on b", "start j3.0 #1-3 on b"],
    );
}

#[test]
fn a_job_of_which_something_was_stopped_says_what_was_lost_and_for_whom() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 2);
            s.submit(tasks(2, 1));
            s.wait(3_000);
        },
        |s| {
            s.submit(emergency(1, 2));
            s.wait(1_000);
        },
        &[
            "accepted j2",
            "cancel #1-2 on a",
            "cancel #1-1 on a",
            "collect #1-2 on a",
            "collect #1-1 on a",
            "start j2.0 #1-3 on a",
        ],
    );
    let stopped =
        scene.world.engine().job(JobId(1)).expect("it is live").stopped.expect("two tasks were stopped");
    assert_eq!((stopped.times, stopped.worker, stopped.by), (2, tell::worker('a'), JobId(2)));
    assert!(stopped.lost_ms >= 6_000, "{stopped:?}");
}

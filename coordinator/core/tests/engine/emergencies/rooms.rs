//! Room for emergencies of every size on farms of every size: it is found for each task where that may go, a bounded number
//! of sets in a turn, and the farm does not give way in vain.

use rushes_core::policy::{HealthPolicy, Policy};
use rushes_shared::failure::FailureCode;
use rushes_shared::job::{Class, JobChange};

use super::{emergency, names, stopped, tasks};
use crate::support::scene::{Scene, check, check_with};

fn run_of(s: &Scene, names: &[char], job: u128) -> usize {
    let tasks = |n: usize| format!("{job}.{n}");
    (0..names.len()).filter(|n| names.iter().any(|name| s.runs(*name, &tasks(*n)))).count()
}

/// A hundred tasks have room made for them on a hundred nodes without anything else happening on the farm.
#[test]
fn a_large_emergency_gets_its_room_over_several_turns_that_follow_one_another() {
    let nodes = names(100);
    let scene = check_with(
        Policy::default(),
        |s| {
            nodes.iter().for_each(|name| s.join_with_cores(*name, 1));
            s.submit(tasks(100, 1));
            s.wait(1_000);
            s.submit(emergency(100, 1));
            s.wait(10);
            assert_eq!(run_of(s, &nodes, 2), 100, "it has the whole farm");
        },
        |_| {},
        &[],
    );
    assert_eq!(stopped(&scene).len(), 100);
    assert!(scene.world.most_stops <= 16, "{} are stopped in one turn", scene.world.most_stops);
}

/// On ninety nine nodes little may be stopped, and not enough; what is there was begun last.
#[test]
fn room_is_found_behind_any_number_of_nodes_that_cannot_make_any() {
    let nodes = names(100);
    let scene = check(
        |s| {
            s.join_with_cores(nodes[99], 4);
            s.submit(tasks(2, 2));
            for name in &nodes[..99] {
                s.join_with_cores(*name, 4);
                s.submit(emergency(1, 3));
                s.submit(tasks(1, 1));
            }
            s.wait(1_000);
        },
        |s| {
            s.submit(emergency(1, 4));
            assert!(s.runs(nodes[99], "200.0"), "{:?}", s.world.trace);
        },
        &[
            "accepted j200",
            "cancel #1-2 on \u{c4}",
            "cancel #1-1 on \u{c4}",
            "collect #1-2 on \u{c4}",
            "collect #1-1 on \u{c4}",
            "start j200.0 #1-201 on \u{c4}",
        ],
    );
    assert_eq!(stopped(&scene).len(), 2);
}

/// One small task per node was begun last, and is dearer than a smaller one that was begun before all of those.
#[test]
fn what_was_begun_before_is_stopped_where_less_is_lost_with_it() {
    let nodes = names(90);
    let scene = check(
        |s| {
            s.join_with_cores(nodes[89], 1);
            s.submit(tasks(1, 1));
            s.wait(1_000);
            for name in &nodes[..89] {
                s.join_with_cores(*name, 8);
            }
            s.submit(tasks(89, 8));
            s.wait(1_000);
        },
        |s| s.submit(emergency(1, 1)),
        &["accepted j3", "cancel #1-1 on \u{ba}", "collect #1-1 on \u{ba}", "start j3.0 #1-91 on \u{ba}"],
    );
    assert_eq!(stopped(&scene), [(1, 2_000)], "two seconds of one core, not one of eight");
}

#[test]
fn what_one_task_leaves_behind_is_enough_for_two() {
    let scene = check(
        |s| {
            s.join_with_cores('b', 4);
            s.submit(tasks(2, 2));
            s.wait(60_000);
            s.join_with_cores('a', 8);
            s.submit(tasks(1, 8));
            s.wait(1_000);
        },
        |s| s.submit(emergency(3, 2)),
        &[
            "accepted j3",
            "cancel #1-3 on a",
            "collect #1-3 on a",
            "start j3.0 #1-4 on a",
            "start j3.1 #1-5 on a",
            "start j3.2 #1-6 on a",
        ],
    );
    assert_eq!(stopped(&scene), [(2, 1_000)], "nothing is stopped on the other node");
}

/// The first node has room and is the one that it avoids; the other one is full of ordinary work.
#[test]
fn an_emergency_that_avoids_the_free_node_has_room_made_on_another_one() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(emergency(1, 1));
            s.join_with_cores('b', 1);
            s.submit(tasks(2, 1));
            s.wait(1_000);
            s.fail('a', "1.0", FailureCode::NodeUnfit);
            s.wait(70_000);
            assert!(s.runs('b', "1.0"), "{:?}", s.world.trace);
        },
        |_| {},
        &[],
    );
    assert_eq!(stopped(&scene).len(), 1, "{:?}", scene.world.trace);
}

/// Three of four tasks have failed on a node: room is made elsewhere for these alone.
#[test]
fn room_is_made_for_each_task_where_it_may_go() {
    let health = HealthPolicy { failed: 100, ..HealthPolicy::default() };
    let scene = check_with(
        Policy { health, ..Policy::default() },
        |s| {
            s.join_with_cores('a', 3);
            s.submit(emergency(3, 1));
            s.join_with_cores('b', 4);
            s.submit(tasks(7, 1));
            for task in ["1.0", "1.1", "1.2"] {
                s.fail('a', task, FailureCode::NodeUnfit);
            }
            s.wait(70_000);
            let on_b = ["1.0", "1.1", "1.2"].iter().filter(|task| s.runs('b', task)).count();
            assert_eq!(on_b, 3, "{:?}", s.world.trace);
        },
        |_| {},
        &[],
    );
    assert_eq!(stopped(&scene).len(), 3, "none for them on the node that they avoid");
}

#[test]
fn what_becomes_an_emergency_is_not_stopped_and_what_is_none_any_more_may_be() {
    let class = |class| JobChange { class: Some(class), ..JobChange::default() };
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(emergency(1, 1));
            s.join_with_cores('b', 1);
            s.submit(tasks(1, 1));
            s.wait(1_000);
            s.amend(1, class(Class::Standard));
            s.amend(2, class(Class::Emergency));
            s.submit(emergency(2, 1));
            s.wait(1_000);
        },
        |_| {},
        &[],
    );
    assert_eq!(stopped(&scene), [(1, 1_000)]);
    assert!(scene.runs('b', "2.0") && scene.runs('a', "3.0"));
}

/// All of its attempts fail: the farm does not give way to it again and again.
#[test]
fn an_emergency_that_is_held_back_has_one_task_stopped_for_it_at_a_time() {
    let health = HealthPolicy { job_failures: 3, ..HealthPolicy::default() };
    let policy = Policy { health, max_attempts: 100, ..Policy::default() };
    let nodes = names(6);
    let mut scene = check_with(
        policy,
        |s| {
            nodes.iter().for_each(|name| s.join_with_cores(*name, 1));
            s.submit(tasks(6, 1));
            s.wait(1_000);
            s.submit(emergency(6, 1));
        },
        |_| {},
        &[],
    );
    assert_eq!((stopped(&scene).len(), run_of(&scene, &nodes, 2)), (6, 6));
    let fail_one = |s: &mut Scene| {
        let runs = |n: &usize| nodes.iter().find(|name| s.runs(**name, &format!("2.{n}"))).copied();
        let (task, name) = (0..6).find_map(|n| Some((n, runs(&n)?))).expect("one of it runs");
        s.fail(name, &format!("2.{task}"), FailureCode::TransferFailed);
    };
    (0..6).for_each(|_| fail_one(&mut scene));
    scene.wait(70_000);
    let runner = |s: &Scene, n: usize| {
        nodes.iter().find(|name| s.runs(**name, &format!("2.{n}"))).map(|name| (*name, format!("2.{n}")))
    };
    for _ in 0..3 {
        assert_eq!(run_of(&scene, &nodes, 2), 1, "one at a time");
        assert_eq!(stopped(&scene).len(), 7, "one was stopped for it, and what it leaves is the next one's");
        assert_eq!(run_of(&scene, &nodes, 1), 5, "the others go on");
        fail_one(&mut scene);
        scene.wait(70_000);
    }
    // Its node is lost, so that all of its tasks wait and none of the nodes that are left has room.
    let (name, _) = (0..6).find_map(|n| runner(&scene, n)).expect("one of it runs");
    scene.kill(name);
    scene.wait(30_000);
    assert_eq!((run_of(&scene, &nodes, 2), stopped(&scene).len()), (1, 8), "one more, and no more than one");
}

//! What gives way to an emergency: the cheapest set on one node, wherever it is, and nothing in vain.

use rushes_core::event::{Decision, Event, FarmNews, ReplyTo};
use rushes_core::policy::{HealthPolicy, Policy};
use rushes_core::state::TenantLimits;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::TenantId;
use rushes_shared::job::{Class, JobChange, JobSpec};
use rushes_shared::task::SlotKind;
use rushes_shared::units::{Bytes, Millicores};

use crate::support::samples::{graph, in_class, stage};
use crate::support::scene::{Scene, check, check_with};
use crate::support::world::Ask;

/// So many tasks of so many cores each, a minute long.
fn tasks(count: u32, cores: u32) -> JobSpec {
    let mut stage = stage("hold", SlotKind::Encode, count, 60_000, &[]);
    stage.demand.cpu = Millicores(cores * 1_000);
    graph(vec![stage])
}

fn emergency(count: u32, cores: u32) -> JobSpec {
    in_class(tasks(count, cores), Class::Emergency)
}

/// The jobs of which tasks were stopped, in order, and for how long these had run.
fn stopped(scene: &Scene) -> Vec<(u128, u64)> {
    let stopped = scene.world.news.iter().filter_map(|news| match &news.what {
        FarmNews::Decided(Decision::Preempted { task, lost_ms, .. }) => Some((task.job.0, *lost_ms)),
        _ => None,
    });
    stopped.collect()
}

#[test]
fn a_large_emergency_stops_several_small_tasks_of_one_node() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 4);
            s.submit(tasks(1, 4));
            s.wait(20_000);
            s.join_with_cores('b', 4);
            s.submit(tasks(4, 1));
            s.wait(1_000);
        },
        |s| s.submit(emergency(1, 4)),
        &[
            "accepted j3",
            "cancel #1-5 on b",
            "cancel #1-4 on b",
            "cancel #1-3 on b",
            "cancel #1-2 on b",
            "collect #1-5 on b",
            "collect #1-4 on b",
            "collect #1-3 on b",
            "collect #1-2 on b",
            "start j3.0 #1-6 on b",
        ],
    );
    assert_eq!(stopped(&scene), [(2, 1_000); 4], "four seconds of work are lost, not eighty");
    assert!(scene.runs('a', "1.0"));
}

#[test]
fn only_what_is_missing_is_stopped_and_the_cheapest_of_that() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 6);
            s.submit(tasks(1, 1));
            s.wait(10_000);
            for _ in 0..2 {
                s.submit(tasks(1, 2));
                s.wait(2_000);
            }
        },
        // One core is free.
        |s| s.submit(emergency(1, 3)),
        &["accepted j4", "cancel #1-3 on a", "collect #1-3 on a", "start j4.0 #1-4 on a"],
    );
    assert_eq!(stopped(&scene), [(3, 2_000)]);
}

/// The room that is being made for one is not counted for another.
#[test]
fn each_task_of_an_emergency_has_room_made_for_it_once() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 8);
            s.submit(tasks(8, 1));
            s.wait(1_000);
        },
        |s| s.submit(emergency(3, 3)),
        &[
            "accepted j2",
            "cancel #1-8 on a",
            "cancel #1-7 on a",
            "cancel #1-6 on a",
            "cancel #1-5 on a",
            "cancel #1-4 on a",
            "cancel #1-3 on a",
            "collect #1-8 on a",
            "collect #1-7 on a",
            "collect #1-6 on a",
            "collect #1-5 on a",
            "collect #1-4 on a",
            "collect #1-3 on a",
            "start j2.0 #1-9 on a",
            "start j2.1 #1-10 on a",
        ],
    );
    assert_eq!(stopped(&scene).len(), 6, "for the third there is no room however much is stopped");
    assert!(scene.runs('a', "1.0") && scene.runs('a', "1.1"));
}

#[test]
fn no_set_is_stopped_for_what_may_not_start() {
    let tenant: TenantId = "other".parse().expect("a name");
    let scene = check(
        |s| {
            let limits = TenantLimits { max_running: 1, ..TenantLimits::default() };
            s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant: tenant.clone(), limits });
            s.join_with_cores('a', 4);
            s.submit(tasks(4, 1));
            s.wait(1_000);
            s.ask(Ask { tenant: tenant.clone(), ..Ask::of(emergency(2, 2)) });
            s.wait(5_000);
        },
        |_| {},
        &[],
    );
    assert_eq!(stopped(&scene).len(), 2, "for one task, two of one core each");
}

#[test]
fn nothing_is_stopped_where_all_of_it_would_not_make_room() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 4);
            s.submit(emergency(1, 3));
            s.submit(tasks(1, 1));
            s.wait(1_000);
        },
        |s| {
            s.submit(emergency(1, 2));
            s.wait(1_000);
        },
        &["accepted j3"],
    );
    assert_eq!(stopped(&scene), []);
}

/// Of eighty nodes the last one was given its task last; it has the highest id as well.
#[test]
fn the_cheapest_work_is_found_on_whichever_of_many_nodes_it_runs() {
    let nodes: Vec<char> = ('a'..).take(80).collect();
    let scene = check(
        |s| {
            for name in &nodes {
                s.join_with_cores(*name, 1);
                s.submit(tasks(1, 1));
                s.wait(100);
            }
        },
        |s| {
            s.submit(emergency(1, 1));
            assert!(s.runs(nodes[79], "81.0"), "{:?}", s.world.trace);
        },
        &["accepted j81", "cancel #1-80 on °", "collect #1-80 on °", "start j81.0 #1-81 on °"],
    );
    assert_eq!(stopped(&scene), [(80, 100)]);
}

#[test]
fn memory_that_is_missing_is_made_free_as_well() {
    let large = |gib: u64| {
        let mut stage = stage("hold", SlotKind::Encode, 1, 60_000, &[]);
        stage.demand.memory = Bytes(gib << 30);
        graph(vec![stage])
    };
    let scene = check(
        |s| {
            s.join("a");
            s.submit(large(5));
            s.wait(9_000);
            s.submit(large(1));
            s.wait(1_000);
        },
        |s| s.submit(in_class(large(4), Class::Emergency)),
        &["accepted j3", "cancel #1-1 on a", "collect #1-1 on a", "start j3.0 #1-3 on a"],
    );
    assert_eq!(stopped(&scene), [(1, 10_000)], "what is cheaper to lose would not be enough");
}

/// So many nodes with ids of their own.
fn names(count: usize) -> Vec<char> {
    ('a'..).take(count).collect()
}

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
    for _ in 0..3 {
        assert_eq!(run_of(&scene, &nodes, 2), 1, "one at a time");
        assert_eq!(stopped(&scene).len(), 7, "one was stopped for it, and what it leaves is the next one's");
        assert_eq!(run_of(&scene, &nodes, 1), 5, "the others go on");
        fail_one(&mut scene);
        scene.wait(70_000);
    }
}

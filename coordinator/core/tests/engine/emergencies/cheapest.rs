//! What is stopped for an emergency: the cheapest set on one node, wherever it is, and nothing in vain.

use rushes_core::event::{Event, ReplyTo};
use rushes_core::state::TenantLimits;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobSpec, Needs};
use rushes_shared::task::SlotKind;
use rushes_shared::units::Bytes;

use super::{emergency, stopped, tasks};
use crate::support::samples::{graph, in_class, stage};
use crate::support::scene::check;
use crate::support::world::Ask;

#[test]
fn an_emergency_stops_the_work_that_is_cheapest_to_lose() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 2);
            s.submit(tasks(1, 1));
            s.wait(5_000);
            s.submit(tasks(1, 1));
            s.wait(1_000);
        },
        |s| s.submit(emergency(1, 1)),
        &["accepted j3", "cancel #1-2 on a", "collect #1-2 on a", "start j3.0 #1-3 on a"],
    );
    assert_eq!(stopped(&scene), [(2, 1_000)], "it is counted");
    assert_eq!(scene.world.engine().state().jobs[&JobId(2)].tasks[0].failures(), 0, "it is no failure");
}

#[test]
fn nothing_is_stopped_for_any_other_class() {
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(in_class(tasks(1, 1), Class::Bulk));
        },
        |s| s.submit(in_class(tasks(1, 1), Class::Premium)),
        &["accepted j2"],
    );
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

#[test]
fn nothing_is_stopped_for_an_emergency_whose_tenant_runs_as_much_as_it_may() {
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
fn what_is_stopped_costs_its_tenant_nothing_of_its_share() {
    let other: TenantId = "other".parse().expect("a name");
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 1));
            s.wait(1_000);
            s.ask(Ask { tenant: other, ..Ask::of(tasks(1, 1)) });
            s.wait(1_000);
            s.submit(emergency(1, 1));
            assert_eq!(s.runner("3.0"), 'a');
        },
        |s| s.done('a', "3.0"),
        &["j3 succeeded", "collect #1-2 on a", "start j1.0 #1-3 on a"],
    );
}

#[test]
fn no_more_is_stopped_for_emergencies_than_their_licences_let_start() {
    let licensed = |count| {
        let limits = [("dolby".to_owned(), 1)].into();
        let needs = Some(Box::new(Needs { limits, ..Needs::default() }));
        JobSpec { needs, ..emergency(count, 1) }
    };
    let scene = check(
        |s| {
            s.set_limit("dolby", Some(1));
            s.join_with_cores('a', 4);
            s.submit(in_class(tasks(8, 1), Class::Bulk));
            s.wait(1_000);
        },
        |s| {
            s.submit(licensed(10));
            s.submit(licensed(10));
            s.wait(5_000);
        },
        &["accepted j2", "cancel #1-4 on a", "collect #1-4 on a", "start j2.0 #1-5 on a", "accepted j3"],
    );
    assert_eq!(stopped(&scene).len(), 1);
}

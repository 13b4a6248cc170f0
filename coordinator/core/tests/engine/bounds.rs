//! What one turn does and what the engine keeps is bounded, whatever comes in.

use rushes_core::event::Event;
use rushes_core::policy::{HealthPolicy, OrderPolicy, Policy};
use rushes_shared::failure::FailureCode;
use rushes_shared::job::JobSpec;
use rushes_shared::node::NodeFacts;
use rushes_shared::task::SlotKind;
use rushes_shared::units::Millicores;

use crate::support::samples::{encode, graph, key, node, noop, stage};
use crate::support::scene::{Scene, check_with};
use crate::support::tell;
use crate::support::world::Ask;

#[test]
fn timers_that_are_due_together_are_worked_off_over_several_turns_without_a_pause() {
    let health = HealthPolicy { job_failures: 0, ..HealthPolicy::default() };
    let mut scene = check_with(
        Policy { health, ..Policy::default() },
        |s| {
            let facts = NodeFacts { light_slots: 600, ..node("a") };
            s.join_as('a', facts);
            s.submit(noop(600));
            let held: Vec<_> = s.world.workers[&tell::worker('a')].held.keys().copied().collect();
            for attempt in held {
                let failure =
                    rushes_shared::failure::Failure::new(FailureCode::TransferFailed, "no", "again");
                let usage = rushes_shared::task::Usage::default();
                let outcome = rushes_shared::task::TaskOutcome::Failed { failure, usage };
                s.world.end(tell::worker('a'), attempt, outcome, false);
            }
            s.rest();
        },
        |_| {},
        &[],
    );
    scene.world.now.mono = scene.world.now.mono.plus(2_000);
    let now = scene.world.now.mono;
    let due = scene.world.engine().timers_due(now);
    assert!(due >= 600, "{due}");
    scene.world.tell(Event::TimeCame);
    let engine = scene.world.engine();
    let left = engine.timers_due(now);
    assert!(left > 0 && left < due, "{left} of {due}");
    assert!(engine.next_wake().is_some_and(|at| at <= now), "the next turn is wanted at once");
    scene.world.pass(0);
    assert_eq!(scene.world.engine().timers_due(now), 0);
    scene.rest();
    assert_eq!(scene.starts(rushes_shared::task::TaskKind::Noop), 1_200);
}

/// Six hundred tasks avoid one node and wait for another one; when that goes, they go where they failed.
#[test]
fn tasks_that_avoid_a_node_are_tried_again_over_several_turns() {
    let health =
        HealthPolicy { job_failures: 0, failed: 1_000, burst_failures: 0, ..HealthPolicy::default() };
    let mut scene = check_with(
        Policy { health, retry_base_ms: 1, retry_max_ms: 1, ..Policy::default() },
        |s| {
            s.join_as('a', NodeFacts { light_slots: 600, ..node("a") });
            s.submit(graph(vec![stage("hold", SlotKind::Light, 600, 60_000, &[])]));
            s.join_as('b', NodeFacts { light_slots: 1, ..node("b") });
            let held: Vec<_> = s.world.workers[&tell::worker('a')].held.keys().copied().collect();
            for attempt in held {
                let failure = rushes_shared::failure::Failure::new(FailureCode::NodeUnfit, "no", "elsewhere");
                let usage = rushes_shared::task::Usage::default();
                let outcome = rushes_shared::task::TaskOutcome::Failed { failure, usage };
                s.world.end(tell::worker('a'), attempt, outcome, false);
            }
            s.rest();
            s.wait(1_000);
        },
        |_| {},
        &[],
    );
    let on = |s: &Scene, name| {
        s.world.workers[&tell::worker(name)].held.values().filter(|held| held.outcome.is_none()).count()
    };
    assert_eq!((on(&scene, 'a'), on(&scene, 'b')), (0, 1), "the others wait for the one slot");
    scene.world.most_starts = 0;
    scene.drain('b', true);
    scene.wait(10);
    assert_eq!(on(&scene, 'a'), 599, "nothing else could do them any more");
    assert!(scene.world.most_starts <= 256, "{} are tried in one turn", scene.world.most_starts);
}

fn keyed(s: &mut Scene, text: &str, body: u8) {
    s.ask(Ask { key: Some(key(text, body)), ..Ask::of(noop(1)) });
    s.wait(10);
}

#[test]
fn of_too_many_keys_the_oldest_are_forgotten() {
    check_with(
        Policy { max_keys: 3, ..Policy::default() },
        |s| ["a", "b", "c", "d", "e"].into_iter().for_each(|text| keyed(s, text, 1)),
        |s| {
            assert_eq!(s.world.engine().state().keys.len(), 3);
            keyed(s, "e", 1);
            keyed(s, "c", 1);
            keyed(s, "b", 2);
        },
        &["accepted before as j5", "accepted before as j3", "accepted j8"],
    );
}

#[test]
fn a_worker_that_was_away_for_long_is_forgotten_with_its_quarantine_and_one_that_is_here_is_not() {
    let hour = 3_600_000;
    let mut scene = check_with(
        Policy { forget_workers_ms: 10 * hour, ..Policy::default() },
        |s| {
            s.join("abc");
            s.kill('a');
            s.drain('b', true);
            s.leave('b');
            s.kill('b');
            s.wait(60_000);
        },
        |_| {},
        &[],
    );
    let known = |s: &Scene| s.world.engine().state().workers.len();
    assert_eq!(known(&scene), 3);
    let mut pass = |hours: u64| {
        (0..hours).for_each(|_| {
            scene.world.pass(hour - 1_000);
            scene.world.beat(tell::worker('c'));
            scene.wait(1_000);
            scene.connect('c');
        });
        known(&scene)
    };
    assert_eq!(pass(8), 3, "not before its time");
    assert_eq!(pass(3), 1);
}

fn with_cpu(millicores: u32) -> JobSpec {
    let mut hold = stage("hold", SlotKind::Encode, 1, 1_000, &[]);
    hold.demand.cpu = Millicores(millicores);
    graph(vec![hold])
}

#[test]
fn a_graph_that_asks_for_more_kinds_of_room_than_are_kept_apart_is_refused_and_one_of_known_kinds_is_not() {
    let order = OrderPolicy { max_signatures: 3, ..OrderPolicy::default() };
    check_with(
        Policy { order, ..Policy::default() },
        |s| s.join("a"),
        |s| {
            s.submit(with_cpu(1_000));
            s.submit(with_cpu(1_250));
            s.submit(encode(1));
            s.submit(with_cpu(1_500));
            s.submit(with_cpu(1_250));
            s.done('a', "3.0");
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on a",
            "accepted j2",
            "start j2.0 #1-2 on a",
            "accepted j3",
            "start j3.0 #1-3 on a",
            "refused TooManySignatures",
            "accepted j5",
            "start j5.0 #1-4 on a",
            "collect #1-3 on a",
        ],
    );
}

//! What workers hold ahead of room: what is sent, what is said of it, and how it is taken back.

use rushes_core::event::Event;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobChange, JobState, TaskState};
use rushes_shared::task::{SlotKind, TaskKind, TaskOutcome};
use rushes_shared::wire::AheadOffer;

use crate::support::samples::{graph, in_class, node, noop, stage};
use crate::support::scene::{Scene, check};
use crate::support::tell;

/// A worker with one core that holds one task ahead of it connects.
fn join_ahead(s: &mut Scene, name: char) {
    let worker = tell::worker(name);
    let facts = rushes_shared::node::NodeFacts {
        cpu: rushes_shared::units::Millicores(1_000),
        light_slots: 1,
        ..node(&name.to_string())
    };
    s.world.add_worker(worker, facts);
    let offer = AheadOffer { process: 1, lane: 1, round_trip_ms: 20 };
    s.world.workers.get_mut(&worker).expect("just added").offer = Some(offer);
    s.connect(name);
}

/// A job of tasks that take a minute each on one core.
fn minutes(tasks: u32) -> rushes_shared::job::JobSpec {
    graph(vec![stage("work", SlotKind::Encode, tasks, 60_000, &[])])
}

fn succeeds(s: &mut Scene, name: char, task: &str) {
    s.done(name, task);
}

/// One job of three tasks on one worker: the first runs there, the second is held ahead, the third is not sent.
fn one_runs_and_one_is_ahead(s: &mut Scene) {
    join_ahead(s, 'a');
    s.submit(minutes(3));
    assert!(s.runs('a', "1.0") && !s.runs('a', "1.1"));
}

#[test]
fn the_next_task_is_there_before_there_is_room_and_starts_without_a_word() {
    check(
        |s| join_ahead(s, 'a'),
        |s| s.submit(minutes(3)),
        &["accepted j1", "start j1.0 #1-1 on a", "start j1.1 #1-2 on a"],
    );
    let scene = check(
        one_runs_and_one_is_ahead,
        |s| succeeds(s, 'a', "1.0"),
        &["collect #1-1 on a", "start j1.2 #1-3 on a"],
    );
    assert!(scene.runs('a', "1.1"));
}

#[test]
fn what_is_held_ahead_is_not_said_to_run_and_its_wait_is_counted_to_its_start() {
    let mut scene = check(one_runs_and_one_is_ahead, |_| {}, &[]);
    let engine = scene.world.engine();
    let status = engine.status();
    let count = |of: &[(TaskKind, u64)]| of.iter().map(|(_, n)| n).sum::<u64>();
    assert_eq!((count(&status.tasks_running), count(&status.tasks_ready)), (1, 2));
    let doc = engine.job(JobId(1)).expect("it lives");
    assert_eq!(
        [0, 1, 2].map(|i| doc.task_state(i)),
        [TaskState::Running, TaskState::Queued, TaskState::Queued]
    );
    let explained = engine.explain(scene.world.now, JobId(1)).expect("it lives");
    assert_eq!(explained.running.len(), 1, "{explained:?}");
    assert_eq!(engine.workers()[0].running.len(), 1);

    scene.wait(5_000);
    scene.world.news.clear();
    succeeds(&mut scene, 'a', "1.0");
    let waits = scene.world.news.iter().filter_map(|event| match &event.what {
        rushes_core::event::FarmNews::TaskDispatched { task, queued_ms, .. } => {
            Some((task.index, *queued_ms))
        }
        _ => None,
    });
    assert_eq!(waits.collect::<Vec<_>>(), [(1, 5_000)]);
}

#[test]
fn a_job_that_only_waits_on_a_worker_is_queued() {
    let scene = check(
        |s| {
            join_ahead(s, 'a');
            s.submit(minutes(1));
        },
        |s| s.submit(minutes(1)),
        &["accepted j2", "start j2.0 #1-2 on a"],
    );
    let state = |job| scene.world.engine().job_state(JobId(job));
    assert_eq!((state(1), state(2)), (Some(JobState::Running), Some(JobState::Queued)));
}

#[test]
fn a_worker_with_room_gets_what_another_holds_ahead() {
    check(
        |s| {
            join_ahead(s, 'a');
            s.submit(minutes(2));
        },
        |s| join_ahead(s, 'b'),
        &["welcome b", "recall #1-2 on a", "start j1.1 #1-3 on b"],
    );
}

#[test]
fn a_recall_that_crosses_the_start_leaves_the_task_where_it_runs() {
    let scene = check(
        |s| {
            join_ahead(s, 'a');
            s.submit(minutes(2));
            let worker = tell::worker('b');
            s.world.add_worker(worker, node("b"));
            // The first task ends while the recall is on its way.
            s.world.connect(worker);
            s.world.deliver_up(0);
            let first = s.attempt('a', "1.0");
            let value = rushes_shared::task::TaskValue::Nothing;
            let outcome = TaskOutcome::Succeeded { value, usage: rushes_shared::task::Usage::default() };
            s.world.end(tell::worker('a'), first, outcome, false);
        },
        Scene::rest,
        &["welcome b", "recall #1-2 on a", "collect #1-1 on a"],
    );
    assert!(scene.runs('a', "1.1"));
    assert_eq!(scene.world.engine().state().jobs[&JobId(1)].tasks[1].failures(), 0);
}

#[test]
fn a_more_urgent_job_takes_the_place_of_what_is_held_ahead() {
    check(
        |s| {
            join_ahead(s, 'a');
            s.submit(in_class(minutes(2), Class::Bulk));
        },
        |s| s.submit(in_class(minutes(1), Class::Premium)),
        &["accepted j2", "recall #1-2 on a", "start j2.0 #1-3 on a"],
    );
}

#[test]
fn a_job_that_is_paused_or_canceled_is_taken_back_at_once() {
    let paused = JobChange { paused: Some(true), ..JobChange::default() };
    let scene = check(
        |s| {
            join_ahead(s, 'a');
            s.submit(minutes(1));
            s.submit(minutes(1));
        },
        |s| s.amend(2, paused),
        &["recall #1-2 on a", "amended j2"],
    );
    assert_eq!(scene.world.engine().status().tasks_ready.iter().map(|(_, n)| n).sum::<u64>(), 1);
    check(
        one_runs_and_one_is_ahead,
        |s| s.cancel(1),
        &[
            "cancel #1-1 on a",
            "cancel #1-2 on a",
            "j1 canceled",
            "canceled j1",
            "collect #1-1 on a",
            "collect #1-2 on a",
        ],
    );
}

#[test]
fn a_drained_worker_gives_back_what_it_has_not_started() {
    let scene = check(
        one_runs_and_one_is_ahead,
        |s| s.drain('a', true),
        &["recall #1-2 on a", "tell a drain", "drained a"],
    );
    assert!(scene.runs('a', "1.0"));
}

#[test]
fn a_worker_that_is_killed_has_tried_nothing_of_what_it_held_ahead() {
    let scene = check(
        |s| {
            one_runs_and_one_is_ahead(s);
            s.restart('a');
        },
        |s| s.connect('a'),
        &[
            "j1.0 failed on a: worker_lost, again later",
            "welcome a",
            "start j1.1 #1-3 on a",
            "start j1.2 #1-4 on a",
        ],
    );
    let failures = |task: usize| scene.world.engine().state().jobs[&JobId(1)].tasks[task].failures();
    assert_eq!((failures(0), failures(1)), (1, 0));
}

#[test]
fn a_new_reign_sends_what_was_held_ahead_once_more_and_adopts_what_runs() {
    let scene = check(
        |s| {
            one_runs_and_one_is_ahead(s);
            s.crash();
            s.start();
        },
        |s| s.connect('a'),
        &["welcome a", "attach j1.0 #1-1 on a", "start j1.1 #2-1 on a"],
    );
    assert!(scene.runs('a', "1.0") && !scene.runs('a', "1.1"));
}

#[test]
fn a_worker_that_offers_nothing_gets_nothing_ahead() {
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.tell(Event::TimeCame);
        },
        |s| s.submit(minutes(2)),
        &["accepted j1", "start j1.0 #1-1 on a"],
    );
}

#[test]
fn a_task_that_has_failed_is_not_sent_ahead() {
    let scene = check(
        |s| {
            join_ahead(s, 'a');
            s.submit(noop(2));
            s.fail('a', "1.0", FailureCode::TransferFailed);
        },
        |s| s.wait(5_000),
        &[],
    );
    assert!(scene.runs('a', "1.1"));
}

/// What was sent ahead was counted as what the node had then; once it is smaller, it takes no more than that.
#[test]
fn what_begins_on_a_node_that_has_become_smaller_is_counted_as_it_is_met() {
    let wide = |cores: u32| {
        let mut wide = stage("wide", SlotKind::Encode, 2, 60_000, &[]);
        wide.demand.cpu = rushes_shared::units::Millicores(cores * 1_000);
        graph(vec![wide])
    };
    let scene = check(
        |s| {
            join_ahead(s, 'a');
            let (worker, link) =
                (tell::worker('a'), s.world.workers[&tell::worker('a')].link.expect("it is there"));
            let facts = |cores: u32| {
                let cpu = rushes_shared::units::Millicores(cores * 1_000);
                Box::new(rushes_shared::node::NodeFacts { cpu, light_slots: 1, ..node("a") })
            };
            s.world.workers.get_mut(&worker).expect("it is there").facts = *facts(4);
            s.tell(Event::FactsChanged { worker, link, facts: facts(4) });
            s.submit(wide(4));
            assert!(s.runs('a', "1.0"));
            s.tell(Event::FactsChanged { worker, link, facts: facts(4) });
            s.world.tell(Event::FactsChanged { worker, link, facts: facts(2) });
            s.world.engine().recount().expect("it runs as it began");
            let attempt = s.attempt('a', "1.0");
            let outcome = TaskOutcome::Succeeded {
                value: rushes_shared::task::TaskValue::Nothing,
                usage: rushes_shared::task::Usage::default(),
            };
            s.world.end(worker, attempt, outcome, false);
            s.world.settle();
        },
        |_| {},
        &[],
    );
    scene.world.engine().recount().expect("it is counted as it is met");
    let doc = &scene.world.engine().workers()[0];
    assert_eq!((doc.cpu_used.0, doc.running.len()), (2_000, 1), "{doc:?}");
}

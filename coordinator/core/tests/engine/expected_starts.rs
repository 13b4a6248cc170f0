//! When what waits should start, where tasks are that workers hold ahead, and where a single task is, and why.

use rushes_core::explain::{Assumes, Because, Explanation, TaskExplanation, TaskPlace, Waiting};
use rushes_core::policy::{HealthPolicy, Policy};
use rushes_core::state::TenantLimits;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobSpec};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::SlotKind;
use rushes_shared::units::Millicores;
use rushes_shared::wire::AheadOffer;

use crate::support::samples::{graph, in_class, node, stage, with_deadline};
use crate::support::scene::{Scene, check, check_with};
use crate::support::tell;
use crate::support::world::Ask;

fn tasks(count: u32, seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, seconds * 1_000, &[])])
}

fn explain(s: &Scene, job: u128) -> Explanation {
    s.world.engine().explain(s.world.now, JobId(job)).expect("a live job")
}

fn task(s: &Scene, name: &str) -> TaskExplanation {
    s.world.engine().explain_task(s.world.now, tell::task(name)).expect("a task of a live job")
}

/// When a job should start what it has waiting, in seconds from now, and if what.
fn starts_in(s: &Scene, job: u128) -> Option<(u64, Assumes)> {
    let start = explain(s, job).start?;
    Some(((start.at.0 - s.world.now.wall.0) / 1_000, start.assumes))
}

fn scene(given: impl FnOnce(&mut Scene)) -> Scene {
    check(given, |_| {}, &[])
}

fn of_tenant(tenant: &str, spec: JobSpec) -> Ask {
    Ask { tenant: tenant.parse().expect("a tenant"), ..Ask::of(spec) }
}

/// Tasks take as long as predicted: what was said comes true to the second.
#[test]
fn a_job_starts_when_it_was_said_to_where_nothing_unforeseen_happens() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(tasks(1, 10));
        s.submit(tasks(3, 20));
        s.submit(tasks(2, 10));
    });
    assert_eq!(starts_in(&s, 2), Some((10, Assumes::Queue)));
    assert_eq!(starts_in(&s, 3), Some((70, Assumes::Queue)));
    assert_eq!(explain(&s, 3).ahead_ms, Some(60_000), "beside what runs");
    for (name, seconds) in [("1.0", 10), ("2.0", 20), ("2.1", 20), ("2.2", 20)] {
        assert!(!s.runs('a', "3.0"));
        s.wait(seconds * 1_000);
        s.done('a', name);
    }
    assert!(s.runs('a', "3.0"));
    assert_eq!(starts_in(&s, 3), Some((10, Assumes::Queue)), "its second task");
}

#[test]
fn what_goes_ahead_counts_and_what_comes_behind_does_not() {
    let s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(tasks(1, 10));
        s.submit(in_class(tasks(1, 10), Class::Bulk));
        s.submit(tasks(1, 10));
        s.submit(in_class(tasks(2, 10), Class::Premium));
    });
    assert_eq!(starts_in(&s, 4), Some((10, Assumes::Queue)));
    assert_eq!(starts_in(&s, 3), Some((30, Assumes::Queue)));
    assert_eq!(starts_in(&s, 2), Some((40, Assumes::Queue)));
    assert_eq!([4, 3, 2].map(|job| explain(&s, job).ahead), [0, 1, 2]);
}

#[test]
fn a_promise_at_risk_waits_for_those_that_are_due_before_it() {
    let s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(tasks(1, 10));
        let at = s.world.now.wall.0;
        s.submit(with_deadline(tasks(1, 20), at + 45_000));
        s.submit(with_deadline(tasks(1, 10), at + 60_000));
    });
    assert_eq!(
        (starts_in(&s, 2), starts_in(&s, 3)),
        (Some((10, Assumes::Queue)), Some((30, Assumes::Queue)))
    );
}

#[test]
fn jobs_ahead_are_those_of_all_tenants_as_their_weights_let_them_pass() {
    let s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(tasks(1, 10));
        (0..5).for_each(|_| s.ask(of_tenant("one", tasks(1, 10))));
        (0..3).for_each(|_| s.ask(of_tenant("two", tasks(1, 10))));
    });
    let ahead = |job| explain(&s, job).ahead;
    assert_eq!((ahead(2), ahead(7)), (0, 1), "one tenant after the other");
    assert_eq!(ahead(9), 2 + 3, "two of its own, and as many and the first of the other's");
    assert_eq!(ahead(6), 4 + 3, "four of its own, and all that the other has");
}

#[test]
fn what_comes_after_other_stages_starts_when_those_should_be_done() {
    let stages = vec![
        stage("first", SlotKind::Encode, 3, 10_000, &[]),
        stage("second", SlotKind::Encode, 1, 5_000, &[0]),
        stage("third", SlotKind::Finish, 1, 1_000, &[1]),
    ];
    let s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(graph(stages));
    });
    let in_s = |wait: &rushes_core::explain::StageWait| {
        let start = wait.start.expect("it can be said");
        (wait.stage, (start.at.0 - s.world.now.wall.0) / 1_000, start.assumes)
    };
    let said: Vec<_> = explain(&s, 1).waits.iter().map(in_s).collect();
    assert_eq!(said, [(0, 10, Assumes::Queue), (1, 30, Assumes::Stages), (2, 35, Assumes::Stages)]);
}

#[test]
fn no_start_is_made_up_where_a_pause_or_a_missing_node_decides_and_behind_a_cap_it_is_when_a_task_ends() {
    let tenant = TenantLimits { max_running: 1, ..TenantLimits::default() };
    let s = check_with(
        Policy { tenant, ..Policy::default() },
        |s| {
            s.submit(tasks(1, 10));
            assert_eq!(starts_in(s, 1), None, "nobody is there");
            s.join_with_cores('a', 4);
            s.submit(tasks(2, 10));
            s.ask(of_tenant("other", JobSpec { paused: true, ..tasks(1, 10) }));
        },
        |_| {},
        &[],
    );
    assert_eq!(
        (explain(&s, 2).waits[0].why.clone(), starts_in(&s, 2)),
        (Waiting::TenantCap, Some((10, Assumes::Queue)))
    );
    assert_eq!((explain(&s, 3).waits[0].why.clone(), starts_in(&s, 3)), (Waiting::Pause, None));
}

#[test]
fn a_task_that_failed_starts_when_its_delay_is_over() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 2);
        s.submit(tasks(2, 100));
        s.fail('a', "1.0", FailureCode::TransferFailed);
    });
    let it = task(&s, "1.0");
    let TaskPlace::Waits(Waiting::Backoff, Some(start)) = it.place else { panic!("{it:?}") };
    assert_eq!((it.failures, start.assumes), (1, Assumes::Backoff));
    assert_eq!(it.last_failure.expect("it failed").code, FailureCode::TransferFailed);
    assert_eq!(explain(&s, 1).start, Some(start));
    let left = start.at.0 - s.world.now.wall.0;
    s.wait(left - 1);
    assert!(!s.runs('a', "1.0"));
    s.wait(1);
    assert!(s.runs('a', "1.0"), "{:?}", s.world.trace);
}

fn holds_ahead(s: &mut Scene, name: char, process: u32) {
    let worker = tell::worker(name);
    let facts = NodeFacts { cpu: Millicores(1_000), light_slots: 1, ..node(&name.to_string()) };
    s.world.add_worker(worker, facts);
    let offer = AheadOffer { process, lane: process, round_trip_ms: 60_000 };
    s.world.workers.get_mut(&worker).expect("just added").offer = Some(offer);
    s.connect(name);
}

#[test]
fn what_a_worker_holds_ahead_is_named_with_its_worker_and_when_it_should_start() {
    let s = scene(|s| {
        holds_ahead(s, 'a', 2);
        s.submit(tasks(5, 30));
        s.wait(10_000);
    });
    let it = explain(&s, 1);
    let now = s.world.now.wall.0;
    let sent: Vec<_> = it
        .sent
        .iter()
        .map(|sent| (sent.task.index, sent.worker, sent.before, sent.start.map(|at| (at.at.0 - now) / 1_000)))
        .collect();
    let worker = tell::worker('a');
    assert_eq!(sent, [(1, worker, 0, Some(20)), (2, worker, 1, Some(50))]);
    assert!(it.sent.iter().all(|sent| sent.because == Because::SoonestRoom && !sent.is_recalled));
    let waits: Vec<_> = it.waits.iter().map(|w| (w.tasks, w.why.clone())).collect();
    assert_eq!(waits, [(2, Waiting::OnWorker), (2, Waiting::Room)]);
    assert_eq!(it.running.iter().map(|r| r.task.index).collect::<Vec<_>>(), [0]);
    let TaskPlace::Sent(sent) = task(&s, "1.2").place else { panic!("{:?}", task(&s, "1.2")) };
    assert_eq!((sent.worker, sent.before), (worker, 1));
}

#[test]
fn a_task_says_where_it_is_and_how_many_of_its_like_go_before_it() {
    let stages = vec![
        stage("first", SlotKind::Encode, 4, 10_000, &[]),
        stage("second", SlotKind::Finish, 1, 1_000, &[0]),
    ];
    let s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(graph(stages));
        s.done('a', "1.0");
    });
    let worker = tell::worker('a');
    assert_eq!(task(&s, "1.0").place, TaskPlace::Done(worker, s.world.now.wall));
    let TaskPlace::Runs(running) = task(&s, "1.1").place else { panic!("{:?}", task(&s, "1.1")) };
    assert_eq!((running.len(), running[0].worker, running[0].because), (1, worker, Because::OnlyOne));
    let last = task(&s, "1.3");
    let TaskPlace::Waits(Waiting::Room, Some(start)) = last.place else { panic!("{last:?}") };
    assert_eq!((last.before, (start.at.0 - s.world.now.wall.0) / 1_000), (1, 20));
    let after = task(&s, "1.4");
    assert_eq!((after.stage, after.slot), (1, SlotKind::Finish));
    assert!(matches!(&after.place, TaskPlace::Waits(Waiting::Stages(stages), Some(_)) if stages == &[0]));
    assert!(s.world.engine().explain_task(s.world.now, tell::task("1.5")).is_none());
    assert!(s.world.engine().explain_task(s.world.now, tell::task("2.0")).is_none());
}

#[test]
fn it_is_told_whether_a_node_was_chosen_or_was_the_only_one() {
    let because = |s: &Scene, job| explain(s, job).running.first().map(|r| r.because);
    let s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(tasks(1, 10));
        s.join_with_cores('b', 1);
        s.submit(tasks(1, 10));
    });
    assert_eq!(because(&s, 1), Some(Because::OnlyOne));
    assert_eq!(because(&s, 2), Some(Because::FastestFreest));
}

/// A farm with very many jobs is explained as fast as one with few: what is counted is bounded.
#[test]
fn what_is_counted_ahead_of_a_job_is_bounded() {
    let health = HealthPolicy { watch_ms: 1_000_000, ..HealthPolicy::default() };
    let mut s = check_with(Policy { health, ..Policy::default() }, |_| {}, |_| {}, &[]);
    for _ in 0..rushes_core::order::MOST_COUNTED + 5 {
        s.world.submit(Ask::of(tasks(1, 1)));
    }
    let last = rushes_core::order::MOST_COUNTED as u128 + 5;
    assert_eq!(explain(&s, last).ahead, rushes_core::order::MOST_COUNTED as u64);
}

//! When a task is tried twice at once, and what is told of the two.

use rushes_core::event::{Event, FarmNews, ReplyTo};
use rushes_core::explain::Waiting;
use rushes_core::placement::lack::Shut;
use rushes_core::state::TenantLimits;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{JobChange, JobSpec};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, SlotKind};
use rushes_shared::units::Millicores;

use crate::support::samples::{NOW, encode, graph, node, stage, with_deadline};
use crate::support::scene::{Scene, check};
use crate::support::tell;

fn tasks(count: u32, hold_ms: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, hold_ms, &[])])
}

fn join(s: &mut Scene, name: char, is_local: bool) {
    let facts = NodeFacts { cpu: Millicores(1_000), light_slots: 1, is_local, ..node(&name.to_string()) };
    s.join_as(name, facts);
}

fn progress(s: &mut Scene, name: char, permille: u16, eta_ms: u64) {
    let (worker, task, attempt) = (tell::worker(name), tell::task("1.0"), s.attempt(name, "1.0"));
    let progress = Progress { permille, eta_ms: Some(eta_ms), ..Progress::default() };
    s.tell(Event::TaskProgressed { worker, task, attempt, progress });
}

/// Permille that were told of, in order.
fn told(scene: &Scene) -> Vec<u16> {
    let told = scene.world.news.iter().filter_map(|news| match &news.what {
        FarmNews::TaskProgressed { progress, .. } => Some(progress.permille),
        _ => None,
    });
    told.collect()
}

#[test]
fn of_two_attempts_the_one_that_is_further_is_told_of() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 5_000));
            s.join_with_cores('b', 1);
        },
        |s| {
            progress(s, 'a', 300, 60_000);
            s.wait(11_000);
            progress(s, 'b', 100, 9_000);
            progress(s, 'a', 310, 50_000);
            progress(s, 'b', 600, 4_000);
        },
        &["start j1.0 #1-2 on b"],
    );
    assert_eq!(told(&scene), [300, 310, 600]);
    let shown = scene.world.engine().job(JobId(1)).expect("a live job").live[&0].clone();
    assert_eq!((shown.worker, shown.progress.permille), (tell::worker('b'), 600));
}

#[test]
fn a_task_that_is_nearly_there_by_its_own_word_is_not_tried_elsewhere() {
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 5_000));
            s.join_with_cores('b', 1);
            progress(s, 'a', 900, 1_000);
        },
        |s| s.wait(11_000),
        &[],
    );
}

#[test]
fn a_slow_task_is_not_tried_twice_on_one_machine() {
    for (is_local, orders) in [(true, &[][..]), (false, &["start j1.0 #1-2 on b"][..])] {
        check(
            |s| {
                join(s, 'a', true);
                s.submit(tasks(1, 5_000));
                join(s, 'b', is_local);
            },
            |s| s.wait(11_000),
            orders,
        );
    }
}

#[test]
fn a_running_task_is_expected_to_end_when_it_says() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 5_000));
        },
        |s| progress(s, 'a', 100, 90_000),
        &[],
    );
    let told = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(told.forecast.expected_finish.map(|at| at.0), Some(NOW + 90_000));
    assert_eq!(told.running[0].expected_end.map(|at| at.0), Some(NOW + 90_000));
}

#[test]
fn workers_that_are_drained_are_named_as_the_reason_to_wait() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.drain('a', true);
        },
        |s| s.submit(tasks(1, 5_000)),
        &["accepted j1"],
    );
    let waits = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job").waits;
    assert_eq!(
        waits.into_iter().map(|wait| wait.why).collect::<Vec<_>>(),
        [Waiting::ShutNodes(Shut { drained: 1, ..Shut::default() })]
    );
}

#[test]
fn a_film_that_was_not_probed_is_forecast_like_those_before_it_and_not_refused_for_that() {
    let scene = check(
        |s| s.join_with_cores('a', 8),
        |s| s.dry_run(with_deadline(encode(1), NOW + 1)),
        &["cannot be kept"],
    );
    assert!(scene.world.engine().state().jobs.is_empty());
}

/// A tenant at its cap, or a job that is paused, gets no second attempt; once that is over it does.
#[test]
fn no_task_is_tried_twice_by_whoever_may_start_nothing() {
    let tenant = TenantId::default_tenant();
    let cap = |s: &mut Scene, max_running| {
        let limits = TenantLimits { max_running, ..TenantLimits::default() };
        s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant: tenant.clone(), limits });
    };
    let pause = |s: &mut Scene, paused| {
        s.amend(1, JobChange { paused: Some(paused), ..JobChange::default() });
    };
    let mut scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 5_000));
            s.join_with_cores('b', 1);
            cap(s, 1);
        },
        |s| s.wait(20_000),
        &[],
    );
    pause(&mut scene, true);
    cap(&mut scene, 10);
    scene.wait(20_000);
    assert!(!scene.runs('b', "1.0"), "it is paused");
    pause(&mut scene, false);
    scene.wait(10_000);
    assert!(scene.runs('b', "1.0"));
}

#[test]
fn a_straggler_whose_second_attempt_fails_gets_another_one() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 5_000));
            s.join_with_cores('b', 1);
            s.join_with_cores('c', 1);
            s.wait(11_000);
            s.fail('b', "1.0", FailureCode::NodeUnfit);
        },
        |s| s.wait(10_000),
        &["start j1.0 #1-3 on c"],
    );
    assert!(scene.runs('a', "1.0"));
}

#[test]
fn a_straggler_is_one_after_a_restart_of_the_coordinator_as_well() {
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(1, 5_000));
            s.join_with_cores('b', 1);
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
        },
        |s| s.wait(11_000),
        &["start j1.0 #2-1 on b"],
    );
}

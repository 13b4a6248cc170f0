//! Failures that pile up have consequences: for the job whose they are, and for the node on which they happen.

use rushes_core::event::FarmNews;
use rushes_core::explain::{Standing, Waiting};
use rushes_core::policy::{HealthPolicy, Policy};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::task::SlotKind;

use crate::support::samples::{graph, stage};
use crate::support::scene::{Scene, check_with};
use crate::support::tell;

fn policy(change: impl FnOnce(&mut HealthPolicy)) -> Policy {
    let mut health = HealthPolicy::default();
    change(&mut health);
    Policy { health, max_attempts: 100, ..Policy::default() }
}

fn told(scene: &Scene) -> Vec<&'static str> {
    let decisions = scene.world.news.iter().filter_map(|n| match &n.what {
        FarmNews::Decided(decision) => Some(decision.name()),
        _ => None,
    });
    decisions.collect()
}

fn lasting(scene: &Scene) -> Vec<&'static str> {
    scene.world.engine().anomalies().iter().map(|anomaly| anomaly.name()).collect()
}

fn running(s: &Scene, job: u128) -> Vec<(char, String)> {
    let all = ('a'..='c').flat_map(|name| (0..40).map(move |n| (name, format!("{job}.{n}"))));
    let is_here = |(name, task): &(char, String)| {
        s.world.workers.contains_key(&tell::worker(*name)) && s.runs(*name, task)
    };
    all.filter(is_here).collect()
}

fn fail_one(s: &mut Scene, job: u128) {
    let (name, task) = running(s, job).remove(0);
    s.fail(name, &task, FailureCode::TransferFailed);
}

fn seen(policy: Policy, given: impl FnOnce(&mut Scene)) -> Scene {
    check_with(policy, given, |_| {}, &[])
}

#[test]
fn a_job_whose_attempts_all_fail_is_tried_one_task_at_a_time_until_one_succeeds() {
    let hold = |count| graph(vec![stage("hold", SlotKind::Encode, count, 10_000, &[])]);
    let mut scene = seen(policy(|h| h.job_failures = 6), |s| {
        s.join_with_cores('a', 4);
        s.submit(hold(20));
        (0..6).for_each(|_| fail_one(s, 1));
    });
    assert_eq!(running(&scene, 1).len(), 3, "what runs goes on");
    assert_eq!(lasting(&scene), ["job_failing"]);
    let explained = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(explained.standing, Standing::HeldBack);
    assert!(explained.waits.iter().any(|w| w.why == Waiting::Failing), "{:?}", explained.waits);
    scene.submit(hold(1));
    assert_eq!(running(&scene, 2).len(), 1, "others have the room");
    (0..8).for_each(|_| {
        fail_one(&mut scene, 1);
        scene.wait(70_000);
    });
    assert_eq!(running(&scene, 1).len(), 1, "one at a time");
    let (name, task) = running(&scene, 1).remove(0);
    scene.done(name, &task);
    assert_eq!(running(&scene, 1).len(), 3);
    assert_eq!(lasting(&scene), [""; 0]);
    let of_jobs: Vec<_> = told(&scene).into_iter().filter(|name| name.starts_with("job_")).collect();
    assert_eq!(of_jobs, ["job_held_back", "job_let_go"]);
    while let Some((name, task)) = running(&scene, 1).first().cloned() {
        scene.done(name, &task);
    }
    assert!(scene.world.trace.iter().any(|line| line == "j1 succeeded"), "{:?}", scene.world.trace);
}

#[test]
fn a_success_in_between_or_a_lost_worker_holds_nothing_back() {
    let scene = seen(policy(|h| h.job_failures = 3), |s| {
        s.join_with_cores('a', 2);
        s.submit(graph(vec![stage("hold", SlotKind::Encode, 20, 10_000, &[])]));
        for round in 0..8 {
            let (name, task) = running(s, 1).remove(0);
            match round % 3 {
                2 => s.done(name, &task),
                _ => s.fail(name, &task, FailureCode::TransferFailed),
            }
        }
        for _ in 0..3 {
            s.restart('a');
            s.connect('a');
        }
        s.world.trace.clear();
    });
    assert!(!told(&scene).contains(&"job_held_back"), "{:?}", told(&scene));
}

#[test]
fn a_held_back_job_that_is_canceled_is_no_anomaly_any_more() {
    let scene = seen(policy(|h| h.job_failures = 2), |s| {
        s.join_with_cores('a', 2);
        s.submit(graph(vec![stage("hold", SlotKind::Encode, 9, 10_000, &[])]));
        (0..2).for_each(|_| fail_one(s, 1));
        assert_eq!(lasting(s), ["job_failing"]);
        s.cancel(1);
    });
    assert_eq!(lasting(&scene), [""; 0]);
}

/// The same task fails there over and over: too few different ones for the node's own history to tell.
#[test]
fn a_burst_on_one_node_puts_it_in_quarantine_where_others_do_better() {
    let one = || graph(vec![stage("hold", SlotKind::Encode, 1, 600_000, &[])]);
    let scene = seen(policy(|h| h.burst_failures = 4), |s| {
        s.join_with_cores('b', 1);
        for job in 1..=3 {
            s.submit(one());
            s.done('b', &format!("{job}.0"));
        }
        s.submit(one());
        s.join_with_cores('a', 2);
        s.submit(one());
        s.submit(one());
        for _ in 0..2 {
            for task in ["5.0", "6.0"] {
                assert!(!told(s).contains(&"node_quarantined"));
                s.fail('a', task, FailureCode::TransferFailed);
            }
            s.wait(9_500);
        }
    });
    assert!(told(&scene).ends_with(&["error_burst", "node_quarantined"]), "{:?}", told(&scene));
    let [burst] = &scene.world.engine().anomalies()[..] else { panic!("one burst lasts") };
    let words = burst.to_string();
    assert!(words.contains("most on worker") && !words.contains("most of job"), "{words}");
}

/// What was learned in one reign holds in the next one, which finds it in the records.
#[test]
fn a_job_that_is_held_back_stays_so_over_a_restart_until_a_task_of_it_succeeds() {
    let hold = graph(vec![stage("hold", SlotKind::Encode, 12, 10_000, &[])]);
    let mut scene = seen(policy(|h| h.job_failures = 6), |s| {
        s.join_with_cores('a', 4);
        s.submit(hold);
        (0..6).for_each(|_| fail_one(s, 1));
        assert_eq!(lasting(s), ["job_failing"]);
    });
    let restart = |s: &mut Scene| {
        s.crash();
        s.restart('a');
        s.start();
        s.connect('a');
        s.wait(70_000);
    };
    restart(&mut scene);
    assert_eq!(lasting(&scene), ["job_failing"], "it is told again");
    assert_eq!(running(&scene, 1).len(), 1, "one at a time");
    let explained = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(explained.standing, Standing::HeldBack);
    let (name, task) = running(&scene, 1).remove(0);
    scene.done(name, &task);
    assert_eq!(running(&scene, 1).len(), 4, "it is let go");
    restart(&mut scene);
    assert_eq!((running(&scene, 1).len(), lasting(&scene)), (4, vec![]), "and stays so as well");
}

/// Failures from before a restart and from behind it are counted together.
#[test]
fn failures_in_a_row_are_counted_over_a_restart() {
    let mut scene = seen(policy(|h| h.job_failures = 4), |s| {
        s.join_with_cores('a', 4);
        s.submit(graph(vec![stage("hold", SlotKind::Encode, 12, 10_000, &[])]));
        (0..3).for_each(|_| fail_one(s, 1));
        s.crash();
        s.start();
        s.connect('a');
        s.wait(1_000);
    });
    assert_eq!(lasting(&scene), [""; 0]);
    fail_one(&mut scene, 1);
    assert_eq!(lasting(&scene), ["job_failing"]);
}

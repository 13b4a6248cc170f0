//! Nodes and tasks that do not do as their peers.

use rushes_core::event::FarmNews;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{JobSpec, Work};
use rushes_shared::task::SlotKind;

use crate::support::samples::{encode, graph, stage};
use crate::support::scene::{Scene, check};

/// So many tasks of so long, one core each.
fn tasks(count: u32, hold_ms: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, hold_ms, &[])])
}

fn told(scene: &Scene) -> Vec<&'static str> {
    let decision = |what: &FarmNews| match what {
        FarmNews::Decided(decision) => Some(decision.name()),
        _ => None,
    };
    scene.world.news.iter().filter_map(|n| decision(&n.what)).collect()
}

#[test]
fn a_job_goes_on_without_an_optional_output_that_cannot_be_made() {
    let mut spec = encode(2);
    if let Work::Encode { outputs, .. } = &mut spec.work {
        outputs[1].optional = true;
    }
    let scene = check(
        |s| {
            s.join("ab");
            s.submit(spec);
            s.done(s.runner("1.0"), "1.0");
            s.done(s.runner("1.1"), "1.1");
        },
        |s| s.fail(s.runner("1.2"), "1.2", FailureCode::SettingsImpossible),
        &[
            "drop #1-3",
            "j1.2 failed on b: settings_impossible, given up",
            "j1 succeeded",
            "collect #1-3 on b",
        ],
    );
    assert_eq!(told(&scene), ["optional_given_up"]);
    let job = &scene.world.disk.archive()[&JobId(1)];
    assert_eq!(job.published.iter().map(|p| p.output).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_job_fails_with_an_output_that_is_not_optional() {
    check(
        |s| {
            s.join("a");
            s.submit(encode(1));
            s.done('a', "1.0");
        },
        |s| s.fail('a', "1.1", FailureCode::SettingsImpossible),
        &[
            "drop #1-2",
            "j1.1 failed on a: settings_impossible, given up",
            "j1 failed: settings_impossible",
            "collect #1-2 on a",
        ],
    );
}

#[test]
fn a_stage_that_others_need_is_not_optional_however_it_is_marked() {
    let mut stages =
        vec![stage("first", SlotKind::Light, 1, 10, &[]), stage("second", SlotKind::Light, 1, 10, &[0])];
    stages[0].optional = true;
    check(
        |s| {
            s.join("a");
            s.submit(graph(stages));
        },
        |s| s.fail('a', "1.0", FailureCode::SettingsImpossible),
        &[
            "j1.0 failed on a: settings_impossible, given up",
            "j1 failed: settings_impossible",
            "collect #1-1 on a",
        ],
    );
}

/// Node a fails five tasks that b can do.
fn a_fails(s: &mut Scene) {
    s.join_with_cores('a', 1);
    s.join_with_cores('b', 1);
    for job in 1..=5 {
        s.submit(tasks(2, 1_000));
        let (mine, other) = if s.runs('a', &format!("{job}.0")) { (0, 1) } else { (1, 0) };
        s.done('b', &format!("{job}.{other}"));
        s.fail('a', &format!("{job}.{mine}"), FailureCode::PipelineFailed);
        s.cancel(job);
    }
}

#[test]
fn a_node_that_fails_what_others_can_do_gets_nothing_until_a_probe_succeeds() {
    let scene = check(
        |s| {
            a_fails(s);
            assert_eq!(told(s), ["node_quarantined"]);
        },
        |s| {
            s.submit(tasks(2, 1_000));
            s.done('b', "6.0");
            s.done('b', "6.1");
            s.wait(61_000);
            s.submit(tasks(2, 1_000));
            s.done('a', "7.0");
        },
        &[
            "accepted j6",
            "start j6.0 #1-11 on b",
            "collect #1-11 on b",
            "start j6.1 #1-12 on b",
            "j6 succeeded",
            "collect #1-12 on b",
            "accepted j7",
            "start j7.0 #1-13 on a",
            "start j7.1 #1-14 on b",
            "collect #1-13 on a",
        ],
    );
    assert_eq!(told(&scene), ["node_quarantined", "node_readmitted"]);
}

#[test]
fn a_quarantine_outlives_a_restart_of_the_coordinator_and_of_the_worker() {
    let scene = check(
        |s| {
            a_fails(s);
            s.wait(20_000);
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
            s.restart('a');
            s.wait(15_000);
            s.connect('a');
            s.submit(tasks(2, 1_000));
            assert!(!s.runs('a', "6.0") && !s.runs('a', "6.1"), "its minute is not over");
            s.cancel(6);
        },
        |s| {
            s.wait(26_000);
            s.submit(tasks(1, 1_000));
            assert_eq!(s.runner("7.0"), 'a', "now it may show itself");
            s.done('a', "7.0");
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
            s.submit(tasks(2, 1_000));
            assert_ne!(s.runner("8.0"), s.runner("8.1"), "it has shown that it works");
            s.world.trace.clear();
        },
        &[],
    );
    assert!(scene.world.engine().state().quarantined.is_empty());
}

#[test]
fn where_everybody_fails_nobody_is_quarantined() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.join_with_cores('b', 1);
            for job in 1..=8 {
                s.submit(tasks(2, 1_000));
                for task in [format!("{job}.0"), format!("{job}.1")] {
                    s.fail(s.runner(&task), &task, FailureCode::PipelineFailed);
                }
                s.cancel(job);
            }
        },
        |s| s.submit(tasks(1, 1_000)),
        &["accepted j9", "start j9.0 #1-17 on a"],
    );
    assert_eq!(told(&scene), [""; 0]);
}

#[test]
fn a_straggler_at_the_tail_is_tried_elsewhere_and_the_first_one_in_wins() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.join_with_cores('b', 1);
            s.submit(tasks(2, 5_000));
            s.done('b', "1.1");
        },
        |s| {
            s.wait(11_000);
            s.done('b', "1.0");
        },
        &[
            "start j1.0 #1-3 on b",
            "cancel #1-1 on a",
            "drop #1-1",
            "j1 succeeded",
            "collect #1-3 on b",
            "collect #1-1 on a",
        ],
    );
    assert_eq!(told(&scene), ["task_doubled"]);
}

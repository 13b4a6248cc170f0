//! Nodes and tasks that do not do as their peers, and what gives way to an emergency.

use rushes_core::event::{Decision, Event, FarmNews, ReplyTo};
use rushes_core::state::TenantLimits;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobSpec, Needs, Work};
use rushes_shared::task::SlotKind;

use crate::support::samples::{encode, graph, in_class, stage};
use crate::support::scene::{Scene, check};
use crate::support::world::Ask;

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

#[test]
fn an_emergency_stops_the_work_that_is_cheapest_to_lose() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 2);
            s.submit(tasks(1, 60_000));
            s.wait(5_000);
            s.submit(tasks(1, 60_000));
            s.wait(1_000);
        },
        |s| s.submit(in_class(tasks(1, 1_000), Class::Emergency)),
        &["accepted j3", "cancel #1-2 on a", "collect #1-2 on a", "start j3.0 #1-3 on a"],
    );
    assert_eq!(told(&scene), ["task_preempted"]);
    let news = scene.world.news.iter().find_map(|n| match &n.what {
        FarmNews::Decided(Decision::Preempted { lost_ms, .. }) => Some(*lost_ms),
        _ => None,
    });
    assert_eq!(news, Some(1_000));
    assert_eq!(scene.world.engine().state().jobs[&JobId(2)].tasks[0].failures(), 0, "it is no failure");
}

#[test]
fn nothing_is_stopped_for_any_other_class() {
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(in_class(tasks(1, 60_000), Class::Bulk));
        },
        |s| s.submit(in_class(tasks(1, 1_000), Class::Premium)),
        &["accepted j2"],
    );
}

fn preempted(scene: &Scene) -> usize {
    told(scene).iter().filter(|name| **name == "task_preempted").count()
}

#[test]
fn nothing_is_stopped_for_an_emergency_whose_tenant_runs_as_much_as_it_may() {
    let tenant: TenantId = "other".parse().expect("a name");
    let scene = check(
        |s| {
            let limits = TenantLimits { max_running: 1, ..TenantLimits::default() };
            s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant: tenant.clone(), limits });
            s.join_with_cores('a', 4);
            s.submit(in_class(tasks(8, 60_000), Class::Bulk));
            s.wait(1_000);
        },
        |s| {
            let spec = in_class(tasks(3, 60_000), Class::Emergency);
            s.ask(Ask { tenant: tenant.clone(), ..Ask::of(spec) });
            s.wait(5_000);
        },
        &["accepted j2", "cancel #1-4 on a", "collect #1-4 on a", "start j2.0 #1-5 on a"],
    );
    assert_eq!(preempted(&scene), 1);
}

#[test]
fn no_more_is_stopped_for_emergencies_than_their_licences_let_start() {
    let emergency = |count| {
        let limits = [("dolby".to_owned(), 1)].into();
        let needs = Some(Box::new(Needs { limits, ..Needs::default() }));
        JobSpec { needs, ..in_class(tasks(count, 60_000), Class::Emergency) }
    };
    let scene = check(
        |s| {
            s.set_limit("dolby", Some(1));
            s.join_with_cores('a', 4);
            s.submit(in_class(tasks(8, 60_000), Class::Bulk));
            s.wait(1_000);
        },
        |s| {
            s.submit(emergency(10));
            s.submit(emergency(10));
            s.wait(5_000);
        },
        &["accepted j2", "cancel #1-4 on a", "collect #1-4 on a", "start j2.0 #1-5 on a", "accepted j3"],
    );
    assert_eq!(preempted(&scene), 1);
}

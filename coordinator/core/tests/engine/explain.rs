//! What the engine says about its own decisions.

use rushes_core::event::{Event, ReplyTo};
use rushes_core::explain::{Because, Explanation, Standing, Waiting};
use rushes_core::placement::lack::Lack;
use rushes_core::policy::Policy;
use rushes_core::state::TenantLimits;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobChange, JobSpec, Needs};
use rushes_shared::task::SlotKind;

use crate::support::samples::{NOW, encode, graph, in_class, node, noop, probe, stage, with_deadline};
use crate::support::scene::{Scene, check, check_with};

fn tasks(count: u32, hold_ms: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, hold_ms, &[])])
}

fn explain(scene: &Scene, job: u128) -> Explanation {
    scene.world.engine().explain(scene.world.now, JobId(job)).expect("a live job")
}

#[test]
fn stages_have_the_names_that_their_job_gave_them_or_say_what_they_make() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(graph(vec![stage("look", SlotKind::Encode, 2, 1_000, &[])]));
            s.submit(encode(1));
            s.done('a', "2.0");
        },
        |_| {},
        &[],
    );
    let name = |job| explain(&scene, job).waits.iter().map(|wait| wait.name.clone()).collect::<Vec<_>>();
    assert_eq!((name(1), name(2)), (vec!["look".to_owned()], vec!["encode 0.mp4".to_owned()]));
}

fn waits(scene: &Scene, job: u128) -> Vec<(u32, u32, Waiting)> {
    explain(scene, job).waits.into_iter().map(|w| (w.stage, w.tasks, w.why)).collect()
}

#[test]
fn it_says_what_each_stage_waits_for_and_how_many_are_ahead() {
    let stages =
        vec![stage("first", SlotKind::Encode, 3, 1_000, &[]), stage("second", SlotKind::Finish, 1, 10, &[0])];
    let scene = check(
        |s| s.join_with_cores('a', 1),
        |s| {
            s.submit(graph(stages));
            s.submit(tasks(1, 1_000));
            s.submit(in_class(tasks(2, 1_000), Class::Emergency));
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on a",
            "accepted j2",
            "accepted j3",
            "cancel #1-1 on a",
            "collect #1-1 on a",
            "start j3.0 #1-2 on a",
        ],
    );
    assert_eq!(waits(&scene, 1), [(0, 3, Waiting::Room), (1, 1, Waiting::Stages(vec![0]))]);
    let second = explain(&scene, 2);
    assert_eq!((second.standing, second.ahead), (Standing::InClass, 2), "the emergency and the first");
    assert!(second.forecast.expected_finish.is_some_and(|at| at.0 > NOW + 4_000), "{:?}", second.forecast);
    let third = explain(&scene, 3);
    assert_eq!(third.standing, Standing::Emergency);
    assert_eq!(third.running.iter().map(|r| r.because).collect::<Vec<_>>(), [Because::OnlyOne]);
    let limits = scene.world.engine().bottlenecks();
    assert_eq!(
        limits.iter().map(|b| (b.slot, b.jobs, &b.why)).collect::<Vec<_>>(),
        [(SlotKind::Encode, 3, &Waiting::Room)]
    );
}

#[test]
fn it_says_that_no_node_can_do_it_that_it_is_paused_or_that_a_limit_is_reached() {
    let needs = |limits: &[(&str, u32)]| {
        let limits = limits.iter().map(|(name, held)| ((*name).to_owned(), *held)).collect();
        Some(Box::new(Needs { limits, ..Needs::default() }))
    };
    let scene = check(
        |s| {
            let mut blind = node("a");
            blind.encoders.clear();
            s.join_as('a', blind);
            s.set_limit("dolby", Some(1));
        },
        |s| {
            s.submit(encode(1));
            s.done('a', "1.0");
            s.submit(JobSpec { paused: true, ..noop(1) });
            s.submit(JobSpec { needs: needs(&[("dolby", 1)]), ..noop(2) });
            s.submit(JobSpec { needs: needs(&[("dolby", 2)]), ..noop(1) });
            let gpu = Needs { tags: vec!["gpu".into()], ..Needs::default() };
            s.submit(JobSpec { needs: Some(Box::new(gpu)), ..probe() });
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on a",
            "collect #1-1 on a",
            "accepted j2",
            "accepted j3",
            "start j3.0 #1-2 on a",
            "refused LimitTooLow",
            "accepted j5",
        ],
    );
    assert_eq!(waits(&scene, 1), [(1, 1, Waiting::NoNode(Lack::Encoder("h264")))]);
    assert_eq!(
        (explain(&scene, 2).standing, waits(&scene, 2)),
        (Standing::Paused, vec![(0, 1, Waiting::Pause)])
    );
    assert_eq!(waits(&scene, 3), [(0, 1, Waiting::Limit("dolby".into()))]);
    let gpu = Lack::Tags { tags: vec!["gpu".into()], pool: String::new() };
    assert_eq!(waits(&scene, 5), [(0, 1, Waiting::NoNode(gpu))]);
}

#[test]
fn a_limit_that_is_raised_lets_go_at_once_and_a_paused_job_goes_on_when_it_is_resumed() {
    let dolby = Needs { limits: [("dolby".to_owned(), 1)].into(), ..Needs::default() };
    check(
        |s| {
            s.join("a");
            s.set_limit("dolby", Some(1));
            s.submit(JobSpec { needs: Some(Box::new(dolby)), ..noop(3) });
            s.submit(JobSpec { paused: true, ..noop(1) });
        },
        |s| {
            s.set_limit("dolby", Some(2));
            s.done('a', "1.0");
            s.done('a', "1.1");
            s.amend(2, JobChange { paused: Some(false), ..JobChange::default() });
        },
        &[
            "limits set",
            "start j1.1 #1-2 on a",
            "collect #1-1 on a",
            "start j1.2 #1-3 on a",
            "collect #1-2 on a",
            "amended j2",
            "start j2.0 #1-4 on a",
        ],
    );
}

#[test]
fn it_says_that_the_tenant_runs_as_much_as_it_may_and_that_a_failed_task_waits() {
    let tenant = TenantLimits { max_running: 1, ..TenantLimits::default() };
    let scene = check_with(
        Policy { tenant, ..Policy::default() },
        |s| s.join("a"),
        |s| {
            s.submit(noop(3));
            s.fail('a', "1.0", FailureCode::TransferFailed);
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on a",
            "j1.0 failed on a: transfer_failed, again later",
            "collect #1-1 on a",
            "start j1.1 #1-2 on a",
        ],
    );
    assert_eq!(waits(&scene, 1), [(0, 1, Waiting::Backoff), (0, 1, Waiting::TenantCap)]);
}

#[test]
fn it_says_that_a_promise_goes_ahead() {
    let scene = check(
        |s| s.join_with_cores('a', 1),
        |s| {
            s.submit(tasks(1, 1_000));
            s.submit(with_deadline(tasks(1, 1_000), NOW + 4_000));
        },
        &["accepted j1", "start j1.0 #1-1 on a", "accepted j2"],
    );
    let it = explain(&scene, 2);
    assert_eq!((it.standing, it.ahead, it.forecast.can_keep), (Standing::AtRisk, 0, Some(true)));
}

#[test]
fn the_farm_is_held_up_by_a_cap_where_all_that_waits_is_of_tenants_at_theirs() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(tasks(3, 60_000));
        },
        |s| {
            let limits = TenantLimits { max_running: 0, ..TenantLimits::default() };
            let tenant = TenantId::default_tenant();
            s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant, limits });
        },
        &["limits set"],
    );
    let found: Vec<Waiting> = scene.world.engine().bottlenecks().into_iter().map(|b| b.why).collect();
    assert_eq!(found, [Waiting::TenantCap]);
}

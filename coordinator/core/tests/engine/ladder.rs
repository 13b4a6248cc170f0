//! Quality for time over all jobs: who gives up what for another's deadline, and gets it back.

use rushes_core::event::{Decision, FarmNews};
use rushes_core::policy::{Policy, PromisePolicy};
use rushes_core::promise::trade::Sake;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobSpec, Priority, QualityFloor};
use rushes_shared::task::SlotKind;

use crate::support::samples::{NOW, graph, in_class, stage, with_deadline};
use crate::support::scene::{Scene, check_with};

/// Promises may fill the farm, and tasks take what was predicted.
fn exact() -> Policy {
    let promise = PromisePolicy { load_permille: 1_000, p90_permille: 1_000, ..PromisePolicy::default() };
    Policy { promise, ..Policy::default() }
}

/// A main stage of 20 seconds and an optional one of 15, which it may leave out, due after a minute and a half.
fn generous(priority: u8) -> JobSpec {
    let mut stages = vec![
        stage("main", SlotKind::Encode, 1, 20_000, &[]),
        stage("extra", SlotKind::Encode, 1, 15_000, &[]),
    ];
    stages[1].optional = true;
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let priority = Priority::new(priority).expect("at most 100");
    JobSpec { floor, priority, ..with_deadline(graph(stages), NOW + 90_000) }
}

/// One task that takes so long.
fn one(seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, 1, seconds * 1_000, &[])])
}

fn gives_up(scene: &Scene, job: u128) -> bool {
    scene.world.engine().state().jobs[&JobId(job)].stages[1].dropped
}

fn is_late(scene: &Scene, job: u128) -> bool {
    scene.world.engine().state().jobs[&JobId(job)].late.is_some()
}

/// One core that is busy, then two jobs of this priority that would fill a minute and more.
fn two(first: JobSpec, second: JobSpec) -> impl FnOnce(&mut Scene) {
    |s| {
        s.join_with_cores('a', 1);
        s.submit(one(1));
        s.submit(first);
        s.submit(second);
        assert!(!gives_up(s, 2) && !gives_up(s, 3));
    }
}

#[test]
fn the_lowest_value_in_the_way_gives_quality_up_for_a_deadline_and_gets_it_back() {
    let scene = check_with(
        exact(),
        |s| {
            two(generous(80), generous(20))(s);
            s.submit(with_deadline(one(30), NOW + 91_000));
            assert_eq!((gives_up(s, 2), gives_up(s, 3)), (false, true));
            assert_eq!([2, 3, 4].map(|job| is_late(s, job)), [false; 3]);
        },
        |s| {
            s.cancel(4);
            s.wait(12_000);
        },
        &["j4 canceled", "canceled j4"],
    );
    assert_eq!((gives_up(&scene, 2), gives_up(&scene, 3)), (false, false), "there is time for it again");
    let why = scene.world.news.iter().find_map(|n| match &n.what {
        FarmNews::Decided(it @ Decision::Traded { trade }) if trade.sake == Sake::Job(JobId(4)) => {
            Some((n.job, it.to_string()))
        }
        _ => None,
    });
    let (giver, text) = why.expect("it is told for whose sake");
    assert_eq!(giver, Some(JobId(3)));
    assert!(text.contains("left out") && text.contains("15000 ms saved"), "{text}");
}

#[test]
fn a_lower_class_gives_first_whatever_its_priority() {
    let scene = check_with(
        exact(),
        two(in_class(generous(0), Class::Premium), generous(100)),
        |s| s.submit(with_deadline(one(30), NOW + 91_000)),
        &["accepted j4"],
    );
    assert_eq!((gives_up(&scene, 2), gives_up(&scene, 3)), (false, true));
}

#[test]
fn all_give_where_one_is_not_enough_and_none_where_all_are_not() {
    let play = |seconds, due| {
        let scene = check_with(
            exact(),
            two(generous(80), generous(20)),
            |s| s.submit(with_deadline(in_class(one(seconds), Class::Bulk), NOW + due)),
            &["accepted j4"],
        );
        ((gives_up(&scene, 2), gives_up(&scene, 3)), is_late(&scene, 4))
    };
    assert_eq!(play(45, 91_000), ((true, true), false));
    assert_eq!(play(60, 91_000), ((false, false), true), "what would not help is not given up");
    assert_eq!(play(60, 200_000), ((false, false), false), "there is time");
}

#[test]
fn a_dry_run_knows_what_others_would_give_up_and_takes_nothing() {
    let scene = check_with(
        exact(),
        two(generous(80), generous(20)),
        |s| {
            s.dry_run(with_deadline(one(30), NOW + 91_000));
            s.dry_run(with_deadline(in_class(one(60), Class::Bulk), NOW + 91_000));
        },
        &["can be kept", "cannot be kept"],
    );
    assert!(!gives_up(&scene, 2) && !gives_up(&scene, 3));
}

#[test]
fn a_node_that_is_lost_costs_quality_before_it_costs_a_deadline() {
    let scene = check_with(
        exact(),
        |s| {
            s.join_with_cores('b', 1);
            two(generous(80), generous(20))(s);
            s.submit(with_deadline(one(50), NOW + 91_000));
            assert!(!gives_up(s, 2) && !gives_up(s, 3));
        },
        |s| {
            s.kill('b');
            s.wait(30_000);
        },
        &["b lost", "j2.0 failed on b: worker_lost, again later"],
    );
    assert!(gives_up(&scene, 3) || gives_up(&scene, 2));
}

/// Trades of jobs that are due later free nothing, however cheap they are.
#[test]
fn cheap_trades_of_later_deadlines_do_not_use_the_looks_up() {
    let later = |_| {
        let mut stages: Vec<_> = (0..6).map(|_| stage("extra", SlotKind::Encode, 1, 1_000, &[])).collect();
        stages.iter_mut().skip(1).for_each(|stage| stage.optional = true);
        let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
        JobSpec { floor, ..in_class(with_deadline(graph(stages), NOW + 900_000), Class::Bulk) }
    };
    let scene = check_with(
        exact(),
        |s| {
            s.join_with_cores('a', 1);
            s.submit(one(1));
            (0..20).map(later).for_each(|job| s.submit(job));
        },
        |s| s.submit(JobSpec { deadline: Some(rushes_shared::units::WallMs(NOW + 32_000)), ..generous(50) }),
        &["accepted j22"],
    );
    assert!(gives_up(&scene, 22) && !is_late(&scene, 22));
    assert!((2..22).all(|job| !gives_up(&scene, job)), "they are not in the way");
}

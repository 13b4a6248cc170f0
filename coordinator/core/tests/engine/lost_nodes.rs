//! Nodes are lost and not all promises can be kept any more: those are given up at once whose loss costs the least, it is
//! said why, and they are given again when nodes are back.

use proptest::prelude::*;
use rushes_core::event::{Decision, FarmNews, LateBy};
use rushes_core::policy::{Policy, PromisePolicy};
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

/// One task of so long, due so much later, in seconds.
fn promise(priority: u8, seconds: u32, due: u64) -> JobSpec {
    let spec = graph(vec![stage("hold", SlotKind::Encode, 1, seconds * 1_000, &[])]);
    let priority = Priority::new(priority).expect("at most 100");
    with_deadline(JobSpec { priority, ..spec }, NOW + due * 1_000)
}

/// Two nodes of one core, busy with the jobs 1 and 2, and these from job 3 on.
fn two_nodes(jobs: Vec<JobSpec>) -> impl FnOnce(&mut Scene) {
    |s| {
        s.join_with_cores('a', 1);
        s.join_with_cores('b', 1);
        for _ in 0..2 {
            s.submit(graph(vec![stage("busy", SlotKind::Encode, 1, 10_000, &[])]));
        }
        jobs.into_iter().for_each(|job| s.submit(job));
    }
}

fn is_late(scene: &Scene, job: u128) -> bool {
    scene.world.engine().state().jobs[&JobId(job)].late.is_some()
}

/// Why promises were given up, and which were given again.
fn told(scene: &Scene) -> Vec<(u128, Option<LateBy>)> {
    let told = scene.world.news.iter().filter_map(|news| match &news.what {
        FarmNews::Decided(Decision::PromiseLate { because, .. }) => Some((news.job?.0, Some(*because))),
        FarmNews::Decided(Decision::PromiseRestored { .. }) => Some((news.job?.0, None)),
        _ => None,
    });
    told.collect()
}

/// Node b dies, and its lease runs out.
fn b_dies(s: &mut Scene) {
    s.kill('b');
    s.wait(s.world.policy.lease_ms + 1_000);
}

#[test]
fn the_promise_that_is_worth_least_is_given_up_at_once_and_given_again_when_the_node_is_back() {
    let scene = check_with(
        exact(),
        two_nodes(vec![promise(90, 40, 80), promise(10, 40, 80)]),
        |s| {
            s.kill('b');
            assert!(!is_late(s, 3) && !is_late(s, 4), "it may be back within its lease");
            s.wait(s.world.policy.lease_ms + 1_000);
            assert_eq!((is_late(s, 3), is_late(s, 4)), (false, true));
            let why = s.world.engine().explain(s.world.now, JobId(4)).expect("a live job");
            assert!(why.late.is_some() && why.forecast.can_keep == Some(false));
            s.world.revive(crate::support::tell::worker('b'));
            s.connect('b');
            s.wait(1_000);
        },
        &["b lost", "j2.0 failed on b: worker_lost, again later", "welcome b", "start j3.0 #1-3 on b"],
    );
    assert!(!is_late(&scene, 4), "there is room again");
    assert_eq!(told(&scene), [(4, Some(LateBy::LostNodes)), (4, None)]);
}

#[test]
fn a_lower_class_goes_first_whatever_its_priority_and_nobody_without_need() {
    let premium = in_class(promise(0, 40, 80), Class::Premium);
    let scene = check_with(
        exact(),
        two_nodes(vec![promise(100, 40, 80), premium, promise(50, 10, 600)]),
        b_dies,
        &["b lost", "j2.0 failed on b: worker_lost, again later"],
    );
    assert_eq!([3, 4, 5].map(|job| is_late(&scene, job)), [true, false, false]);
}

#[test]
fn quality_is_given_up_before_any_promise() {
    let mut optional = promise(10, 30, 80);
    let rushes_shared::job::Work::Graph { stages } = &mut optional.work else {
        unreachable!("it is a graph")
    };
    stages.push(rushes_shared::job::GraphStage {
        optional: true,
        ..stage("extra", SlotKind::Encode, 1, 30_000, &[])
    });
    optional.floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let scene = check_with(
        exact(),
        two_nodes(vec![promise(90, 30, 80), optional]),
        b_dies,
        &["b lost", "j2.0 failed on b: worker_lost, again later"],
    );
    assert_eq!([3, 4].map(|job| is_late(&scene, job)), [false, false]);
    assert!(scene.world.engine().state().jobs[&JobId(4)].stages[1].dropped, "it is left out instead");
}

#[test]
fn a_restart_after_the_loss_knows_what_was_given_up() {
    let mut scene = check_with(
        exact(),
        two_nodes(vec![promise(90, 40, 80), promise(10, 40, 80)]),
        b_dies,
        &["b lost", "j2.0 failed on b: worker_lost, again later"],
    );
    scene.crash();
    scene.start();
    scene.connect('a');
    assert_eq!((is_late(&scene, 3), is_late(&scene, 4)), (false, true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is kept can be kept, and nothing is given up that could have been kept as well.
    #[test]
    fn what_is_kept_fits_and_nothing_is_given_up_in_vain(
        jobs in prop::collection::vec((0_u8..=100, 3_u32..25), 1..8)
    ) {
        let specs = jobs.iter().map(|(priority, seconds)| promise(*priority, *seconds, 90)).collect();
        let mut scene = check_with(exact(), two_nodes(specs), |_| {}, &[]);
        let given = |scene: &Scene, late: bool| -> Vec<u64> {
            let numbered = (3..).zip(&jobs).filter(|(job, _)| is_late(scene, *job) == late);
            numbered.map(|(_, (_, seconds))| u64::from(*seconds) * 1_000).collect()
        };
        let before = given(&scene, true).len();
        b_dies(&mut scene);
        let left_ms = NOW + 90_000 - scene.world.now.wall.0;
        let kept: u64 = given(&scene, false).iter().sum();
        prop_assert!(kept <= left_ms + 1_000, "{kept} ms are promised in {left_ms}");
        // It was decided up to a second ago. Those that were late before wait for room with time to spare.
        if before == 0 {
            for late in given(&scene, true) {
                prop_assert!(kept + late + 1_000 > left_ms, "{late} ms would have fit beside {kept} in {left_ms}");
            }
        }
    }
}

/// One node of two is drained: what is left is more than promises may take of the other, and less than it can do. With the
/// same books there is no more to give up at the next look than at the last.
#[test]
fn what_was_looked_for_in_vain_is_looked_for_again_only_when_the_books_change() {
    let promise_policy =
        PromisePolicy { load_permille: 800, p90_permille: 1_000, ..PromisePolicy::default() };
    let scene = check_with(
        Policy { promise: promise_policy, ..Policy::default() },
        |s| {
            two_nodes(vec![promise(50, 19, 80), promise(50, 19, 80), promise(50, 19, 80)])(s);
            s.drain('b', true);
            s.wait(18_000);
        },
        |_| {},
        &[],
    );
    assert!([3, 4, 5].iter().all(|job| !is_late(&scene, *job)), "{:?}", told(&scene));
    let looks = scene.world.engine().looks_for_trades();
    assert!((1..=3).contains(&looks), "{looks} looks for three promises with the same books");
}

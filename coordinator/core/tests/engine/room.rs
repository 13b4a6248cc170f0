//! Beyond capacity the farm sheds by class, says when to come again, and goes on at its pace.

use std::collections::BTreeMap;

use rushes_core::event::{Refusal, Reply};
use rushes_core::policy::{HealthPolicy, Policy, RoomPolicy};
use rushes_core::state::TenantLimits;
use rushes_shared::job::{Class, JobChange, JobSpec};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::SlotKind;
use rushes_shared::units::Millicores;

use crate::support::samples::{encode, graph, in_class, node, stage};
use crate::support::scene::{Scene, check_with};

const CLASSES: [Class; 4] = [Class::Bulk, Class::Standard, Class::Premium, Class::Emergency];

fn one(hold_ms: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, 1, hold_ms, &[])])
}

fn last(s: &Scene) -> &Reply {
    s.world.replies.last_key_value().expect("an answer").1
}

/// Whether a job of this class is taken.
fn takes(s: &mut Scene, class: Class) -> bool {
    s.submit(in_class(one(1_000), class));
    matches!(last(s), Reply::Accepted { .. })
}

fn retry_after(s: &mut Scene, spec: JobSpec) -> u32 {
    s.submit(spec);
    let Reply::Refused(refusal) = last(s) else { panic!("{:?} is no refusal", last(s)) };
    refusal.retry_after_s().expect("it may work later")
}

fn scene(policy: Policy, given: impl FnOnce(&mut Scene)) -> Scene {
    check_with(policy, given, |_| {}, &[])
}

#[test]
fn bulk_is_refused_first_then_standard_then_premium_and_emergencies_last() {
    let mut scene = scene(Policy { max_jobs: 20, ..Policy::default() }, |_| {});
    let taken = CLASSES.map(|class| (0..30).filter(|_| takes(&mut scene, class)).count());
    assert_eq!(taken, [16, 2, 1, 1]);
    assert!(CLASSES.into_iter().all(|class| !takes(&mut scene, class)), "at the limit nobody has room");
}

#[test]
fn no_class_has_less_room_than_a_lower_one() {
    let room = RoomPolicy {
        bulk_permille: 2_000,
        growing_bulk_permille: 0,
        standard_permille: 0,
        premium_permille: 0,
    };
    assert_eq!(CLASSES.map(|class| room.jobs_of(class, 10, false)), [10; 4]);
    assert_eq!(CLASSES.map(|class| room.jobs_of(class, 10, true)), [0, 0, 0, 10]);
}

/// Three times as much comes as the farm gets done, for long.
#[test]
fn under_three_times_its_load_the_farm_takes_what_matters_most_and_goes_on_at_its_pace() {
    let mut scene = scene(Policy { max_jobs: 20, ..Policy::default() }, |s| s.join_with_cores('a', 1));
    let mut refused: BTreeMap<Class, u32> = BTreeMap::new();
    let (rounds, mut done) = (400_u32, 0);
    for round in 0..rounds {
        let comes = |class: &Class| match class {
            Class::Emergency => round % 8 == 0,
            Class::Premium => round % 2 == 0,
            Class::Bulk | Class::Standard => true,
        };
        for class in CLASSES.into_iter().filter(comes) {
            let is_refused = !takes(&mut scene, class);
            *refused.entry(class).or_default() += u32::from(is_refused);
        }
        assert!(scene.world.engine().state().jobs.len() <= 20);
        let running =
            scene.world.workers.values().flat_map(|w| w.held.values()).find(|h| h.outcome.is_none());
        if let Some(task) = running.map(|h| h.order.task) {
            scene.done('a', &format!("{}.{}", task.job.0, task.index));
            done += 1;
        }
    }
    let of = |class| refused.get(&class).copied().unwrap_or(0);
    assert_eq!(of(Class::Emergency), 0, "{refused:?}");
    assert_eq!(done, rounds, "one a round, as without the rush");
    let share = |class, offered: u32| f64::from(of(class)) / f64::from(offered);
    let [bulk, standard, premium] =
        [share(Class::Bulk, rounds), share(Class::Standard, rounds), share(Class::Premium, rounds / 2)];
    assert!(premium < standard && standard < bulk, "{refused:?}");
}

#[test]
fn when_to_come_again_follows_from_what_waits_and_what_the_farm_gets_done() {
    let policy = Policy { max_jobs: 5, ..Policy::default() };
    let bulk = |hold_ms| in_class(one(hold_ms), Class::Bulk);
    let full = |workers: u32, hold_ms| {
        let mut scene = scene(policy.clone(), |s| {
            if workers > 0 {
                s.join_with_cores('a', workers);
            }
            (0..4).for_each(|_| s.submit(bulk(hold_ms)));
        });
        retry_after(&mut scene, bulk(hold_ms))
    };
    assert_eq!(full(1, 10_000), 10, "one of four jobs of 10 s, one after the other");
    assert_eq!(full(1, 30_000), 30);
    assert_eq!(full(2, 30_000), 15, "two at a time");
    assert_eq!(full(1, 1), *Refusal::RETRY_AFTER_S.start());
    assert_eq!(full(0, 10_000), *Refusal::RETRY_AFTER_S.end(), "nobody works");
}

/// Nothing of the films is in the books, and yet they take what films take.
#[test]
fn films_that_nobody_has_looked_into_yet_count_as_what_such_jobs_take() {
    let film = || in_class(encode(1), Class::Bulk);
    let given = |cores: u32, films: usize| {
        let policy = Policy { max_jobs: 5, ..Policy::default() };
        scene(policy, |s| {
            s.join_as('a', NodeFacts { cpu: Millicores(cores * 1_000), light_slots: 4, ..node("a") });
            (0..films).for_each(|_| s.submit(film()));
        })
    };
    let full = |cores: u32| retry_after(&mut given(cores, 4), film());
    let expected_s = |s: &mut Scene| {
        s.dry_run(film());
        let Reply::Forecast(forecast) = last(s) else { panic!("{:?} is no forecast", last(s)) };
        let at = forecast.expected_finish.expect("a worker is there");
        u32::try_from((at.0 - s.world.now.wall.0).div_ceil(1_000)).expect("it is soon")
    };
    let one = expected_s(&mut given(4, 0));
    assert!(full(4).abs_diff(one) <= 1, "{} is one film of four, as a forecast has it: {one}", full(4));
    assert!((full(4) / 2).abs_diff(full(8)) <= 1, "{} with twice the cores", full(8));
    let mut looked_into = given(4, 4);
    let before = retry_after(&mut looked_into, film());
    looked_into.done('a', "1.0");
    let after = retry_after(&mut looked_into, film());
    assert!(after < before / 2, "the first was of ten seconds, not of a minute: {after} after {before}");
    (2..5).for_each(|job| looked_into.amend(job, JobChange { paused: Some(true), ..JobChange::default() }));
    assert!(retry_after(&mut looked_into, film()) < after, "what is paused is not waited for");
}

#[test]
fn a_tenant_at_its_limit_comes_again_when_one_of_its_own_jobs_should_have_ended() {
    let tenant = TenantLimits { max_jobs: 2, max_deadline_jobs: 0, ..TenantLimits::default() };
    let mut scene = scene(Policy { tenant, ..Policy::default() }, |s| {
        s.join_with_cores('a', 1);
        (0..2).for_each(|_| s.submit(one(20_000)));
    });
    assert_eq!(retry_after(&mut scene, one(20_000)), 20);
}

#[test]
fn while_the_queue_grows_bulk_has_less_room() {
    let health = HealthPolicy {
        growth_window_ms: 2_000,
        growth_permille: 50,
        watch_ms: 100,
        ..HealthPolicy::default()
    };
    let mut scene =
        scene(Policy { max_jobs: 40, health, ..Policy::default() }, |s| s.join_with_cores('a', 1));
    for _ in 0..30 {
        takes(&mut scene, Class::Standard);
        scene.wait(200);
    }
    let jobs = scene.world.engine().state().jobs.len();
    assert!((20..32).contains(&jobs), "{jobs} are between the two limits of bulk");
    assert!(scene.world.engine().anomalies().iter().any(|a| a.name() == "queue_growing"));
    assert!(!takes(&mut scene, Class::Bulk));
    assert!(takes(&mut scene, Class::Standard));
    scene.wait(20_000);
    assert!(scene.world.engine().anomalies().is_empty());
    assert!(takes(&mut scene, Class::Bulk), "it grows no longer");
}

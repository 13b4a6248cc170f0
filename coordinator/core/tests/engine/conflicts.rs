//! Promises that cannot all be kept: whose loss costs least is late, is told why, and is kept again when there is room.

use rushes_core::event::{FarmNews, LateBy};
use rushes_core::policy::{Admission, Policy, PromisePolicy};
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobSpec, Priority, QualityFloor};
use rushes_shared::task::SlotKind;

use crate::support::samples::{NOW, graph, in_class, stage, with_deadline};
use crate::support::scene::{Scene, check_with};

/// Promises may fill the farm, and tasks take what was predicted.
fn exact(admission: Admission) -> Policy {
    let promise =
        PromisePolicy { admission, load_permille: 1_000, p90_permille: 1_000, ..PromisePolicy::default() };
    Policy { promise, ..Policy::default() }
}

/// One task that takes so long on one core.
fn one(seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, 1, seconds * 1_000, &[])])
}

fn worth(priority: u8, spec: JobSpec) -> JobSpec {
    JobSpec { priority: Priority::new(priority).expect("at most 100"), ..spec }
}

fn due(seconds: u64, spec: JobSpec) -> JobSpec {
    with_deadline(spec, NOW + seconds * 1_000)
}

/// One core that is busy for a while, and then these jobs, from j2 on.
fn beside(jobs: Vec<JobSpec>) -> impl FnOnce(&mut Scene) {
    |s| {
        s.join_with_cores('a', 1);
        s.submit(one(1));
        jobs.into_iter().for_each(|job| s.submit(job));
    }
}

fn is_late(scene: &Scene, job: u128) -> bool {
    scene.world.engine().state().jobs[&JobId(job)].late.is_some()
}

fn told(scene: &Scene, job: u128) -> Vec<String> {
    let of_job = scene.world.news.iter().filter(|n| n.job == Some(JobId(job)));
    of_job
        .filter_map(|n| match &n.what {
            FarmNews::Decided(decision) => Some(decision.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn of_equal_jobs_the_one_is_late_that_frees_the_most_time_whoever_came_first() {
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, one(50))]),
        |s| s.submit(due(61, one(20))),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (true, false));
    let now = scene.world.now;
    let why = scene.world.engine().explain(now, JobId(2)).expect("it is live");
    assert_eq!(why.late.map(|late| late.because), Some(LateBy::Other(JobId(3))));
    assert!(
        told(&scene, 2).iter().any(|text| text.contains("given up for that of")),
        "{:?}",
        told(&scene, 2)
    );
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, one(20))]),
        |s| s.submit(due(61, one(50))),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (false, true), "the other way round as well");
}

#[test]
fn what_is_worth_more_is_kept_even_if_it_takes_longer() {
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, worth(90, one(50)))]),
        |s| s.submit(due(61, worth(10, one(20)))),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (false, true));
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, worth(10, one(30))), due(60, worth(10, one(20)))]),
        |s| s.submit(due(61, worth(90, one(50)))),
        &["accepted j4"],
    );
    assert_eq!([2, 3, 4].map(|job| is_late(&scene, job)), [true, true, false], "two yield to one");
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, worth(40, one(30))), due(60, worth(40, one(20)))]),
        |s| s.submit(due(61, worth(70, one(50)))),
        &["accepted j4"],
    );
    assert_eq!(
        [2, 3, 4].map(|job| is_late(&scene, job)),
        [false, false, true],
        "together they are worth more"
    );
}

#[test]
fn nobody_yields_to_a_lower_class() {
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, in_class(worth(0, one(50)), Class::Premium))]),
        |s| s.submit(due(61, worth(100, one(20)))),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (false, true));
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, worth(100, one(50)))]),
        |s| s.submit(due(61, in_class(worth(0, one(40)), Class::Premium))),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (true, false), "a higher class goes first");
}

#[test]
fn only_those_yield_whose_loss_helps() {
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(500, one(55)), due(60, one(40))]),
        |s| s.submit(due(61, one(30))),
        &["accepted j4"],
    );
    assert_eq!([2, 3, 4].map(|job| is_late(&scene, job)), [false, true, false]);
}

#[test]
fn a_late_job_is_kept_again_when_there_is_room() {
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(60, one(50)), due(61, one(20))]),
        |s| {
            assert!(is_late(s, 2));
            s.cancel(3);
            s.wait(100);
        },
        &["j3 canceled", "canceled j3"],
    );
    assert!(!is_late(&scene, 2));
    assert!(told(&scene, 2).iter().any(|text| text.contains("kept after all")), "{:?}", told(&scene, 2));
    let why = scene.world.engine().explain(scene.world.now, JobId(2)).expect("it is live");
    assert_eq!((why.late, why.forecast.can_keep), (None, Some(true)));
}

#[test]
fn a_late_job_is_kept_again_when_another_node_comes_even_after_a_restart() {
    let scene = check_with(
        exact(Admission::Advise),
        |s| {
            beside(vec![due(90, one(50)), due(61, one(45))])(s);
            assert!(is_late(s, 2));
            s.crash();
            s.start();
            s.connect('a');
            assert!(is_late(s, 2));
        },
        |s| {
            s.join_with_cores('b', 1);
            s.wait(2_000);
        },
        &["welcome b", "start j2.0 #2-1 on b"],
    );
    assert!(!is_late(&scene, 2));
}

#[test]
fn where_hopeless_deadlines_are_refused_a_promise_that_was_given_is_kept() {
    let scene = check_with(
        exact(Admission::Refuse),
        beside(vec![due(60, one(50))]),
        |s| s.submit(due(61, one(20))),
        &["refused CannotKeep"],
    );
    assert!(!is_late(&scene, 2));
}

#[test]
fn promises_that_are_due_much_later_hide_none_that_is_in_the_way() {
    let mut jobs: Vec<JobSpec> = (0..70).map(|_| in_class(due(600_000, one(1)), Class::Bulk)).collect();
    jobs.push(due(60, worth(40, one(50))));
    let scene = check_with(
        exact(Admission::Advise),
        beside(jobs),
        |s| s.submit(due(61, worth(60, one(50)))),
        &["accepted j73"],
    );
    assert_eq!((is_late(&scene, 72), is_late(&scene, 73)), (true, false));
    assert!((2..72).all(|job| !is_late(&scene, job)), "they are not in the way");
}

/// It needs 20 seconds at its floor, and 65 with all that it asks for.
#[test]
fn a_late_job_is_kept_again_at_its_floor() {
    let scene = check_with(
        exact(Admission::Advise),
        |s| {
            beside(vec![due(60, worth(10, with_extras(20, &[45]))), due(61, worth(90, one(45)))])(s);
            assert_eq!((is_late(s, 2), is_late(s, 3)), (true, false));
            s.cancel(3);
            s.wait(100);
        },
        |_| {},
        &[],
    );
    assert!(!is_late(&scene, 2), "{:?}", told(&scene, 2));
    let job = &scene.world.engine().state().jobs[&JobId(2)];
    assert!(job.stages[1].dropped, "{:?}", job.trades);
}

/// Four cores for five seconds: 18 of 20 core-seconds are promised. What takes ten seconds in one go is late whatever
/// others do.
#[test]
fn nobody_gives_anything_up_for_what_is_late_even_at_its_floor() {
    let four = || graph(vec![stage("hold", SlotKind::Encode, 4, 4_500, &[])]);
    let scene = check_with(
        exact(Admission::Advise),
        |s| {
            s.join_with_cores('a', 4);
            s.submit(graph(vec![stage("hold", SlotKind::Encode, 4, 100, &[])]));
            s.submit(due(5, worth(10, four())));
            s.submit(due(5, worth(100, one(10))));
        },
        |_| {},
        &[],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (false, true), "{:?}", told(&scene, 2));
}

/// It asks for 86 of 60 seconds. With the other job gone, 20 are free, and one of its three extras is enough.
#[test]
fn a_job_gives_up_no_more_than_it_takes_beside_others_that_yield() {
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(62, worth(10, one(20)))]),
        |s| s.submit(due(60, worth(90, with_extras(45, &[7, 7, 7])))),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (true, false));
    let dropped = scene.world.engine().state().jobs[&JobId(3)].stages.iter().filter(|s| s.dropped).count();
    assert_eq!(dropped, 1);
}

/// A main stage of so many seconds, and optional ones beside it that may be left out.
fn with_extras(seconds: u32, extras: &[u32]) -> JobSpec {
    let mut stages = vec![stage("main", SlotKind::Encode, 1, seconds * 1_000, &[])];
    for seconds in extras {
        let mut extra = stage("extra", SlotKind::Encode, 1, seconds * 1_000, &[]);
        extra.optional = true;
        stages.push(extra);
    }
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    JobSpec { floor, ..graph(stages) }
}

/// It asks for 65 seconds of 60: without its own extra and the other job, which is worth less, there is time; with one of
/// them there is not.
#[test]
fn a_job_gives_up_what_it_may_and_others_yield_for_the_rest() {
    let spec = due(60, worth(90, with_extras(45, &[20])));
    let scene = check_with(
        exact(Admission::Advise),
        beside(vec![due(62, worth(10, one(20)))]),
        |s| s.submit(spec),
        &["accepted j3"],
    );
    assert_eq!((is_late(&scene, 2), is_late(&scene, 3)), (true, false));
}

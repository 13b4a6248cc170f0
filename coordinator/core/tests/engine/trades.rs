//! What a job gives up: which of several things, for how much, of a whole rung, and what the record says of it.

use rushes_core::job::{Job, Step, Success, Task};
use rushes_core::promise::late::LateBy;
use rushes_core::promise::offer::{Cause, Giver};
use rushes_core::promise::trade::{Sake, Trade, What};
use rushes_shared::artifact::Artifact;
use rushes_shared::encode::{EncodeSettings, RateControl, SpeedPreset, VideoSettings};
use rushes_shared::id::{AttemptId, Epoch, JobId, TenantId, WorkerId};
use rushes_shared::job::{JobChange, JobSpec, QualityFloor, Work};
use rushes_shared::task::{SlotKind, TaskOutcome, TaskValue, TaskWork, Usage};
use rushes_shared::units::WallMs;

use crate::support::samples::{NOW, encode, facts, graph, source, stage, with_deadline, with_preset};
use crate::support::scene::{Scene, check};

const TWO: RateControl = RateControl::TwoPass { bitrate_bps: 5_000_000, peak_bps: Some(8_000_000) };
const ONE: RateControl = RateControl::OnePass { bitrate_bps: 5_000_000, peak_bps: Some(8_000_000) };

/// One encode of ten seconds of 1080p in two passes.
fn film(deadline_ms: u64, floor: QualityFloor) -> JobSpec {
    let mut spec = with_preset(encode(1), SpeedPreset::Medium);
    if let Work::Encode { outputs, .. } = &mut spec.work {
        outputs[0].settings.video.as_mut().expect("it has video").rate = TWO;
    }
    JobSpec { floor, deadline: Some(WallMs(NOW + deadline_ms)), ..spec }
}

fn in_one_pass() -> QualityFloor {
    QualityFloor { one_pass: true, ..QualityFloor::default() }
}

fn video_of(settings: EncodeSettings) -> VideoSettings {
    settings.video.expect("it has video")
}

fn video(scene: &Scene, job: u128, task: u32) -> VideoSettings {
    match scene.world.engine().state().jobs[&JobId(job)].work_of(task) {
        Some(TaskWork::Encode { settings, .. }) => video_of(settings),
        other => panic!("{other:?} is no encode"),
    }
}

fn trades(scene: &Scene, job: u128) -> Vec<Trade> {
    scene.world.engine().state().jobs[&JobId(job)].trades.to_vec()
}

/// The film is looked into, and then waits for the node.
fn looked_into(spec: JobSpec) -> Scene {
    check(
        |s| {
            s.join("a");
            s.submit(spec);
        },
        |s| s.done('a', "1.0"),
        &["collect #1-1 on a", "start j1.1 #1-2 on a"],
    )
}

#[test]
fn two_passes_become_one_for_a_deadline_where_the_floor_allows_it() {
    let play = |deadline, floor| {
        let scene = looked_into(film(deadline, floor));
        (video(&scene, 1, 1).rate, trades(&scene, 1))
    };
    let (rate, trades) = play(600_000, in_one_pass());
    assert_eq!((rate, trades.len()), (TWO, 0), "there is time");
    let (rate, trades) = play(11_500, in_one_pass());
    assert_eq!(rate, ONE, "the rate stays what it is: {trades:?}");
    let [Trade { what: What::Pass, sake: Sake::Own, missing_ms, saved_ms, before, after, .. }] =
        trades.as_slice()
    else {
        panic!("{trades:?}");
    };
    assert!(*missing_ms > 0 && *saved_ms * 2 >= before.wall_ms - 1, "{trades:?}");
    assert_eq!(after.cpu_ms, before.cpu_ms / 2);
    for forbids in [
        QualityFloor { drop_optional: true, ..QualityFloor::default() },
        QualityFloor { min_height: Some(1_080), ..QualityFloor::default() },
        QualityFloor::default(),
    ] {
        let (rate, trades) = play(11_500, forbids);
        assert_eq!((rate, trades.iter().filter(|t| t.what == What::Pass).count()), (TWO, 0), "{forbids:?}");
    }
}

#[test]
fn the_ladder_takes_what_loses_the_least_for_each_second_first() {
    let floor = QualityFloor { fastest_preset: Some(SpeedPreset::Veryfast), ..in_one_pass() };
    let scene = looked_into(film(6_200, floor));
    let taken: Vec<What> = trades(&scene, 1).iter().map(|trade| trade.what).collect();
    assert!(taken.len() >= 2, "{taken:?}");
    assert_eq!(taken[0], What::Pass, "half of the time for a point and a half, before a fifth for one");
    for trade in trades(&scene, 1).windows(2) {
        let price = |t: &Trade| u64::from(t.loss) * 1_000_000 / t.saved_ms;
        assert!(price(&trade[0]) <= price(&trade[1]), "{trade:?}");
    }
}

#[test]
fn the_second_pass_is_taken_back_while_nothing_has_been_started() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(graph(vec![stage("hold", SlotKind::Encode, 4, 2_000, &[])]));
            s.submit(film(11_500, in_one_pass()));
            s.done('a', "2.0");
        },
        |s| {
            assert_eq!(video(s, 2, 1).rate, ONE);
            let deadline = Some(Some(WallMs(NOW + 900_000)));
            s.amend(2, JobChange { deadline, ..JobChange::default() });
        },
        &["amended j2"],
    );
    assert_eq!(video(&scene, 2, 1).rate, TWO);
    assert!(trades(&scene, 2).iter().all(|trade| trade.undone.is_some()));
}

/// A film in one pass for its deadline, which is past while it runs.
fn late_in_one_pass() -> Scene {
    let mut scene = looked_into(film(11_500, in_one_pass()));
    scene.wait(25_000);
    assert!(scene.world.engine().state().jobs[&JobId(1)].late.is_some());
    assert_eq!(video(&scene, 1, 1).rate, ONE, "it has been begun so");
    scene
}

#[test]
fn a_late_job_takes_back_what_it_gave_up_once_its_worker_gives_the_task_back_untried() {
    let mut scene = late_in_one_pass();
    scene.end('a', "1.1", TaskOutcome::Cancelled);
    scene.wait(2_000);
    assert!(scene.runs('a', "1.1"));
    assert_eq!(video(&scene, 1, 1).rate, TWO, "{:?}", trades(&scene, 1));
}

#[test]
fn a_late_job_takes_back_what_it_gave_up_once_its_worker_is_not_waited_for_any_more() {
    let mut scene = late_in_one_pass();
    scene.crash();
    scene.kill('a');
    scene.start();
    assert_eq!(video(&scene, 1, 1).rate, ONE, "its worker may be on it");
    scene.wait(scene.world.policy.reattach_ms + 1_000);
    scene.join("b");
    assert!(scene.runs('b', "1.1"));
    assert_eq!(video(&scene, 1, 1).rate, TWO, "{:?}", trades(&scene, 1));
}

/// Two rungs of three chunks each, of a film that was looked into.
fn in_chunks() -> Job {
    let floor =
        QualityFloor { fastest_preset: Some(SpeedPreset::Veryfast), min_height: Some(240), ..in_one_pass() };
    let mut spec = JobSpec { floor, ..with_deadline(encode(2), NOW + 60_000) };
    if let Work::Encode { outputs, .. } = &mut spec.work {
        outputs.iter_mut().for_each(|output| output.settings.video.as_mut().expect("video").rate = TWO);
    }
    let mut job = Job::new(JobId(1), TenantId::default_tenant(), "ci".into(), spec.into(), WallMs(NOW));
    let first = rushes_core::planner::next_stages(&job, 0, || facts(1280, 720)).expect("a probe");
    job.stages_mut().extend(first);
    job.tasks.grow(1);
    let value = TaskValue::Probed { input: Artifact::unseen(source()), facts: facts(1280, 720) };
    let attempt = AttemptId { epoch: Epoch(1), counter: 1 };
    let usage = Usage::default();
    let success = Success {
        attempt,
        worker: WorkerId(1),
        value: Some(Box::new(value)),
        usage,
        queued_ms: 0,
        at: WallMs(NOW),
    };
    job.tasks[0] = Task { success: Some(Box::new(success)), trouble: None };
    let mut rungs = rushes_core::planner::next_stages(&job, 0, || facts(1280, 720)).expect("two encodes");
    rungs.iter_mut().for_each(|rung| rung.count = 3);
    job.stages_mut().extend(rungs);
    job.tasks.grow(6);
    job
}

/// A preset, a size or a rate changes the headers of what is made: chunks of one rung would not fit together.
#[test]
fn what_changes_headers_holds_for_every_chunk_of_a_rung_and_for_none_of_one_that_has_begun() {
    let cause = Cause { sake: Sake::Own, missing_ms: 1, at: WallMs(NOW) };
    let plain = in_chunks();
    let options = Giver::live(&plain, |_| true).options(cause);
    let of = |stage: u32| options.iter().filter(|t| t.stage == stage).map(|t| t.what).collect::<Vec<_>>();
    assert_eq!(of(1).len(), 3, "a pass, a preset, a height: {options:?}");
    assert_eq!(of(1), of(2));
    let begun = Giver::live(&plain, |at| at != 1).options(cause);
    assert!(begun.iter().all(|trade| trade.stage == 2) && !begun.is_empty(), "{begun:?}");
    for trade in options.iter().filter(|trade| trade.stage == 1) {
        let mut job = plain.clone();
        trade.change(job.stages_mut());
        job.trades.push(*trade);
        let of_task = |job: &Job, task| match job.work_of(task) {
            Some(TaskWork::Encode { settings, .. }) => video_of(settings),
            other => panic!("{other:?} is no encode"),
        };
        assert!(matches!(job.step(1), Step::Encode { output: 0 }));
        let first = of_task(&job, 1);
        assert_ne!(first, of_task(&plain, 1), "{trade:?}");
        assert!((2..=3).all(|task| of_task(&job, task) == first), "{trade:?} holds for part of a rung");
        assert!((4..=6).all(|task| of_task(&job, task) == of_task(&plain, task)), "{trade:?}");
    }
}

/// Of two rungs that take equally long, nothing is saved until both have given something up.
#[test]
fn rungs_that_are_equally_long_give_up_together_rather_than_be_late() {
    let floor = QualityFloor { fastest_preset: Some(SpeedPreset::Veryfast), ..QualityFloor::default() };
    let spec = JobSpec { floor, ..with_deadline(with_preset(encode(2), SpeedPreset::Slow), NOW + 9_000) };
    let scene = check(
        |s| {
            s.join("ab");
            s.submit(spec);
        },
        |s| s.done('a', "1.0"),
        &["collect #1-1 on a", "start j1.1 #1-2 on a", "start j1.2 #1-3 on b"],
    );
    let taken = trades(&scene, 1);
    assert!([1, 2].iter().all(|stage| taken.iter().any(|trade| trade.stage == *stage)), "{taken:?}");
    assert!(scene.world.engine().state().jobs[&JobId(1)].late.is_none());
}

fn generous(priority: u8) -> JobSpec {
    let mut stages = vec![
        stage("main", SlotKind::Encode, 1, 20_000, &[]),
        stage("extra", SlotKind::Encode, 1, 15_000, &[]),
    ];
    stages[1].optional = true;
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let spec = JobSpec { floor, ..with_deadline(graph(stages), NOW + 90_000) };
    crate::support::samples::with_priority(spec, priority)
}

fn one(seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, 1, seconds * 1_000, &[])])
}

fn exact() -> rushes_core::policy::Policy {
    let promise = rushes_core::policy::PromisePolicy {
        load_permille: 1_000,
        p90_permille: 1_000,
        ..rushes_core::policy::PromisePolicy::default()
    };
    rushes_core::policy::Policy { promise, ..rushes_core::policy::Policy::default() }
}

#[test]
fn whose_promise_something_was_given_up_for_is_known_after_a_restart() {
    let scene = crate::support::scene::check_with(
        exact(),
        |s| {
            s.join_with_cores('a', 1);
            s.submit(one(1));
            s.submit(generous(80));
            s.submit(generous(20));
            s.submit(with_deadline(one(30), NOW + 91_000));
            s.submit(crate::support::samples::with_priority(with_deadline(one(50), NOW + 92_000), 100));
        },
        |s| {
            s.crash();
            s.start();
        },
        &[],
    );
    let [trade] = trades(&scene, 3)[..] else { panic!("{:?}", trades(&scene, 3)) };
    // 1 s runs, 35 and 35 and 30 are wanted by 91 s.
    assert_eq!((trade.sake, trade.what), (Sake::Job(JobId(4)), What::Drop));
    assert!((5_000..11_000).contains(&trade.missing_ms), "{trade:?}");
    assert_eq!(trade.saved_ms, 15_000);
    let told = |job| scene.world.engine().explain(scene.world.now, JobId(job)).expect("a live job");
    assert_eq!(told(3).trades, [trade]);
    let because: Vec<LateBy> = [2, 3, 4].iter().filter_map(|job| Some(told(*job).late?.because)).collect();
    assert!(!because.is_empty() && because.iter().all(|by| *by == LateBy::Other(JobId(5))), "{because:?}");
}

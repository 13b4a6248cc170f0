//! An analysis pass that a job can do without: given up for a deadline first, because it costs the least, taken back when
//! there is time, and no reason for a job to fail.

use rushes_core::promise::trade::{Trade, What};
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{JobChange, JobSpec, QualityFloor, Work};
use rushes_shared::task::SlotKind;
use rushes_shared::units::WallMs;

use crate::support::samples::{NOW, graph, stage, with_deadline};
use crate::support::scene::{Scene, check};

/// Late enough for all that runs beside each other, too soon for an encode after its analysis.
const DUE_MS: u64 = 55_000;

/// An analysis of 20 s, an encode of 20 s that uses it, and an optional extra of 30 s.
fn film(floor: QualityFloor) -> JobSpec {
    let mut stages = vec![
        stage("analyse", SlotKind::Analyse, 1, 20_000, &[]),
        stage("encode", SlotKind::Encode, 1, 20_000, &[0]),
        stage("extra", SlotKind::Encode, 1, 30_000, &[]),
    ];
    (stages[0].optional, stages[2].optional) = (true, true);
    JobSpec { floor, ..graph(stages) }
}

/// The same without the extra.
fn bare(floor: QualityFloor) -> JobSpec {
    let mut spec = film(floor);
    let Work::Graph { stages } = &mut spec.work else { unreachable!("it is a graph") };
    stages.truncate(2);
    spec
}

fn may_drop() -> QualityFloor {
    QualityFloor { drop_optional: true, ..QualityFloor::default() }
}

fn trades(s: &Scene, job: u128) -> Vec<Trade> {
    s.world.engine().state().jobs[&JobId(job)].trades.to_vec()
}

#[test]
fn the_analysis_is_left_out_for_the_deadline_and_what_waited_for_it_starts() {
    let scene = check(
        |s| s.join_with_cores('a', 4),
        |s| s.submit(with_deadline(film(may_drop()), NOW + DUE_MS)),
        &["accepted j1", "start j1.2 #1-1 on a", "start j1.1 #1-2 on a"],
    );
    let trades = trades(&scene, 1);
    let [trade] = trades.as_slice() else { panic!("{trades:?}") };
    assert_eq!((trade.stage, trade.what, trade.saved_ms), (0, What::Analysis, 20_000));
    assert!(trade.missing_ms > 0 && trade.what.to_string().contains("analysis"));
    let told = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(told.trades, trades);
}

#[test]
fn with_time_enough_or_without_leave_nothing_is_left_out() {
    for spec in [
        with_deadline(film(may_drop()), NOW + 400_000),
        with_deadline(film(QualityFloor::default()), NOW + DUE_MS),
    ] {
        let scene = check(
            |s| s.join_with_cores('a', 4),
            |s| s.submit(spec),
            &["accepted j1", "start j1.0 #1-1 on a", "start j1.2 #1-2 on a"],
        );
        assert_eq!(trades(&scene, 1), []);
    }
}

#[test]
fn it_is_taken_back_when_there_is_time_before_anything_that_uses_it_was_started_and_not_later() {
    let sooner = |s: &mut Scene| {
        s.join_with_cores('a', 1);
        s.submit(graph(vec![stage("busy", SlotKind::Encode, 1, 1_000, &[])]));
        s.submit(with_deadline(bare(may_drop()), NOW + DUE_MS));
        assert!(
            trades(s, 2).iter().any(|t| t.what == What::Analysis && t.undone.is_none()),
            "{:?}",
            trades(s, 2)
        );
    };
    let later = JobChange { deadline: Some(Some(WallMs(NOW + 4_000_000))), ..JobChange::default() };
    let scene = check(sooner, |s| s.amend(2, later.clone()), &["amended j2"]);
    assert!(trades(&scene, 2).iter().all(|t| t.undone.is_some()), "{:?}", trades(&scene, 2));
    let mut scene = scene;
    scene.done('a', "1.0");
    assert!(!scene.runs('a', "2.1"), "the encode waits for its analysis again");
    for task in ["2.0", "2.1"] {
        scene.done('a', task);
    }
    let ended = scene.world.disk.archive()[&JobId(2)].ended.clone().expect("it is archived");
    assert_eq!(ended.state, rushes_shared::job::JobState::Succeeded);

    let mut scene =
        check(sooner, |s| s.done('a', "1.0"), &["j1 succeeded", "collect #1-1 on a", "start j2.1 #1-2 on a"]);
    scene.amend(2, later);
    let left_out = |t: &&Trade| t.what == What::Analysis && t.undone.is_none();
    assert_eq!(trades(&scene, 2).iter().filter(left_out).count(), 1, "the encode has begun without it");
}

#[test]
fn a_restart_knows_what_was_left_out() {
    let mut scene = check(
        |s| {
            s.join_with_cores('a', 4);
            s.submit(with_deadline(film(may_drop()), NOW + DUE_MS));
        },
        |_| {},
        &[],
    );
    let before = trades(&scene, 1);
    scene.crash();
    scene.start();
    scene.connect('a');
    assert_eq!(trades(&scene, 1), before);
    for task in ["1.1", "1.2"] {
        scene.done('a', task);
    }
    assert!(scene.world.disk.archive().contains_key(&JobId(1)), "nothing waits for the analysis");
}

#[test]
fn a_job_goes_on_without_an_optional_analysis_that_fails() {
    check(
        |s| {
            s.join_with_cores('a', 4);
            s.submit(film(QualityFloor::default()));
        },
        |s| s.fail('a', "1.0", FailureCode::SettingsImpossible),
        &["j1.0 failed on a: settings_impossible, given up", "collect #1-1 on a", "start j1.1 #1-3 on a"],
    );
}

/// X and, after it, Y are optional; Y is left out for the deadline, then X fails for good. When there is time again Y does
/// not come back: what it would wait for never ends.
#[test]
fn what_comes_after_something_that_failed_for_good_is_not_taken_back() {
    let mut stages = vec![
        stage("main", SlotKind::Encode, 1, 20_000, &[]),
        stage("x", SlotKind::Light, 1, 1_000, &[]),
        stage("y", SlotKind::Encode, 1, 40_000, &[1]),
    ];
    (stages[1].optional, stages[2].optional) = (true, true);
    let spec = JobSpec { floor: may_drop(), ..with_deadline(graph(stages), NOW + 35_000) };
    let mut scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(spec);
            assert!(trades(s, 1).iter().any(|t| t.stage == 2 && t.undone.is_none()), "{:?}", trades(s, 1));
            s.fail('a', "1.1", FailureCode::SettingsImpossible);
            let later = JobChange { deadline: Some(Some(WallMs(NOW + 4_000_000))), ..JobChange::default() };
            s.amend(1, later);
            s.wait(10_000);
        },
        |s| s.done('a', "1.0"),
        &["j1 succeeded", "collect #1-1 on a"],
    );
    scene.wait(100);
    assert!(scene.world.engine().state().jobs.is_empty());
}

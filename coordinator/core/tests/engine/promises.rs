//! Deadlines: who is at risk, what is given up and taken back, what is declared late, what is answered.

use rushes_core::event::{Decision, FarmNews};
use rushes_core::policy::{Admission, Policy, PromisePolicy};
use rushes_shared::encode::SpeedPreset;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobChange, JobSpec, JobState, QualityFloor, Work};
use rushes_shared::task::{SlotKind, TaskWork};
use rushes_shared::units::WallMs;

use crate::support::samples::{NOW, encode, facts, graph, in_class, stage, with_deadline, with_preset};
use crate::support::scene::{Scene, check, check_with};

/// So many tasks of a second each, one at a time on a node of one light slot.
fn seconds(count: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, count, 1_000, &[])])
}

fn decisions(scene: &Scene, job: u128) -> Vec<&'static str> {
    let of_job = scene.world.news.iter().filter(|n| n.job == Some(JobId(job)));
    of_job
        .filter_map(|n| match &n.what {
            FarmNews::Decided(decision) => Some(decision.name()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_promise_that_runs_short_of_time_goes_ahead_of_a_higher_class() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(in_class(seconds(1), Class::Premium));
            s.submit(with_deadline(seconds(1), NOW + 4_000));
        },
        |s| s.done('a', "1.0"),
        &["j1 succeeded", "collect #1-1 on a", "start j3.0 #1-2 on a"],
    );
    assert_eq!(decisions(&scene, 3), ["promise_at_risk"]);
}

#[test]
fn a_promise_with_time_to_spare_waits_its_turn_until_it_has_none() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(with_deadline(in_class(seconds(1), Class::Bulk), NOW + 60_000));
            s.submit(seconds(1));
            s.done('a', "1.0");
            s.attempt('a', "3.0");
            s.wait(57_000);
            s.submit(in_class(seconds(1), Class::Premium));
        },
        |s| s.done('a', "3.0"),
        &["j3 succeeded", "collect #1-2 on a", "start j2.0 #1-3 on a"],
    );
    assert_eq!(decisions(&scene, 2), ["promise_at_risk"]);
}

#[test]
fn what_cannot_be_kept_even_at_its_floor_is_declared_late_and_drags_nobody() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(in_class(seconds(1), Class::Premium));
            s.submit(with_deadline(seconds(10), NOW + 5_000));
        },
        |s| s.done('a', "1.0"),
        &["j1 succeeded", "collect #1-1 on a", "start j2.0 #1-2 on a"],
    );
    assert_eq!(decisions(&scene, 3), ["promise_late"]);
    assert!(scene.world.engine().state().jobs[&JobId(3)].late.is_some());
}

/// One task of a minute.
fn minute() -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, 1, 60_000, &[])])
}

#[test]
fn work_that_is_lost_is_late_at_once_where_it_cannot_be_done_again_in_time() {
    let at_work = |s: &mut Scene| {
        s.join_with_cores('a', 1);
        s.submit(with_deadline(minute(), NOW + 110_000));
        s.wait(40_000);
    };
    for is_stopped in [false, true] {
        let lose = |s: &mut Scene| {
            // In the middle between two looks, and longer than it would take to start anew.
            s.wait(21_000);
            assert!(!decisions(s, 1).contains(&"promise_late"));
            if is_stopped {
                s.submit(in_class(minute(), Class::Emergency));
            } else {
                s.fail('a', "1.0", FailureCode::ProcessDied);
            }
            s.wait(2);
            s.world.trace.clear();
        };
        let scene = check(at_work, lose, &[]);
        assert_eq!(decisions(&scene, 1).last(), Some(&"promise_late"), "{is_stopped}");
    }
}

#[test]
fn a_new_deadline_is_a_new_promise() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(seconds(1));
            s.submit(with_deadline(seconds(2), NOW + 1_000));
        },
        |s| {
            let deadline = Some(Some(WallMs(NOW + 6_000)));
            s.amend(3, JobChange { deadline, ..JobChange::default() });
            s.done('a', "1.0");
        },
        &["amended j3", "j1 succeeded", "collect #1-1 on a", "start j3.0 #1-2 on a"],
    );
    assert_eq!(decisions(&scene, 3), ["promise_late", "job_amended", "promise_at_risk"]);
}

/// One encode of ten seconds of 1080p, about four seconds on the node's four cores at the usual preset.
fn film(deadline_ms: u64, floor: QualityFloor) -> JobSpec {
    let spec = with_preset(encode(1), SpeedPreset::Slow);
    JobSpec { floor, deadline: Some(WallMs(NOW + deadline_ms)), ..spec }
}

fn preset_of(scene: &Scene, job: u128) -> SpeedPreset {
    let job = &scene.world.engine().state().jobs[&JobId(job)];
    match job.work_of(1) {
        Some(TaskWork::Encode { settings, .. }) => settings.video.expect("it has video").preset,
        other => panic!("{other:?} is no encode"),
    }
}

#[test]
fn quality_is_given_up_for_a_deadline_within_the_floor_and_no_further() {
    let fast_enough = QualityFloor { fastest_preset: Some(SpeedPreset::Faster), ..QualityFloor::default() };
    let play = |floor, deadline| {
        let scene = check(
            |s| s.join("a"),
            |s| {
                s.submit(film(deadline, floor));
                s.done('a', "1.0");
            },
            &["accepted j1", "start j1.0 #1-1 on a", "collect #1-1 on a", "start j1.1 #1-2 on a"],
        );
        (preset_of(&scene, 1), decisions(&scene, 1))
    };
    let (preset, told) = play(fast_enough, 10_000);
    assert_eq!(preset, SpeedPreset::Medium, "one step is enough");
    assert!(told.contains(&"traded"), "{told:?}");
    let (preset, told) = play(fast_enough, 4_500);
    assert_eq!(preset, SpeedPreset::Faster, "as far as the floor allows: {told:?}");
    let (preset, told) = play(QualityFloor::default(), 10_000);
    assert_eq!(preset, SpeedPreset::Slow, "nothing may be given up");
    assert!(!told.contains(&"traded"), "{told:?}");
    let (preset, told) = play(fast_enough, 600_000);
    assert_eq!((preset, told), (SpeedPreset::Slow, vec![]), "there is time");
}

#[test]
fn the_largest_picture_becomes_smaller_for_a_deadline_but_not_below_the_floor() {
    let floor = QualityFloor { min_height: Some(720), ..QualityFloor::default() };
    let play = |deadline| {
        let scene = check(
            |s| s.join("a"),
            |s| {
                s.submit(film(deadline, floor));
                s.done('a', "1.0");
            },
            &["accepted j1", "start j1.0 #1-1 on a", "collect #1-1 on a", "start j1.1 #1-2 on a"],
        );
        match scene.world.engine().state().jobs[&JobId(1)].work_of(1) {
            Some(TaskWork::Encode { settings, .. }) => settings.video.expect("it has video").max_height,
            other => panic!("{other:?} is no encode"),
        }
    };
    assert_eq!(play(600_000), None, "there is time");
    assert_eq!(play(10_000), Some(720));
    assert_eq!(play(3_000), None, "further than the floor allows, and what does not help is not given up");
}

#[test]
fn what_was_given_up_is_taken_back_while_it_has_not_been_started() {
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let mut stages =
        vec![stage("main", SlotKind::Encode, 1, 5_000, &[]), stage("extra", SlotKind::Encode, 1, 9_000, &[])];
    stages[1].optional = true;
    let spec = JobSpec { floor, ..with_deadline(graph(stages), NOW + 10_000) };
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(spec);
            let state = s.world.engine().state();
            assert!(state.jobs[&JobId(2)].stages[1].dropped, "the optional stage would take too long");
        },
        |s| {
            let deadline = Some(Some(WallMs(NOW + 100_000)));
            s.amend(2, JobChange { deadline, ..JobChange::default() });
        },
        &["amended j2"],
    );
    let job = &scene.world.engine().state().jobs[&JobId(2)];
    assert!(!job.stages[1].dropped && !job.has_trades());
    assert!(job.trades.iter().all(|t| t.undone.is_some()), "{:?}", job.trades);
    assert!(
        decisions(&scene, 2).ends_with(&["trade_undone"]) || decisions(&scene, 2).contains(&"trade_undone")
    );
}

#[test]
fn a_job_that_left_an_optional_stage_out_ends_without_it() {
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let mut stages = vec![
        stage("main", SlotKind::Encode, 1, 3_000, &[]),
        stage("extra", SlotKind::Encode, 1, 60_000, &[]),
    ];
    stages[1].optional = true;
    let spec = JobSpec { floor, ..with_deadline(graph(stages), NOW + 10_000) };
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(spec);
        },
        |s| s.done('a', "1.0"),
        &["j1 succeeded", "collect #1-1 on a"],
    );
    assert!(scene.world.engine().state().jobs.is_empty());
}

#[test]
fn a_dry_run_answers_what_a_submit_would_and_leaves_nothing() {
    let scene = check(
        |s| s.join_with_cores('a', 1),
        |s| {
            s.dry_run(with_deadline(seconds(3), NOW + 30_000));
            s.dry_run(with_deadline(seconds(3), NOW + 2_000));
            s.dry_run(seconds(3));
        },
        &["can be kept", "cannot be kept", "nothing promised"],
    );
    assert!(scene.world.engine().state().jobs.is_empty());
}

#[test]
fn promises_that_are_taken_count_against_the_next_one() {
    check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(with_deadline(seconds(20), NOW + 30_000));
        },
        |s| {
            s.dry_run(with_deadline(seconds(20), NOW + 30_000));
            s.dry_run(with_deadline(seconds(20), NOW + 90_000));
        },
        &["cannot be kept", "can be kept"],
    );
}

#[test]
fn where_the_policy_says_so_a_promise_that_cannot_be_kept_is_refused() {
    let promise = PromisePolicy { admission: Admission::Refuse, ..PromisePolicy::default() };
    check_with(
        Policy { promise, ..Policy::default() },
        |s| s.join_with_cores('a', 1),
        |s| {
            s.submit(with_deadline(seconds(3), NOW + 2_000));
            s.submit(with_deadline(seconds(1), NOW + 20_000));
        },
        &["refused CannotKeep", "accepted j2", "start j2.0 #1-1 on a"],
    );
}

#[test]
fn promises_survive_a_restart_of_the_coordinator() {
    let scene = check(
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(with_deadline(seconds(10), NOW + 5_000));
            s.submit(with_deadline(seconds(1), NOW + 4_000));
            s.crash();
            s.start();
            s.connect('a');
        },
        |s| {
            s.submit(in_class(seconds(1), Class::Premium));
            s.wait(10);
            s.done('a', "1.0");
        },
        &["accepted j4", "j1 succeeded", "collect #1-1 on a", "start j3.0 #2-1 on a"],
    );
    assert!(scene.world.engine().state().jobs[&JobId(2)].late.is_some());
    assert_eq!(scene.world.engine().job_state(JobId(2)), Some(JobState::Queued));
}

#[test]
fn a_trade_says_what_when_why_and_what_it_saved() {
    let floor = QualityFloor { fastest_preset: Some(SpeedPreset::Ultrafast), ..QualityFloor::default() };
    let scene = check(
        |s| {
            s.source = facts(1920, 1080);
            s.join("a");
        },
        |s| {
            s.submit(film(9_000, floor));
            s.done('a', "1.0");
        },
        &["accepted j1", "start j1.0 #1-1 on a", "collect #1-1 on a", "start j1.1 #1-2 on a"],
    );
    let job = &scene.world.engine().state().jobs[&JobId(1)];
    assert!(matches!(&job.spec.work, Work::Encode { outputs, .. } if outputs.len() == 1));
    let trade = job.trades.first().expect("something was given up");
    assert!(trade.saved_ms > 0 && trade.missing_ms > 0 && trade.loss > 0 && trade.at.0 >= NOW);
    let told = scene.world.news.iter().find_map(|n| match &n.what {
        FarmNews::Decided(decision @ Decision::Traded { .. }) => Some(decision.to_string()),
        _ => None,
    });
    let told = told.expect("it is told");
    assert!(told.contains("preset slow -> medium") && told.contains("ms saved"), "{told}");
}

#[test]
fn a_promise_with_an_earlier_deadline_is_seen_to_be_tight_with_others() {
    let promise = PromisePolicy { load_permille: 1_000, p90_permille: 1_000, ..PromisePolicy::default() };
    let scene = check_with(
        Policy { promise, ..Policy::default() },
        |s| {
            s.join_with_cores('a', 1);
            s.submit(seconds(1));
            s.submit(with_deadline(
                graph(vec![stage("hold", SlotKind::Encode, 1, 10_000, &[])]),
                NOW + 600_000,
            ));
            let deadline = Some(Some(WallMs(NOW + 60_000)));
            s.amend(2, JobChange { deadline, ..JobChange::default() });
            assert_eq!(decisions(s, 2), ["job_amended"], "there is time");
        },
        |s| {
            s.submit(with_deadline(
                graph(vec![stage("hold", SlotKind::Encode, 1, 45_000, &[])]),
                NOW + 60_000,
            ))
        },
        &["accepted j3"],
    );
    assert_eq!(decisions(&scene, 2), ["job_amended", "promise_at_risk"]);
}

/// Alone on the farm: half a minute is left, 35 seconds are asked for, and what may be left out takes 15 of them.
#[test]
fn what_a_job_itself_gives_up_is_taken_from_its_own_work() {
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let mut stages = vec![
        stage("main", SlotKind::Encode, 1, 20_000, &[]),
        stage("extra", SlotKind::Encode, 1, 15_000, &[]),
    ];
    stages[1].optional = true;
    let promise = PromisePolicy { load_permille: 1_000, p90_permille: 1_000, ..PromisePolicy::default() };
    let scene = check_with(
        Policy { promise, ..Policy::default() },
        |s| s.join_with_cores('a', 1),
        |s| s.submit(JobSpec { floor, ..with_deadline(graph(stages), NOW + 30_000) }),
        &["accepted j1", "start j1.0 #1-1 on a"],
    );
    let job = &scene.world.engine().state().jobs[&JobId(1)];
    assert!(job.late.is_none() && job.stages[1].dropped, "{:?}", job.trades);
}

#[test]
fn a_smaller_picture_takes_less_of_a_node() {
    let floor = QualityFloor { min_height: Some(720), ..QualityFloor::default() };
    let scene = check(
        |s| s.join("a"),
        |s| {
            s.submit(film(10_000, floor));
            s.done('a', "1.0");
        },
        &["accepted j1", "start j1.0 #1-1 on a", "collect #1-1 on a", "start j1.1 #1-2 on a"],
    );
    assert_eq!(scene.world.engine().workers()[0].cpu_used.0, 2_000, "1080 lines would take four cores");
}

//! Publishing: once, at its place, tried again where that can help.

use rushes_shared::artifact::Location;
use rushes_shared::encode::{EncodeSettings, Extract, Extracted};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::JobId;
use rushes_shared::job::Work;
use rushes_shared::still::{Moment, StillFormat, ThumbnailSettings};

use crate::support::samples::{encode, facts};
use crate::support::scene::{Scene, check};

/// One job with two outputs, probed; both encodes run on one node.
fn two_outputs(s: &mut Scene) {
    s.source = facts(640, 360);
    s.join("a");
    s.submit(encode(2));
    s.done('a', "1.0");
}

#[test]
fn each_output_is_published_as_soon_as_it_is_made() {
    check(two_outputs, |s| s.done('a', "1.1"), &["publish j1/0 from #1-2", "collect #1-2 on a"]);
    let scene = check(
        |s| {
            two_outputs(s);
            s.done('a', "1.1");
        },
        |s| s.done('a', "1.2"),
        &["publish j1/1 from #1-3", "collect #1-3 on a", "j1 succeeded"],
    );
    let places: Vec<String> = scene.world.depot.published.keys().map(Location::to_string).collect();
    assert_eq!(places.len(), 2);
    assert!(
        places[0].starts_with("farm://outputs/default/job_") && places[0].ends_with("/0.mp4"),
        "{places:?}"
    );
}

#[test]
fn a_publish_that_may_pass_is_tried_again() {
    let given = |s: &mut Scene| {
        two_outputs(s);
        s.world.depot.failing.push_back(FailureCode::TransferFailed);
        s.done('a', "1.1");
    };
    let before = check(given, |s| s.wait(400), &[]);
    let why = held_up(&before).expect("whoever asks is told what holds it up");
    assert_eq!(why.code, FailureCode::TransferFailed);
    let after = check(given, |s| s.wait(600), &["publish j1/0 from #1-2"]);
    assert!(held_up(&after).is_none(), "it is in its place now");
}

fn held_up(scene: &Scene) -> Option<Box<Failure>> {
    scene.world.engine().explain(scene.world.now, JobId(1)).expect("it has not ended").held_up
}

#[test]
fn finished_work_waits_for_the_depot_as_long_as_it_takes() {
    let scene = check(
        |s| {
            two_outputs(s);
            s.world.depot.failing.extend([FailureCode::TransferFailed; 30]);
            s.done('a', "1.1");
            s.done('a', "1.2");
        },
        |s| {
            s.wait(3_600_000);
            s.world.trace.retain(|line| !line.starts_with("publish"));
        },
        &["j1 succeeded"],
    );
    assert!(scene.world.depot.published.len() == 2);
}

#[test]
fn a_place_that_is_taken_fails_the_job_at_once() {
    check(
        |s| {
            two_outputs(s);
            s.world.depot.failing.push_back(FailureCode::OutputExists);
        },
        |s| s.done('a', "1.1"),
        &[
            "publish j1/0 from #1-2",
            "collect #1-2 on a",
            "cancel #1-3 on a",
            "drop #1-2 #1-3",
            "j1 failed: output_exists",
            "collect #1-3 on a",
            "drop #1-3",
        ],
    );
}

/// With one that may be left out, whether it comes first or last.
#[test]
fn an_optional_output_whose_place_is_taken_leaves_the_others() {
    for first in [true, false] {
        let scene = check(
            |s| {
                s.source = facts(640, 360);
                s.join("a");
                let mut spec = encode(2);
                if let Work::Encode { outputs, .. } = &mut spec.work {
                    outputs[0].optional = true;
                }
                s.submit(spec);
                s.done('a', "1.0");
                if first {
                    s.world.depot.failing.push_back(FailureCode::OutputExists);
                    s.done('a', "1.1");
                }
            },
            |s| {
                s.done('a', "1.2");
                if !first {
                    s.world.depot.failing.push_back(FailureCode::OutputExists);
                    s.done('a', "1.1");
                }
                s.world.trace.retain(|line| !line.starts_with("collect"));
            },
            if first {
                &["publish j1/1 from #1-3", "j1 succeeded"]
            } else {
                &["publish j1/1 from #1-3", "publish j1/0 from #1-2", "drop #1-2", "j1 succeeded"]
            },
        );
        let published = scene.world.disk.archive()[&JobId(1)].published.iter().map(|p| p.output);
        assert_eq!(published.collect::<Vec<_>>(), [1]);
        assert!(scene.world.depot.staged.is_empty(), "{:?}", scene.world.depot.staged);
    }
}

#[test]
fn a_publish_whose_answer_was_lost_in_a_crash_is_asked_for_again_and_done_once() {
    for arrives in [false, true] {
        let scene = check(
            |s| {
                two_outputs(s);
                s.done('a', "1.1");
                let attempt = s.attempt('a', "1.2");
                let order = &s.world.workers[&crate::support::tell::worker('a')].held[&attempt].order;
                let value = crate::support::samples::value_of(order, &s.source);
                let usage = rushes_shared::task::Usage::default();
                let outcome = rushes_shared::task::TaskOutcome::Succeeded { value, usage };
                s.world.end(crate::support::tell::worker('a'), attempt, outcome, true);
                s.world.deliver_up(0);
                s.world.confirm(usize::MAX);
                assert_eq!(s.world.asked.len(), 1, "the publish is on its way");
                s.world.crash(0, arrives);
            },
            Scene::start,
            &["publish j1/1 from #1-3", "j1 succeeded"],
        );
        assert_eq!(scene.world.disk.archive()[&JobId(1)].published.len(), 2);
    }
}

#[test]
fn a_cancel_drops_what_is_made_and_not_published() {
    check(
        |s| {
            two_outputs(s);
            s.world.depot.failing.push_back(FailureCode::TransferFailed);
            s.done('a', "1.1");
        },
        |s| s.cancel(1),
        &[
            "cancel #1-3 on a",
            "drop #1-2 #1-3",
            "j1 canceled",
            "canceled j1",
            "collect #1-3 on a",
            "drop #1-3",
        ],
    );
}

/// Other signatures than each other's, so that it is not the queue of one of them that gives the order.
#[test]
fn what_most_players_take_is_made_first_and_what_the_job_says_of_its_audience_goes_before() {
    let heights = [None, Some(480), Some(0), Some(1080), Some(720), Some(360)];
    let order_of = |audience: [u8; 6]| {
        let mut made = Vec::new();
        check(
            |s| {
                s.source = facts(3840, 2160);
                s.join_with_cores('a', 1);
                let mut spec = encode(6);
                let Work::Encode { outputs, .. } = &mut spec.work else { unreachable!("it is one") };
                for ((output, height), audience) in outputs.iter_mut().zip(heights).zip(audience) {
                    output.audience = audience;
                    if height == Some(0) {
                        let format = StillFormat::Jpeg(85);
                        let still = ThumbnailSettings {
                            moment: Moment::Best,
                            max_width: None,
                            max_height: None,
                            format,
                        };
                        let extract = Extract { what: Extracted::Stills(still), max_bytes: None };
                        output.settings = EncodeSettings::of_extract(extract);
                    } else if let Some(video) = &mut output.settings.video {
                        video.max_height = height;
                    }
                }
                s.submit(spec);
                s.done('a', "1.0");
                for _ in 0..6 {
                    let runs = |n: &u32| s.runs('a', &format!("1.{n}"));
                    let running: Vec<u32> = (1..=6).filter(runs).collect();
                    assert_eq!(running.len(), 1, "one core, one at a time: {running:?}");
                    made.push(running[0]);
                    s.done('a', &format!("1.{}", running[0]));
                }
            },
            |_| {},
            &[],
        );
        made
    };
    assert_eq!(order_of([0; 6]), [5, 4, 2, 6, 1, 3], "720p, 1080p, 480p, 360p, then the longest");
    assert_eq!(order_of([0, 0, 90, 0, 0, 20]), [3, 6, 5, 4, 2, 1], "the job's own word goes first");
}

#[test]
fn an_output_that_has_no_room_is_named_and_given_up_after_a_bounded_time() {
    let day = 24 * 3_600_000;
    let given = |s: &mut Scene| {
        two_outputs(s);
        s.world.depot.failing.extend([FailureCode::TransferFailed; 4_000]);
        s.done('a', "1.1");
    };
    let before = check(given, |s| s.wait(400), &[]);
    let why = held_up(&before).expect("whoever asks is told what holds it up");
    assert!(why.message.starts_with("output 0.mp4 is made and not in its place yet"), "{why}");
    let shown = before.world.engine().job(JobId(1)).expect("it has not ended").held_up;
    assert_eq!(shown, Some(why));
    let scene = check(
        given,
        |s| {
            s.done('a', "1.2");
            s.wait(day - 60_000);
            assert!(s.world.engine().job(JobId(1)).is_some(), "it still waits");
            s.wait(120_000);
            s.world.trace.retain(|line| line.starts_with("j1"));
        },
        &["j1 failed: transfer_failed"],
    );
    let ended = scene.world.disk.archive()[&JobId(1)].ended.clone().expect("it has ended");
    let cause = ended.failure.expect("a cause");
    assert!(cause.class == FailureClass::Permanent && cause.advice.contains("rushes job retry"), "{cause}");
    assert!(cause.message.starts_with("output 0.mp4 was made and could not be put in its place"), "{cause}");
}

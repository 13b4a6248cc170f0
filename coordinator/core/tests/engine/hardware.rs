//! Hardware encoders: who gets one, what follows when one fails, and that it is remembered.

use rushes_core::event::FarmNews;
use rushes_core::explain::Because;
use rushes_core::job::Step;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::JobId;
use rushes_shared::task::{TaskOutcome, Usage};

use crate::support::samples::{encode, in_hardware, value_of};
use crate::support::scene::{Scene, check};
use crate::support::tell;

fn told(scene: &Scene) -> Vec<String> {
    let name = |what: &FarmNews| match what {
        FarmNews::Decided(decision) => Some(decision.name().to_owned()),
        _ => None,
    };
    let names = scene.world.news.iter().filter_map(|n| name(&n.what));
    names.filter(|name| name.starts_with("encoder")).collect()
}

/// A job of one output, probed on `a`.
fn probed(s: &mut Scene, job: u32) {
    s.submit(in_hardware(encode(1)));
    let probe = format!("{job}.0");
    s.done(s.runner(&probe), &probe);
}

#[test]
fn an_encode_that_asks_for_hardware_goes_where_a_session_is_free_and_says_so() {
    let scene = check(
        |s| {
            s.join("ac");
            s.join_with_hardware('b', 1);
        },
        |s| probed(s, 1),
        &["accepted j1", "start j1.0 #1-1 on a", "collect #1-1 on a", "start j1.1 #1-2 on b"],
    );
    assert_eq!(scene.hardware('b', "1.1"), Some("nvh264enc"));
    let told = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(
        (told.running[0].because, told.running[0].encoder.as_deref()),
        (Because::HasEncoder, Some("nvh264enc"))
    );
    let doc =
        scene.world.engine().workers().into_iter().find(|w| w.id == tell::worker('b')).expect("it is there");
    assert_eq!((doc.encoder_sessions, doc.encoder_sessions_used, doc.encoder_shut), (1, 1, false));
}

#[test]
fn without_a_free_session_it_is_encoded_in_software() {
    let scene = check(
        |s| {
            s.source = crate::support::samples::facts(640, 360);
            s.join_with_hardware('a', 1);
        },
        |s| {
            s.submit(in_hardware(encode(2)));
            s.done('a', "1.0");
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on a",
            "collect #1-1 on a",
            "start j1.1 #1-2 on a",
            "start j1.2 #1-3 on a",
        ],
    );
    assert_eq!((scene.hardware('a', "1.1"), scene.hardware('a', "1.2")), (Some("nvh264enc"), None));
}

#[test]
fn a_job_that_asks_for_nothing_gets_software_and_so_does_a_worker_that_takes_no_such_orders() {
    let scene = check(
        |s| {
            s.join_with_hardware('a', 0);
            probed(s, 1);
        },
        |_| {},
        &[],
    );
    assert_eq!(scene.hardware('a', "1.1"), None, "it offers no session");
    let scene = check(
        |s| {
            s.join_with_hardware('a', 4);
            s.submit(encode(1));
            s.done('a', "1.0");
        },
        |_| {},
        &[],
    );
    assert_eq!(scene.hardware('a', "1.1"), None, "it is asked for x264");
}

#[test]
fn a_failed_hardware_encoder_is_followed_by_software_and_the_job_succeeds() {
    let mut scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            probed(s, 1);
        },
        |s| {
            s.fail('a', "1.1", FailureCode::EncoderFailed);
            s.wait(5_000);
        },
        &[
            "drop #1-2",
            "j1.1 failed on a: encoder_failed, again later",
            "collect #1-2 on a",
            "start j1.1 #1-3 on a",
        ],
    );
    assert_eq!(scene.hardware('a', "1.1"), None);
    let explained = scene.world.engine().explain(scene.world.now, JobId(1)).expect("a live job");
    assert_eq!(explained.fell_back, [1]);
    scene.done('a', "1.1");
    assert_eq!(told(&scene), ["encoder_fell_back"]);
    let job = &scene.world.disk.archive()[&JobId(1)];
    assert_eq!(job.stages[1].step, Step::EncodeInSoftware { output: 0 }, "the archive knows");
}

/// The fault may show as a crash of the process, or as a file that does not pass its check.
#[test]
fn what_only_may_be_the_encoders_fault_is_followed_by_software_as_well_and_by_nothing_in_software() {
    for code in [FailureCode::ProcessDied, FailureCode::CheckFailed, FailureCode::ProcessStalled] {
        let mut scene = check(
            |s| {
                s.join_with_hardware('a', 1);
                probed(s, 1);
            },
            |s| {
                s.fail('a', "1.1", code);
                s.wait(60_000);
            },
            &[
                "drop #1-2",
                &format!("j1.1 failed on a: {}, again later", code.as_str()),
                "collect #1-2 on a",
                "start j1.1 #1-3 on a",
            ],
        );
        assert_eq!(scene.hardware('a', "1.1"), None, "{code:?}");
        scene.fail('a', "1.1", code);
        assert_eq!(told(&scene), ["encoder_fell_back"], "{code:?}: once");
    }
    let scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            probed(s, 1);
        },
        |s| {
            s.fail('a', "1.1", FailureCode::TransferFailed);
            s.wait(60_000);
        },
        &[
            "drop #1-2",
            "j1.1 failed on a: transfer_failed, again later",
            "collect #1-2 on a",
            "start j1.1 #1-3 on a",
        ],
    );
    assert_eq!(scene.hardware('a', "1.1"), Some("nvh264enc"), "the encoder is not to blame");
}

#[test]
fn a_restart_remembers_what_fell_back_and_whose_encoder_is_shut() {
    let mut scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            for job in 1..=3 {
                probed(s, job);
                s.fail('a', &format!("{job}.1"), FailureCode::EncoderFailed);
                s.cancel(job.into());
            }
            probed(s, 4);
        },
        |_| {},
        &[],
    );
    assert_eq!(told(&scene), ["encoder_fell_back", "encoder_fell_back", "encoder_fell_back", "encoder_shut"]);
    assert_eq!(scene.hardware('a', "4.1"), None, "the node's other work goes on in software");
    scene.world.crash(usize::MAX, true);
    scene.world.start();
    scene.connect('a');
    let doc = &scene.world.engine().workers()[0];
    assert!(doc.encoder_shut && !doc.quarantined, "{doc:?}");
    // Its time over, one task shows that it works.
    scene.done('a', "4.1");
    scene.wait(61_000);
    probed(&mut scene, 5);
    assert_eq!(scene.hardware('a', "5.1"), Some("nvh264enc"));
    let order = scene.world.workers[&tell::worker('a')].held[&scene.attempt('a', "5.1")].order.clone();
    let value = value_of(&order, &scene.source);
    scene.ends_with('a', "5.1", value);
    assert_eq!(told(&scene).last().map(String::as_str), Some("encoder_readmitted"));
    assert!(scene.world.engine().state().encoders_shut.is_empty());
}

#[test]
fn a_probe_that_fails_shuts_the_encoder_for_twice_as_long_and_others_go_on_with_theirs() {
    let mut scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            for job in 1..=3 {
                probed(s, job);
                s.fail('a', &format!("{job}.1"), FailureCode::EncoderFailed);
                s.cancel(job.into());
            }
            s.wait(60_500);
            probed(s, 4);
            s.fail('a', "4.1", FailureCode::EncoderFailed);
            s.cancel(4);
        },
        |s| s.wait(61_000),
        &[],
    );
    assert!(scene.world.engine().workers()[0].encoder_shut, "twice as long");
    scene.join_with_hardware('b', 1);
    probed(&mut scene, 5);
    assert_eq!(scene.hardware('b', "5.1"), Some("nvh264enc"));
    scene.done('b', "5.1");
    scene.wait(61_000);
    assert!(!scene.world.engine().workers()[0].encoder_shut);
}

/// The last permitted attempt may be the one in hardware: software is tried all the same.
#[test]
fn no_task_is_given_up_for_a_failure_of_hardware() {
    let scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            probed(s, 1);
            for _ in 1..s.world.policy.max_attempts {
                s.fail('a', "1.1", FailureCode::TransferFailed);
                s.wait(600_000);
            }
        },
        |s| {
            s.fail('a', "1.1", FailureCode::EncoderFailed);
            s.wait(600_000);
        },
        &[
            "drop #1-6",
            "j1.1 failed on a: encoder_failed, again later",
            "collect #1-6 on a",
            "start j1.1 #1-7 on a",
        ],
    );
    assert_eq!(scene.hardware('a', "1.1"), None);
}

#[test]
fn what_hardware_takes_says_nothing_about_the_speed_of_the_nodes_cores() {
    let scene = check(
        |s| {
            s.join_with_hardware('a', 1);
            probed(s, 1);
        },
        |s| {
            let attempt = s.attempt('a', "1.1");
            let order = s.world.workers[&tell::worker('a')].held[&attempt].order.clone();
            let value = value_of(&order, &s.source);
            let outcome = TaskOutcome::Succeeded { value, usage: Usage { run_ms: 30, ..Usage::default() } };
            s.world.end(tell::worker('a'), attempt, outcome, true);
            s.rest();
        },
        &["publish j1/0 from #1-2", "collect #1-2 on a", "j1 succeeded"],
    );
    assert_eq!(scene.world.engine().state().workers[&tell::worker('a')].speed_permille, 1_000);
}

//! Which task starts first, and where.

use rushes_shared::encode::SpeedPreset;
use rushes_shared::failure::FailureCode;
use rushes_shared::task::TaskKind;
use rushes_shared::units::Millicores;

use crate::support::samples::{
    NOW, encode, facts, node, noop, probe, with_deadline, with_preset, with_priority,
};
use crate::support::scene::{Scene, check};

#[test]
fn priority_comes_first_then_submission_and_a_deadline_far_away_changes_nothing() {
    check(
        |s| {
            s.submit(noop(1));
            s.submit(with_deadline(noop(1), NOW + 3_600_000));
            s.submit(with_priority(noop(1), 60));
            s.submit(with_priority(noop(1), 40));
        },
        |s| s.join("a"),
        &["welcome a", "start j3.0 #1-1 on a", "start j1.0 #1-2 on a"],
    );
}

#[test]
fn the_next_in_line_starts_the_moment_a_slot_is_free() {
    check(
        |s| {
            s.submit(noop(3));
            s.join("a");
        },
        |s| s.done('a', "1.0"),
        &["collect #1-1 on a", "start j1.2 #1-3 on a"],
    );
}

#[test]
fn a_probe_is_not_stuck_behind_encodes() {
    check(
        |s| {
            s.join("a");
            s.submit(with_priority(encode(3), 100));
            s.done('a', "1.0");
        },
        |s| s.submit(with_priority(probe(), 0)),
        &["accepted j2", "start j2.0 #1-3 on a"],
    );
}

/// One small encode runs, and a large one waits for the whole node.
fn a_large_one_waits(s: &mut Scene) {
    s.source = facts(640, 360);
    s.join("a");
    s.submit(encode(1));
    s.done('a', "1.0");
    s.source = facts(1920, 1080);
    s.submit(encode(1));
    s.done('a', "2.0");
    s.source = facts(640, 360);
}

#[test]
fn a_large_encode_waits_without_being_overtaken_by_one_that_would_delay_it() {
    check(
        |s| {
            a_large_one_waits(s);
            s.submit(with_preset(encode(1), SpeedPreset::Veryslow));
        },
        |s| s.done('a', "3.0"),
        &["collect #1-4 on a"],
    );
}

#[test]
fn a_small_encode_that_ends_before_a_large_one_could_begin_uses_the_cores_meanwhile() {
    check(
        |s| {
            a_large_one_waits(s);
            s.submit(with_preset(encode(1), SpeedPreset::Ultrafast));
        },
        |s| s.done('a', "3.0"),
        &["collect #1-4 on a", "start j3.1 #1-5 on a"],
    );
}

#[test]
fn a_task_larger_than_every_node_runs_alone() {
    check(
        |s| {
            let mut small = node("a");
            small.cpu = Millicores(1_000);
            s.join_as('a', small);
            s.submit(encode(2));
        },
        |s| s.done('a', "1.0"),
        &["collect #1-1 on a", "start j1.1 #1-2 on a"],
    );
}

#[test]
fn an_encode_goes_to_the_node_that_has_the_input() {
    check(
        |s| {
            s.join("ab");
            s.submit(noop(1));
            s.submit(encode(1));
            assert_eq!(s.attempt('b', "2.0").counter, 2, "the freer node probes");
        },
        |s| s.done('b', "2.0"),
        &["collect #1-2 on b", "start j2.1 #1-3 on b"],
    );
}

#[test]
fn an_encode_needs_a_node_whose_encoder_works() {
    let scene = check(
        |s| {
            let mut broken = node("a");
            broken.encoders[0].works = false;
            s.join_as('a', broken);
            s.submit(encode(1));
            s.done('a', "1.0");
        },
        |s| s.join("b"),
        &["welcome b", "start j1.1 #1-2 on b"],
    );
    assert_eq!(scene.starts(TaskKind::Encode), 1);
}

#[test]
fn a_node_that_failed_a_task_is_avoided_while_another_can_do_it() {
    check(
        |s| {
            s.join("a");
            s.submit(probe());
            s.fail('a', "1.0", FailureCode::NodeUnfit);
            s.join("b");
        },
        |s| s.wait(2_000),
        &["start j1.0 #1-2 on b"],
    );
}

#[test]
fn a_node_that_failed_a_task_gets_it_again_where_there_is_no_other() {
    check(
        |s| {
            s.join("a");
            s.submit(probe());
            s.fail('a', "1.0", FailureCode::NodeUnfit);
        },
        |s| s.wait(2_000),
        &["start j1.0 #1-2 on a"],
    );
}

#[test]
fn a_task_that_waits_for_another_node_does_not_keep_the_one_that_it_avoids_idle() {
    check(
        |s| {
            s.join("a");
            s.submit(encode(1));
            s.done('a', "1.0");
            s.join("b");
            s.submit(encode(1));
            let prober =
                if s.world.workers[&crate::support::tell::worker('a')].held.len() > 1 { 'a' } else { 'b' };
            s.done(prober, "2.0");
            // Both nodes encode. The first job's encode fails on its node, which it avoids from then on.
            s.fail('a', "1.1", FailureCode::NodeUnfit);
            s.wait(2_000);
            s.submit(encode(1));
        },
        |s| {
            let prober =
                if s.world.workers[&crate::support::tell::worker('a')].held.is_empty() { 'b' } else { 'a' };
            s.done(prober, "3.0");
        },
        &["collect #1-5 on a", "start j3.1 #1-6 on a"],
    );
}

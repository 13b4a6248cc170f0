//! Streaming sets: chunks on any node, the package when all is there, nothing left in staging.

use rushes_shared::artifact::Location;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::ladder::ChunkRange;
use rushes_shared::task::{StreamWork, TaskKind, TaskWork};

use crate::support::samples::{audio_only, stream, stream_of_means, stream_of_scenes};
use crate::support::scene::{Scene, check};
use crate::support::tell;

/// Task 0 is the probe, 1 the sound, 2 the stills, 3 to 7 are the chunks, 8 is the package.
const CHUNKS: std::ops::Range<u32> = 3..8;

/// Does tasks until none of these is left, wherever they run.
fn work_off(s: &mut Scene, tasks: std::ops::Range<u32>) {
    for index in tasks {
        let task = format!("1.{index}");
        let runner = s.runner(&task);
        s.done(runner, &task);
    }
}

fn all_but_the_package(s: &mut Scene) {
    s.join("ab");
    s.submit(stream());
    let first = s.runner("1.0");
    s.done(first, "1.0");
    work_off(s, 1..3);
    work_off(s, CHUNKS);
}

#[test]
fn chunks_run_on_all_nodes_and_the_package_comes_last_and_sweeps() {
    let scene = check(
        |s| {
            s.join("ab");
            s.submit(stream());
            let first = s.runner("1.0");
            s.done(first, "1.0");
            work_off(s, 1..3);
            assert_ne!(s.runner("1.3"), s.runner("1.4"), "one on each node");
            work_off(s, CHUNKS);
            let task = tell::task("1.8");
            let held = s.world.workers[&tell::worker(s.runner("1.8"))].held.values();
            let order = &held.into_iter().find(|h| h.order.task == task).expect("it runs").order;
            let TaskWork::Stream { work, .. } = &order.work else { panic!("{order:?}") };
            let StreamWork::Package(package) = &**work else { panic!("{work:?}") };
            assert_eq!((package.chunks.len(), package.frames), (5, 1250));
            assert_eq!(work.parts().count(), 7, "sound, stills and chunks");
        },
        |s| {
            let runner = s.runner("1.8");
            s.done(runner, "1.8");
        },
        &[
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7 #1-8",
            "publish j1/0 from #1-9",
            "collect #1-9 on b",
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7 #1-8",
            "j1 succeeded",
        ],
    );
    let place = Location::Set(TenantId::default_tenant(), JobId(1));
    assert_eq!(scene.world.depot.published.keys().collect::<Vec<_>>(), [&place]);
    assert!(scene.world.depot.staged.is_empty());
}

#[test]
fn what_was_made_before_a_crash_is_packaged_after_it() {
    let scene = check(
        |s| {
            all_but_the_package(s);
            s.crash();
            s.start();
        },
        |s| {
            s.connect('a');
            s.connect('b');
            let runner = s.runner("1.8");
            s.done(runner, "1.8");
        },
        &[
            "welcome a",
            "welcome b",
            "attach j1.8 #1-9 on b",
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7 #1-8",
            "publish j1/0 from #1-9",
            "collect #1-9 on b",
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7 #1-8",
            "j1 succeeded",
        ],
    );
    assert_eq!(scene.starts(TaskKind::Chunk), 5, "no chunk was made twice");
    assert_eq!(scene.starts(TaskKind::Package), 1);
}

#[test]
fn parts_that_a_crash_kept_from_being_dropped_are_dropped_after_it() {
    let scene = check(
        |s| {
            all_but_the_package(s);
            let runner = tell::worker(s.runner("1.8"));
            let attempt = s.attempt(s.runner("1.8"), "1.8");
            let order = &s.world.workers[&runner].held[&attempt].order;
            let value = crate::support::samples::value_of(order, &s.source);
            let usage = rushes_shared::task::Usage::default();
            let outcome = rushes_shared::task::TaskOutcome::Succeeded { value, usage };
            s.world.end(runner, attempt, outcome, true);
            s.world.deliver_up(0);
            // The record is on the disk, but nobody was told: neither the depot nor the worker.
            s.world.crash(usize::MAX, false);
            assert_eq!(s.world.depot.staged.len(), 8);
            s.start();
        },
        |s| s.connect('b'),
        &["welcome b, give up #1-9", "drop #1-9"],
    );
    assert!(scene.world.depot.staged.is_empty(), "{:?}", scene.world.depot.staged);
    assert_eq!(scene.world.depot.published.len(), 1);
}

#[test]
fn a_chunk_that_fails_for_good_ends_the_job_and_leaves_nothing() {
    let scene = check(
        |s| {
            s.join("ab");
            s.submit(stream());
            work_off(s, 0..4);
            assert_eq!((s.runner("1.4"), s.runner("1.5")), ('a', 'b'), "one fails while the other runs");
        },
        |s| s.fail('a', "1.4", FailureCode::InputDamaged),
        &[
            "drop #1-5",
            "j1.4 failed on a: input_damaged, given up",
            "cancel #1-6 on b",
            "drop #1-2 #1-3 #1-4 #1-6",
            "j1 failed: input_damaged",
            "collect #1-5 on a",
            "collect #1-6 on b",
            "drop #1-6",
        ],
    );
    assert!(scene.world.depot.staged.is_empty());
}

#[test]
fn a_film_without_a_picture_is_refused_once_it_is_known() {
    check(
        |s| {
            s.source = audio_only();
            s.join("a");
            s.submit(stream());
        },
        |s| s.done('a', "1.0"),
        &["j1 failed: stream_missing", "collect #1-1 on a"],
    );
}

/// Ranges of the chunks that run, in the order of tasks.
fn ranges(s: &Scene, tasks: std::ops::Range<u32>) -> Vec<(ChunkRange, Vec<u64>)> {
    let order = |index: u32| {
        let task = tell::task(&format!("1.{index}"));
        let orders = s.world.workers.values().flat_map(|worker| worker.held.values());
        let held = orders.into_iter().find(|held| held.order.task == task).expect("it runs");
        let TaskWork::Stream { work, .. } = &held.order.work else { panic!("{held:?}") };
        let StreamWork::CutChunk { range, cuts, .. } = &**work else { panic!("{work:?}") };
        (*range, cuts.clone())
    };
    tasks.map(order).collect()
}

/// Task 0 is the probe, 1 the sound, 2 the stills, 3 to 7 are the scans, 8 to 12 the chunks, 13 is the package.
#[test]
fn chunks_that_begin_at_cuts_wait_for_every_scan_and_are_the_same_after_a_crash() {
    let scene = check(
        |s| {
            s.join("ab");
            s.submit(stream_of_scenes());
            let first = s.runner("1.0");
            s.done(first, "1.0");
            work_off(s, 1..7);
            assert_eq!(s.starts(TaskKind::Chunk), 0, "one scan is missing");
            work_off(s, 7..8);
            let before = ranges(s, 8..10);
            // The cut lies 0.4 s behind the line of the grid.
            let [(first, _), (second, _)] = &before[..] else { panic!("{before:?}") };
            assert_eq!((first.start_ns, first.end_ns), (0, Some(second.start_ns)));
            assert!((2_300_000_000..2_400_000_000).contains(&second.start_ns), "{before:?}");
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
            assert_eq!(ranges(s, 8..10), before);
        },
        |s| {
            work_off(s, 8..13);
            let runner = s.runner("1.13");
            s.done(runner, "1.13");
        },
        &[
            "collect #1-9 on b",
            "start j1.10 #2-1 on b",
            "collect #1-10 on a",
            "start j1.11 #2-2 on a",
            "collect #2-1 on b",
            "start j1.12 #2-3 on b",
            "collect #2-2 on a",
            "collect #2-3 on b",
            "start j1.13 #2-4 on b",
            "drop #1-2 #1-3 #1-9 #1-10 #2-1 #2-2 #2-3",
            "publish j1/0 from #2-4",
            "collect #2-4 on b",
            "drop #1-2 #1-3 #1-9 #1-10 #2-1 #2-2 #2-3",
            "j1 succeeded",
        ],
    );
    assert_eq!(scene.starts(TaskKind::Scan), 5, "nothing was looked at twice");
    assert_eq!(scene.starts(TaskKind::Chunk), 5);
}

/// What each rung has of the film's bits in chunks that run.
fn shares(s: &Scene, tasks: std::ops::Range<u32>) -> Vec<Vec<u64>> {
    let order = |index: u32| {
        let task = tell::task(&format!("1.{index}"));
        let orders = s.world.workers.values().flat_map(|worker| worker.held.values());
        let held = orders.into_iter().find(|held| held.order.task == task).expect("it runs");
        let TaskWork::Stream { work, .. } = &held.order.work else { panic!("{held:?}") };
        let StreamWork::MeanChunk { bits, rungs, .. } = &**work else { panic!("{work:?}") };
        assert_eq!(bits.len(), rungs.len());
        bits.clone()
    };
    tasks.map(order).collect()
}

/// Task 0 is the probe, 1 the sound, 2 the stills, 3 to 7 are the scans, 8 to 12 the chunks, 13 is the package.
#[test]
fn chunks_share_a_mean_rate_by_what_the_scans_say_and_the_same_way_after_a_crash() {
    check(
        |s| {
            s.join("ab");
            s.submit(stream_of_means());
            let first = s.runner("1.0");
            s.done(first, "1.0");
            work_off(s, 1..8);
            let before = shares(s, 8..10);
            assert!(before[0][0] < before[1][0], "the later, the harder: {before:?}");
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
            assert_eq!(shares(s, 8..10), before);
            let mut all = before;
            for index in 8..13 {
                if index > 9 {
                    all.extend(shares(s, index..index + 1));
                }
                work_off(s, index..index + 1);
            }
            let sum: u64 = all.iter().map(|bits| bits[0]).sum();
            assert_eq!(sum, 2_000_000 * 10, "the largest rung's bits of ten seconds");
            assert_eq!(s.starts(TaskKind::Scan), 5, "nothing was looked at twice");
        },
        |_| (),
        &[],
    );
}

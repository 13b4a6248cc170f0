//! Outputs of long films: pieces on any node, the join when all are there, nothing left in staging.

use rushes_shared::job::{QualityFloor, Work};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{TaskKind, TaskWork};

use crate::support::samples::{encode, facts};
use crate::support::scene::{Scene, check};
use crate::support::tell;

/// Task 0 is the probe, 1 to 6 are the pieces, 7 is the join.
const PIECES: std::ops::Range<u32> = 1..7;

/// A film of a minute with an index, small enough that a node has room for several pieces.
fn minute() -> MediaFacts {
    let mut film = facts(640, 360);
    film.seekable = true;
    (film.duration_ns, film.video[0].duration_ns, film.video[0].frames) =
        (60_000_000_000, 60_000_000_000, 1_500);
    film
}

fn probed(s: &mut Scene) {
    s.source = minute();
    s.join("ab");
    s.submit(encode(1));
    let first = s.runner("1.0");
    s.done(first, "1.0");
}

fn all_pieces(s: &mut Scene) {
    probed(s);
    for index in PIECES {
        let task = format!("1.{index}");
        let runner = s.runner(&task);
        s.done(runner, &task);
    }
}

#[test]
fn pieces_run_on_all_nodes_and_the_join_comes_last_and_sweeps() {
    let scene = check(
        |s| {
            probed(s);
            let runners: std::collections::BTreeSet<char> =
                (1..7).map(|n| s.runner(&format!("1.{n}"))).collect();
            assert_eq!(runners.len(), 2, "both nodes work on the film");
            for index in PIECES {
                let task = format!("1.{index}");
                let runner = s.runner(&task);
                s.done(runner, &task);
            }
            let task = tell::task("1.7");
            let held = s.world.workers[&tell::worker(s.runner("1.7"))].held.values();
            let order = &held.into_iter().find(|h| h.order.task == task).expect("it runs").order;
            let TaskWork::Join(work) = &order.work else { panic!("{order:?}") };
            assert_eq!((work.pieces.len(), work.frames), (6, 1_500));
            assert_eq!(order.work.parts().count(), 6);
        },
        |s| {
            let runner = s.runner("1.7");
            s.done(runner, "1.7");
        },
        &[
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7",
            "publish j1/0 from #1-8",
            "collect #1-8 on b",
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7",
            "j1 succeeded",
        ],
    );
    assert!(scene.world.depot.staged.is_empty(), "{:?}", scene.world.depot.staged);
}

#[test]
fn what_was_made_before_a_crash_is_joined_after_it() {
    let scene = check(
        |s| {
            all_pieces(s);
            s.crash();
            s.start();
            s.connect('a');
            s.connect('b');
        },
        |s| {
            let runner = s.runner("1.7");
            s.done(runner, "1.7");
        },
        &[
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7",
            "publish j1/0 from #1-8",
            "collect #1-8 on b",
            "drop #1-2 #1-3 #1-4 #1-5 #1-6 #1-7",
            "j1 succeeded",
        ],
    );
    assert_eq!(scene.starts(TaskKind::Chunk), 6, "no piece was made twice");
}

#[test]
fn a_canceled_job_leaves_no_piece_behind() {
    let scene = check(
        |s| {
            probed(s);
            let runner = s.runner("1.1");
            s.done(runner, "1.1");
            s.cancel(1);
        },
        |_| (),
        &[],
    );
    assert!(scene.world.depot.staged.is_empty(), "{:?}", scene.world.depot.staged);
}

/// How many tasks a job has once its film was probed.
fn tasks(prepare: impl Fn(&mut Scene)) -> usize {
    let probed = |s: &mut Scene| {
        prepare(s);
        let first = s.runner("1.0");
        s.done(first, "1.0");
    };
    let scene = check(probed, |_| (), &[]);
    scene.world.engine().state().jobs[&rushes_shared::id::JobId(1)].stages.len()
}

#[test]
fn one_node_makes_an_output_whole_and_so_does_a_job_that_may_give_up_quality() {
    let with = |nodes: &'static str, change: &dyn Fn(&mut rushes_shared::job::JobSpec)| {
        tasks(|s| {
            s.source = minute();
            s.join(nodes);
            let mut spec = encode(1);
            change(&mut spec);
            s.submit(spec);
        })
    };
    assert_eq!(with("ab", &|_| ()), 3, "probe, pieces, join");
    assert_eq!(with("a", &|_| ()), 2);
    let floor = QualityFloor { one_pass: true, ..QualityFloor::default() };
    assert_eq!(with("ab", &|spec| spec.floor = floor), 2);
    let optional = |spec: &mut rushes_shared::job::JobSpec| {
        let Work::Encode { outputs, .. } = &mut spec.work else { panic!("an encode") };
        outputs[0].optional = true;
    };
    assert_eq!(with("ab", &optional), 2);
}

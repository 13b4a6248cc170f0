//! Probes of many files: a batch a task, only where workers know them, each batch's findings published as it ends.

use rushes_shared::artifact::Location;
use rushes_shared::id::JobId;
use rushes_shared::job::{JobSpec, Work};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::TaskWork;
use rushes_shared::view::FilesView;
use rushes_shared::wire::{EXTRACT_ALPN, WireVersion};

use crate::support::samples::{node, spec};
use crate::support::scene::{Scene, check};
use crate::support::tell;

fn files(count: usize) -> Vec<Location> {
    (0..count).map(|n| format!("/in/{n}.mov").parse().expect("a path")).collect()
}

fn many(count: usize) -> JobSpec {
    spec(Work::Probes { inputs: files(count), batch: 2 })
}

#[test]
fn each_task_reads_its_batch_and_the_job_counts_files() {
    let scene = check(
        |s| {
            s.join("a");
            s.submit(many(5));
            s.done('a', "1.0");
            s.done('a', "1.1");
            let task = tell::task("1.2");
            let held = s.world.workers[&tell::worker('a')].held.values();
            let order = &held.into_iter().find(|h| h.order.task == task).expect("it runs").order;
            let TaskWork::Probes { inputs, output } = &order.work else { panic!("{order:?}") };
            let inputs: Vec<_> = inputs.iter().map(|input| input.location.clone()).collect();
            assert_eq!(inputs, files(5)[4..], "the last one has what is left");
            assert_eq!(output.as_str(), "facts-00002.ndjson");
            let job = &s.world.engine().state().jobs[&JobId(1)];
            assert_eq!(job.files(), Some(FilesView { all: 5, read: 2, failed: 2 }));
        },
        |s| s.done('a', "1.2"),
        &["publish j1/2 from #1-3", "collect #1-3 on a", "j1 succeeded"],
    );
    assert_eq!(scene.world.depot.published.len(), 3);
    assert!(scene.world.depot.staged.is_empty());
}

#[test]
fn older_workers_are_not_sent_them() {
    let older = |s: &mut Scene| {
        s.join_as('a', NodeFacts { wire: WireVersion::of(Some(EXTRACT_ALPN)), ..node("a") });
    };
    check(older, |s| s.submit(many(2)), &["accepted j1"]);
}

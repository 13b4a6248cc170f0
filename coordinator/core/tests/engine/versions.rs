//! Farms whose workers are not all of one version: nobody gets an order that it would not understand.

use rushes_core::explain::Waiting;
use rushes_shared::encode::Container;
use rushes_shared::id::JobId;
use rushes_shared::job::{JobSpec, Work};
use rushes_shared::node::NodeFacts;
use rushes_shared::wire::{AHEAD_ALPN, TRIAL_ALPN, WireVersion};

use crate::support::samples::{encode, node, noop, spec};
use crate::support::scene::{Scene, check};
use crate::support::tell;

/// A worker of a version that was made before trials and before formats.
fn join_old(s: &mut Scene, name: char) {
    s.join_as(name, NodeFacts { wire: WireVersion::of(Some(AHEAD_ALPN)), ..node(&name.to_string()) });
}

fn trials(tasks: u32) -> JobSpec {
    spec(Work::Trial { tasks })
}

fn waits(s: &Scene, job: u128) -> Vec<(u32, Waiting)> {
    let explained = s.world.engine().explain(s.world.now, JobId(job)).expect("a live job");
    explained.waits.into_iter().map(|w| (w.tasks, w.why)).collect()
}

#[test]
fn trials_go_to_the_workers_that_know_them_and_the_others_do_the_rest() {
    check(
        |s| {
            join_old(s, 'a');
            s.join("b");
        },
        |s| {
            s.submit(trials(3));
            s.submit(noop(2));
            s.done('b', "1.0");
        },
        &[
            "accepted j1",
            "start j1.0 #1-1 on b",
            "start j1.1 #1-2 on b",
            "accepted j2",
            "start j2.0 #1-3 on a",
            "start j2.1 #1-4 on a",
            "collect #1-1 on b",
            "start j1.2 #1-5 on b",
        ],
    );
}

#[test]
fn work_that_no_worker_knows_waits_for_an_update_and_says_so() {
    let mut scene = check(|s| join_old(s, 'a'), |s| s.submit(trials(1)), &["accepted j1"]);
    assert_eq!(waits(&scene, 1), [(1, Waiting::OldNodes)]);
    scene.world.trace.clear();
    scene.restart('a');
    let updated = tell::worker('a');
    scene.world.workers.get_mut(&updated).expect("it was there").facts.wire =
        WireVersion::of(Some(TRIAL_ALPN));
    scene.connect('a');
    assert_eq!(scene.world.trace, ["welcome a", "start j1.0 #1-1 on a"]);
}

#[test]
fn a_format_goes_to_a_worker_that_can_write_it_though_another_has_the_input() {
    let mut mixed = encode(1);
    let Work::Encode { outputs, .. } = &mut mixed.work else { unreachable!("it is an encode") };
    outputs[0].settings.container = Container::Mkv;
    check(
        |s| {
            join_old(s, 'a');
            s.submit(mixed);
            s.join("b");
        },
        |s| s.done('a', "1.0"),
        &["collect #1-1 on a", "start j1.1 #1-2 on b"],
    );
}

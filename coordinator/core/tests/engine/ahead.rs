//! What waits on workers keeps nobody else waiting: neither emergencies nor what is more urgent nor rooms elsewhere, and
//! what is told and promised of it is what is true of it.

use rushes_core::event::{Event, ReplyTo};
use rushes_core::state::TenantLimits;
use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobChange, JobSpec, Needs};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::AheadOffer;

use crate::support::samples::{graph, in_class, node, stage};
use crate::support::scene::{Scene, check};
use crate::support::tell;
use crate::support::world::Ask;

const MINUTE: u32 = 60_000;
const HOUR: u32 = 60 * MINUTE;

/// A worker with so many cores connects that holds so many tasks ahead, for each core as many as take a minute.
fn join_deep(s: &mut Scene, name: char, cores: u32, lane: u32) {
    let worker = tell::worker(name);
    let facts = NodeFacts { cpu: Millicores(cores * 1_000), light_slots: 1, ..node(&name.to_string()) };
    s.world.add_worker(worker, facts);
    let round_trip_ms = if lane > 1 { MINUTE } else { 20 };
    let offer = AheadOffer { process: 1, lane, round_trip_ms };
    s.world.workers.get_mut(&worker).expect("just added").offer = Some(offer);
    s.connect(name);
}

/// A worker with so many cores that holds one task ahead.
fn join(s: &mut Scene, name: char, cores: u32) {
    join_deep(s, name, cores, 1);
}

/// A job of such tasks.
fn tasks(count: u32, cores: u32, hold_ms: u32) -> JobSpec {
    let mut stage = stage("work", SlotKind::Encode, count, hold_ms, &[]);
    stage.demand.cpu = Millicores(cores * 1_000);
    graph(vec![stage])
}

/// A farm after this.
fn scene(given: impl FnOnce(&mut Scene)) -> Scene {
    check(given, |_| {}, &[])
}

fn seen(s: &Scene, begin: &str) -> Vec<String> {
    s.world.trace.iter().filter(|line| line.starts_with(begin)).cloned().collect()
}

/// When a job should be done, in milliseconds from now.
fn expected_in(s: &Scene, job: u128) -> u64 {
    let explained = s.world.engine().explain(s.world.now, JobId(job)).expect("it lives");
    let at = explained.forecast.expected_finish.expect("there is a worker");
    at.0 - s.world.now.wall.0
}

#[test]
fn an_emergency_begins_after_one_task_was_stopped_for_it() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(1, 1, MINUTE));
        s.submit(tasks(1, 1, MINUTE));
    });
    let mut stage = stage("now", SlotKind::Encode, 1, MINUTE, &[]);
    stage.demand.memory = Bytes(1 << 30);
    s.submit(in_class(graph(vec![stage]), Class::Emergency));
    assert!(s.runs('a', "3.0"), "{:?}", s.world.trace);
    assert_eq!(seen(&s, "cancel").len(), 1, "{:?}", s.world.trace);
}

#[test]
fn what_waits_on_a_worker_is_still_to_be_done_in_what_is_expected_of_others() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(2, 1, MINUTE));
        s.submit(tasks(1, 1, MINUTE));
    });
    assert_eq!(expected_in(&s, 2), 120_000, "one task waits before it");
    s.done('a', "1.0");
    assert_eq!(expected_in(&s, 2), 60_000, "it runs now");
}

#[test]
fn a_task_that_waits_on_a_worker_comes_no_further_by_that() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(1, 1, HOUR));
        s.submit(tasks(1, 1, MINUTE));
    });
    s.wait(50_000);
    assert_eq!(expected_in(&s, 2), 60_000);
}

#[test]
fn the_more_urgent_comes_back_from_a_busy_worker_before_others_begin_elsewhere() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(1, 1, HOUR));
        s.submit(in_class(tasks(1, 1, MINUTE), Class::Premium));
        s.submit(in_class(tasks(4, 1, MINUTE), Class::Bulk));
    });
    join(&mut s, 'b', 1);
    assert!(s.runs('b', "2.0"), "{:?}", s.world.trace);
}

#[test]
fn a_tenant_at_its_cap_gets_what_waits_on_one_worker_started_on_another() {
    let mut s = scene(|s| {
        let limits = TenantLimits { max_running: 2, ..TenantLimits::default() };
        let tenant = TenantId::default_tenant();
        s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant, limits });
        join(s, 'a', 1);
        s.submit(tasks(3, 1, HOUR));
    });
    join(&mut s, 'b', 1);
    assert!(s.runs('b', "1.1"), "{:?}", s.world.trace);
}

#[test]
fn tasks_go_ahead_to_where_room_opens_first_and_wait_in_the_queue_for_it() {
    check(
        |s| {
            join(s, 'a', 1);
            s.submit(tasks(1, 1, HOUR));
            join(s, 'b', 1);
            s.submit(tasks(1, 1, MINUTE));
        },
        |s| {
            s.submit(tasks(1, 1, MINUTE));
            s.submit(tasks(1, 1, MINUTE));
        },
        &["accepted j3", "start j3.0 #1-3 on b", "accepted j4"],
    );
}

#[test]
fn a_smaller_task_passes_what_waits_on_a_worker_only_once_that_is_back() {
    let s = check(
        |s| {
            join(s, 'a', 4);
            s.submit(tasks(1, 3, MINUTE));
            s.submit(tasks(1, 3, MINUTE));
        },
        |s| s.submit(tasks(1, 1, MINUTE / 6)),
        &["accepted j3", "recall #1-2 on a", "start j3.0 #1-3 on a"],
    );
    assert!(s.runs('a', "1.0") && s.runs('a', "3.0"));
    assert_eq!(s.world.engine().workers()[0].running.len(), 2);
}

#[test]
fn the_engine_follows_what_begins_when_what_waited_before_it_is_given_back() {
    let mut s = scene(|s| {
        join_deep(s, 'a', 4, 2);
        s.submit(tasks(1, 3, MINUTE));
        s.submit(tasks(1, 3, MINUTE));
    });
    s.world.submit(Ask::of(tasks(1, 1, MINUTE / 6)));
    s.world.confirm(usize::MAX);
    while !s.world.down.is_empty() {
        s.world.deliver_down(0);
    }
    assert!(s.runs('a', "3.0"), "{:?}", s.world.trace);
    let is_recall = |up: &crate::support::world::Up| matches!(up.event, Event::TaskRecalled { .. });
    let at = s.world.up.iter().position(is_recall).expect("it is given back");
    s.world.deliver_up(at);
    assert_eq!(s.world.engine().workers()[0].running.len(), 2, "before its worker says so");
    s.rest();
}

#[test]
fn a_start_that_was_taken_back_is_charged_to_nobody() {
    let tenant = |name: &str| name.parse::<TenantId>().expect("a valid name");
    let of = |name: &str| Ask { tenant: tenant(name), ..Ask::of(tasks(2, 1, MINUTE)) };
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(1, 1, MINUTE));
        s.ask(of("first"));
        s.ask(of("second"));
    });
    let paused = |on| JobChange { paused: Some(on), ..JobChange::default() };
    s.amend(2, paused(true));
    s.amend(2, paused(false));
    s.done('a', "1.0");
    s.done('a', "3.0");
    let starts: Vec<String> = seen(&s, "start").iter().map(|l| l[6..10].to_owned()).collect();
    assert_eq!(starts, ["j3.0", "j2.0", "j2.1"], "each has had one when the first gets its second");
}

/// Nothing of it waits on a worker, as a limit is counted where a task starts. Nothing is started from the queue either
/// while workers go on with what they hold.
#[test]
fn what_holds_a_limit_is_not_overtaken_for_ever_by_what_waits_on_workers() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.set_limit("dolby", Some(2));
        s.submit(tasks(20, 1, MINUTE));
        let needs = Needs { limits: [("dolby".to_owned(), 1)].into(), ..Needs::default() };
        s.submit(in_class(JobSpec { needs: Some(Box::new(needs)), ..tasks(1, 1, MINUTE) }, Class::Premium));
    });
    for task in ["1.0", "1.1"] {
        assert!(s.runs('a', task), "{task} was there before: {:#?}", s.world.trace);
        s.done('a', task);
    }
    assert!(s.runs('a', "2.0"), "{:#?}", s.world.trace);
}

#[test]
fn what_has_failed_is_not_overtaken_for_ever_by_what_waits_on_workers() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        let mut large = stage("large", SlotKind::Encode, 1, MINUTE, &[]);
        large.demand = Demand { cpu: Millicores(1_000), memory: Bytes(1 << 30) };
        s.submit(in_class(graph(vec![large]), Class::Premium));
        s.submit(tasks(20, 1, MINUTE));
        s.fail('a', "1.0", FailureCode::TransferFailed);
    });
    // What waits beside room is not seen by what is started from the queue.
    s.wait(u64::from(MINUTE));
    for other in 0..3 {
        if s.runs('a', "1.0") {
            return;
        }
        s.done('a', &format!("2.{other}"));
    }
    assert!(s.runs('a', "1.0"), "{:#?}", s.world.trace);
}

/// Two nodes; the task avoids the one on which it has failed.
#[test]
fn what_waits_for_another_node_gets_room_there_though_that_is_sent_tasks_ahead() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(1, 1, MINUTE));
        s.fail('a', "1.0", FailureCode::NodeUnfit);
        join(s, 'b', 1);
        s.submit(tasks(40, 1, MINUTE));
    });
    for _ in 0..6 {
        s.wait(u64::from(MINUTE));
        for name in ['a', 'b'] {
            if s.runs(name, "1.0") {
                assert_eq!(name, 'b');
                return;
            }
            let other = (0..40).map(|n| format!("2.{n}")).find(|task| s.runs(name, task));
            if let Some(task) = other {
                s.done(name, &task);
            }
        }
    }
    panic!("it never got its turn: {:#?}", s.world.trace);
}

#[test]
fn what_was_sent_to_workers_comes_back_when_its_tenant_may_run_less() {
    let mut s = scene(|s| {
        join(s, 'a', 1);
        s.submit(tasks(3, 1, MINUTE));
    });
    let limits = TenantLimits { max_running: 0, ..TenantLimits::default() };
    let tenant = TenantId::default_tenant();
    s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant, limits });
    assert_eq!(seen(&s, "recall").len(), 1, "{:#?}", s.world.trace);
    s.done('a', "1.0");
    assert!(!s.runs('a', "1.1") && !s.runs('a', "1.2"), "{:#?}", s.world.trace);
}

//! What gates count: what runs behind them and for how long, in how many rounds tasks pass, what tasks that hold several
//! units leave over, and who has nothing left to pass.

use rushes_core::event::{Event, LateBy};
use rushes_core::policy::Policy;
use rushes_core::promise::Barred;
use rushes_core::state::TenantLimits;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobSpec, Needs, QualityFloor};
use rushes_shared::task::SlotKind;

use super::{
    answer, barred, cap, due, exact, explain, join_tagged, late, licensed, needing, on_gpu, one, scene,
};
use crate::support::samples::{graph, in_class, node, stage, with_priority};
use crate::support::scene::check_with;
use crate::support::tell;

fn many(tasks: u32, seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, tasks, seconds * 1_000, &[])])
}

fn holding(units: u32, spec: JobSpec) -> JobSpec {
    needing(spec, Needs { limits: [("dolby".to_owned(), units)].into(), ..Needs::default() })
}

#[test]
fn a_node_with_a_tag_that_is_idle_takes_a_promise_whatever_the_others_do() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 16);
        s.submit(many(16, 1_000));
        join_tagged(s, 'g', 1, &["gpu"]);
    });
    assert_eq!(answer(&mut s, due(200, on_gpu(one(100)))), "can be kept");
    s.submit(due(200, on_gpu(one(100))));
    assert_eq!(late(&s, 2), None);
    assert!(s.runs('g', "2.0"));
}

#[test]
fn a_node_with_a_tag_that_is_busy_for_long_takes_no_promise_whatever_the_others_could_do() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 16);
        join_tagged(s, 'g', 1, &["gpu"]);
        s.submit(on_gpu(one(1_000)));
    });
    assert!(s.runs('g', "1.0"));
    assert_eq!(answer(&mut s, due(200, on_gpu(one(100)))), "cannot be kept");
    assert_eq!(answer(&mut s, due(1_200, on_gpu(one(100)))), "can be kept");
}

#[test]
fn what_has_nothing_left_to_pass_is_not_late_because_nothing_passes_any_more() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 4);
        s.set_limit("dolby", Some(2));
        s.submit(due(200, licensed(one(100))));
    });
    s.set_limit("dolby", Some(0));
    cap(&mut s, 0);
    s.wait(50_000);
    assert_eq!((late(&s, 1), barred(&s, 1)), (None, None));
    assert!(explain(&s, 1).forecast.expected_finish.is_some(), "its task runs");
    s.submit(due(200, one(10)));
    assert_eq!((late(&s, 2), barred(&s, 2)), (Some(LateBy::TenantCap), Some(Barred::TenantCap)));
}

#[test]
fn a_promise_that_takes_nothing_more_of_a_limit_is_not_given_up_for_those_that_do() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(2));
        s.submit(due(150, in_class(licensed(one(100)), Class::Bulk)));
        s.submit(licensed(one(100)));
        s.submit(due(150, in_class(licensed(one(45)), Class::Premium)));
    });
    assert_eq!([1, 3].map(|job| late(&s, job)), [None; 2]);
    s.wait(10_000);
    s.set_limit("dolby", Some(1));
    assert_eq!(late(&s, 1), None, "it runs, and is done in time");
}

#[test]
fn tasks_of_a_job_pass_a_limit_in_rounds() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(2));
    });
    assert_eq!(answer(&mut s, due(160, licensed(many(3, 100)))), "cannot be kept");
    assert_eq!(answer(&mut s, due(210, licensed(many(3, 100)))), "can be kept");
    s.submit(due(160, licensed(many(3, 100))));
    assert_eq!(late(&s, 1), Some(LateBy::Limit), "two at once, and then the third");
}

#[test]
fn more_that_run_than_a_limit_now_is_are_not_counted_in_rounds() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(3));
        s.submit(due(160, licensed(many(3, 100))));
    });
    s.wait(50_000);
    s.set_limit("dolby", Some(1));
    s.wait(20_000);
    assert_eq!(late(&s, 1), None);
}

#[test]
fn units_that_are_left_over_are_no_room() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(3));
        s.submit(holding(2, one(1)));
        s.submit(due(150, holding(2, one(100))));
    });
    let second = due(150, holding(2, one(100)));
    assert_eq!(answer(&mut s, second.clone()), "cannot be kept");
    s.submit(second);
    assert_eq!((late(&s, 2), late(&s, 3)), (None, Some(LateBy::Limit)));
    assert_eq!(answer(&mut s, due(310, holding(2, one(100)))), "can be kept");
}

#[test]
fn what_runs_at_once_above_a_limit_that_was_lowered_ends_at_once() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(4));
        (0..4).for_each(|_| s.submit(licensed(one(100))));
        s.submit(due(120, licensed(one(10))));
    });
    s.set_limit("dolby", Some(1));
    assert_eq!(late(&s, 5), None, "all four are done after a hundred seconds");
}

#[test]
fn the_first_dry_run_of_a_tenant_knows_of_its_cap() {
    let tenant = TenantLimits { max_running: 1, ..TenantLimits::default() };
    let mut s = check_with(Policy { tenant, ..exact() }, |s| s.join_with_cores('a', 8), |_| {}, &[]);
    let spec = due(150, many(2, 100));
    assert_eq!(answer(&mut s, spec.clone()), "cannot be kept");
    s.submit(spec);
    assert_eq!(late(&s, 1), Some(LateBy::TenantCap));
}

/// It would take the place of the cheap one behind the limit; the farm has none for it all the same.
#[test]
fn nobody_yields_at_a_gate_to_a_promise_that_the_farm_cannot_keep() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 2);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(1)));
        s.submit(one(1));
        s.submit(due(125, licensed(with_priority(one(100), 10))));
        s.submit(due(125, with_priority(many(2, 70), 100)));
    });
    assert_eq!([3, 4].map(|job| late(&s, job)), [None; 2]);
    let dear = due(125, licensed(with_priority(one(115), 90)));
    assert_eq!(answer(&mut s, dear.clone()), "cannot be kept");
    s.submit(dear);
    assert!(late(&s, 5).is_some());
    assert_eq!(late(&s, 3), None, "it would have yielded in vain");
    assert_eq!(late(&s, 4), None);
}

#[test]
fn of_those_that_could_yield_at_a_gate_only_those_do_whose_loss_helps() {
    let s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(1)));
        s.submit(due(115, in_class(licensed(one(1)), Class::Bulk)));
        s.submit(due(120, licensed(one(100))));
        s.submit(due(120, in_class(licensed(one(100)), Class::Premium)));
    });
    let given_up = Some(LateBy::Other(JobId(4)));
    assert_eq!([2, 3, 4].map(|job| late(&s, job)), [None, given_up, None]);
}

#[test]
fn of_promises_behind_a_limit_that_is_lowered_only_those_are_late_whose_loss_helps() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(2));
        (0..2).for_each(|_| s.submit(licensed(one(1))));
        s.submit(due(115, in_class(licensed(one(1)), Class::Bulk)));
        s.submit(due(120, licensed(with_priority(one(100), 10))));
        s.submit(due(120, licensed(with_priority(one(100), 90))));
    });
    assert_eq!([3, 4, 5].map(|job| late(&s, job)), [None; 3]);
    s.set_limit("dolby", Some(1));
    assert_eq!([3, 4, 5].map(|job| late(&s, job)), [None, Some(LateBy::Limit), None]);
}

/// A licence that a long task without a deadline took would not come back in time.
#[test]
fn no_long_task_takes_the_only_unit_of_a_limit_that_a_promise_needs_before_it_is_done() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(30)));
        s.submit(due(700, licensed(one(60))));
        s.submit(in_class(licensed(one(1_000)), Class::Premium));
    });
    s.wait(30_000);
    s.done('a', "1.0");
    assert!(s.runs('a', "2.0"), "{:#?}", s.world.trace);
    assert_eq!(late(&s, 2), None);
}

#[test]
fn a_promise_is_given_again_that_passes_with_what_it_may_give_up() {
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let mut extra = stage("extra", SlotKind::Encode, 1, 100_000, &[]);
    extra.optional = true;
    let film = graph(vec![stage("main", SlotKind::Encode, 1, 100_000, &[]), extra]);
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(2));
        (0..2).for_each(|_| s.submit(licensed(one(1))));
        s.submit(JobSpec { floor, ..due(150, licensed(film)) });
    });
    s.set_limit("dolby", Some(0));
    assert_eq!(late(&s, 3), Some(LateBy::Limit));
    s.set_limit("dolby", Some(1));
    s.wait(100);
    assert_eq!(late(&s, 3), None, "without the extra it is done in time");
}

/// The path of the job alone would leave time for the extra again, at every look.
#[test]
fn what_was_given_up_to_pass_a_gate_is_not_taken_back_while_others_fill_it() {
    let floor = QualityFloor { drop_optional: true, ..QualityFloor::default() };
    let mut extra = stage("extra", SlotKind::Encode, 1, 100_000, &[]);
    extra.optional = true;
    let film = graph(vec![stage("main", SlotKind::Encode, 1, 50_000, &[]), extra]);
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(60)));
        s.submit(due(290, licensed(one(100))));
        s.submit(JobSpec { floor, ..due(290, licensed(film)) });
    });
    s.wait(50_000);
    assert_eq!([2, 3].map(|job| late(&s, job)), [None; 2]);
    let trades = &s.world.engine().state().jobs[&JobId(3)].trades;
    assert_eq!(trades.len(), 1, "{trades:?}");
    assert!(trades[0].undone.is_none());
}

#[test]
fn emergencies_behind_a_limit_are_promised_what_passes_it() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(1)));
        s.submit(due(150, in_class(licensed(one(100)), Class::Emergency)));
    });
    let second = due(150, in_class(licensed(one(100)), Class::Emergency));
    assert_eq!(answer(&mut s, second.clone()), "cannot be kept");
    s.submit(second);
    assert_eq!((late(&s, 2), late(&s, 3)), (None, Some(LateBy::Limit)));
}

#[test]
fn a_promise_whose_only_node_loses_its_tag_is_late_at_once() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 4);
        join_tagged(s, 'g', 1, &["gpu"]);
        s.submit(on_gpu(one(1)));
        s.submit(due(600, on_gpu(one(100))));
    });
    assert_eq!(late(&s, 2), None);
    let worker = tell::worker('g');
    let link = s.world.workers[&worker].link.expect("it is connected");
    s.tell(Event::FactsChanged { worker, link, facts: Box::new(node("g")) });
    assert_eq!(late(&s, 2), Some(LateBy::Nodes));
}

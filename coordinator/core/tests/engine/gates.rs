//! Promises through named limits, tenants' caps, nodes with tags: what does not fit through is said at once, with the cause,
//! and is kept again when there is room.

mod counts;

use rushes_core::event::{Event, FarmNews, LateBy, ReplyTo};
use rushes_core::explain::Explanation;
use rushes_core::placement::lack::{Lack, Shut};
use rushes_core::policy::{Policy, PromisePolicy};
use rushes_core::promise::Barred;
use rushes_core::state::TenantLimits;
use rushes_shared::id::{JobId, TenantId};
use rushes_shared::job::{Class, JobChange, JobSpec, Needs};
use rushes_shared::task::SlotKind;

use crate::support::samples::{NOW, graph, in_class, node, stage, with_deadline, with_priority};
use crate::support::scene::{Scene, check_with};

/// Promises may fill the farm, and tasks take what was predicted.
fn exact() -> Policy {
    let promise = PromisePolicy { load_permille: 1_000, p90_permille: 1_000, ..PromisePolicy::default() };
    Policy { promise, ..Policy::default() }
}

fn one(seconds: u32) -> JobSpec {
    graph(vec![stage("hold", SlotKind::Encode, 1, seconds * 1_000, &[])])
}

fn due(seconds: u64, spec: JobSpec) -> JobSpec {
    with_deadline(spec, NOW + seconds * 1_000)
}

fn needing(spec: JobSpec, needs: Needs) -> JobSpec {
    JobSpec { needs: Some(Box::new(needs)), ..spec }
}

fn licensed(spec: JobSpec) -> JobSpec {
    needing(spec, Needs { limits: [("dolby".to_owned(), 1)].into(), ..Needs::default() })
}

fn on_gpu(spec: JobSpec) -> JobSpec {
    needing(spec, Needs { tags: vec!["gpu".into()], ..Needs::default() })
}

fn in_pool(spec: JobSpec, pool: &str) -> JobSpec {
    needing(spec, Needs { pool: pool.into(), ..Needs::default() })
}

fn scene(setup: impl FnOnce(&mut Scene)) -> Scene {
    check_with(exact(), setup, |_| {}, &[])
}

fn join_tagged(s: &mut Scene, name: char, cores: u32, tags: &[&str]) {
    let mut facts = node(&name.to_string());
    facts.cpu.0 = cores * 1_000;
    facts.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    s.join_as(name, facts);
}

fn cap(s: &mut Scene, max_running: u32) {
    let limits = TenantLimits { max_running, ..TenantLimits::default() };
    s.tell(Event::TenantSetAsked { reply: ReplyTo(9_000), tenant: TenantId::default_tenant(), limits });
}

fn late(s: &Scene, job: u128) -> Option<LateBy> {
    s.world.engine().state().jobs[&JobId(job)].late.as_ref().map(|late| late.because)
}

fn explain(s: &Scene, job: u128) -> Explanation {
    s.world.engine().explain(s.world.now, JobId(job)).expect("it is live")
}

fn barred(s: &Scene, job: u128) -> Option<Barred> {
    explain(s, job).forecast.barred.map(|barred| *barred)
}

fn answer(s: &mut Scene, spec: JobSpec) -> String {
    s.dry_run(spec);
    s.world.trace.last().expect("an answer").clone()
}

fn told(s: &Scene, job: u128) -> String {
    let of_job = s.world.news.iter().filter(|n| n.job == Some(JobId(job)));
    let said = of_job.filter_map(|n| match &n.what {
        FarmNews::Decided(decision) => Some(decision.to_string()),
        _ => None,
    });
    said.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_limit_that_is_lowered_to_nothing_makes_its_promises_late_at_once_and_gives_them_back_when_it_is_raised()
{
    let mut s = scene(|s| {
        s.join_with_cores('a', 4);
        s.set_limit("dolby", Some(2));
        s.submit(licensed(one(50)));
        s.submit(licensed(one(50)));
        s.submit(due(600, licensed(one(50))));
        s.submit(due(600, one(50)));
    });
    assert_eq!((late(&s, 3), explain(&s, 3).forecast.can_keep), (None, Some(true)));
    s.set_limit("dolby", Some(0));
    assert_eq!((late(&s, 3), late(&s, 4)), (Some(LateBy::Limit), None));
    let forecast = explain(&s, 3).forecast;
    assert_eq!((forecast.can_keep, forecast.expected_finish), (Some(false), None));
    assert_eq!(barred(&s, 3), Some(Barred::Limit { name: "dolby".into(), most: 0, asked: 1 }));
    assert!(barred(&s, 3).expect("just seen").to_string().contains("'rushes limit set dolby N' raises it"));
    assert!(told(&s, 3).contains("its named limits") || told(&s, 3).contains("named limits leave no room"));
    assert!(!told(&s, 3).contains("584942"), "no year far away: {}", told(&s, 3));
    s.set_limit("dolby", Some(2));
    s.wait(100);
    assert_eq!((late(&s, 3), explain(&s, 3).forecast.can_keep), (None, Some(true)));
    assert!(explain(&s, 3).forecast.expected_finish.is_some());
}

#[test]
fn promises_behind_a_limit_are_counted_against_it_and_not_against_the_farm() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(1)));
        s.submit(due(250, licensed(one(100))));
        s.submit(due(250, licensed(one(100))));
    });
    assert_eq!((late(&s, 2), late(&s, 3)), (None, None));
    assert_eq!(answer(&mut s, due(250, licensed(one(100)))), "cannot be kept");
    assert_eq!(answer(&mut s, due(250, one(100))), "can be kept", "the farm has seven cores free");
    assert_eq!(answer(&mut s, due(400, licensed(one(100)))), "can be kept");
    s.submit(due(250, licensed(one(100))));
    assert_eq!(late(&s, 4), Some(LateBy::Limit));
    assert!(told(&s, 4).contains("named limits leave no room for it"), "{}", told(&s, 4));
    let at = explain(&s, 4).forecast.expected_finish.expect("it is done some day");
    assert!(at.0 >= NOW + 300_000, "three of them one by one: {at:?}");
}

#[test]
fn what_is_worth_more_takes_the_place_of_what_is_worth_less_behind_a_limit() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(1)));
        s.submit(due(120, licensed(with_priority(one(100), 10))));
    });
    let dear = due(120, licensed(with_priority(one(100), 90)));
    assert_eq!(answer(&mut s, dear.clone()), "can be kept");
    s.submit(dear);
    assert_eq!((late(&s, 2), late(&s, 3)), (Some(LateBy::Other(JobId(3))), None));
    let cheap = due(120, licensed(with_priority(one(100), 20)));
    assert_eq!(answer(&mut s, cheap), "cannot be kept");
}

#[test]
fn of_promises_behind_a_limit_that_is_lowered_the_ones_worth_least_are_late() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(4));
        (0..4).for_each(|_| s.submit(licensed(one(1))));
        for priority in [10, 70, 30, 50] {
            s.submit(due(110, licensed(with_priority(one(50), priority))));
        }
    });
    assert_eq!([5, 6, 7, 8].map(|job| late(&s, job)), [None; 4]);
    s.set_limit("dolby", Some(1));
    assert_eq!(
        [5, 6, 7, 8].map(|job| late(&s, job).is_some()),
        [true, false, true, false],
        "two of fifty seconds fit into the time that is left"
    );
}

/// The limit's holders without a deadline stand before it in class, and would make it late.
#[test]
fn a_promise_behind_a_limit_goes_ahead_in_time() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(in_class(licensed(one(30)), Class::Premium));
        s.submit(due(150, licensed(one(60))));
        (0..10).for_each(|_| s.submit(in_class(licensed(one(30)), Class::Premium)));
    });
    let mut job = 1;
    for _ in 0..4 {
        s.wait(30_000);
        s.done('a', &format!("{job}.0"));
        job = (2..13).find(|job| s.runs('a', &format!("{job}.0"))).expect("the next one runs");
        if job == 2 {
            break;
        }
    }
    assert_eq!((job, late(&s, 2)), (2, None), "{:#?}", s.world.trace);
}

#[test]
fn a_tenants_cap_counts_as_a_limit_and_can_be_lifted() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 8);
        cap(s, 1);
        s.submit(one(1));
        s.submit(due(120, one(100)));
    });
    assert_eq!(late(&s, 2), None);
    assert_eq!(answer(&mut s, due(120, one(100))), "cannot be kept");
    s.submit(due(220, one(100)));
    assert_eq!(late(&s, 3), None);
    cap(&mut s, 0);
    assert_eq!((late(&s, 2), late(&s, 3)), (Some(LateBy::TenantCap), Some(LateBy::TenantCap)));
    assert_eq!((barred(&s, 2), explain(&s, 2).forecast.expected_finish), (Some(Barred::TenantCap), None));
    assert!(told(&s, 2).contains("its tenant's cap"), "{}", told(&s, 2));
    cap(&mut s, 1_000_000);
    s.wait(100);
    assert_eq!((late(&s, 2), late(&s, 3)), (None, None));
    assert_eq!(answer(&mut s, due(120, one(50))), "can be kept");
}

#[test]
fn a_promise_that_only_few_nodes_can_do_is_judged_by_those() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 16);
        join_tagged(s, 'g', 1, &["gpu"]);
        s.submit(on_gpu(one(1)));
        s.submit(due(120, on_gpu(one(100))));
    });
    assert_eq!(late(&s, 2), None);
    assert_eq!(answer(&mut s, due(120, on_gpu(one(100)))), "cannot be kept");
    assert_eq!(answer(&mut s, due(120, one(50))), "can be kept");
    s.drain('g', true);
    let shut = Barred::Shut(Shut { drained: 1, ..Shut::default() });
    assert_eq!((barred(&s, 2), explain(&s, 2).forecast.expected_finish), (Some(shut), None));
    assert_eq!(late(&s, 2), Some(LateBy::Nodes), "nothing else can do it");
    s.drain('g', false);
    s.wait(100);
    assert_eq!(late(&s, 2), None);
}

#[test]
fn a_job_that_no_node_can_do_says_what_is_missing_and_is_late_until_one_comes() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 4);
        s.submit(due(600, on_gpu(one(50))));
        s.submit(due(600, in_pool(one(50), "night")));
        s.submit(on_gpu(one(50)));
    });
    let gpu = Lack::Tags { tags: vec!["gpu".into()], pool: String::new() };
    let night = Lack::Pool("night".into());
    assert_eq!([1, 2].map(|job| late(&s, job)), [Some(LateBy::Nodes); 2]);
    assert_eq!(barred(&s, 1), Some(Barred::Nodes(gpu.clone())));
    assert_eq!(barred(&s, 2), Some(Barred::Nodes(night)));
    assert_eq!((barred(&s, 3), explain(&s, 3).forecast.expected_finish), (Some(Barred::Nodes(gpu)), None));
    assert_eq!(answer(&mut s, due(600, on_gpu(one(5)))), "cannot be kept");
    assert_eq!(answer(&mut s, on_gpu(one(5))), "nothing promised");
    join_tagged(&mut s, 'g', 2, &["gpu"]);
    join_tagged(&mut s, 'n', 2, &["pool:night"]);
    s.wait(100);
    assert_eq!([1, 2].map(|job| late(&s, job)), [None; 2], "{:#?}", s.world.trace);
    assert_eq!(barred(&s, 3), None);
}

#[test]
fn nothing_is_expected_of_what_is_paused_or_of_a_farm_that_is_drained() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(one(50));
        s.submit(due(600, one(50)));
        s.submit(one(50));
        s.amend(3, JobChange { paused: Some(true), ..JobChange::default() });
    });
    let paused = explain(&s, 3).forecast;
    assert_eq!((paused.expected_finish, barred(&s, 3)), (None, Some(Barred::Paused)));
    s.drain('a', true);
    let shut = Shut { drained: 1, ..Shut::default() };
    assert_eq!(barred(&s, 2), Some(Barred::Shut(shut)));
    let told = explain(&s, 2);
    assert!(told.waits[0].why.to_string().contains("1 drained ('rushes worker resume"), "{:?}", told.waits);
    assert_eq!((told.forecast.can_keep, late(&s, 2)), (None, None), "it may be resumed in time");
    s.wait(580_000);
    assert_eq!(late(&s, 2), Some(LateBy::Nodes), "not any more");
}

#[test]
fn a_limit_that_nobody_has_set_is_named() {
    let mut s = scene(|s| {
        s.join_with_cores('a', 1);
        s.submit(licensed(one(50)));
        s.set_limit("other", Some(1));
    });
    assert_eq!(explain(&s, 1).forecast.unset_limits, ["dolby"]);
    s.set_limit("dolby", Some(1));
    assert_eq!(explain(&s, 1).forecast.unset_limits, Vec::<String>::new());
}

#[test]
fn what_waits_for_a_limit_or_a_cap_is_told_when_it_should_start() {
    let s = scene(|s| {
        s.join_with_cores('a', 8);
        s.set_limit("dolby", Some(1));
        s.submit(licensed(one(100)));
        s.submit(licensed(one(50)));
        s.submit(licensed(one(50)));
    });
    let start = |job| explain(&s, job).waits[0].start.expect("it can be said").at.0 - NOW;
    assert!((99_000..=201_000).contains(&start(2)), "{}", start(2));
    assert!(start(3) >= start(2));
}

#[test]
fn a_limit_below_what_a_task_holds_makes_its_promise_late_at_once_beside_others_that_hold_less() {
    let two =
        |spec: JobSpec| needing(spec, Needs { limits: [("dolby".to_owned(), 2)].into(), ..Needs::default() });
    let mut s = scene(|s| {
        s.join_with_cores('a', 1);
        s.set_limit("dolby", Some(2));
        s.submit(one(50));
        s.submit(due(600, licensed(one(50))));
        s.submit(due(600, two(one(50))));
    });
    assert_eq!((late(&s, 2), late(&s, 3)), (None, None));
    s.set_limit("dolby", Some(1));
    assert_eq!((late(&s, 2), late(&s, 3)), (None, Some(LateBy::Limit)));
    assert_eq!(explain(&s, 3).start, None, "no start is made up");
    s.set_limit("dolby", None);
    s.wait(100);
    assert_eq!((late(&s, 2), late(&s, 3)), (None, None));
}

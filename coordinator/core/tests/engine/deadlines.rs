//! One machine, everything there from the start: no deadline is missed where none has to be.

use proptest::prelude::*;
use rushes_core::event::{Decision, FarmNews};
use rushes_core::policy::{Policy, PromisePolicy};
use rushes_shared::id::WorkerId;
use rushes_shared::job::{Class, JobSpec};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{SlotKind, TaskOutcome, TaskValue, TaskWork, Usage};
use rushes_shared::units::{Millicores, WallMs};

use crate::support::samples::{NOW, graph, in_class, node, stage};
use crate::support::world::{Ask, World};

const CLASSES: [Class; 3] = [Class::Bulk, Class::Standard, Class::Premium];

/// Jobs of one task: how long it takes, how much later than necessary it is due, its class; `None` for no deadline.
type Jobs = Vec<(u32, Option<u64>, usize)>;

fn jobs() -> impl Strategy<Value = Jobs> {
    prop::collection::vec((100_u32..20_000, prop::option::weighted(0.8, 0_u64..60_000), 0_usize..3), 1..12)
}

/// Deadlines that can all be kept: in the order of the list each is due when everything before it is done, or later.
fn feasible(jobs: &Jobs) -> Vec<JobSpec> {
    let mut end = 0;
    let mut specs: Vec<(u64, JobSpec)> = Vec::new();
    for (wall, slack, class) in jobs {
        let spec = in_class(graph(vec![stage("hold", SlotKind::Encode, 1, *wall, &[])]), CLASSES[*class]);
        let Some(slack) = slack else {
            specs.push((u64::from(*wall) * 7 % 13, spec));
            continue;
        };
        end += u64::from(*wall);
        specs
            .push((u64::from(*wall) * 7 % 13, JobSpec { deadline: Some(WallMs(NOW + end + slack)), ..spec }));
    }
    // They come in another order than they are due.
    specs.sort_by_key(|(shuffled, _)| *shuffled);
    specs.into_iter().map(|(_, spec)| spec).collect()
}

/// Runs what is held until nothing is left; each task takes exactly what was predicted.
fn run(world: &mut World, worker: WorkerId) {
    while !world.engine().state().jobs.is_empty() {
        world.settle();
        let held = world.workers[&worker].held.iter().find(|(_, h)| h.outcome.is_none());
        let (attempt, order) =
            held.map(|(a, h)| (*a, h.order.clone())).expect("there is always something to do");
        let TaskWork::Noop { hold_ms, .. } = order.work else { panic!("only no-ops were asked for") };
        let mut left = u64::from(hold_ms);
        while left > 0 {
            let step = left.min(1_000);
            world.pass(step);
            world.beat(worker);
            world.settle();
            left -= step;
        }
        let usage = Usage { run_ms: u64::from(hold_ms), ..Usage::default() };
        world.end(worker, attempt, TaskOutcome::Succeeded { value: TaskValue::Nothing, usage }, false);
        world.settle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn on_one_machine_no_deadline_is_missed_where_none_has_to_be(jobs in jobs()) {
        let promise = PromisePolicy {
            load_permille: 1_000,
            p90_permille: 1_000,
            margin_ms: 0,
            ..PromisePolicy::default()
        };
        let mut world = World::new(Policy { promise, ..Policy::default() });
        for spec in feasible(&jobs) {
            world.submit(Ask::of(spec));
        }
        let worker = WorkerId(1);
        let facts = NodeFacts { cpu: Millicores(1_000), light_slots: 1, ..node("one") };
        world.add_worker(worker, facts);
        world.connect(worker);
        run(&mut world, worker);
        for news in &world.news {
            let is_late = matches!(news.what, FarmNews::Decided(Decision::PromiseLate { .. }));
            prop_assert!(!is_late, "{:?} was declared late", news.job);
        }
        for job in world.disk.archive().values() {
            let ended = job.ended.as_ref().expect("it ended").at;
            prop_assert!(job.spec.deadline.is_none_or(|due| ended <= due), "{} ended at {ended:?}", job.id);
        }
    }
}

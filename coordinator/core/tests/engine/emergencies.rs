//! What gives way to emergencies, and what does not.

mod cheapest;
mod giving_way;
mod rooms;

use rushes_core::event::{Decision, FarmNews};
use rushes_shared::job::{Class, JobSpec};
use rushes_shared::task::SlotKind;
use rushes_shared::units::Millicores;

use crate::support::samples::{graph, in_class, stage};
use crate::support::scene::Scene;

/// So many tasks of so many cores each, a minute long.
fn tasks(count: u32, cores: u32) -> JobSpec {
    let mut stage = stage("hold", SlotKind::Encode, count, 60_000, &[]);
    stage.demand.cpu = Millicores(cores * 1_000);
    graph(vec![stage])
}

fn emergency(count: u32, cores: u32) -> JobSpec {
    in_class(tasks(count, cores), Class::Emergency)
}

/// The jobs of which tasks were stopped, in order, and for how long these had run.
fn stopped(scene: &Scene) -> Vec<(u128, u64)> {
    let stopped = scene.world.news.iter().filter_map(|news| match &news.what {
        FarmNews::Decided(Decision::Preempted { task, lost_ms, .. }) => Some((task.job.0, *lost_ms)),
        _ => None,
    });
    stopped.collect()
}

/// So many nodes with ids of their own.
fn names(count: usize) -> Vec<char> {
    ('a'..).take(count).collect()
}

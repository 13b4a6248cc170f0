//! A farm on virtual time around the real engine: seeded, deterministic, with every fault that a farm has.
//!
//! ```text
//! scenario (TOML) ──> world ──┬─ clients   uploads, answers, cancels
//!   seed ─────────────┘       ├─ shell     Engine::handle / recover, disk, gate, alarm
//!                             ├─ farm      nodes at work
//!                             ├─ faults    deaths, partitions, crashes, clock steps
//!                             └─ checks    invariants, after each event and by recount
//!                                 │
//!                                 v
//!                 Report, or the first Violation with its seed
//! ```
//!
//! The engine decides everything that it decides on a real farm, through the same two doors; the world decides how long
//! things truly take. Nothing is for free: each event costs the engine the time of [`Cost`], one after another, a
//! commit takes its time, and a link delays each word.
//!
//! **Invariant:** a run depends on its scenario, its seed and the engine alone. No clock, no thread, no hash map.

mod agenda;
mod chance;
mod clairvoyant;
mod depot;
mod disk;
mod error;
mod laws;
mod ledger;
mod measure;
mod node;
mod optimum;
mod report;
mod scenario;
mod spec;
mod trace;
mod upload;
mod world;

pub use agenda::At;
pub use clairvoyant::{Clairvoyance, clairvoyant};
pub use error::SimError;
pub use laws::{Invariant, Violation};
pub use optimum::{First, MOST_JOBS, OneTask, fewest_late, late_online};
pub use report::{ClassReport, Farm, JobLine, Report, quantile};
pub use rushes_core::order::OrderRule;
pub use scenario::{
    Arrivals, Content, Cost, Faults, Flash, Group, Link, Scenario, ScenarioError, Stage, Tenant, Truth,
    WorkShape,
};

/// Runs a scenario with a seed until every accepted job has ended.
///
/// # Errors
/// [`SimError::Violation`] for the first invariant that does not hold.
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report, SimError> {
    let policy = scenario.engine_policy()?;
    world::run(scenario, seed, policy, None).map(|(report, _)| report)
}

/// Runs a scenario with another rule of order than its policy has, everything else the same: a baseline. The scenario's
/// bounds on waiting are for its own rule.
///
/// # Errors
/// As [`run`].
pub fn run_by(scenario: &Scenario, seed: u64, rule: OrderRule) -> Result<Report, SimError> {
    let mut policy = scenario.engine_policy()?;
    let mut scenario = scenario.clone();
    if policy.order.rule != rule {
        scenario.waiting_bound_s.clear();
    }
    policy.order.rule = rule;
    world::run(&scenario, seed, policy, None).map(|(report, _)| report)
}

/// Runs a scenario and measures what its events cost the engine on this machine: its cost table with the engine's own
/// part replaced by the mean of each kind of event. The rest of a coordinator's work (link, encoding) is not in it.
///
/// # Errors
/// As [`run`].
pub fn measure(scenario: &Scenario, seed: u64) -> Result<Cost, SimError> {
    let policy = scenario.engine_policy()?;
    let (_, watch) = world::run(scenario, seed, policy, Some(measure::Stopwatch::default()))?;
    Ok(watch.map_or(scenario.cost, |watch| watch.cost(scenario.cost)))
}

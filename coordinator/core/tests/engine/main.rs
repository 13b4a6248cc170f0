//! The real engine under tables of events and under random schedules.

#[path = "../support/mod.rs"]
mod support;

mod ahead;
mod analysis;
mod anomalies;
mod attempts;
mod bounds;
mod conflicts;
mod crashes;
mod deadlines;
mod dry_runs;
mod emergencies;
mod expected_starts;
mod explain;
mod gates;
mod graphs;
mod hardware;
mod health;
mod holding_back;
mod intake;
mod ladder;
mod losses;
mod lost_nodes;
mod mistaken_workers;
mod names;
mod order;
mod outputs;
mod pieces;
mod prefetch;
mod probes;
mod promises;
mod properties;
mod queue;
mod random;
mod room;
mod second_attempts;
mod shares;
mod standing;
mod streams;
mod trades;
mod versions;
mod words;
mod workers;

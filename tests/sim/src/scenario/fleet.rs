//! The farm's nodes.

use serde::Deserialize;

use super::ScenarioError;
use super::bounds::{MAX_CORES, MAX_S, positive, share, within};

/// Most nodes of one group.
const MAX_NODES: u32 = 100_000;
/// Most tasks of one kind on a node at once.
const MAX_SLOTS: u32 = 10_000;
/// Most memory of a node, in GiB: 1 PiB.
const MAX_MEMORY_GIB: u64 = 1 << 20;

/// Nodes of one kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Their name; each gets a number behind it.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Cores for tasks; a task of one core takes one.
    pub cores: f64,
    /// Light tasks at once, apart from the cores.
    #[serde(default = "light_slots")]
    pub light_slots: u32,
    /// Memory in GiB.
    #[serde(default = "memory_gib")]
    pub memory_gib: u64,
    /// How fast: a task predicted at 10 s takes 5 s at 2.
    #[serde(default = "speed")]
    pub speed: f64,
    /// How far single nodes are from it: 0.1 is up to a tenth faster or slower.
    #[serde(default)]
    pub speed_spread: f64,
    /// When they first connect, in seconds from the start: capacity that comes later.
    #[serde(default)]
    pub joins_s: f64,
    /// Tasks that a node holds for each slot before there is room for them.
    #[serde(default)]
    pub ahead: u32,
    /// How many tasks a node encodes in hardware at once; 0 where it has no such encoder.
    #[serde(default)]
    pub encoder_sessions: u32,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
}

fn light_slots() -> u32 {
    4
}

fn memory_gib() -> u64 {
    256
}

fn speed() -> f64 {
    1.0
}

impl Group {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let at = |field: &str| format!("node '{}': {field}", self.name);
        within(&at("count"), self.count, 1..=MAX_NODES)?;
        positive(&at("cores"), self.cores, MAX_CORES)?;
        within(&at("joins_s"), self.joins_s, 0.0..=MAX_S)?;
        within(&at("speed"), self.speed, 0.001..=1_000.0)?;
        within(&at("memory_gib"), self.memory_gib, 0..=MAX_MEMORY_GIB)?;
        for (field, value) in [
            ("light_slots", self.light_slots),
            ("ahead", self.ahead),
            ("encoder_sessions", self.encoder_sessions),
        ] {
            within(&at(field), value, 0..=MAX_SLOTS)?;
        }
        share(&at("speed_spread"), self.speed_spread)
    }
}

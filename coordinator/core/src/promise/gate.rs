//! What all tasks of some jobs have to pass, beside the farm as a whole: named limits, their tenant's cap, nodes with certain
//! tags. A promise is kept only where its work fits through each of them.

use rushes_shared::job::Class;
use rushes_shared::units::WallMs;

use super::late::LateBy;
use super::ledger::{Booking, Load};
use crate::order::fair::TenantIx;

/// One of those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// A named limit.
    Limit(String),
    /// What a tenant may run at once.
    Tenant(TenantIx),
    /// The nodes of a pool that carry these tags.
    Nodes {
        /// The pool; empty for the common one.
        pool: String,
        /// Sorted.
        tags: Vec<String>,
    },
}

impl Gate {
    /// What a promise is late by that does not fit through.
    #[must_use]
    pub fn late_by(&self) -> LateBy {
        match self {
            Self::Limit(_) => LateBy::Limit,
            Self::Tenant(_) => LateBy::TenantCap,
            Self::Nodes { .. } => LateBy::Nodes,
        }
    }

    /// What work takes here. At a limit or a cap that is its wall time, times the units that each task holds.
    #[must_use]
    pub fn load(&self, units: u32, work: Work) -> Load {
        match self {
            Self::Nodes { .. } => work.load,
            Self::Limit(_) | Self::Tenant(_) => {
                Load { cores_ms: work.wall_ms.saturating_mul(u64::from(units)), light_ms: 0 }
            }
        }
    }
}

/// Work as gates count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Time of the farm.
    pub load: Load,
    /// The sum of the tasks' wall times at speed 1, in milliseconds.
    pub wall_ms: u64,
}

impl Work {
    /// Both together with another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { load: self.load.plus(other.load), wall_ms: self.wall_ms.saturating_add(other.wall_ms) }
    }

    /// Without another, which is part of it.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { load: self.load.minus(other.load), wall_ms: self.wall_ms.saturating_sub(other.wall_ms) }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        let wall_ms = self.wall_ms.saturating_mul(u64::from(count));
        Self { load: self.load.times(count), wall_ms }
    }

    /// The part of another that is in it.
    #[must_use]
    pub fn part(self, other: Self) -> Self {
        Self {
            load: Load {
                cores_ms: self.load.cores_ms.min(other.load.cores_ms),
                light_ms: self.load.light_ms.min(other.load.light_ms),
            },
            wall_ms: self.wall_ms.min(other.wall_ms),
        }
    }
}

/// What a job has booked at its gates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passing {
    /// The class under which it stands.
    pub class: Class,
    /// The deadline of a promise that can still be kept.
    pub deadline: Option<WallMs>,
    /// What of it has not been started.
    pub work: Work,
}

impl Passing {
    /// What it has booked at one.
    #[must_use]
    pub fn at(&self, gate: &Gate, units: u32) -> Booking {
        Booking { class: self.class, deadline: self.deadline, load: gate.load(units, self.work) }
    }
}

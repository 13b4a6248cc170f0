//! Deadlines that are given up: since when, and why.

use rushes_shared::id::JobId;
use rushes_shared::units::WallMs;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stands for when a job is done of which nothing can start, in what is recorded and told.
pub const NEVER: WallMs = WallMs(u64::MAX);

/// Why a deadline is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LateBy {
    /// It cannot be kept even at the job's floor.
    Itself,
    /// Another job's is kept instead, where not both could be.
    Other(JobId),
    /// Nodes were lost, and what is left cannot keep all.
    LostNodes,
    /// Its named limits leave no room for it.
    Limit,
    /// Its tenant's cap on running tasks leaves no room for it.
    TenantCap,
    /// The nodes that can do it leave no room for it, or none can.
    Nodes,
}

impl LateBy {
    /// The job whose deadline is kept instead.
    #[must_use]
    pub fn other(self) -> Option<JobId> {
        match self {
            Self::Other(job) => Some(job),
            Self::Itself | Self::LostNodes | Self::Limit | Self::TenantCap | Self::Nodes => None,
        }
    }

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Other(_) => "another_job",
            Self::LostNodes => "lost_nodes",
            Self::Limit => "limit",
            Self::TenantCap => "tenant_cap",
            Self::Nodes => "nodes",
        }
    }
}

/// A deadline that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// Since when.
    pub since: WallMs,
    /// Why.
    pub because: LateBy,
}

/// How it becomes bytes: what is late by itself is the time alone, as it was before there were other reasons.
#[derive(Serialize, Deserialize)]
enum Coded {
    No,
    Itself(WallMs),
    Because(WallMs, LateBy),
}

pub(crate) fn serialize<S: Serializer>(late: &Option<Box<Late>>, s: S) -> Result<S::Ok, S::Error> {
    let coded = match late.as_deref() {
        None => Coded::No,
        Some(Late { since, because: LateBy::Itself }) => Coded::Itself(*since),
        Some(Late { since, because }) => Coded::Because(*since, *because),
    };
    coded.serialize(s)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Box<Late>>, D::Error> {
    Ok(match Coded::deserialize(d)? {
        Coded::No => None,
        Coded::Itself(since) => Some(Box::new(Late { since, because: LateBy::Itself })),
        Coded::Because(since, because) => Some(Box::new(Late { since, because })),
    })
}

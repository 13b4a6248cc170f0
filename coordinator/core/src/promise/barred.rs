//! Why nothing of a job can start, however long it waits: then no end can be expected of it.

use std::fmt;

use crate::placement::lack::{Lack, Shut};

/// What stands before a job that no time takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// It is paused.
    Paused,
    /// The coordinator has just started and waits for the workers of before.
    Starting,
    /// A named limit is lower than what each of its tasks holds.
    Limit {
        /// Its name.
        name: String,
        /// How many there are.
        most: u32,
        /// How many each task holds.
        asked: u32,
    },
    /// Its tenant may run nothing.
    TenantCap,
    /// No known node can do some of it.
    Nodes(Lack),
    /// Nodes that could do some of it know no such work yet.
    OldNodes,
    /// Those that can do some of it get no new tasks.
    Shut(Shut),
}

impl Barred {
    /// The name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Paused => "pause",
            Self::Starting => "reattachment",
            Self::Limit { .. } => "limit",
            Self::TenantCap => "tenant_cap",
            Self::Nodes(_) => "no_node",
            Self::OldNodes => "old_nodes",
            Self::Shut(_) => "shut_nodes",
        }
    }

    /// Whether it is likely to be over soon by itself, or by what operators do every day: nothing is said of a deadline then.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Paused | Self::Starting | Self::Shut(_) | Self::Nodes(Lack::NoWorker))
    }
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("the job is paused; 'rushes job resume' ends that"),
            Self::Starting => {
                f.write_str("the coordinator has just started and waits for the workers that were there before")
            }
            Self::Limit { name, most, asked } => write!(
                f,
                "each task holds {asked} of the limit '{name}', which is {most}; 'rushes limit set {name} N' raises it"
            ),
            Self::TenantCap => f.write_str(
                "its tenant may run no task (max_running is 0); 'rushes tenant set NAME --max-running N' raises that",
            ),
            Self::Nodes(lack) => write!(f, "{lack}"),
            Self::OldNodes => f.write_str(
                "the workers that could do it are of a version that has no such work; update one of them",
            ),
            Self::Shut(shut) => write!(f, "{shut}"),
        }
    }
}

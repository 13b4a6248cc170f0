//! Stages of a job's own graph.

use serde::{Deserialize, Serialize};

use super::OutputSpec;
use crate::artifact::Location;
use crate::task::{Demand, SlotKind};

/// What the tasks of a graph's stage do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageWork {
    /// Nothing but hold the slot: a synthetic task for simulation and benchmarks.
    Noop {
        /// How long it holds its slot, in milliseconds.
        hold_ms: u32,
        /// CPU time that it stands for in predictions, in milliseconds; it is not spent.
        cpu_ms: u32,
    },
    /// Read the facts of a file.
    Probe {
        /// The file.
        input: Location,
    },
    /// Make a file from another. One of the stages that it comes after probes that one.
    Encode {
        /// The source.
        input: Location,
        /// The file to make.
        output: Box<OutputSpec>,
    },
}

impl StageWork {
    /// The file that it makes.
    #[must_use]
    pub fn output(&self) -> Option<&OutputSpec> {
        match self {
            Self::Encode { output, .. } => Some(output),
            Self::Noop { .. } | Self::Probe { .. } => None,
        }
    }

    /// The file that it reads.
    #[must_use]
    pub fn input(&self) -> Option<&Location> {
        match self {
            Self::Probe { input } | Self::Encode { input, .. } => Some(input),
            Self::Noop { .. } => None,
        }
    }
}

/// One stage of a job's own graph: so many equal tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphStage {
    /// Its name, unique within the job.
    pub name: String,
    /// The slots that its tasks take.
    pub slot: SlotKind,
    /// Stages, by index, that are complete before it begins; each less than its own index.
    pub after: Vec<u32>,
    /// Number of tasks, at least 1.
    pub count: u32,
    /// What each does.
    pub work: StageWork,
    /// What each needs of its node.
    pub demand: Demand,
    /// Whether the job succeeds without it.
    pub optional: bool,
}

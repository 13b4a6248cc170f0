//! A job as the farm keeps it: validated, complete, without defaults left open.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::{FileName, Location};
use crate::encode::EncodeSettings;
use crate::units::WallMs;

/// 0 to 100; higher is sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// The highest.
    pub const MAX: u8 = 100;

    /// A priority, or `None` above 100.
    #[must_use]
    pub fn new(value: u8) -> Option<Self> {
        (value <= Self::MAX).then_some(Self(value))
    }

    /// Its number.
    #[must_use]
    pub fn value(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(50)
    }
}

/// Where a finished output goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// The depot keeps it; it is fetched over the API.
    Depot,
    /// A place outside; refused if something is there already.
    Place(Location),
}

/// One file that a job makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its name, unique within the job.
    pub name: FileName,
    /// Where it goes.
    pub destination: Destination,
    /// How it is encoded.
    pub settings: EncodeSettings,
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Nothing, `tasks` times.
    Noop {
        /// Number of no-op tasks, 1 to 10,000.
        tasks: u32,
    },
    /// Reads the facts of a file.
    Probe {
        /// The file.
        input: Location,
    },
    /// Makes one or more files from one.
    Encode {
        /// The source.
        input: Location,
        /// The outputs, 1 to 32.
        outputs: Vec<OutputSpec>,
    },
}

/// A validated job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// A name for people; may be empty.
    pub name: String,
    /// Labels for filters: at most 32.
    pub labels: BTreeMap<String, String>,
    /// Its priority.
    pub priority: Priority,
    /// When it should be done.
    pub deadline: Option<WallMs>,
    /// What it does.
    pub work: Work,
}

/// State of a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted; none of its tasks has been started.
    Queued,
    /// At least one task has been started.
    Running,
    /// Every output is published.
    Succeeded,
    /// It ended without all that it was to make.
    Failed,
    /// A user stopped it.
    Canceled,
}

impl JobState {
    /// The name in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// State of a task.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for a slot, or for its retry's time.
    Queued,
    /// An attempt is live.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
    /// Stopped by a user.
    Canceled,
    /// Never run, because a task that it depends on failed.
    Aborted,
}

impl TaskState {
    /// The name in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Aborted => "aborted",
        }
    }
}

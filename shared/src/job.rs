//! A job as the farm keeps it: validated, complete, without defaults left open.

mod floor;
mod graph;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::{FileName, Location};
use crate::encode::{EncodeSettings, SpeedPreset};
use crate::ladder::StreamSettings;
use crate::units::WallMs;

pub use graph::{GraphStage, StageWork};

/// How much a job matters, from least to most. Classes have guaranteed shares, see the coordinator's settings.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Whenever there is room.
    Bulk,
    /// Ordinary work.
    #[default]
    Standard,
    /// Ahead of ordinary work.
    Premium,
    /// Ahead of everything; may stop other work.
    Emergency,
}

impl Class {
    /// Every class, least first.
    pub const ALL: [Self; 4] = [Self::Bulk, Self::Standard, Self::Premium, Self::Emergency];

    /// The name in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Standard => "standard",
            Self::Premium => "premium",
            Self::Emergency => "emergency",
        }
    }
}

/// What a piece of content is worth; the coordinator makes a priority of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContentValue {
    /// Rank of who made it, 0 (nobody known) to 5.
    #[schema(maximum = 5)]
    pub creator_tier: u8,
    /// Views that are expected in its first week.
    pub expected_views: u64,
    /// Whether it earns money by being seen.
    pub monetised: bool,
    /// Whether it is asked for right now.
    pub trending: bool,
}

/// What may be given up to keep a deadline. The default gives up nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityFloor {
    /// The fastest encoder preset that is still good enough. `None`: the one that was asked for.
    pub fastest_preset: Option<SpeedPreset>,
    /// Whether outputs and stages that are marked optional may be left out.
    pub drop_optional: bool,
    /// The lowest height in pixels to which the largest picture may be brought. `None`: as asked for.
    pub min_height: Option<u32>,
    /// Whether an output that is encoded in two passes may be encoded in one, at the same mean rate.
    pub one_pass: bool,
}

/// What a job needs of the nodes that work for it, besides capacity.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Needs {
    /// Tags that a node must carry, sorted, without doubles.
    pub tags: Vec<String>,
    /// The pool of nodes that it runs on; empty for the common one.
    pub pool: String,
    /// Named limits of which each task holds so many while it runs, such as licences.
    pub limits: BTreeMap<String, u32>,
}

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

/// One file that a job makes: a rendition, or what is taken from the source beside those.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its name, unique within the job.
    pub name: FileName,
    /// Where it goes.
    pub destination: Destination,
    /// How it is encoded.
    pub settings: EncodeSettings,
    /// Whether the job succeeds without it.
    pub optional: bool,
    /// Share of the audience that watches it, in percent; what more people watch is made first, and among equals what most
    /// people do (720p, 1080p, 480p, 360p).
    pub audience: u8,
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
    /// A graph of the job's own.
    Graph {
        /// Its stages; each comes after those that it names.
        stages: Vec<GraphStage>,
    },
    /// Puts up a task process's walls and does nothing within them, `tasks` times.
    Trial {
        /// Number of tasks, 1 to 10,000.
        tasks: u32,
    },
    /// Makes a set of files for streaming from one film.
    Stream {
        /// The film.
        input: Location,
        /// How.
        settings: StreamSettings,
        /// The directory that the files go to.
        destination: Destination,
    },
    /// Reads the facts of many files, so many a task.
    Probes {
        /// The files, 1 to 10,000.
        inputs: Vec<Location>,
        /// Files of a task, at least 1.
        batch: u32,
    },
}

impl Work {
    /// The files that it reads.
    pub fn inputs(&self) -> impl Iterator<Item = &Location> + '_ {
        let (one, stages, many) = match self {
            Self::Noop { .. } | Self::Trial { .. } => (None, &[][..], &[][..]),
            Self::Probe { input } | Self::Encode { input, .. } | Self::Stream { input, .. } => {
                (Some(input), &[][..], &[][..])
            }
            Self::Graph { stages } => (None, stages.as_slice(), &[][..]),
            Self::Probes { inputs, .. } => (None, &[][..], inputs.as_slice()),
        };
        one.into_iter().chain(stages.iter().filter_map(|stage| stage.work.input())).chain(many)
    }

    /// The files that each task probes where a job probes many, in the order of the tasks.
    pub fn batches(&self) -> impl ExactSizeIterator<Item = &[Location]> + '_ {
        let (inputs, batch) = match self {
            Self::Probes { inputs, batch } => (inputs.as_slice(), *batch as usize),
            _ => (&[][..], 1),
        };
        inputs.chunks(batch.max(1))
    }

    /// The numbers of what it publishes: its outputs, the one set of files, or what each task has found that probes a batch.
    pub fn output_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        let set = matches!(self, Self::Stream { .. }).then_some(0);
        let found = (0..).zip(self.batches()).map(|(number, _)| number);
        set.into_iter().chain(self.outputs().map(|(number, _)| number)).chain(found)
    }

    /// The files that it makes one by one, each with its number: its place in the list of outputs, or its stage in a graph.
    pub fn outputs(&self) -> impl Iterator<Item = (u32, &OutputSpec)> + '_ {
        let (outputs, stages) = match self {
            Self::Encode { outputs, .. } => (outputs.as_slice(), &[][..]),
            Self::Graph { stages } => (&[][..], stages.as_slice()),
            Self::Noop { .. }
            | Self::Probe { .. }
            | Self::Trial { .. }
            | Self::Stream { .. }
            | Self::Probes { .. } => (&[][..], &[][..]),
        };
        let of_stages = (0..).zip(stages).filter_map(|(number, stage)| Some((number, stage.work.output()?)));
        (0..).zip(outputs).chain(of_stages)
    }

    /// The places outside of the depot that it writes to; a directory ends with a slash.
    pub fn places(&self) -> impl Iterator<Item = &Location> + '_ {
        let set = match self {
            Self::Stream { destination, .. } => Some(destination),
            _ => None,
        };
        let all = set.into_iter().chain(self.outputs().map(|(_, output)| &output.destination));
        all.filter_map(|destination| match destination {
            Destination::Place(place) => Some(place),
            Destination::Depot => None,
        })
    }

    /// The file of this number.
    #[must_use]
    pub fn output(&self, number: u32) -> Option<&OutputSpec> {
        match self {
            Self::Encode { outputs, .. } => outputs.get(number as usize),
            Self::Graph { stages } => stages.get(number as usize)?.work.output(),
            Self::Noop { .. }
            | Self::Probe { .. }
            | Self::Trial { .. }
            | Self::Stream { .. }
            | Self::Probes { .. } => None,
        }
    }
}

/// A validated job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// A name for people; may be empty.
    pub name: String,
    /// Labels for filters: at most 32.
    pub labels: BTreeMap<String, String>,
    /// Its class.
    pub class: Class,
    /// Its priority, unless `value` decides.
    pub priority: Priority,
    /// What its content is worth; the priority is computed from it where it is given.
    pub value: Option<Box<ContentValue>>,
    /// When it should be done.
    pub deadline: Option<WallMs>,
    /// What may be given up for the deadline.
    #[serde(with = "floor")]
    pub floor: QualityFloor,
    /// What it needs of nodes; `None` where any will do.
    pub needs: Option<Box<Needs>>,
    /// Whether nothing of it is to be started for now.
    pub paused: bool,
    /// What it does.
    pub work: Work,
}

impl JobSpec {
    /// A job of the standard class without a name, a deadline or any special need.
    #[must_use]
    pub fn of(work: Work) -> Self {
        Self {
            name: String::new(),
            labels: BTreeMap::new(),
            class: Class::default(),
            priority: Priority::default(),
            value: None,
            deadline: None,
            floor: QualityFloor::default(),
            needs: None,
            paused: false,
            work,
        }
    }
}

/// A change of a job that has not ended. `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobChange {
    /// Another class.
    pub class: Option<Class>,
    /// Another priority; the value of the content decides no longer.
    pub priority: Option<Priority>,
    /// Another value of the content, from which the priority follows.
    pub value: Option<ContentValue>,
    /// Another deadline, or none.
    pub deadline: Option<Option<WallMs>>,
    /// Labels to set; those with an empty value are removed.
    pub labels: BTreeMap<String, String>,
    /// Paused or not.
    pub paused: Option<bool>,
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

//! What is uploaded: kinds of content with their stages, whose they are, and how wrong predictions are.

use rushes_shared::id::TenantId;
use rushes_shared::job::{Class, ContentValue, QualityFloor};
use rushes_shared::task::SlotKind;
use serde::Deserialize;

use super::ScenarioError;
use super::bounds::{MAX_CORES, MAX_S, MAX_WEIGHT, not_empty, positive, rises, share, within};

/// Most tasks of one stage.
const MAX_TASKS: u32 = 10_000;
/// Least cores of a task: the scheduler counts in thousandths.
const LEAST_CORES: f64 = 0.001;
/// Most memory of a task, in MiB: 1 PiB.
const MAX_MEMORY_MIB: u64 = 1 << 30;
/// Longest deadline, as a multiple of the critical path.
const MAX_DEADLINE: f64 = 1e6;
/// Widest log-normal of durations: one task in six takes at least twenty times as long as predicted.
const MAX_SIGMA: f64 = 3.0;
/// How much longer at most an outlier takes.
const MAX_OUTLIER: f64 = 10_000.0;

/// A kind of upload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Its name in reports.
    pub name: String,
    /// How much of all uploads it is, relative to the others.
    #[serde(default = "one")]
    pub share: f64,
    /// Its class.
    #[serde(default)]
    pub class: Class,
    /// A second class: each arrival submits the same job twice, once in each class.
    pub paired_with: Option<Class>,
    /// Its priority, 0 to 100.
    pub priority: Option<u8>,
    /// What a view of it is worth; the engine computes the priority from it.
    pub value: Option<ContentValue>,
    /// What may be given up for the deadline.
    #[serde(default)]
    pub floor: QualityFloor,
    /// The deadline: arrival plus a factor from this range times the job's predicted critical path.
    pub deadline: Option<[f64; 2]>,
    /// Whether that path is the one that its tasks truly take instead: the owner knows the content, the farm does not.
    #[serde(default)]
    pub deadline_from_truth: bool,
    /// Share of the jobs that their owner cancels while they wait or run.
    #[serde(default)]
    pub canceled: f64,
    /// How it is put to the farm.
    #[serde(default)]
    pub work: WorkShape,
    /// Whether its encodes ask for hardware encoders; for jobs that are put as encodes.
    #[serde(default)]
    pub hardware: bool,
    /// Its stages, in order; each names earlier ones in `after`.
    pub stage: Vec<Stage>,
}

/// How a job is put to the farm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkShape {
    /// A job with a graph of its own.
    #[default]
    Graph,
    /// An encode job, which publishes its outputs: the first stage is the probe, the second one's count the outputs.
    Encode,
}

/// A stage of a job.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What its tasks take: light and finish take a light place, analyse and encode take cores.
    #[serde(default = "encode")]
    pub slot: SlotKind,
    /// Fewest and most tasks; each job has some number between.
    pub count: [u32; 2],
    /// Shortest and longest predicted duration of one of its tasks on a node of speed 1, in seconds; each job has one.
    pub seconds: [f64; 2],
    /// The stages that must have ended before, by name.
    #[serde(default)]
    pub after: Vec<String>,
    /// Cores that a task takes.
    #[serde(default = "one")]
    pub cores: f64,
    /// Memory that a task takes, in MiB.
    #[serde(default)]
    pub memory_mib: u64,
    /// Whether the job is complete without it.
    #[serde(default)]
    pub optional: bool,
}

/// Someone who uploads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Its name.
    pub name: TenantId,
    /// How much of all uploads it makes, relative to the others.
    #[serde(default = "one")]
    pub share: f64,
}

/// How far true durations lie from the predicted ones.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Truth {
    /// Sigma of a log-normal factor with median 1.
    pub sigma: f64,
    /// Share of tasks that take much longer than anyone could know.
    pub outliers: f64,
    /// How many times as long.
    pub outlier_factor: f64,
    /// Whether it is the attempt rather than the content that is slow, so that a second attempt is not.
    pub outliers_by_attempt: bool,
}

impl Default for Truth {
    fn default() -> Self {
        Self { sigma: 0.0, outliers: 0.0, outlier_factor: 5.0, outliers_by_attempt: false }
    }
}

fn encode() -> SlotKind {
    SlotKind::Encode
}

fn one() -> f64 {
    1.0
}

impl Content {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let at = |field: &str| format!("content '{}': {field}", self.name);
        positive(&at("share"), self.share, MAX_WEIGHT)?;
        share(&at("canceled"), self.canceled)?;
        self.priority.map_or(Ok(()), |p| within(&at("priority"), p, 0..=100))?;
        self.deadline.map_or(Ok(()), |d| rises(&at("deadline"), d, MAX_DEADLINE))?;
        not_empty(&at("stage"), self.stage.len())?;
        for (n, stage) in self.stage.iter().enumerate() {
            let at = |field: &str| at(&format!("stage '{}': {field}", stage.name));
            let [fewest, most] = stage.count;
            if fewest == 0 || most < fewest || most > MAX_TASKS {
                let reason = format!("[{fewest}, {most}] should rise, from 1 to {MAX_TASKS}");
                return Err(ScenarioError::field(at("count"), reason));
            }
            rises(&at("seconds"), stage.seconds, MAX_S)?;
            within(&at("cores"), stage.cores, LEAST_CORES..=MAX_CORES)?;
            within(&at("memory_mib"), stage.memory_mib, 0..=MAX_MEMORY_MIB)?;
            let known = |name: &&String| self.stage[..n].iter().any(|s| s.name == **name);
            if let Some(unknown) = stage.after.iter().find(|name| !known(name)) {
                return Err(ScenarioError::field(
                    at("after"),
                    format!("'{unknown}' is not an earlier stage"),
                ));
            }
        }
        let outputs = self.stage.get(1).map_or(0, |s| s.count[1]);
        if self.work == WorkShape::Encode && (self.stage.len() != 2 || outputs > 32) {
            let reason = "an encode has two stages, a probe and then 1 to 32 outputs";
            return Err(ScenarioError::field(at("stage"), reason));
        }
        Ok(())
    }

    /// What a job of it takes on average, in seconds of one core.
    #[must_use]
    pub fn mean_core_s(&self) -> f64 {
        let mid = |[low, high]: [f64; 2]| (low + high) / 2.0;
        let of = |s: &Stage| mid(s.count.map(f64::from)) * mid(s.seconds) * s.cores;
        let heavy = self.stage.iter().filter(|s| !s.slot.is_light());
        let jobs = if self.paired_with.is_some() { 2.0 } else { 1.0 };
        heavy.map(of).sum::<f64>() * jobs
    }
}

impl Tenant {
    pub(super) fn only() -> Vec<Self> {
        vec![Self { name: TenantId::default_tenant(), share: 1.0 }]
    }

    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        positive(&format!("tenant '{}': share", self.name), self.share, MAX_WEIGHT)
    }
}

impl Truth {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("truth.sigma", self.sigma, 0.0..=MAX_SIGMA)?;
        share("truth.outliers", self.outliers)?;
        positive("truth.outlier_factor", self.outlier_factor, MAX_OUTLIER)
    }

    /// How much longer than predicted tasks take on average.
    #[must_use]
    pub fn mean_factor(&self) -> f64 {
        libm::exp(self.sigma * self.sigma / 2.0) * (1.0 + self.outliers * (self.outlier_factor - 1.0))
    }
}

//! Quality for time: what was given up, when, for whose deadline, and what it saved.

use std::fmt;

use rushes_shared::encode::{EncodeSettings, SpeedPreset};
use rushes_shared::id::JobId;
use rushes_shared::job::JobSpec;
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use crate::job::{Prediction, Stage};

/// What is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A faster preset.
    Preset {
        /// The preset before.
        from: SpeedPreset,
        /// The one that takes its place.
        to: SpeedPreset,
    },
    /// A lower picture.
    Height {
        /// The limit on the height before, in pixels.
        from: Option<u32>,
        /// The limit that takes its place.
        to: u32,
    },
    /// The stage as a whole, which is optional.
    Drop,
    /// An optional analysis pass; what comes after it goes on without.
    Analysis,
    /// The first of two passes: the same mean rate in one.
    Pass,
}

impl What {
    /// Whether the stage is left out.
    #[must_use]
    pub fn leaves_out(self) -> bool {
        matches!(self, Self::Drop | Self::Analysis)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preset { from, to } => write!(f, "preset {} -> {}", from.as_str(), to.as_str()),
            Self::Height { from: Some(from), to } => write!(f, "height {from} -> {to}"),
            Self::Height { from: None, to } => write!(f, "height {to} at most"),
            Self::Drop => f.write_str("left out, being optional"),
            Self::Analysis => f.write_str("one analysis pass fewer"),
            Self::Pass => f.write_str("one pass instead of two"),
        }
    }
}

/// Whose deadline something is given up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sake {
    /// That of the job itself.
    #[default]
    Own,
    /// That of another job.
    Job(JobId),
    /// What was promised on nodes that were lost.
    LostNodes,
}

impl Sake {
    /// The other job.
    #[must_use]
    pub fn other(self) -> Option<JobId> {
        match self {
            Self::Job(job) => Some(job),
            Self::Own | Self::LostNodes => None,
        }
    }

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own_deadline",
            Self::Job(_) => "another_deadline",
            Self::LostNodes => "lost_nodes",
        }
    }
}

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Coded", into = "Coded")]
pub struct Trade {
    /// The stage that it changes.
    pub stage: u32,
    /// What is given up.
    pub what: What,
    /// Whose deadline it is for,
    pub sake: Sake,
    /// and how much was missing to that, in milliseconds.
    pub missing_ms: u64,
    /// Wall time of the stage's task that it saves, in milliseconds.
    pub saved_ms: u64,
    /// Quality lost, in tenths of a point.
    pub loss: u32,
    /// What a task was expected to cost before.
    pub before: Prediction,
    /// What it is expected to cost now.
    pub after: Prediction,
    /// When.
    pub at: WallMs,
    /// When it was taken back, if it was.
    pub undone: Option<WallMs>,
}

impl Trade {
    /// Brings a plan, which has the stage, to what it is with this trade.
    pub fn change(&self, stages: &mut [Stage]) {
        let Some(stage) = stages.get_mut(self.stage as usize) else { return };
        stage.prediction = self.after;
        stage.dropped |= self.what.leaves_out();
    }

    /// Brings a plan back to what it was before.
    pub fn change_back(&self, stages: &mut [Stage]) {
        let Some(stage) = stages.get_mut(self.stage as usize) else { return };
        stage.prediction = self.before;
        stage.dropped &= !self.what.leaves_out();
    }
}

/// The settings of an output, with what is given up now; stages and trades are of the same plan.
#[must_use]
pub fn settings(spec: &JobSpec, stages: &[Stage], trades: &[Trade], output: u32) -> Option<EncodeSettings> {
    let mut settings = spec.work.output(output)?.settings.clone();
    let makes_it = |t: &&Trade| {
        t.undone.is_none() && stages.get(t.stage as usize).and_then(|s| s.step.output()) == Some(output)
    };
    trades.iter().filter(makes_it).for_each(|t| apply(&mut settings, t.what));
    Some(settings)
}

/// Brings settings to what a trade says.
pub(super) fn apply(settings: &mut EncodeSettings, what: What) {
    let Some(video) = &mut settings.video else { return };
    match what {
        What::Preset { to, .. } => video.preset = to,
        What::Height { to, .. } => video.max_height = Some(to),
        What::Pass => video.rate = video.rate.in_one_pass().unwrap_or(video.rate),
        What::Drop | What::Analysis => {}
    }
}

/// How it becomes bytes: one for the job's own deadline is as all were before there were others.
#[derive(Serialize, Deserialize)]
struct Coded {
    stage: u32,
    what: What,
    missing_ms: u64,
    saved_ms: u64,
    loss: u32,
    before: Prediction,
    after: Prediction,
    at: WallMs,
    undone: Undone,
}

#[derive(Serialize, Deserialize)]
enum Undone {
    No,
    At(WallMs),
    For(Sake, Option<WallMs>),
}

impl From<Trade> for Coded {
    fn from(trade: Trade) -> Self {
        let Trade { stage, what, sake, missing_ms, saved_ms, loss, before, after, at, undone } = trade;
        let undone = match (sake, undone) {
            (Sake::Own, None) => Undone::No,
            (Sake::Own, Some(at)) => Undone::At(at),
            (sake, undone) => Undone::For(sake, undone),
        };
        Self { stage, what, missing_ms, saved_ms, loss, before, after, at, undone }
    }
}

impl From<Coded> for Trade {
    fn from(coded: Coded) -> Self {
        let Coded { stage, what, missing_ms, saved_ms, loss, before, after, at, undone } = coded;
        let (sake, undone) = match undone {
            Undone::No => (Sake::Own, None),
            Undone::At(at) => (Sake::Own, Some(at)),
            Undone::For(sake, undone) => (sake, undone),
        };
        Self { stage, what, sake, missing_ms, saved_ms, loss, before, after, at, undone }
    }
}

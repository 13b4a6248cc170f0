//! Quality for time: what a job may give up to keep its deadline, within its floor.
//!
//! A trade belongs to a whole stage of which nothing has been started, because a preset or a size changes the headers of
//! every chunk of a rung. Of all options the one is taken that loses the least for the time that it saves.

use std::fmt;

use rushes_shared::encode::{EncodeSettings, SpeedPreset, VideoSettings};
use rushes_shared::job::QualityFloor;
use rushes_shared::task::Demand;
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use crate::job::{Job, Prediction, Stage};
use crate::planner::{encode_cost, encode_demand};

/// Heights to which a picture is brought down, in pixels.
const HEIGHTS: [u32; 9] = [2_160, 1_440, 1_080, 720, 540, 480, 360, 240, 144];
/// What a step to the next faster preset loses. About a point of VMAF at equal rate, in tenths.
const PRESET_LOSS: u32 = 10;
/// What leaving out an analysis pass loses: bits are placed with less knowledge. About half a point, in tenths.
const ANALYSIS_LOSS: u32 = 5;
/// What leaving out an optional stage loses, besides half a point for each percent of its audience.
const DROP_LOSS: u32 = 20;
/// What the next lower height of the largest picture loses.
const HEIGHT_LOSS: u32 = 40;

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
            Self::Preset { from, to } => write!(f, "preset {} instead of {}", to.as_str(), from.as_str()),
            Self::Height { from: Some(from), to } => write!(f, "at most {to} pixels high instead of {from}"),
            Self::Height { from: None, to } => write!(f, "at most {to} pixels high"),
            Self::Drop => f.write_str("left out, being optional"),
            Self::Analysis => f.write_str("one analysis pass fewer"),
        }
    }
}

/// One trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trade {
    /// The stage that it changes.
    pub stage: u32,
    /// What is given up.
    pub what: What,
    /// Why: how much was missing to the deadline, in milliseconds.
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

/// Everything that the job could give up next. `untouched` says whether nothing of a stage has been started.
#[must_use]
pub fn options(job: &Job, untouched: impl Fn(usize) -> bool, missing_ms: u64, at: WallMs) -> Vec<Trade> {
    let floor = job.spec.floor;
    if floor == QualityFloor::default() {
        return Vec::new();
    }
    let top = top_height(job);
    let mut found = Vec::new();
    for (index, stage) in job.stages.iter().enumerate().filter(|(i, s)| !s.dropped && untouched(*i)) {
        let number = u32::try_from(index).expect("a job has far fewer than 2^32 stages");
        let mut offer = |what, after: Prediction, loss| {
            let saved_ms = stage.prediction.wall_ms.saturating_sub(after.wall_ms);
            if saved_ms > 0 {
                let before = stage.prediction;
                let undone = None;
                found.push(Trade {
                    stage: number,
                    what,
                    missing_ms,
                    saved_ms,
                    loss,
                    before,
                    after,
                    at,
                    undone,
                });
            }
        };
        let is_awaited = job.stages.iter().any(|s| !s.dropped && s.after.contains(&number));
        if stage.optional && floor.drop_optional {
            let after = Prediction { cpu_ms: 0, wall_ms: 0, model: stage.prediction.model };
            if stage.is_advice() {
                offer(What::Analysis, after, ANALYSIS_LOSS);
            } else if !is_awaited {
                offer(What::Drop, after, DROP_LOSS + audience(job, stage) / 2);
            }
        }
        let Some(output) = stage.step.output() else { continue };
        let is_known = job.source_of(output).is_some_and(|(_, facts)| !facts.video.is_empty());
        let Some(settings) = job.settings_of(output).filter(|_| is_known) else { continue };
        let Some(video) = &settings.video else { continue };
        let with = |change: &dyn Fn(&mut VideoSettings)| {
            let mut cheaper = settings.clone();
            cheaper.video.as_mut().map(change);
            cost(job, output, &cheaper)
        };
        let from = video.preset;
        if let (Some(fastest), Some(to)) = (floor.fastest_preset, from.faster())
            && to >= fastest
        {
            offer(What::Preset { from, to }, with(&|video| video.preset = to), PRESET_LOSS);
        }
        let height = shown_height(job, output, &settings);
        if let (Some(lowest), true) = (floor.min_height, height == top)
            && let Some(to) = HEIGHTS.into_iter().find(|h| *h < height)
            && to >= lowest
        {
            let lower = with(&|video| video.max_height = Some(to));
            offer(What::Height { from: video.max_height, to }, lower, HEIGHT_LOSS);
        }
    }
    found
}

/// The option that loses the least for the time that it saves; the earlier stage where two are equal.
#[must_use]
pub fn cheapest(options: &[Trade]) -> Option<Trade> {
    let price = |t: &&Trade| (u64::from(t.loss).saturating_mul(1_000_000) / t.saved_ms.max(1), t.stage);
    options.iter().min_by_key(price).copied()
}

/// Brings a stage's settings to what a trade says.
pub fn apply(settings: &mut EncodeSettings, what: What) {
    let Some(video) = &mut settings.video else { return };
    match what {
        What::Preset { to, .. } => video.preset = to,
        What::Height { to, .. } => video.max_height = Some(to),
        What::Drop | What::Analysis => {}
    }
}

fn cost(job: &Job, output: u32, settings: &EncodeSettings) -> Prediction {
    let (_, facts) = job.source_of(output).expect("an encode of unknown facts gives nothing up");
    encode_cost(settings, facts)
}

/// What a stage needs of a node with everything that is given up now. `None` where that is no encode of a known input.
#[must_use]
pub fn demand_of(job: &Job, stage: u32) -> Option<Demand> {
    let output = job.stages.get(stage as usize)?.step.output()?;
    demand(job, output, &job.settings_of(output)?)
}

/// What the stage of a trade needs of a node without it and with it; a lower picture needs less.
#[must_use]
pub fn demands(job: &Job, trade: &Trade) -> (Demand, Demand) {
    let stage = &job.stages[trade.stage as usize];
    let both = |output| {
        let What::Height { from, to } = trade.what else { return None };
        let settings = job.settings_of(output)?;
        let at = |height| {
            let mut settings = settings.clone();
            settings.video.as_mut()?.max_height = height;
            demand(job, output, &settings)
        };
        Some((at(from)?, at(Some(to))?))
    };
    stage.step.output().and_then(both).unwrap_or((stage.demand, stage.demand))
}

fn demand(job: &Job, output: u32, settings: &EncodeSettings) -> Option<Demand> {
    let (_, facts) = job.source_of(output)?;
    Some(encode_demand(settings, facts))
}

fn audience(job: &Job, stage: &Stage) -> u32 {
    let output = stage.step.output().and_then(|o| job.spec.work.output(o));
    output.map_or(0, |o| u32::from(o.audience))
}

/// The height that an output will have.
fn shown_height(job: &Job, output: u32, settings: &EncodeSettings) -> u32 {
    let source =
        job.source_of(output).and_then(|(_, facts)| facts.video.first()).map_or(0, |v| v.shown_size().1);
    settings.video.as_ref().map_or(0, |video| video.max_height.map_or(source, |limit| limit.min(source)))
}

fn top_height(job: &Job) -> u32 {
    let outputs = job.spec.work.outputs();
    let heights = outputs.filter_map(|(o, _)| Some(shown_height(job, o, &job.settings_of(o)?)));
    heights.max().unwrap_or(0)
}

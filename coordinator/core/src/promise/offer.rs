//! What a job could give up next for a deadline, within its floor.
//!
//! A trade belongs to a whole stage of which nothing has been started, because a preset, a size or a rate changes the
//! headers of every chunk of a rung. Of all options the one is taken that loses the least for the time that it saves.

use std::sync::Arc;

use rushes_shared::encode::{EncodeSettings, VideoSettings};
use rushes_shared::job::{JobSpec, QualityFloor};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Demand;
use rushes_shared::units::WallMs;

use super::load::Load;
use super::path;
use super::trade::{self, Sake, Trade, What};
use crate::job::{Job, Prediction, Stage};
use crate::planner::{encode_cost, encode_demand};

/// Heights to which a picture is brought down, in pixels.
const HEIGHTS: [u32; 9] = [2_160, 1_440, 1_080, 720, 540, 480, 360, 240, 144];
/// What a step to the next faster preset loses. About a point of VMAF at equal rate, in tenths.
const PRESET_LOSS: u32 = 10;
/// What leaving out an analysis pass loses: bits are placed with less knowledge. About half a point, in tenths.
const ANALYSIS_LOSS: u32 = 5;
/// What one pass loses to two at the same mean rate: calm scenes get bits that busy ones to come would need. About a point
/// and a half, in tenths.
const PASS_LOSS: u32 = 15;
/// What leaving out an optional stage loses, besides half a point for each percent of its audience.
const DROP_LOSS: u32 = 20;
/// What the next lower height of the largest picture loses.
const HEIGHT_LOSS: u32 = 40;

/// Why something would be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// Whose deadline it is for.
    pub sake: Sake,
    /// How much is missing to it, in milliseconds.
    pub missing_ms: u64,
    /// When.
    pub at: WallMs,
}

/// A job that may give something up, as it would be planned. Its tasks stay where they are.
#[derive(Debug, Clone)]
pub struct Giver<'a> {
    job: &'a Job,
    /// What its inputs are taken for that nobody has looked into.
    assumed: Option<&'a MediaFacts>,
    stages: Arc<Vec<Stage>>,
    trades: Vec<Trade>,
    /// Stages of which nothing has been started.
    untouched: Vec<bool>,
}

impl<'a> Giver<'a> {
    /// A job that is live; `is_untouched` says of a stage whether nothing of it has been started.
    #[must_use]
    pub fn live(job: &'a Job, is_untouched: impl Fn(usize) -> bool) -> Self {
        let untouched = (0..job.stages.len()).map(is_untouched).collect();
        let trades = job.trades.to_vec();
        Self { job, assumed: None, stages: Arc::clone(&job.stages), trades, untouched }
    }

    /// A job that would be planned like this if its inputs are like the `assumed` one.
    #[must_use]
    pub fn planned(job: &'a Job, stages: Vec<Stage>, assumed: Option<&'a MediaFacts>) -> Self {
        let untouched = vec![true; stages.len()];
        Self { job, assumed, stages: Arc::new(stages), trades: Vec::new(), untouched }
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &'a Job {
        self.job
    }

    /// Its stages, with what it has given up so far.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Whether anything of it may be given up.
    #[must_use]
    pub fn may_give(spec: &JobSpec) -> bool {
        spec.floor != QualityFloor::default() && !spec.paused
    }

    /// Takes a trade of its own.
    pub fn take(&mut self, trade: &Trade) {
        trade.change(Arc::make_mut(&mut self.stages).as_mut_slice());
        self.trades.push(*trade);
        if let Some(demand) = self.demand_of(trade.stage) {
            Arc::make_mut(&mut self.stages)[trade.stage as usize].demand = demand;
        }
    }

    /// Everything that it could give up next.
    #[must_use]
    pub fn options(&self, cause: Cause) -> Vec<Trade> {
        let mut found = Vec::new();
        if !Self::may_give(&self.job.spec) {
            return found;
        }
        let top = self.top_height();
        for (stage, number) in self.stages.iter().zip(0_u32..) {
            if stage.dropped || !self.untouched[number as usize] {
                continue;
            }
            let mut offer = |what, after: Prediction, loss| {
                let saved_ms = stage.prediction.wall_ms.saturating_sub(after.wall_ms);
                let Cause { sake, missing_ms, at } = cause;
                let (before, undone) = (stage.prediction, None);
                let trade = Trade {
                    stage: number,
                    what,
                    sake,
                    missing_ms,
                    saved_ms,
                    loss,
                    before,
                    after,
                    at,
                    undone,
                };
                found.extend((saved_ms > 0).then_some(trade));
            };
            self.leave_out(stage, number, &mut offer);
            self.encode_otherwise(stage, top, &mut offer);
        }
        found
    }

    fn leave_out(&self, stage: &Stage, number: u32, offer: &mut impl FnMut(What, Prediction, u32)) {
        if !(stage.optional && self.job.spec.floor.drop_optional) {
            return;
        }
        let is_awaited = self.stages.iter().any(|s| !s.dropped && s.after.contains(&number));
        let after = Prediction { cpu_ms: 0, wall_ms: 0, model: stage.prediction.model };
        if stage.is_advice() {
            offer(What::Analysis, after, ANALYSIS_LOSS);
        } else if !is_awaited {
            offer(What::Drop, after, DROP_LOSS + self.audience(stage) / 2);
        }
    }

    fn encode_otherwise(&self, stage: &Stage, top: u32, offer: &mut impl FnMut(What, Prediction, u32)) {
        let floor = self.job.spec.floor;
        let Some(output) = stage.step.output() else { return };
        let Some(facts) = self.facts_of(output).filter(|facts| !facts.video.is_empty()) else { return };
        let Some(settings) = self.settings_of(output) else { return };
        let Some(video) = &settings.video else { return };
        let with = |change: &dyn Fn(&mut VideoSettings)| {
            let mut cheaper = settings.clone();
            cheaper.video.as_mut().map(change);
            encode_cost(&cheaper, facts)
        };
        if let Some(rate) = video.rate.in_one_pass().filter(|_| floor.one_pass) {
            offer(What::Pass, with(&|video| video.rate = rate), PASS_LOSS);
        }
        let from = video.preset;
        if let (Some(fastest), Some(to)) = (floor.fastest_preset, from.faster())
            && to >= fastest
        {
            offer(What::Preset { from, to }, with(&|video| video.preset = to), PRESET_LOSS);
        }
        let height = self.shown_height(output, &settings);
        if let (Some(lowest), true) = (floor.min_height, height == top)
            && let Some(to) = HEIGHTS.into_iter().find(|h| *h < height)
            && to >= lowest
        {
            let lower = with(&|video| video.max_height = Some(to));
            offer(What::Height { from: video.max_height, to }, lower, HEIGHT_LOSS);
        }
    }

    /// The farm's time that a trade frees, taken or not.
    #[must_use]
    pub fn freed(&self, trade: &Trade) -> Load {
        let stage = &self.stages[trade.stage as usize];
        let (before, after) = self.demands(trade);
        let load = |demand, prediction| path::load_with(stage.slot, demand, prediction).times(stage.count);
        load(before, trade.before).minus(load(after, trade.after))
    }

    /// What a stage needs of a node with everything that is given up now. `None` where that is no encode of a known input.
    #[must_use]
    pub fn demand_of(&self, stage: u32) -> Option<Demand> {
        let output = self.stages.get(stage as usize)?.step.output()?;
        Some(encode_demand(&self.settings_of(output)?, self.facts_of(output)?))
    }

    /// What the stage of a trade needs of a node without it and with it; a lower picture needs less.
    fn demands(&self, trade: &Trade) -> (Demand, Demand) {
        let stage = &self.stages[trade.stage as usize];
        let both = |output| {
            let What::Height { from, to } = trade.what else { return None };
            let (settings, facts) = (self.settings_of(output)?, self.facts_of(output)?);
            let at = |height| {
                let mut settings = settings.clone();
                settings.video.as_mut()?.max_height = height;
                Some(encode_demand(&settings, facts))
            };
            Some((at(from)?, at(Some(to))?))
        };
        stage.step.output().and_then(both).unwrap_or((stage.demand, stage.demand))
    }

    fn settings_of(&self, output: u32) -> Option<EncodeSettings> {
        trade::settings(&self.job.spec, &self.stages, &self.trades, output)
    }

    fn facts_of(&self, output: u32) -> Option<&MediaFacts> {
        self.assumed.or_else(|| self.job.source_of(output).map(|(_, facts)| facts))
    }

    fn audience(&self, stage: &Stage) -> u32 {
        let output = stage.step.output().and_then(|o| self.job.spec.work.output(o));
        output.map_or(0, |o| u32::from(o.audience))
    }

    /// The height that an output will have.
    fn shown_height(&self, output: u32, settings: &EncodeSettings) -> u32 {
        let video = self.facts_of(output).and_then(|facts| facts.video.first());
        let source = video.map_or(0, |v| v.shown_size().1);
        settings.video.as_ref().map_or(0, |video| video.max_height.map_or(source, |limit| limit.min(source)))
    }

    fn top_height(&self) -> u32 {
        let outputs = self.job.spec.work.outputs();
        let heights = outputs.filter_map(|(o, _)| Some(self.shown_height(o, &self.settings_of(o)?)));
        heights.max().unwrap_or(0)
    }
}

/// The option that loses the least for the time that it saves; the earlier stage where two are equal.
#[must_use]
pub fn cheapest(options: &[Trade]) -> Option<Trade> {
    let price = |t: &&Trade| (u64::from(t.loss).saturating_mul(1_000_000) / t.saved_ms.max(1), t.stage);
    options.iter().min_by_key(price).copied()
}

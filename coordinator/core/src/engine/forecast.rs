//! What is expected of a job: the answer to submits and dry runs.

use std::sync::Arc;

use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobSpec};
use rushes_shared::units::{Now, WallMs};

use super::Engine;
use super::intake::Submit;
use super::run::JobRun;
use crate::job::{Job, Stage};
use crate::planner;
use crate::promise::Forecast;
use crate::promise::ledger::{Due, Load};
use crate::promise::path::{self, Left, Path};

impl Engine {
    /// When a job should be done, and whether its deadline can be kept. Answers submits and dry runs.
    pub(super) fn forecast(&self, job: &Job, now: Now) -> Forecast {
        if !self.knows_power() {
            return Forecast::default();
        }
        if planner::awaits_probe(job) {
            let stages = planner::foreseen(job, &self.usual.input());
            return Forecast { assumes: Some(self.usual.assumed()), ..self.forecast_new(job, &stages, now) };
        }
        if let Some(run) = self.runs.get(&job.id).filter(|run| run.is_judged || job.spec.deadline.is_none()) {
            return self.forecast_live(job, run, now.wall);
        }
        match self.planned(job) {
            Some(stages) => self.forecast_new(job, &stages, now),
            None => Forecast::default(),
        }
    }

    /// What is expected of a job with these stages, none of which has begun.
    fn forecast_new(&self, job: &Job, stages: &[Stage], now: Now) -> Forecast {
        let (moment, now) = (now, now.wall);
        let power = self.fleet.counted_on();
        let left: Vec<Left<'_>> = stages
            .iter()
            .map(|stage| Left { stage, open: stage.count, running_ms: None, rest_ms: None })
            .collect();
        let path = path::remaining(&left, self.predictor(), power, self.fleet.usual_speed());
        let load = stages
            .iter()
            .fold(Load::default(), |sum, stage| sum.plus(path::load_of(stage).times(stage.count)));
        let spec = &job.spec;
        let wait = power.time_for(self.ledger.ahead_of(spec.class)).unwrap_or(u64::MAX / 2);
        let in_turn = WallMs(now.0.saturating_add(wait).saturating_add(path.p50_ms));
        let Some(deadline) = spec.deadline else {
            return Forecast { expected_finish: Some(in_turn), can_keep: None, assumes: None };
        };
        let lowest = self.at_floor(spec, stages);
        let fits = now.0.saturating_add(lowest.p90_ms) <= deadline.0;
        let misses = |without: &[Due]| self.miss_with(moment, spec.class, Due { deadline, load }, without);
        let is_first = spec.class == Class::Emergency;
        let can_keep =
            fits && (misses(&[]).is_none() || (!is_first && self.could_find_room(job, moment, load, misses)));
        let before = if is_first { self.ledger.emergencies() } else { self.ledger.due_by(deadline) };
        let ahead = self.promised_power().time_for(before.plus(load)).unwrap_or(u64::MAX / 2);
        let in_time = if can_keep { deadline } else { WallMs(now.0.saturating_add(ahead.max(path.p50_ms))) };
        let expected = in_turn.min(in_time.max(WallMs(now.0.saturating_add(path.p50_ms))));
        Forecast { expected_finish: Some(expected), can_keep: Some(can_keep), assumes: None }
    }

    /// Whether others would make room for a new job: by trades, or by promises that are worth less.
    fn could_find_room(
        &self,
        job: &Job,
        now: Now,
        load: Load,
        misses: impl Fn(&[Due]) -> Option<WallMs> + Copy,
    ) -> bool {
        self.cheapest_steps(now, job.id, misses).is_some() || self.could_yield(job, load, misses)
    }

    /// What is expected of a live job whose promise has been judged: what was decided, and when its turn comes.
    fn forecast_live(&self, job: &Job, run: &JobRun, now: WallMs) -> Forecast {
        let path = self.path_of(&job.stages, run, now);
        let spec = &job.spec;
        let ahead = self.ledger.ahead_of(spec.class).minus(run.booked().load);
        let in_turn =
            self.fleet.counted_on().time_for(ahead).unwrap_or(u64::MAX / 2).saturating_add(path.p50_ms);
        let in_turn = WallMs(now.0.saturating_add(in_turn));
        let Some(deadline) = spec.deadline else {
            return Forecast { expected_finish: Some(in_turn), can_keep: None, assumes: None };
        };
        let can_keep = job.late_since.is_none();
        let expected = if can_keep { in_turn.min(deadline) } else { in_turn };
        Forecast { expected_finish: Some(expected), can_keep: Some(can_keep), assumes: None }
    }

    /// The critical path of a job that gives up all that it may.
    fn at_floor(&self, spec: &JobSpec, stages: &[Stage]) -> Path {
        let keeps = |stage: &Stage| !(stage.optional && spec.floor.drop_optional);
        let left: Vec<Left<'_>> = stages
            .iter()
            .map(|stage| Left {
                stage,
                open: if keeps(stage) { stage.count } else { 0 },
                running_ms: None,
                rest_ms: None,
            })
            .collect();
        path::remaining(&left, self.predictor(), self.fleet.counted_on(), self.fleet.usual_speed())
    }

    /// What is expected of a job that was not submitted yet, and the stages that it begins with where they are known.
    pub(super) fn forecast_of(&self, submit: &Submit, now: Now) -> (Forecast, Vec<Stage>) {
        let (tenant, submitter) = (submit.tenant.clone(), Arc::clone(&submit.submitter));
        let job = Job::new(JobId(0), tenant, submitter, Arc::clone(&submit.spec), now.wall);
        if !self.knows_power() || planner::awaits_probe(&job) {
            return (self.forecast(&job, now), Vec::new());
        }
        match planner::next_stages(&job, || self.usual.input()) {
            Ok(stages) => (self.forecast_new(&job, &stages, now), stages),
            Err(_) => (Forecast::default(), Vec::new()),
        }
    }

    /// The stages of a job that was planned, or that can be planned at once.
    fn planned(&self, job: &Job) -> Option<Vec<Stage>> {
        let next = || planner::next_stages(job, || self.usual.input()).ok();
        if job.stages.is_empty() { next() } else { Some(job.stages.to_vec()) }
    }
}

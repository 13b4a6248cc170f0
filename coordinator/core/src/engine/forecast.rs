//! What is expected of a job: the answer to submits and dry runs.

use std::sync::Arc;

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::media::MediaFacts;
use rushes_shared::units::{Now, WallMs};

use super::Engine;
use super::beside::Claim;
use super::gates::AtOnce;
use super::intake::Submit;
use super::ladder::Asked;
use super::run::JobRun;
use crate::job::{Job, Stage};
use crate::planner;
use crate::policy::Admission;
use crate::promise::ledger::Due;
use crate::promise::offer::Giver;
use crate::promise::path::{self, Left, Path};
use crate::promise::{Barred, Forecast};

impl Engine {
    /// When a job should be done, and whether its deadline can be kept. Answers submits and dry runs.
    pub(super) fn forecast(&self, job: &Job, now: Now) -> Forecast {
        if planner::awaits_probe(job) {
            let input = self.usual.input();
            let stages = planner::foreseen(job, self.piece_s(), &input);
            let forecast = self.forecast_new(job, &stages, Some(&input), now);
            return Forecast { assumes: Some(self.usual.assumed()), ..forecast };
        }
        if let Some(run) = self.runs.get(&job.id).filter(|run| run.is_judged || job.spec.deadline.is_none()) {
            return self.forecast_live(job, run, now);
        }
        match self.planned(job) {
            Some(stages) => self.forecast_new(job, &stages, None, now),
            None => Forecast::default(),
        }
    }

    /// What is said where nothing of a job can start. Of a deadline nothing is said where that may be over soon.
    fn forecast_barred(&self, job: &Job, barred: Barred) -> Forecast {
        let is_late = job.late.is_some() || !barred.may_pass();
        let can_keep = job.spec.deadline.filter(|_| is_late).map(|_| false);
        Forecast { can_keep, barred: Some(Box::new(barred)), ..self.forecast_beside(job) }
    }

    /// What is said of a job beside times.
    fn forecast_beside(&self, job: &Job) -> Forecast {
        Forecast { unset_limits: self.unset_limits(job), ..Forecast::default() }
    }

    /// What is expected of a job with these stages, none of which has begun.
    fn forecast_new(
        &self,
        job: &Job,
        stages: &[Stage],
        assumed: Option<&MediaFacts>,
        moment: Now,
    ) -> Forecast {
        if let Some(barred) = self.barred(job, stages, |_| true) {
            return self.forecast_barred(job, barred);
        }
        if !self.knows_power() {
            return self.forecast_beside(job);
        }
        let (now, power) = (moment.wall, self.fleet.counted_on());
        let (path, load) = (self.path_of_new(stages, self.would_run_at_once(job)), path::load_of_all(stages));
        let spec = &job.spec;
        let wait = power.time_for(self.ledger.ahead_of(spec.class)).unwrap_or(u64::MAX / 2);
        let in_turn = wait.saturating_add(path.p50_ms).max(self.gates_ms(moment, job, None, stages));
        let in_turn = WallMs(now.0.saturating_add(in_turn));
        let told = self.forecast_beside(job);
        let Some(deadline) = spec.deadline else {
            return Forecast { expected_finish: Some(in_turn), ..told };
        };
        let giver = Giver::planned(job, stages.to_vec(), assumed);
        let can_keep = self.would_keep(giver, deadline, moment);
        let is_first = spec.class == Class::Emergency;
        let before = if is_first { self.ledger.emergencies() } else { self.ledger.due_by(deadline) };
        let ahead = self.promised_power().time_for(before.plus(load)).unwrap_or(u64::MAX / 2);
        let in_time = if can_keep { deadline } else { WallMs(now.0.saturating_add(ahead.max(path.p50_ms))) };
        let expected = in_turn.min(in_time.max(WallMs(now.0.saturating_add(path.p50_ms))));
        // What it gives up is done sooner.
        let expected = if can_keep { expected.min(deadline) } else { expected };
        Forecast { expected_finish: Some(expected), can_keep: Some(can_keep), ..told }
    }

    /// Whether a new job's deadline would be kept: what [`Engine::look_at_promise`] decides once it is submitted. Where
    /// hopeless deadlines are refused, nearly all that are taken have to be kept, so that it is asked with the ninth decile.
    fn would_keep(&self, mut giver: Giver<'_>, deadline: WallMs, now: Now) -> bool {
        let job = giver.job();
        let at_once = self.would_run_at_once(job);
        let path_of = |stages: &[Stage]| self.path_of_new(stages, at_once);
        for trade in self.trades_in_time(&giver, path_of, now.wall, deadline) {
            giver.take(&trade);
        }
        let lowest = path_of(giver.stages());
        let is_sure = self.policy.promise.admission == Admission::Refuse;
        let path_ms = if is_sure { lowest.p90_ms } else { lowest.p50_ms };
        if now.wall.0.saturating_add(path_ms) > deadline.0 {
            return false;
        }
        let Some((trades, gone)) = self.trades_to_pass(now, &giver, deadline) else { return false };
        trades.iter().for_each(|trade| giver.take(trade));
        let gone: Vec<Due> = gone.into_iter().filter_map(|id| self.due_of(id)).collect();
        let (class, load) = (job.spec.class, path::load_of_all(giver.stages()));
        let priority = self.policy.order.value.priority_of(&job.spec).value();
        let own = Giver::may_give(&job.spec).then_some(Asked { giver, priority, deadline });
        let misses = |without: &[Due]| self.miss_with(now, class, Due { deadline, load }, without);
        let claim = Claim { id: job.id, class, priority, load, own };
        misses(&gone).is_none() || self.room_for(now, &claim, misses).is_some()
    }

    /// The critical path of stages none of which has begun.
    fn path_of_new(&self, stages: &[Stage], most: AtOnce) -> Path {
        let open = |stage: &Stage| if stage.dropped { 0 } else { stage.count };
        let at_once = most.tasks;
        let left = |stage| Left { stage, open: open(stage), at_once, running_ms: None, rest_ms: None };
        let left: Vec<Left<'_>> = stages.iter().map(left).collect();
        path::remaining(&left, self.predictor(), self.fleet.counted_on(), self.fleet.usual_speed())
    }

    /// What is expected of a live job whose promise has been judged: what was decided, and when its turn comes.
    fn forecast_live(&self, job: &Job, run: &JobRun, moment: Now) -> Forecast {
        if let Some(barred) = self.live_barred(job.id) {
            return self.forecast_barred(job, barred);
        }
        if !self.knows_power() {
            return self.forecast_beside(job);
        }
        let now = moment.wall;
        let path = self.path_of(&job.stages, run, now);
        let spec = &job.spec;
        let ahead = self.ledger.ahead_of(spec.class).minus(run.booked().load);
        let in_turn =
            self.fleet.counted_on().time_for(ahead).unwrap_or(u64::MAX / 2).saturating_add(path.p50_ms);
        let in_turn = in_turn.max(self.gates_ms(moment, job, Some(run), &job.stages));
        let in_turn = WallMs(now.0.saturating_add(in_turn));
        let told = self.forecast_beside(job);
        let Some(deadline) = spec.deadline else {
            return Forecast { expected_finish: Some(in_turn), ..told };
        };
        let can_keep = job.late.is_none();
        let expected = if can_keep { in_turn.min(deadline) } else { in_turn };
        Forecast { expected_finish: Some(expected), can_keep: Some(can_keep), ..told }
    }

    /// What is expected of a job that was not submitted yet, and the stages that it begins with where they are known.
    pub(super) fn forecast_of(&self, submit: &Submit, now: Now) -> (Forecast, Vec<Stage>) {
        let (tenant, submitter) = (submit.tenant.clone(), Arc::clone(&submit.submitter));
        let job = Job::new(JobId(0), tenant, submitter, Arc::clone(&submit.spec), now.wall);
        if planner::awaits_probe(&job) {
            return (self.forecast(&job, now), Vec::new());
        }
        match planner::next_stages(&job, self.piece_s(), || self.usual.input()) {
            Ok(stages) => (self.forecast_new(&job, &stages, None, now), stages),
            Err(_) => (Forecast::default(), Vec::new()),
        }
    }

    /// The stages of a job that was planned, or that can be planned at once.
    fn planned(&self, job: &Job) -> Option<Vec<Stage>> {
        let next = || planner::next_stages(job, self.piece_s(), || self.usual.input()).ok();
        if job.stages.is_empty() { next() } else { Some(job.stages.to_vec()) }
    }
}

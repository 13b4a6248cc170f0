//! Answers from the engine's own decisions.

mod start;
mod task;

use rushes_shared::id::{JobId, TaskId};
use rushes_shared::job::JobState;
use rushes_shared::units::{Now, WallMs};

use super::Engine;
use super::run::JobRun;
use crate::explain::{Bottleneck, Explanation, Running, Sent, StageWait, Standing, Waiting};
use crate::job::{Job, LiveTask, Stage};
use crate::order::signature::{Closed, SigIx};
use crate::order::{AheadOf, Spot};
use start::Outlook;

impl Engine {
    /// Why a live job is where it is.
    #[must_use]
    pub fn explain(&self, now: Now, id: JobId) -> Option<Explanation> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        let (ahead, ahead_ms) = self.ahead_of(job, run);
        let (mut waits, mut outlook) = (Vec::new(), Outlook::new(self, now, (job, run), ahead_ms));
        for at in (0..run.stages.len()).filter(|at| !job.stages[*at].dropped) {
            self.explain_stage((job, run), at, &mut outlook, &mut waits);
        }
        let sent = self.live_attempts(id, run, true).map(|(task, live)| self.sent(now, task, live));
        let sent: Vec<Sent> = sent.take(Explanation::MOST_RUNNING).collect();
        let starts =
            waits.iter().filter_map(|wait| wait.start).chain(sent.iter().filter_map(|sent| sent.start));
        Some(Explanation {
            job: id,
            state: if run.is_started { JobState::Running } else { JobState::Queued },
            class: job.spec.class,
            priority: run.priority,
            standing: self.standing(job, run),
            ahead: ahead.map_or(0, |ahead| ahead.before + ahead.within),
            ahead_ms,
            start: starts.min_by_key(|start| start.at),
            forecast: self.forecast(job, now),
            late: job.late.as_deref().copied(),
            waits,
            sent,
            running: self
                .live_attempts(id, run, false)
                .map(|(task, live)| self.running(now, task, live))
                .take(Explanation::MOST_RUNNING)
                .collect(),
            trades: job.trades.to_vec(),
            fell_back: self.fallen_back(id),
            held_up: run.rare().held_up.clone(),
        })
    }

    fn standing(&self, job: &Job, run: &JobRun) -> Standing {
        match (job.spec.paused, run.ready_sigs().next(), run.spot) {
            (true, ..) => Standing::Paused,
            (false, _, None) if run.rare().is_held_back => Standing::HeldBack,
            (false, None, _) | (false, _, None) => Standing::NotQueued,
            (false, _, Some(Spot::Emergency(..))) => Standing::Emergency,
            (false, _, Some(Spot::AtRisk(..))) => Standing::AtRisk,
            (false, _, Some(Spot::Fair(..))) => Standing::InClass,
            (false, _, Some(Spot::Wide(..))) => Standing::BeyondWidth,
            (false, _, Some(Spot::Plain(..))) => Standing::Plain,
        }
    }

    /// What stands before a job, and how long all nodes together need for it, in milliseconds. A job of which nothing
    /// waits for its turn has nothing before it.
    fn ahead_of(&self, job: &Job, run: &JobRun) -> (Option<AheadOf>, Option<u64>) {
        let place = run.ready_sigs().next().zip(run.spot);
        let Some((sig, spot)) = place else { return (None, Some(0)) };
        let ahead = self.order.ahead(sig, spot, job.id);
        let light = self.order.sigs.get(sig).slot.is_light();
        let load = self.load_ahead(job, run, spot, ahead, light);
        (Some(ahead), self.fleet.counted_on().time_for(load))
    }

    fn explain_stage(
        &self,
        (job, run): (&Job, &JobRun),
        at: usize,
        outlook: &mut Outlook<'_>,
        waits: &mut Vec<StageWait>,
    ) {
        let (stage, entered) = (&job.stages[at], &run.stages[at]);
        let mut add = |tasks: u32, why: Waiting| {
            if tasks > 0 {
                let stage_no = u32::try_from(at).unwrap_or(u32::MAX);
                let start = outlook.start_of_wait(at, &why);
                let name = job.stage_name(at);
                waits.push(StageWait { stage: stage_no, name, slot: stage.slot, tasks, why, start });
            }
        };
        if entered.waits > 0 {
            return add(entered.open, self.stages_before(stage, run));
        }
        if entered.is_held {
            return add(entered.open.saturating_sub(entered.live), Waiting::Reattachment);
        }
        let aside = self.aside.count(job.id, entered.first..entered.first + entered.count);
        add(aside, Waiting::AnotherNode);
        add(entered.open.saturating_sub(entered.live + entered.ready + aside), Waiting::Backoff);
        add(entered.live.saturating_sub(entered.running), Waiting::OnWorker);
        add(entered.ready, self.why_not_started(run, entered.sig));
    }

    fn stages_before(&self, stage: &Stage, run: &JobRun) -> Waiting {
        let is_open = |at: &&u32| run.stages.get(**at as usize).is_some_and(|s| s.open > 0);
        Waiting::Stages(stage.after.iter().filter(is_open).copied().collect())
    }

    fn why_not_started(&self, run: &JobRun, sig: SigIx) -> Waiting {
        if run.spot.is_none() {
            return if run.rare().is_held_back { Waiting::Failing } else { Waiting::Pause };
        }
        if self.tenants.at(run.tenant).is_capped() {
            return Waiting::TenantCap;
        }
        self.why_closed(sig).unwrap_or(Waiting::Turn)
    }

    fn why_closed(&self, sig: SigIx) -> Option<Waiting> {
        let why = self.order.sigs.why_closed(sig)?;
        if let Closed::Limit(name) = why {
            return Some(Waiting::Limit(name.clone()));
        }
        let signature = self.order.sigs.get(sig);
        if !self.fleet.is_served(signature) {
            if let Some(shut) = self.fleet.shut(signature) {
                return Some(Waiting::ShutNodes(shut));
            }
            if let Some(lack) = self.fleet.lack(signature) {
                return Some(Waiting::NoNode(lack));
            }
            if self.fleet.is_too_old(signature) {
                return Some(Waiting::OldNodes);
            }
        }
        Some(self.fleet.reserved_for(sig).map_or(Waiting::Room, Waiting::Reserved))
    }

    /// Attempts that only wait on their workers, or that run.
    fn live_attempts<'a>(
        &self,
        job: JobId,
        run: &'a JobRun,
        is_ahead: bool,
    ) -> impl Iterator<Item = (TaskId, &'a LiveTask)> + use<'a> {
        let all = run.live.iter().flat_map(move |(index, live)| {
            live.iter().map(move |live| (TaskId { job, index: *index }, live))
        });
        all.filter(move |(_, live)| live.is_ahead == is_ahead)
    }

    fn running(&self, now: Now, task: TaskId, live: &LiveTask) -> Running {
        let end = self.expected_end(now.mono, live);
        Running {
            task,
            attempt: live.attempt,
            worker: live.worker,
            because: live.because,
            encoder: live.encoder.clone(),
            expected_end: end.map(|at| WallMs(now.wall.0.saturating_add(at.since(now.mono)))),
        }
    }

    /// What holds work up over the whole farm, most jobs first.
    #[must_use]
    pub fn bottlenecks(&self) -> Vec<Bottleneck> {
        let closed = self.order.sigs.closed().filter_map(|(sig, signature, _)| {
            let (slot, jobs) = (signature.slot, self.order.sigs.queued(sig));
            // Those whose tenants run as many as they may are passed over, whatever room there is.
            let is_capped = self.order.pick(|other| other == sig).is_none();
            let why = if is_capped { Waiting::TenantCap } else { self.why_closed(sig)? };
            Some(Bottleneck { slot, jobs, why })
        });
        let mut all: Vec<Bottleneck> = Vec::new();
        for found in closed {
            match all.iter_mut().find(|b| b.slot == found.slot && b.why == found.why) {
                Some(known) => known.jobs += found.jobs,
                None => all.push(found),
            }
        }
        all.sort_by_key(|b| std::cmp::Reverse(b.jobs));
        all
    }
}

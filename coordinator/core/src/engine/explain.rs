//! Answers from the engine's own decisions.

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::units::{Now, WallMs};

use super::Engine;
use super::run::{JobRun, StageRun};
use crate::explain::{Bottleneck, Explanation, Running, StageWait, Standing, Waiting};
use crate::job::Stage;
use crate::order::Spot;
use crate::order::signature::{Closed, SigIx};

impl Engine {
    /// Why a live job is where it is.
    #[must_use]
    pub fn explain(&self, now: Now, id: JobId) -> Option<Explanation> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        let sig = run.ready_sigs().next();
        let standing = match (job.spec.paused, sig, run.spot) {
            (true, ..) => Standing::Paused,
            (false, None, _) | (false, _, None) => Standing::NotQueued,
            (false, _, Some(Spot::Emergency(..))) => Standing::Emergency,
            (false, _, Some(Spot::AtRisk(..))) => Standing::AtRisk,
            (false, _, Some(Spot::Fair(..))) => Standing::InClass,
            (false, _, Some(Spot::Wide(..))) => Standing::BeyondWidth,
            (false, _, Some(Spot::Plain(..))) => Standing::Plain,
        };
        let ahead = sig.zip(run.spot).map_or(0, |(sig, spot)| self.order.ahead(sig, spot, id));
        let mut waits = Vec::new();
        for (stage, entered) in job.stages.iter().zip(&run.stages).filter(|(s, _)| !s.dropped) {
            self.explain_stage(id, run, stage, entered, &mut waits);
        }
        Some(Explanation {
            job: id,
            state: if run.is_started { JobState::Running } else { JobState::Queued },
            class: job.spec.class,
            priority: run.priority,
            standing,
            ahead,
            forecast: self.forecast(job, now),
            late: job.late.as_deref().copied(),
            waits,
            running: self.explain_running(now, id, run),
            trades: job.trades.to_vec(),
            fell_back: self.fallen_back(id),
            held_up: run.rare().held_up.clone(),
        })
    }

    fn explain_stage(
        &self,
        id: JobId,
        run: &JobRun,
        stage: &Stage,
        entered: &StageRun,
        waits: &mut Vec<StageWait>,
    ) {
        let number = run.stages.iter().position(|s| s.first == entered.first).unwrap_or(0);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let mut add = |tasks: u32, why: Waiting| {
            if tasks > 0 {
                waits.push(StageWait { stage: number, slot: stage.slot, tasks, why });
            }
        };
        if entered.waits > 0 {
            let is_open = |at: &&u32| run.stages.get(**at as usize).is_some_and(|s| s.open > 0);
            return add(entered.open, Waiting::Stages(stage.after.iter().filter(is_open).copied().collect()));
        }
        if entered.is_held {
            return add(entered.open.saturating_sub(entered.live), Waiting::Reattachment);
        }
        let range = entered.first..entered.first + entered.count;
        let aside = self.picky.keys().filter(|t| t.job == id && range.contains(&t.index)).count();
        let aside = u32::try_from(aside).unwrap_or(u32::MAX);
        add(aside, Waiting::AnotherNode);
        add(entered.open.saturating_sub(entered.live + entered.ready + aside), Waiting::Backoff);
        add(entered.ready, self.why_not_started(run, entered.sig));
    }

    fn why_not_started(&self, run: &JobRun, sig: SigIx) -> Waiting {
        if run.spot.is_none() {
            return Waiting::Pause;
        }
        if self.tenants.at(run.tenant).is_capped() {
            return Waiting::TenantCap;
        }
        self.why_closed(sig).unwrap_or(Waiting::Turn)
    }

    fn why_closed(&self, sig: SigIx) -> Option<Waiting> {
        Some(match self.order.sigs.why_closed(sig)? {
            Closed::Full => self.fleet.reserved_for(sig).map_or(Waiting::Room, Waiting::Reserved),
            Closed::Nowhere if self.fleet.is_shut(self.order.sigs.get(sig)) => Waiting::ShutNodes,
            Closed::Nowhere if self.fleet.is_too_old(self.order.sigs.get(sig)) => Waiting::OldNodes,
            Closed::Nowhere => Waiting::NoNode,
            Closed::Limit(name) => Waiting::Limit(name.clone()),
        })
    }

    fn explain_running(&self, now: Now, id: JobId, run: &JobRun) -> Vec<Running> {
        let attempts = run.live.iter().flat_map(|(index, live)| live.iter().map(move |l| (*index, l)));
        let running = attempts.filter(|(_, live)| !live.is_ahead).map(|(index, live)| {
            let holding = self.fleet.get(&live.worker).and_then(|n| n.holdings.get(&live.attempt));
            let left = live.progress.eta_ms.or_else(|| holding.map(|h| h.until.since(now.mono)));
            Running {
                task: rushes_shared::id::TaskId { job: id, index },
                attempt: live.attempt,
                worker: live.worker,
                because: live.because,
                encoder: live.encoder.clone(),
                expected_end: left.map(|ms| WallMs(now.wall.0.saturating_add(ms))),
            }
        });
        running.take(Explanation::MOST_RUNNING).collect()
    }

    /// What holds work up over the whole farm, most jobs first.
    #[must_use]
    pub fn bottlenecks(&self) -> Vec<Bottleneck> {
        let closed = self.order.sigs.closed().filter_map(|(sig, signature, _)| {
            let (slot, jobs) = (signature.slot, self.order.sigs.queued(sig));
            Some(Bottleneck { slot, jobs, why: self.why_closed(sig)? })
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

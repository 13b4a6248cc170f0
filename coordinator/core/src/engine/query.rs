//! Read-only answers from the live state.

use rushes_shared::id::{JobId, TenantId, WorkerId};
use rushes_shared::job::JobState;
use rushes_shared::task::TaskKind;

use super::Engine;
use crate::health::Health;
use crate::job::{Job, JobDoc, LiveTask};
use crate::placement::node::Node;
use crate::summary::{FarmDoc, Presence, WorkerDoc};

impl Engine {
    /// A live job.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<JobDoc> {
        let job = self.state.jobs.get(&id)?;
        let run = self.runs.get(&id)?;
        let furthest = |live: &Vec<LiveTask>| {
            let running = live.iter().rev().filter(|l| !l.is_ahead);
            running.max_by_key(|l| l.progress.permille).cloned()
        };
        let live = run.live.iter().filter_map(|(index, live)| Some((*index, furthest(live)?))).collect();
        let (stopped, held_up) = (run.rare().stopped.clone(), run.rare().held_up.clone());
        Some(JobDoc { job: (**job).clone(), live, stopped, held_up })
    }

    /// Live jobs before `before`, newest first, of one tenant or of all. Nothing is copied: see [`Engine::job`] for those
    /// that are wanted.
    pub fn jobs_before<'a>(
        &'a self,
        before: Option<JobId>,
        tenant: Option<&'a TenantId>,
    ) -> impl Iterator<Item = &'a Job> + 'a {
        let end = before.unwrap_or(JobId(u128::MAX));
        let jobs = self.state.jobs.range(..end).rev();
        jobs.map(|(_, job)| &**job).filter(move |job| tenant.is_none_or(|t| job.tenant == *t))
    }

    /// All workers that are known.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerDoc> {
        let docs = self.state.workers.values().map(|known| {
            let node = self.fleet.get(&known.id);
            let presence = match node {
                None => Presence::Gone,
                Some(n) if n.link.is_some() => Presence::Connected,
                Some(_) => Presence::Silent,
            };
            let used = node.map(Node::used).unwrap_or_default();
            let holdings = node.into_iter().flat_map(|n| &n.holdings);
            WorkerDoc {
                id: known.id,
                name: known.name.clone(),
                presence,
                draining: known.draining,
                leaving: node.is_some_and(|n| n.leaving),
                quarantined: node.is_some_and(|n| n.health == Health::Quarantined),
                encoder_sessions: node.map_or(0, |n| n.hardware.sessions),
                encoder_sessions_used: node.map_or(0, |n| n.hardware.used()),
                encoder_shut: node.is_some_and(|n| n.hardware.health == Health::Quarantined),
                speed_permille: known.speed_permille,
                since: known.at,
                facts: node.map(|n| n.facts.clone()),
                cpu_used: used.cpu,
                memory_used: used.memory,
                running: holdings.map(|(attempt, h)| (h.task, *attempt, h.kind)).collect(),
            }
        });
        docs.collect()
    }

    /// Counts over the farm.
    #[must_use]
    pub fn status(&self) -> FarmDoc {
        FarmDoc {
            jobs_queued: self.state.jobs.len() as u64 - self.jobs_started,
            jobs_running: self.jobs_started,
            tasks_ready: TaskKind::ALL
                .iter()
                .map(|k| (*k, self.ready.get(*k) + self.ahead.count(*k)))
                .collect(),
            tasks_running: TaskKind::ALL.iter().map(|k| (*k, self.fleet.running(*k))).collect(),
            bottlenecks: self.bottlenecks(),
            anomalies: self.anomalies(),
            workers_quarantined: self.fleet.values().filter(|n| n.health == Health::Quarantined).count()
                as u64,
            workers_connected: self.fleet.values().filter(|n| n.link.is_some()).count() as u64,
            workers_draining: self
                .fleet
                .iter()
                .filter(|(id, n)| n.link.is_some() && self.is_drained(**id, n))
                .count() as u64,
            workers_silent: self.fleet.values().filter(|n| n.link.is_none()).count() as u64,
            reattaching: self.reattach.is_some(),
        }
    }

    /// Whether a node gets no new tasks by somebody's will.
    fn is_drained(&self, id: WorkerId, node: &Node) -> bool {
        node.leaving || self.state.workers.get(&id).is_some_and(|known| known.draining)
    }

    /// The state of a live job without copying it.
    #[must_use]
    pub fn job_state(&self, id: JobId) -> Option<JobState> {
        let run = self.runs.get(&id)?;
        Some(if run.is_started { JobState::Running } else { JobState::Queued })
    }

    /// Counts the job anew after one of its tasks was started, ended or taken back.
    pub(super) fn count_started(&mut self, id: JobId) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.count_started(&mut self.jobs_started);
        }
    }
}

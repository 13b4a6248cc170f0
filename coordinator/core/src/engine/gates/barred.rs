//! Why nothing of a job can start at all.

use rushes_shared::id::JobId;
use rushes_shared::wire::WireVersion;

use super::super::Engine;
use super::super::progress::signature_of;
use crate::job::{Job, Stage};
use crate::promise::Barred;
use crate::promise::late::LateBy;

impl Engine {
    /// What stands before some of these stages that no time takes away; `is_open` says which of them are not complete.
    pub(in super::super) fn barred(
        &self,
        job: &Job,
        stages: &[Stage],
        is_open: impl Fn(usize) -> bool,
    ) -> Option<Barred> {
        if job.spec.paused {
            return Some(Barred::Paused);
        }
        if self.reattach.is_some() {
            return Some(Barred::Starting);
        }
        let limits = job.spec.needs.iter().flat_map(|needs| &needs.limits);
        for (name, asked) in limits {
            if let Some(most) = self.state.limits.get(name).copied().filter(|most| asked > most) {
                return Some(Barred::Limit { name: name.clone(), most, asked: *asked });
            }
        }
        if self.limits_of(&job.tenant).max_running == 0 {
            return Some(Barred::TenantCap);
        }
        let mut seen: Vec<(&str, WireVersion)> = Vec::new();
        let open = stages.iter().enumerate().filter(|(at, stage)| !stage.dropped && is_open(*at));
        for (_, stage) in open {
            // They differ by nothing else that decides which nodes have it.
            let signature = signature_of(job, stage);
            let kind = (signature.codec, signature.since);
            if seen.contains(&kind) {
                continue;
            }
            seen.push(kind);
            if self.fleet.is_served(&signature) {
                continue;
            }
            if let Some(lack) = self.fleet.lack(&signature) {
                return Some(Barred::Nodes(lack));
            }
            if self.fleet.is_too_old(&signature) && !self.fleet.values().any(|node| node.can_do(&signature)) {
                return Some(Barred::OldNodes);
            }
            if let Some(shut) = self.fleet.shut(&signature) {
                return Some(Barred::Shut(shut));
            }
        }
        None
    }

    /// The same of a live job.
    pub(in super::super) fn live_barred(&self, id: JobId) -> Option<Barred> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        self.barred(job, &job.stages, |at| run.stages.get(at).is_some_and(|stage| stage.open > 0))
    }

    /// What a live job's promise is late by as long as that lasts.
    pub(in super::super) fn barred_by(&self, id: JobId) -> Option<LateBy> {
        match self.live_barred(id).filter(|barred| !barred.may_pass())? {
            Barred::Limit { .. } => Some(LateBy::Limit),
            Barred::TenantCap => Some(LateBy::TenantCap),
            Barred::Nodes(_) | Barred::OldNodes | Barred::Shut(_) => Some(LateBy::Nodes),
            Barred::Paused | Barred::Starting => None,
        }
    }

    /// Named limits of a job that nobody has set: they hold nothing back, which may be a slip of the pen.
    pub(in super::super) fn unset_limits(&self, job: &Job) -> Vec<String> {
        let named = job.spec.needs.iter().flat_map(|needs| needs.limits.keys());
        named.filter(|name| !self.state.limits.contains_key(*name)).cloned().collect()
    }
}

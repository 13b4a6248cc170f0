//! Limits as operators see them: what holds, and how much of it is used.

use super::Engine;
use crate::summary::{LimitDoc, TenantDoc};

impl Engine {
    /// Tenants that have limits of their own, jobs that have not ended, or had some since the start; by name.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantDoc> {
        let own = self.state.tenants.keys();
        let mut names: Vec<_> = own.chain(self.tenants.names()).cloned().collect();
        names.sort();
        names.dedup();
        let doc = |name| {
            let run = self.tenants.get(&name);
            TenantDoc {
                limits: self.limits_of(&name),
                is_own: self.state.tenants.contains_key(&name),
                jobs: run.map_or(0, |run| run.jobs),
                deadline_jobs: run.map_or(0, |run| run.deadline_jobs),
                running: run.map_or(0, |run| run.running),
                name,
            }
        };
        names.into_iter().map(doc).collect()
    }

    /// Named limits that are set, or held by what runs; by name.
    #[must_use]
    pub fn named_limits(&self) -> Vec<LimitDoc> {
        let mut names: Vec<_> = self.state.limits.keys().chain(self.limits_held.keys()).cloned().collect();
        names.sort();
        names.dedup();
        let doc = |name| LimitDoc {
            most: self.state.limits.get(&name).copied(),
            held: self.limits_held.get(&name).copied().unwrap_or(0),
            name,
        };
        names.into_iter().map(doc).collect()
    }
}

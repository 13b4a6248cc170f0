//! Which jobs a list is about.

use rushes_core::job::Job;
use rushes_shared::id::TenantId;
use rushes_shared::job::{Class, JobState};

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only those with this name.
    pub name: Option<String>,
    /// Only those of this class.
    pub class: Option<Class>,
    /// Only those of this tenant. What the caller may see is not widened by it.
    pub tenant: Option<TenantId>,
}

impl JobFilter {
    pub(super) fn admits(&self, job: &Job, state: impl FnOnce() -> JobState) -> bool {
        let spec = &job.spec;
        self.state.is_none_or(|s| s == state())
            && self.class.is_none_or(|c| c == spec.class)
            && self.name.as_ref().is_none_or(|n| *n == spec.name)
            && self.tenant.as_ref().is_none_or(|t| *t == job.tenant)
            && self.labels.iter().all(|(k, v)| spec.labels.get(k) == Some(v))
    }
}

//! Jobs whose latest attempts have failed, of whatever task: counted from the records of the attempts themselves, so that a
//! start knows what the reign before knew. What becomes of such a job is for policy to say.
//!
//! Only failures that may pass count, and not those of lost workers or hardware encoders: what is permanent ends its task
//! at once, and a node that is at fault has its quarantine.

use std::collections::BTreeMap;

use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::JobId;

/// Failures in a row, by job; jobs without any are not in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failing(BTreeMap<JobId, u32>);

impl Failing {
    /// How many of a job's latest attempts have failed in a row.
    #[must_use]
    pub fn in_row(&self, job: JobId) -> u32 {
        self.0.get(&job).copied().unwrap_or(0)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (JobId, u32)> + '_ {
        self.0.iter().map(|(job, in_row)| (*job, *in_row))
    }

    /// Whether a failure says something about its job.
    #[must_use]
    pub fn counts(failure: &Failure) -> bool {
        let says_nothing = matches!(failure.code, FailureCode::WorkerLost | FailureCode::EncoderFailed);
        failure.class == FailureClass::Transient && !says_nothing
    }

    pub(super) fn failed(&mut self, job: JobId, failure: &Failure) {
        if Self::counts(failure) {
            let in_row = self.0.entry(job).or_default();
            *in_row = in_row.saturating_add(1);
        }
    }

    pub(super) fn set(&mut self, job: JobId, in_row: u32) {
        self.0.insert(job, in_row);
    }

    /// An attempt of the job has succeeded, or the job is over.
    pub(super) fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }
}

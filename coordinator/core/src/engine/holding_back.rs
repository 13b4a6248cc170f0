//! A job whose attempts all fail does not burn the farm: one task of it is tried at a time until one succeeds. The count is in
//! the state ([`crate::state::Failing`]), so that a restart does not let it go.

use rushes_shared::failure::Failure;
use rushes_shared::id::JobId;

use super::{Engine, Turn};
use crate::event::Decision;
use crate::state::Failing;

impl Engine {
    /// Whether so many of a job's attempts have failed in a row that it is to be held back.
    fn is_failing(&self, id: JobId) -> bool {
        let limit = self.policy.health.job_failures;
        limit > 0 && self.state.failing.in_row(id) >= limit
    }

    /// A job of the reign before is held back if it was.
    pub(super) fn resume_holding_back(&mut self, id: JobId) {
        if self.is_failing(id) {
            self.anomalies.failing.insert(id);
            self.runs.get_mut(&id).expect("a live job has a run").rare_mut().is_held_back = true;
            self.refile(id);
        }
    }

    /// An attempt of a job has failed, which is recorded.
    pub(super) fn note_job_failed(&mut self, turn: &mut Turn, id: JobId, failure: &Failure) {
        if !Failing::counts(failure) || !self.is_failing(id) {
            return;
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        if std::mem::replace(&mut run.rare_mut().is_held_back, true) {
            return;
        }
        let failures = self.state.failing.in_row(id);
        self.anomalies.failing.insert(id);
        self.decided(turn, Some(id), Decision::JobHeldBack { code: failure.code, failures });
        self.refile(id);
        self.recall_job(turn, id);
    }

    /// A task of a job has succeeded.
    pub(super) fn note_job_works(&mut self, turn: &mut Turn, id: JobId) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.rare().is_held_back) else { return };
        run.rare_mut().is_held_back = false;
        self.anomalies.failing.remove(&id);
        self.decided(turn, Some(id), Decision::JobLetGo);
        self.refile(id);
    }
}

//! A job whose attempts all fail does not burn the farm: one task of it is tried at a time until one succeeds.
//!
//! Only failures that may pass count, and not those of lost workers or hardware encoders: what is permanent ends its task
//! at once, and a node that is at fault has its quarantine. The count is of the reign.

use rushes_shared::failure::{FailureClass, FailureCode};
use rushes_shared::id::JobId;

use super::{Engine, Turn};
use crate::event::Decision;

impl Engine {
    /// An attempt of a job has failed.
    pub(super) fn note_job_failed(
        &mut self,
        turn: &mut Turn,
        id: JobId,
        (class, code): (FailureClass, FailureCode),
    ) {
        let limit = self.policy.health.job_failures;
        let says_nothing = matches!(code, FailureCode::WorkerLost | FailureCode::EncoderFailed);
        if limit == 0 || class != FailureClass::Transient || says_nothing {
            return;
        }
        let Some(run) = self.runs.get_mut(&id) else { return };
        let rare = run.rare_mut();
        rare.failed_in_row = rare.failed_in_row.saturating_add(1);
        if rare.failed_in_row < limit || std::mem::replace(&mut rare.is_held_back, true) {
            return;
        }
        let failures = rare.failed_in_row;
        self.anomalies.failing.insert(id);
        self.decided(turn, Some(id), Decision::JobHeldBack { code, failures });
        self.refile(id);
        self.recall_job(turn, id);
    }

    /// A task of a job has succeeded.
    pub(super) fn note_job_works(&mut self, turn: &mut Turn, id: JobId) {
        let Some(run) = self.runs.get_mut(&id).filter(|run| run.rare().failed_in_row > 0) else { return };
        let rare = run.rare_mut();
        rare.failed_in_row = 0;
        if std::mem::take(&mut rare.is_held_back) {
            self.anomalies.failing.remove(&id);
            self.decided(turn, Some(id), Decision::JobLetGo);
            self.refile(id);
        }
    }
}

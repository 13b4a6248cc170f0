//! Why jobs and tasks are where they are.

use rushes_core::explain::{Explanation, TaskExplanation};
use rushes_shared::id::{JobId, TaskId};
use rushes_shared::principal::Principal;

use super::{Farm, FarmError};
use crate::engine_actor::View;

impl Farm {
    /// Why a live job is where it is. `None` for one that has ended.
    ///
    /// # Errors
    /// [`FarmError::NoSuchJob`] where there is none that the caller may see.
    pub async fn explain(&self, by: &Principal, job: JobId) -> Result<Option<Explanation>, FarmError> {
        self.check_seen(by, job).await?;
        let now = self.clock.now();
        self.inspect(move |view| view.engine.explain(now, job)).await
    }

    /// Why a task of a live job is where it is. `None` for a job that has ended.
    ///
    /// # Errors
    /// [`FarmError::NoSuchJob`] where there is none that the caller may see, [`FarmError::NoSuchTask`] where it has no such
    /// task.
    pub async fn explain_task(
        &self,
        by: &Principal,
        task: TaskId,
    ) -> Result<Option<TaskExplanation>, FarmError> {
        self.check_seen(by, task.job).await?;
        let now = self.clock.now();
        let look = move |view: &View<'_>| {
            let is_live = view.engine.state().jobs.contains_key(&task.job);
            (is_live, view.engine.explain_task(now, task))
        };
        match self.inspect(look).await? {
            (true, None) => Err(FarmError::NoSuchTask(task)),
            (_, explanation) => Ok(explanation),
        }
    }
}

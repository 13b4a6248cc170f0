//! What encodes of a graph take is assumed when the graph is planned, and known once their input was probed: the plan,
//! the queue and the books follow.

use rushes_shared::id::JobId;

use super::progress::signature_of;
use super::{Engine, Turn};
use crate::planner;
use crate::record::Record;

impl Engine {
    /// Gives the encodes of a job the demand and prediction that their input makes known, before any is ready. An input
    /// that cannot be encoded is for [`Engine::advance`] to see.
    pub(super) fn size_stages(&mut self, turn: &mut Turn, id: JobId) {
        let Some(Ok(sized)) = self.state.jobs.get(&id).map(|job| planner::sized(job)) else { return };
        if sized.is_empty() {
            return;
        }
        for (stage, demand, prediction) in sized {
            self.emit(turn, Record::StageSized { job: id, stage, demand, prediction });
            let (job, at) = (&self.state.jobs[&id], stage as usize);
            let sig = self.order.sigs.take(signature_of(job, &job.stages[at]));
            let entered = &mut self.runs.get_mut(&id).expect("a live job has a run").stages[at];
            debug_assert_eq!(entered.ready, 0, "its input was not known until now");
            let before = std::mem::replace(&mut entered.sig, sig);
            let sized_ms = u32::try_from(prediction.wall_ms).unwrap_or(u32::MAX);
            let wall_ms = std::mem::replace(&mut entered.wall_ms, sized_ms);
            if entered.counts_wall {
                self.ledger.count_stage(u64::from(wall_ms), false);
                self.ledger.count_stage(u64::from(sized_ms), true);
            }
            self.order.sigs.give_back(before);
        }
        self.rebook(id);
    }
}

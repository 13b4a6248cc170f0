//! What encodes of a graph take is assumed when the graph is planned, and known once their input was probed: the plan,
//! the queue and the books follow.

use rushes_shared::id::JobId;
use rushes_shared::task::{Demand, TaskKind};
use rushes_shared::wire::WireVersion;

use super::progress::signature_of;
use super::{Engine, Turn};
use crate::job::Prediction;
use crate::planner;
use crate::promise::offer::Giver;
use crate::record::Record;

impl Engine {
    /// Length of the pieces that outputs are made in now, in seconds; 0 where one node would make all of them, or could not
    /// join what others have made: pieces of different programs are no parts of one film.
    pub(super) fn piece_s(&self) -> u32 {
        let piece_s = self.policy.piece_s;
        let joins = WireVersion::needed_for(TaskKind::Join, None);
        let are_several = || {
            let mut nodes = self.fleet.iter().map(|(_, node)| node);
            let mut nodes = nodes.by_ref().filter(|node| node.is_open() && node.facts.wire >= joins);
            let first = nodes.next();
            first.is_some_and(|first| {
                nodes.next().is_some_and(|next| next.facts.version == first.facts.version)
            })
        };
        if piece_s > 0 && are_several() { piece_s } else { 0 }
    }

    /// Gives the encodes of a job the demand and prediction that their input makes known, before any is ready. An input
    /// that cannot be encoded is for [`Engine::advance`] to see.
    pub(super) fn size_stages(&mut self, turn: &mut Turn, id: JobId) {
        let Some(Ok(sized)) = self.state.jobs.get(&id).map(|job| planner::sized(job)) else { return };
        if sized.is_empty() {
            return;
        }
        for (stage, demand, prediction) in sized {
            self.size_stage(turn, id, (stage, demand, prediction));
        }
        self.rebook(id);
    }

    /// A lower picture takes less of a node than a higher one.
    pub(super) fn size_traded(&mut self, turn: &mut Turn, id: JobId, stage: u32) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        let (before, prediction) = (job.stages[stage as usize].demand, job.stages[stage as usize].prediction);
        let Some(demand) = Giver::live(job, |_| false).demand_of(stage).filter(|demand| *demand != before)
        else {
            return;
        };
        self.size_stage(turn, id, (stage, demand, prediction));
    }

    fn size_stage(
        &mut self,
        turn: &mut Turn,
        id: JobId,
        (stage, demand, prediction): (u32, Demand, Prediction),
    ) {
        self.unpark_job(id);
        self.emit(turn, Record::StageSized { job: id, stage, demand, prediction });
        let (job, at) = (&self.state.jobs[&id], stage as usize);
        let sig = self.order.sigs.take(signature_of(job, &job.stages[at]));
        let entered = &mut self.runs.get_mut(&id).expect("a live job has a run").stages[at];
        let before = std::mem::replace(&mut entered.sig, sig);
        let sized_ms = u32::try_from(prediction.wall_ms).unwrap_or(u32::MAX);
        let wall_ms = std::mem::replace(&mut entered.wall_ms, sized_ms);
        if entered.counts_wall {
            self.ledger.count_stage(u64::from(wall_ms), false);
            self.ledger.count_stage(u64::from(sized_ms), true);
        }
        self.file(id, before);
        self.file(id, sig);
        self.order.sigs.give_back(before);
    }
}

//! What is asked back of what workers hold ahead: for something more urgent, for room elsewhere, or because it is not to
//! start.

use rushes_shared::id::{AttemptId, JobId, WorkerId};

use super::super::{Engine, Turn};
use super::{RANK_CLASSES, rank_of};
use crate::event::Command;
use crate::order::Pick;
use crate::order::fair::TenantIx;
use crate::order::signature::{Closed, SigIx};
use crate::placement::ahead::Entry;

impl Engine {
    /// Asks something more urgent than this job back that waits elsewhere for room and could begin on this worker; whether
    /// that is on its way, so that the room is kept for it. What a class is owed is started first.
    pub(in super::super) fn asks_back_for(&mut self, turn: &mut Turn, pick: Pick, worker: WorkerId) -> bool {
        let spot = self.runs[&pick.job].spot;
        let rank = rank_of(spot);
        // At risk or not makes a difference even to a class that is owed a start.
        let bound = if self.order.is_owed(spot) { rank.min(RANK_CLASSES) } else { rank };
        let Some(node) = self.fleet.get(&worker) else { return false };
        let could = |sig: &SigIx| {
            let signature = self.order.sigs.get(*sig);
            node.can_do(signature) && node.takes(signature.slot, signature.demand())
        };
        let sigs: Vec<SigIx> = self.ahead.outranking(bound).filter(could).collect();
        let at = (&self.fleet, turn.now.mono);
        let rank_now = |entry: &Entry| rank_of(self.runs.get(&entry.holding.task.job).and_then(|r| r.spot));
        let found = sigs.into_iter().find_map(|sig| {
            let light = self.order.sigs.get(sig).slot.is_light();
            self.ahead.most_urgent(at, (sig, light), bound, rank_now)
        });
        let Some((holder, attempt)) = found else { return false };
        self.recall(turn, holder, attempt);
        true
    }

    /// Asks all back that waits for cores on a node that has room for a smaller task of this signature: until then it
    /// could not begin there, as nothing passes what came before it.
    pub(in super::super) fn clear_line_for(&mut self, turn: &mut Turn, sig: SigIx) {
        if self.order.sigs.get(sig).slot.is_light() {
            return;
        }
        let Some(worker) = self.fleet.find_behind(&self.order.sigs, sig) else { return };
        for attempt in self.ahead.line(worker, false).map(|e| e.attempt).collect::<Vec<_>>() {
            self.recall(turn, worker, attempt);
        }
    }

    /// A worker that has room gets what others hold ahead. What the queue has left here that could start there may not, as
    /// all that may has been started.
    pub(super) fn recall_for_idle(&mut self, turn: &mut Turn) {
        let sigs: Vec<SigIx> = self.ahead.sigs().filter(|(_, recalled)| !recalled).map(|(s, _)| s).collect();
        for sig in sigs {
            if !self.order.sigs.is_open(sig) || !self.fleet.is_able(&mut self.order.sigs, sig) {
                continue;
            }
            let light = self.order.sigs.get(sig).slot.is_light();
            let idle = self.fleet.find(&self.order.sigs, sig, |_| false);
            let Some(idle) = idle.and_then(|id| self.fleet.get(&id)) else {
                // Opened again when room becomes free.
                self.order.sigs.close(sig, Closed::Full);
                continue;
            };
            let most = if light { idle.light_free() as usize } else { 1 };
            for (worker, attempt) in self.ahead.latest(sig, light, most) {
                self.recall(turn, worker, attempt);
            }
        }
    }

    /// Asks a worker to give back all that it holds ahead.
    pub(in super::super) fn recall_all(&mut self, turn: &mut Turn, worker: WorkerId) {
        for attempt in self.ahead.on(worker).map(|e| e.attempt).collect::<Vec<_>>() {
            self.recall(turn, worker, attempt);
        }
    }

    /// Asks for all back that is ahead of a tenant that runs more than it may since its cap was lowered.
    pub(in super::super) fn recall_beyond_cap(&mut self, turn: &mut Turn, tenant: TenantIx) {
        let run = self.tenants.at(tenant);
        if self.ahead.is_unused() || run.running <= run.limits.max_running {
            return;
        }
        let of_tenant = |entry: &&Entry| entry.holding.tenant == tenant;
        let on = |id: &WorkerId| {
            self.ahead.on(*id).filter(of_tenant).map(|e| (*id, e.attempt)).collect::<Vec<_>>()
        };
        let waiting: Vec<_> = self.fleet.iter().flat_map(|(id, _)| on(id)).collect();
        for (worker, attempt) in waiting {
            self.recall(turn, worker, attempt);
        }
    }

    /// Asks for all back that is ahead of a job: it is not to start now.
    pub(in super::super) fn recall_job(&mut self, turn: &mut Turn, job: JobId) {
        let Some(run) = self.runs.get(&job).filter(|run| run.live.ahead() > 0) else { return };
        let waiting = run.live.values().flatten().filter(|live| live.is_ahead);
        for (worker, attempt) in waiting.map(|live| (live.worker, live.attempt)).collect::<Vec<_>>() {
            self.recall(turn, worker, attempt);
        }
    }

    pub(super) fn recall(&mut self, turn: &mut Turn, worker: WorkerId, attempt: AttemptId) {
        if self.ahead.recall(worker, attempt) {
            self.command(turn, Command::RecallTask { worker, attempt });
        }
    }
}

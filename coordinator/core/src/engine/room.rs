//! Beyond capacity the farm sheds by policy: up to how many jobs it takes of each class, and when there should be room for
//! more. Bulk is refused first and emergencies last, so that what matters most still gets in when all else piles up.

use rushes_shared::id::JobId;
use rushes_shared::job::{Class, Work};
use rushes_shared::units::Now;

use super::Engine;
use super::intake::Submit;
use super::progress::signature_of;
use crate::event::Refusal;
use crate::job::{Job, Stage};
use crate::planner;
use crate::promise::ledger::Load;
use crate::promise::path;

/// Where no work is in the books: in so many seconds, with a look at the farm, something may be.
const UNKNOWN_S: u32 = 60;

impl Engine {
    /// Whether the farm takes another job of a class.
    pub(super) fn has_room_for(&self, now: Now, class: Class) -> Result<(), Refusal> {
        let jobs = self.state.jobs.len() as u64;
        let is_growing = self.anomalies.is_growing();
        let limit = self.policy.room.jobs_of(class, self.policy.max_jobs, is_growing);
        if jobs < limit {
            return Ok(());
        }
        let retry_s = self.room_in_s(now, jobs - limit + 1, jobs);
        Err(Refusal::FarmFull { class, limit, retry_s })
    }

    /// In how many seconds so many of these jobs should have ended, within [`Refusal::RETRY_AFTER_S`]: by the work that is
    /// booked and runs over what the nodes get done, as if these jobs' ends were spread evenly over that time. Films that
    /// nobody has looked into yet count as what such jobs usually take. The longest where nobody works.
    pub(super) fn room_in_s(&self, now: Now, over: u64, of: u64) -> u32 {
        let (_, unplanned) = self.usual.unplanned();
        let left = self.ledger.all().plus(self.fleet.running_left(now.mono).left).plus(unplanned);
        // What is paused has nothing in the books.
        if left == Load::default() {
            return UNKNOWN_S;
        }
        let (least, most) = (*Refusal::RETRY_AFTER_S.start(), *Refusal::RETRY_AFTER_S.end());
        let Some(ms) = self.fleet.power().time_for(left) else { return most };
        let part = u128::from(ms) * u128::from(over.max(1)) / u128::from(of.max(1));
        u32::try_from(part.div_ceil(1_000)).unwrap_or(most).clamp(least, most)
    }

    /// Keeps the count of jobs that are not in the books but for the probe of their input.
    pub(super) fn note_unplanned(&mut self, id: JobId) {
        let (Some(job), Some(run)) = (self.state.jobs.get(&id), self.runs.get_mut(&id)) else { return };
        let is_unplanned = !job.spec.paused && planner::is_unplanned(job);
        if is_unplanned == std::mem::replace(&mut run.is_unplanned, is_unplanned) {
            return;
        }
        self.usual.count_unplanned(is_unplanned);
        if is_unplanned && self.usual.knows_no_cost() {
            let foreseen = planner::foreseen(job, self.piece_s(), &self.usual.input());
            self.usual.foresee(path::load_of_all(&foreseen));
        }
    }

    /// Whether a graph asks for nothing of nodes that is not kept apart yet, where no more can be. What others take is of
    /// few sizes, and is rounded up where even those are too many.
    pub(super) fn demands_are_known(&self, now: Now, submit: &Submit, plan: &[Stage]) -> Result<(), Refusal> {
        let limit = self.policy.order.max_signatures;
        let sigs = &self.order.sigs;
        if sigs.len() < limit || !matches!(submit.spec.work, Work::Graph { .. }) {
            return Ok(());
        }
        let (tenant, submitter) = (submit.tenant.clone(), submit.submitter.clone());
        let job = Job::new(submit.job, tenant, submitter, submit.spec.clone(), now.wall);
        let planned = if plan.is_empty() {
            planner::next_stages(&job, self.piece_s(), || self.usual.input()).unwrap_or_default()
        } else {
            plan.to_vec()
        };
        if planned.iter().all(|stage| sigs.knows(&signature_of(&job, stage))) {
            return Ok(());
        }
        let jobs = self.state.jobs.len() as u64;
        Err(Refusal::TooManySignatures { limit, retry_s: self.room_in_s(now, 1, jobs.min(limit as u64)) })
    }
}

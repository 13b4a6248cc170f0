//! Which job starts a task next.
//!
//! Jobs are queued, not tasks: a job has one entry for each [`Signature`] in which it has ready tasks, so that a job that
//! is worth more, at risk or paused moves in O(log n), and a waiting task costs next to nothing.
//!
//! ```text
//! 1 emergency         by priority, then submission
//! 2 promises at risk  by deadline, of any class
//! 3 classes           premium, standard, bulk; each backlogged class is owed its guaranteed share    (share)
//! 4 tenants           start-time fair queueing by weight within the class                            (fair)
//! 5 jobs              submission, aged by priority, within the tenant
//! 6 jobs beyond their width: only what nobody else wants
//! ```
//!
//! All keys are integers, so that the order is total and the same everywhere.

pub mod fair;
pub mod lane;
pub mod share;
pub mod shared;
pub mod signature;
pub mod value;

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use serde::{Deserialize, Serialize};

use fair::{FairLine, TenantIx};
use share::Shares;
use shared::SharedLane;
use signature::{SigIx, Signatures};

/// Sorts jobs within a lane: lower is sooner.
pub type Key = (i64, i64);

/// How many entries that may not start now are looked past in one place of the queue.
pub const LOOK_PAST: usize = 64;
/// Most jobs that are counted to tell how many stand before one.
pub const MOST_COUNTED: usize = 10_000;

/// What decides the order. All but the first are baselines to compare it with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderRule {
    /// The order of this module.
    #[default]
    Value,
    /// By submission.
    Fifo,
    /// By class, then priority, then submission.
    StrictPriority,
    /// By deadline, then submission; jobs without one last.
    Edf,
}

/// Where a job stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// In the emergency lane.
    Emergency(TenantIx, Key),
    /// Among the promises at risk.
    AtRisk(TenantIx, Key),
    /// In its class and tenant; lower is sooner.
    Fair(Class, TenantIx, i64),
    /// Beyond its width.
    Wide(TenantIx, Key),
    /// In the one lane of a baseline.
    Plain(TenantIx, Key),
}

impl Spot {
    /// The number of its lane, in the order in which they are served but for what lower classes are owed.
    fn lane(self) -> usize {
        match self {
            Self::Emergency(..) => 0,
            Self::AtRisk(..) => 1,
            Self::Fair(Class::Premium | Class::Emergency, ..) => 2,
            Self::Fair(Class::Standard, ..) => 3,
            Self::Fair(Class::Bulk, ..) => 4,
            Self::Plain(..) => 5,
            Self::Wide(..) => 6,
        }
    }
}

/// Jobs that stand before one; a job that wants two kinds of the same room counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AheadOf {
    /// In the lanes before its own.
    pub before: u64,
    /// Before it in its own lane.
    pub within: u64,
    /// All in its own lane, itself included.
    pub lane: u64,
}

/// The job that is next, and for which kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The job.
    pub job: JobId,
    /// What its task needs.
    pub sig: SigIx,
}

/// The queue.
#[derive(Debug)]
pub struct Order {
    /// What queued tasks need.
    pub sigs: Signatures,
    emergency: SharedLane,
    at_risk: SharedLane,
    classes: [FairLine; 3],
    shares: Shares,
    wide: SharedLane,
    plain: SharedLane,
}

/// The place of a class in tables of the three that share the farm; `None` for the emergency class.
fn rank(class: Class) -> Option<usize> {
    match class {
        Class::Bulk => Some(0),
        Class::Standard => Some(1),
        Class::Premium => Some(2),
        Class::Emergency => None,
    }
}

impl Order {
    /// An empty queue in which bulk, standard and premium are owed these shares, in thousandths, and may save up credit
    /// for so much CPU time.
    #[must_use]
    pub fn new(share_permille: [u32; 3], credit_ms: u64) -> Self {
        Self {
            sigs: Signatures::default(),
            emergency: SharedLane::default(),
            at_risk: SharedLane::default(),
            classes: Default::default(),
            shares: Shares::new(share_permille, credit_ms),
            wide: SharedLane::default(),
            plain: SharedLane::default(),
        }
    }

    /// Enters a job for one signature.
    pub fn insert(&mut self, sig: SigIx, spot: Spot, job: JobId) {
        let is_new = match spot {
            Spot::Emergency(tenant, key) => self.emergency.insert(sig, tenant, key, job),
            Spot::AtRisk(tenant, key) => self.at_risk.insert(sig, tenant, key, job),
            Spot::Wide(tenant, key) => self.wide.insert(sig, tenant, key, job),
            Spot::Plain(tenant, key) => self.plain.insert(sig, tenant, key, job),
            Spot::Fair(class, tenant, key) => self.fair_mut(class).insert(tenant, sig, key, job),
        };
        if is_new {
            self.sigs.queue(sig, spot.lane());
        }
    }

    /// Takes a job's entry out, if it is in.
    pub fn remove(&mut self, sig: SigIx, spot: Spot, job: JobId) {
        let was_in = match spot {
            Spot::Emergency(tenant, key) => self.emergency.remove(sig, tenant, key, job),
            Spot::AtRisk(tenant, key) => self.at_risk.remove(sig, tenant, key, job),
            Spot::Wide(tenant, key) => self.wide.remove(sig, tenant, key, job),
            Spot::Plain(tenant, key) => self.plain.remove(sig, tenant, key, job),
            Spot::Fair(class, tenant, key) => self.fair_mut(class).remove(tenant, sig, key, job),
        };
        if was_in {
            self.sigs.unqueue(sig, spot.lane());
        }
    }

    /// The next job among signatures that `open` lets through, of tenants that are not capped.
    pub fn pick(&self, open: impl Fn(SigIx) -> bool) -> Option<Pick> {
        let first = |lane: &SharedLane| lane.first(&open).map(|(job, sig)| Pick { job, sig });
        first(&self.emergency)
            .or_else(|| first(&self.at_risk))
            .or_else(|| self.shares.order().into_iter().find_map(|c| self.classes[c].pick(&open)))
            .or_else(|| first(&self.plain))
            .or_else(|| first(&self.wide))
    }

    /// Jobs that stand before this one and want light slots, or cores, as it does. What is counted within a lane is bounded
    /// by [`MOST_COUNTED`], and between tenants of a class estimated by their weights.
    #[must_use]
    pub fn ahead(&self, sig: SigIx, spot: Spot, job: JobId) -> AheadOf {
        let light = self.sigs.get(sig).slot.is_light();
        let (before, lane) = self.sigs.queued_before(spot.lane(), light);
        let alike = |other: SigIx| self.sigs.get(other).slot.is_light() == light;
        let within = match spot {
            Spot::Emergency(_, key) => self.emergency.ahead(alike, key, job),
            Spot::AtRisk(_, key) => self.at_risk.ahead(alike, key, job),
            Spot::Wide(_, key) => self.wide.ahead(alike, key, job),
            Spot::Plain(_, key) => self.plain.ahead(alike, key, job),
            Spot::Fair(class, tenant, key) => {
                rank(class).map_or(0, |at| self.classes[at].ahead(tenant, alike, key, job))
            }
        };
        AheadOf { before, within: within.min(lane), lane }
    }

    /// Whether the emergency lane has any.
    #[must_use]
    pub fn has_emergencies(&self) -> bool {
        !self.emergency.is_empty()
    }

    /// The first jobs of the emergency lane of each tenant that is not capped, at most so many with one signature; by
    /// signature, those behind this one first.
    pub fn emergencies(
        &self,
        most: usize,
        behind: Option<SigIx>,
    ) -> impl Iterator<Item = (JobId, SigIx)> + '_ {
        self.emergency.first_of_each(most, behind)
    }

    /// Accounts for a start: `cost_ms` of CPU time by a job of this class, tenant and priority.
    pub fn charge(&mut self, spot: Spot, class: Class, tenant: TenantIx, priority: u8, cost_ms: u64) {
        let Some(at) = rank(class) else { return };
        let backlog = [0, 1, 2].map(|c| !self.classes[c].is_empty());
        self.shares.started(at, cost_ms, backlog);
        self.classes[at].charge(tenant, priority, cost_ms, matches!(spot, Spot::Fair(..)));
    }

    /// Takes the charge for a start back of which nothing was done.
    pub fn refund(&mut self, class: Class, tenant: TenantIx, priority: u8, cost_ms: u64) {
        let Some(at) = rank(class) else { return };
        let backlog = [0, 1, 2].map(|c| !self.classes[c].is_empty());
        self.shares.taken_back(at, cost_ms, backlog);
        self.classes[at].refund(tenant, priority, cost_ms);
    }

    /// Whether a job at this place is owed its turn by its class's guaranteed share.
    #[must_use]
    pub fn is_owed(&self, spot: Option<Spot>) -> bool {
        match spot {
            Some(Spot::Fair(class, ..)) => rank(class).is_some_and(|at| self.shares.is_owed(at)),
            _ => false,
        }
    }

    /// Whether room that is kept for a signature is to be given to a job at this place: it goes before all classes, and
    /// nothing with that signature stands in its lane or before.
    #[must_use]
    pub fn may_take_from(&self, spot: Option<Spot>, kept_for: SigIx) -> bool {
        match spot {
            Some(Spot::Emergency(..)) => self.yields_to_emergencies(kept_for),
            Some(spot @ Spot::AtRisk(..)) => !self.sigs.waits_up_to(kept_for, spot.lane()),
            _ => false,
        }
    }

    /// Whether nothing with a signature stands in the emergency lane.
    #[must_use]
    pub fn yields_to_emergencies(&self, sig: SigIx) -> bool {
        !self.sigs.waits_up_to(sig, 0)
    }

    /// Sets a tenant's weight in every class.
    pub fn set_weight(&mut self, tenant: TenantIx, weight: u32) {
        self.classes.iter_mut().for_each(|c| c.set_weight(tenant, weight));
    }

    /// Holds a tenant's jobs back, or lets them go again.
    pub fn set_capped(&mut self, tenant: TenantIx, capped: bool) {
        self.classes.iter_mut().for_each(|c| c.set_capped(tenant, capped));
        for lane in [&mut self.emergency, &mut self.at_risk, &mut self.wide, &mut self.plain] {
            lane.set_capped(tenant, capped);
        }
    }

    fn fair_mut(&mut self, class: Class) -> &mut FairLine {
        let at = rank(class).expect("emergencies have a lane of their own");
        &mut self.classes[at]
    }
}

//! Weighted fairness between tenants of one class: start-time fair queueing (Goyal, Vin, Cheng 1996) in integers.
//!
//! A tenant's virtual time grows with what it starts, divided by its weight; the tenant with the least is next. One
//! that comes back after a pause begins at the class's virtual time, so that nobody saves up.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::id::JobId;

use super::lane::Lane;
use super::signature::SigIx;
use super::{LOOK_PAST, MOST_COUNTED, Pick};

/// A tenant's number in this reign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantIx(pub u32);

/// Weight of a tenant about whom nothing is said.
pub const USUAL_WEIGHT: u32 = 100;

/// One class.
#[derive(Debug, Default)]
pub struct FairLine {
    tenants: BTreeMap<TenantIx, Line>,
    /// Tenants that have jobs waiting and are not capped, by virtual time; equal times by their first job.
    by_time: BTreeSet<(u64, i64, TenantIx)>,
    /// Tenants that have jobs waiting with a signature.
    by_sig: BTreeMap<SigIx, BTreeSet<TenantIx>>,
    /// The virtual time of what was started last.
    time: u64,
    entries: u64,
}

#[derive(Debug)]
struct Line {
    time: u64,
    weight: u32,
    capped: bool,
    lane: Lane<i64>,
    /// Its place in `by_time`.
    place: Option<(u64, i64)>,
}

impl FairLine {
    /// Adds a job; whether it was not in.
    pub fn insert(&mut self, tenant: TenantIx, sig: SigIx, key: i64, job: JobId) -> bool {
        let now = self.time;
        let line = self.line(tenant);
        if line.lane.is_empty() {
            line.time = line.time.max(now);
        }
        let had = line.lane.has(sig);
        let is_new = line.lane.insert(sig, key, job);
        // Where another job is first, the tenant stands where it stood.
        let is_placed = line.place.is_some_and(|(time, head)| time == line.time && head <= key);
        self.entries += u64::from(is_new);
        if !had {
            self.by_sig.entry(sig).or_default().insert(tenant);
        }
        if !is_placed {
            self.place(tenant);
        }
        is_new
    }

    /// Takes a job out; whether it was in.
    pub fn remove(&mut self, tenant: TenantIx, sig: SigIx, key: i64, job: JobId) -> bool {
        let line = self.line(tenant);
        let was_in = line.lane.remove(sig, key, job);
        let has = line.lane.has(sig);
        let is_placed = line.place.is_some_and(|(time, head)| time == line.time && head < key);
        self.entries -= u64::from(was_in);
        if was_in && !has {
            self.forget_sig(sig, tenant);
        }
        if !is_placed {
            self.place(tenant);
        }
        was_in
    }

    /// Jobs before this one with signatures that are let through: those of its tenant, and of each other tenant as many as
    /// its weight lets pass while those are started, and one more where it is next before this tenant. No more than
    /// [`MOST_COUNTED`] are counted of a tenant, and of as many tenants.
    #[must_use]
    pub fn ahead(&self, tenant: TenantIx, of: impl Fn(SigIx) -> bool + Copy, key: i64, job: JobId) -> u64 {
        let Some(line) = self.tenants.get(&tenant) else { return 0 };
        let own = line.lane.ahead(of, key, job);
        let others = self.by_time.iter().take(MOST_COUNTED).filter(|(.., other)| *other != tenant);
        let passing = others.map(|(time, head, other)| {
            let it = &self.tenants[other];
            let by_weight = (own * u64::from(it.weight)).div_ceil(u64::from(line.weight));
            let is_next = line
                .place
                .is_some_and(|(own_time, own_head)| (*time, *head, *other) < (own_time, own_head, tenant));
            (by_weight + u64::from(is_next)).min(it.lane.count(of))
        });
        own + passing.sum::<u64>()
    }

    /// The next job among signatures that are let through.
    pub fn pick(&self, open: impl Fn(SigIx) -> bool) -> Option<Pick> {
        let of = |tenant: &TenantIx| {
            let (_, job, sig) = self.tenants[tenant].lane.first(&open)?;
            Some(Pick { job, sig })
        };
        let first = self.by_time.iter().take(LOOK_PAST).find_map(|(_, _, tenant)| of(tenant));
        first.or_else(|| {
            if self.by_time.len() <= LOOK_PAST {
                return None;
            }
            // What the first tenants want may not start now: those are looked at that want something else.
            let open = self.by_sig.iter().filter(|(sig, _)| open(**sig)).flat_map(|(_, tenants)| tenants);
            let placed = open.filter_map(|tenant| Some((self.tenants[tenant].place?, *tenant)));
            of(&placed.min()?.1)
        })
    }

    /// Accounts for a start. Priority scales the charge mildly: from one and a half (0) to half (100). What was started
    /// out of turn does not move the class's time.
    pub fn charge(&mut self, tenant: TenantIx, priority: u8, cost_ms: u64, in_turn: bool) {
        let now = self.time;
        let line = self.line(tenant);
        let begin = line.time.max(if in_turn { 0 } else { now });
        line.time = begin.saturating_add(step(line.weight, priority, cost_ms));
        if in_turn {
            self.time = self.time.max(begin);
        }
        self.place(tenant);
    }

    /// Takes the charge for a start back: nothing was done.
    pub fn refund(&mut self, tenant: TenantIx, priority: u8, cost_ms: u64) {
        let line = self.line(tenant);
        line.time = line.time.saturating_sub(step(line.weight, priority, cost_ms));
        self.place(tenant);
    }

    /// Sets a tenant's weight.
    pub fn set_weight(&mut self, tenant: TenantIx, weight: u32) {
        self.line(tenant).weight = weight.max(1);
    }

    /// Holds a tenant's jobs back, or lets them go again.
    pub fn set_capped(&mut self, tenant: TenantIx, capped: bool) {
        self.line(tenant).capped = capped;
        self.place(tenant);
    }

    /// Whether no job waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn forget_sig(&mut self, sig: SigIx, tenant: TenantIx) {
        if let Some(tenants) = self.by_sig.get_mut(&sig) {
            tenants.remove(&tenant);
            if tenants.is_empty() {
                self.by_sig.remove(&sig);
            }
        }
    }

    fn line(&mut self, tenant: TenantIx) -> &mut Line {
        self.tenants.entry(tenant).or_insert_with(|| Line {
            time: 0,
            weight: USUAL_WEIGHT,
            capped: false,
            lane: Lane::default(),
            place: None,
        })
    }

    /// Brings a tenant to its place by virtual time.
    fn place(&mut self, tenant: TenantIx) {
        let line = self.tenants.get_mut(&tenant).expect("a tenant is placed after it was looked at");
        let head = if line.capped { None } else { line.lane.head() };
        let place = head.map(|key| (line.time, key));
        if place == line.place {
            return;
        }
        if let Some((time, key)) = line.place {
            self.by_time.remove(&(time, key, tenant));
        }
        line.place = place;
        self.by_time.extend(place.map(|(time, key)| (time, key, tenant)));
    }
}

/// The virtual time of a start.
fn step(weight: u32, priority: u8, cost_ms: u64) -> u64 {
    let scaled = u128::from(cost_ms.max(1)) * 1_024 * u128::from(150 - priority.min(100));
    u64::try_from(scaled / u128::from(weight)).unwrap_or(u64::MAX).max(1)
}

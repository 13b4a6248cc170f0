//! Jobs of all tenants in one order, kept apart by what their tasks need. Those of tenants that may start nothing now are
//! not looked at, however many they are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use rushes_shared::id::JobId;

use super::fair::TenantIx;
use super::lane::Packed;
use super::signature::SigIx;
use super::{Key, MOST_COUNTED};

type Entry = (Key, Packed);

/// The jobs that wait with one signature.
#[derive(Debug, Default)]
struct Line {
    tenants: BTreeMap<TenantIx, BTreeSet<Entry>>,
    /// The first job of each tenant that may start something.
    heads: BTreeSet<(Entry, TenantIx)>,
}

/// A sorted set of jobs for each signature, and within it for each tenant.
#[derive(Debug, Default)]
pub struct SharedLane {
    lines: BTreeMap<SigIx, Line>,
    capped: BTreeSet<TenantIx>,
}

impl SharedLane {
    /// Adds a job; whether it was not in.
    pub fn insert(&mut self, sig: SigIx, tenant: TenantIx, key: Key, job: JobId) -> bool {
        let is_capped = self.capped.contains(&tenant);
        let line = self.lines.entry(sig).or_default();
        let set = line.tenants.entry(tenant).or_default();
        let before = set.first().copied();
        let is_new = set.insert((key, Packed::of(job)));
        line.head(tenant, before, is_capped);
        is_new
    }

    /// Takes a job out; whether it was in.
    pub fn remove(&mut self, sig: SigIx, tenant: TenantIx, key: Key, job: JobId) -> bool {
        let is_capped = self.capped.contains(&tenant);
        let Some(line) = self.lines.get_mut(&sig) else { return false };
        let Some(set) = line.tenants.get_mut(&tenant) else { return false };
        let before = set.first().copied();
        let was_in = set.remove(&(key, Packed::of(job)));
        line.head(tenant, before, is_capped);
        if line.tenants.is_empty() {
            self.lines.remove(&sig);
        }
        was_in
    }

    /// Holds a tenant's jobs back, or lets them go again.
    pub fn set_capped(&mut self, tenant: TenantIx, capped: bool) {
        let changes = if capped { self.capped.insert(tenant) } else { self.capped.remove(&tenant) };
        if changes {
            for line in self.lines.values_mut() {
                let head = line.tenants.get(&tenant).and_then(|set| set.first().copied());
                match head {
                    Some(head) if capped => drop(line.heads.remove(&(head, tenant))),
                    Some(head) => drop(line.heads.insert((head, tenant))),
                    None => {}
                }
            }
        }
    }

    /// The first of the jobs that may start, over the signatures that are let through.
    pub fn first(&self, open: impl Fn(SigIx) -> bool) -> Option<(JobId, SigIx)> {
        let open = self.lines.iter().filter(|(sig, _)| open(**sig));
        let heads = open.filter_map(|(sig, line)| line.heads.first().map(|(entry, _)| (*entry, *sig)));
        heads.min().map(|((_, job), sig)| (job.job(), sig))
    }

    /// Jobs before this one with signatures that are let through; no more than [`MOST_COUNTED`] are counted, of as many
    /// tenants.
    #[must_use]
    pub fn ahead(&self, of: impl Fn(SigIx) -> bool, key: Key, job: JobId) -> u64 {
        let end = (key, Packed::of(job));
        let lines = self.lines.iter().filter(|(sig, _)| of(**sig)).map(|(_, line)| line);
        let sets = lines.flat_map(|line| line.tenants.values()).take(MOST_COUNTED);
        sets.flat_map(|set| set.range(..end)).take(MOST_COUNTED).count() as u64
    }

    /// The first jobs that may start of each tenant, with each signature: those behind this one, then the others.
    pub fn first_of_each(
        &self,
        most: usize,
        behind: Option<SigIx>,
    ) -> impl Iterator<Item = (JobId, SigIx)> + '_ {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let before = behind.map(|behind| self.lines.range(..=behind)).into_iter().flatten();
        self.lines.range((from, Bound::Unbounded)).chain(before).flat_map(move |(sig, line)| {
            let sets = line.heads.iter().filter_map(|(_, tenant)| line.tenants.get(tenant));
            sets.flat_map(move |set| set.iter().take(most)).map(|(_, job)| (job.job(), *sig))
        })
    }

    /// Whether nothing is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Line {
    /// Brings a tenant's head up to date.
    fn head(&mut self, tenant: TenantIx, before: Option<Entry>, is_capped: bool) {
        let after = self.tenants.get(&tenant).and_then(|set| set.first().copied());
        if before != after && !is_capped {
            if let Some(before) = before {
                self.heads.remove(&(before, tenant));
            }
            self.heads.extend(after.map(|head| (head, tenant)));
        }
        if after.is_none() {
            self.tenants.remove(&tenant);
        }
    }
}

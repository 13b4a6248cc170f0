//! Jobs in one order, kept apart by what their tasks need, so that those whose need cannot be met now cost nothing.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::id::JobId;

use super::signature::SigIx;
use super::{Key, LOOK_PAST};

/// A sorted set of jobs for each signature.
#[derive(Debug, Default)]
pub struct Lane {
    sets: BTreeMap<SigIx, BTreeSet<(Key, JobId)>>,
}

impl Lane {
    /// Adds a job; whether it was not in.
    pub fn insert(&mut self, sig: SigIx, key: Key, job: JobId) -> bool {
        self.sets.entry(sig).or_default().insert((key, job))
    }

    /// Takes a job out; whether it was in.
    pub fn remove(&mut self, sig: SigIx, key: Key, job: JobId) -> bool {
        let Some(set) = self.sets.get_mut(&sig) else { return false };
        let was_in = set.remove(&(key, job));
        if set.is_empty() {
            self.sets.remove(&sig);
        }
        was_in
    }

    /// The first of the jobs that may start, over the signatures that are let through.
    pub fn first(
        &self,
        open: impl Fn(SigIx) -> bool,
        may: impl Fn(JobId) -> bool,
    ) -> Option<(Key, JobId, SigIx)> {
        let heads = self.sets.iter().filter(|(sig, _)| open(**sig)).filter_map(|(sig, set)| {
            let (key, job) = set.iter().take(LOOK_PAST).find(|(_, job)| may(*job))?;
            Some((*key, *job, *sig))
        });
        heads.min()
    }

    /// Jobs before this one.
    #[must_use]
    pub fn ahead(&self, sig: SigIx, key: Key, job: JobId) -> u64 {
        self.sets.get(&sig).map_or(0, |set| set.range(..(key, job)).count() as u64)
    }

    /// All entries, signature by signature.
    pub fn entries(&self) -> impl Iterator<Item = (JobId, SigIx)> + '_ {
        self.sets.iter().flat_map(|(sig, set)| set.iter().map(|(_, job)| (*job, *sig)))
    }

    /// The smallest key over all signatures.
    #[must_use]
    pub fn head(&self) -> Option<Key> {
        self.sets.values().filter_map(|set| set.first()).map(|(key, _)| *key).min()
    }

    /// Whether nothing is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

//! Jobs in one order, kept apart by what their tasks need, so that those whose need cannot be met now cost nothing.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::id::JobId;

use super::MOST_COUNTED;
use super::signature::SigIx;

/// A job's id without the alignment of its number, which would cost each entry half as much again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packed(u64, u64);

impl Packed {
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    pub(super) fn of(job: JobId) -> Self {
        Self((job.0 >> 64) as u64, job.0 as u64)
    }

    pub(super) fn job(self) -> JobId {
        JobId(u128::from(self.0) << 64 | u128::from(self.1))
    }
}

/// A sorted set of jobs for each signature.
#[derive(Debug)]
pub struct Lane<K> {
    sets: BTreeMap<SigIx, BTreeSet<(K, Packed)>>,
}

impl<K> Default for Lane<K> {
    fn default() -> Self {
        Self { sets: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Lane<K> {
    /// Adds a job; whether it was not in.
    pub fn insert(&mut self, sig: SigIx, key: K, job: JobId) -> bool {
        self.sets.entry(sig).or_default().insert((key, Packed::of(job)))
    }

    /// Takes a job out; whether it was in.
    pub fn remove(&mut self, sig: SigIx, key: K, job: JobId) -> bool {
        let Some(set) = self.sets.get_mut(&sig) else { return false };
        let was_in = set.remove(&(key, Packed::of(job)));
        if set.is_empty() {
            self.sets.remove(&sig);
        }
        was_in
    }

    /// The first job over the signatures that are let through.
    pub fn first(&self, open: impl Fn(SigIx) -> bool) -> Option<(K, JobId, SigIx)> {
        let heads = self.sets.iter().filter(|(sig, _)| open(**sig)).filter_map(|(sig, set)| {
            let (key, job) = set.first()?;
            Some((*key, job.job(), *sig))
        });
        heads.min()
    }

    /// Jobs before this one with signatures that are let through; no more than [`MOST_COUNTED`] are counted.
    #[must_use]
    pub fn ahead(&self, of: impl Fn(SigIx) -> bool, key: K, job: JobId) -> u64 {
        let end = (key, Packed::of(job));
        let sets = self.sets.iter().filter(|(sig, _)| of(**sig)).map(|(_, set)| set);
        sets.flat_map(|set| set.range(..end)).take(MOST_COUNTED).count() as u64
    }

    /// Jobs with signatures that are let through.
    #[must_use]
    pub fn count(&self, of: impl Fn(SigIx) -> bool) -> u64 {
        self.sets.iter().filter(|(sig, _)| of(**sig)).map(|(_, set)| set.len() as u64).sum()
    }

    /// The smallest key over all signatures.
    #[must_use]
    pub fn head(&self) -> Option<K> {
        self.sets.values().filter_map(|set| set.first()).map(|(key, _)| *key).min()
    }

    /// Whether a job waits with a signature.
    #[must_use]
    pub fn has(&self, sig: SigIx) -> bool {
        self.sets.contains_key(&sig)
    }

    /// Whether nothing is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

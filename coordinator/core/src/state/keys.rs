//! Idempotency keys in use, found by their text and forgotten by their age, in steps that do not depend on how many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use rushes_shared::id::{JobId, TenantId};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use crate::record::IdempotencyKey;

/// An idempotency key that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKey {
    /// Whose.
    pub tenant: TenantId,
    /// What the client sent.
    pub key: IdempotencyKey,
    /// The job that it made.
    pub job: JobId,
    /// When.
    pub at: WallMs,
}

/// A tenant's key.
type Name = (TenantId, Arc<str>);

/// All of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Keys {
    known: BTreeMap<Name, KeptKey>,
    by_age: BTreeMap<(WallMs, JobId), Name>,
}

impl Keys {
    /// The job that a tenant's key made.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, key: &str) -> Option<&KeptKey> {
        self.known.get(&(tenant.clone(), key.into()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// All of them, by tenant and text.
    pub fn values(&self) -> impl Iterator<Item = &KeptKey> + '_ {
        self.known.values()
    }

    /// The time before which keys are to be forgotten next: those from before `old`, and the oldest `over`, but not many
    /// more than `most` at once, as those of one millisecond go together. And whether more remain to be.
    #[must_use]
    pub fn forgettable(&self, old: WallMs, over: usize, most: usize) -> (Option<WallMs>, bool) {
        let goes = |(n, at): &(usize, WallMs)| *at < old || *n < over;
        let ages = self.by_age.keys().map(|(at, _)| *at).enumerate().take_while(goes);
        let mut last = None;
        for (n, at) in ages {
            if n >= most && last != Some(at) {
                return (last.map(after), true);
            }
            last = Some(at);
        }
        (last.map(after), false)
    }

    pub(super) fn keep(&mut self, kept: KeptKey) {
        let name: Name = (kept.tenant.clone(), kept.key.key.as_str().into());
        let age = (kept.at, kept.job);
        if let Some(before) = self.known.insert(name.clone(), kept) {
            self.by_age.remove(&(before.at, before.job));
        }
        self.by_age.insert(age, name);
    }

    pub(super) fn forget(&mut self, before: WallMs) {
        while let Some(entry) = self.by_age.first_entry().filter(|entry| entry.key().0 < before) {
            self.known.remove(&entry.remove());
        }
    }
}

fn after(at: WallMs) -> WallMs {
    WallMs(at.0.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(at: u64, job: u128) -> KeptKey {
        let key = IdempotencyKey { key: format!("k{job}"), fingerprint: [0; 32] };
        KeptKey { tenant: TenantId::default_tenant(), key, job: JobId(job), at: WallMs(at) }
    }

    #[test]
    fn the_oldest_go_first_and_not_all_at_once() {
        let mut keys = Keys::default();
        (0..100_u64).for_each(|n| keys.keep(kept(n / 2, u128::from(n))));
        assert_eq!(keys.forgettable(WallMs(0), 0, 10), (None, false), "none is old, and none too many");
        assert_eq!(keys.forgettable(WallMs(40), 0, 10), (Some(WallMs(5)), true));
        assert_eq!(
            keys.forgettable(WallMs(0), 3, 10),
            (Some(WallMs(2)), false),
            "a third one of that moment"
        );
        assert_eq!(keys.forgettable(WallMs(4), 0, 10), (Some(WallMs(4)), false));
        keys.forget(WallMs(40));
        assert_eq!((keys.len(), keys.by_age.len()), (20, 20));
        let tenant = TenantId::default_tenant();
        assert!(keys.get(&tenant, "k79").is_none() && keys.get(&tenant, "k80").is_some());
    }

    #[test]
    fn a_key_that_is_kept_again_counts_from_then_on() {
        let mut keys = Keys::default();
        keys.keep(kept(1, 1));
        keys.keep(KeptKey { job: JobId(2), at: WallMs(5), ..kept(1, 1) });
        keys.forget(WallMs(5));
        assert_eq!(keys.get(&TenantId::default_tenant(), "k1").map(|k| k.job), Some(JobId(2)));
    }
}

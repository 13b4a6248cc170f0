//! What many jobs have in common, kept once: names, equal requests, equal plans. Two states are the same whatever they
//! share.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use rushes_shared::job::{JobSpec, Work};
use rustc_hash::FxHasher;

use crate::job::Stage;
use crate::recent::Recent;

/// Most texts that are kept for sharing.
const NAMES: usize = 10_000;
/// Most requests that are remembered for sharing: in so many places, by what they are like, so many in each.
const PLACES: usize = 512;
const SPECS: usize = 8;
/// Most plans that are remembered for sharing, the latest used first, and most stages of each.
const PLANS: usize = 16;
const PLAN_STAGES: usize = 4;

/// What jobs share.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    names: BTreeSet<Arc<str>>,
    recent: Recent<()>,
    /// With a digest of each, the latest of a place first. Empty until the first is entered.
    specs: Vec<[(u64, Weak<JobSpec>); SPECS]>,
    plans: VecDeque<Arc<Vec<Stage>>>,
}

impl PartialEq for Common {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Common {
    /// The same text, which others may have as well.
    pub(super) fn name(&mut self, name: &Arc<str>) -> Arc<str> {
        if let Some((known, ())) = self.recent.get(name) {
            return Arc::clone(known);
        }
        let known = self.names.get(name).map(Arc::clone);
        if known.is_none() && self.names.len() < NAMES {
            self.names.insert(Arc::clone(name));
        }
        let known = known.unwrap_or_else(|| Arc::clone(name));
        self.recent.note(&known, ());
        known
    }

    /// The same request, which other live jobs may have made as well.
    pub(super) fn spec(&mut self, spec: &Arc<JobSpec>) -> Arc<JobSpec> {
        if self.specs.is_empty() {
            self.specs.resize_with(PLACES, Default::default);
        }
        let digest = digest(spec);
        let at = usize::try_from(digest % PLACES as u64).expect("it is small");
        let place = &mut self.specs[at];
        for (like, known) in place.iter() {
            if *like != digest {
                continue;
            }
            if std::ptr::eq(known.as_ptr(), Arc::as_ptr(spec)) {
                return Arc::clone(spec);
            }
            if let Some(known) = known.upgrade().filter(|known| known == spec) {
                return known;
            }
        }
        place.rotate_right(1);
        place[0] = (digest, Arc::downgrade(spec));
        Arc::clone(spec)
    }

    /// The same plan, which other jobs may have as well.
    pub(super) fn plan(&mut self, stages: &[Stage]) -> Arc<Vec<Stage>> {
        let known = self.plans.iter().position(|plan| ***plan == *stages);
        if let Some(at) = known {
            self.plans.swap(at, at / 2);
            return Arc::clone(&self.plans[at / 2]);
        }
        let plan = Arc::new(stages.to_vec());
        if stages.len() <= PLAN_STAGES {
            self.plans.truncate(PLANS - 1);
            self.plans.push_front(Arc::clone(&plan));
        }
        plan
    }
}

/// Equal for equal requests, and for hardly any others that are made at one time.
fn digest(spec: &JobSpec) -> u64 {
    let mut hasher = FxHasher::default();
    (spec.class, spec.priority, spec.deadline, spec.paused, &spec.name).hash(&mut hasher);
    match &spec.work {
        Work::Noop { tasks } | Work::Trial { tasks } => tasks.hash(&mut hasher),
        Work::Probe { .. }
        | Work::Encode { .. }
        | Work::Graph { .. }
        | Work::Stream { .. }
        | Work::Probes { .. } => {
            spec.work.inputs().next().hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use rushes_shared::job::Priority;

    use super::*;

    fn request(priority: u8, name: &str) -> Arc<JobSpec> {
        let priority = Priority::new(priority).expect("it is no more than 100");
        Arc::new(JobSpec { priority, name: name.to_owned(), ..JobSpec::of(Work::Noop { tasks: 1 }) })
    }

    #[test]
    fn equal_requests_are_one_as_long_as_somebody_has_it() {
        let mut common = Common::default();
        let held: Vec<_> = (0..=100).map(|n| common.spec(&request(n, "film"))).collect();
        for (spec, priority) in held.iter().zip(0..) {
            assert!(
                Arc::ptr_eq(spec, &common.spec(&request(priority, "film"))),
                "one for priority {priority}"
            );
            assert!(!Arc::ptr_eq(spec, &common.spec(&request(priority, "other"))));
            assert_eq!(*common.spec(&request(priority, "other")), *request(priority, "other"));
        }
        let ended = Arc::downgrade(&held[7]);
        drop(held);
        assert!(ended.upgrade().is_none(), "nobody has it any more");
    }

    /// Labels are not in the digest, and make a difference all the same.
    #[test]
    fn requests_that_look_alike_are_not_taken_for_one() {
        let mut common = Common::default();
        let plain = common.spec(&request(50, ""));
        let mut labelled = (*plain).clone();
        labelled.labels.insert("show".into(), "news".into());
        let labelled = common.spec(&Arc::new(labelled));
        assert_eq!((plain.labels.len(), labelled.labels.len()), (0, 1));
        assert!(Arc::ptr_eq(&labelled, &common.spec(&Arc::new((*labelled).clone()))));
    }
}

//! What many jobs have in common, kept once: names, equal requests, equal plans. Two states are the same whatever they
//! share.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Weak};

use rushes_shared::job::{JobSpec, Work};

use crate::job::Stage;

/// Most texts that are kept for sharing.
const NAMES: usize = 10_000;
/// Most requests that are remembered for sharing, by what they are like.
const SPECS: usize = 1_024;
/// Most plans that are remembered for sharing, the latest used first, and most stages of each.
const PLANS: usize = 16;
const PLAN_STAGES: usize = 4;

/// What jobs share.
#[derive(Debug, Clone, Default)]
pub(super) struct Common {
    names: BTreeSet<Arc<str>>,
    /// Empty until the first is entered.
    specs: Vec<Weak<JobSpec>>,
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
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() < NAMES {
            self.names.insert(Arc::clone(name));
        }
        Arc::clone(name)
    }

    /// The same request, which other live jobs may have made as well.
    pub(super) fn spec(&mut self, spec: &Arc<JobSpec>) -> Arc<JobSpec> {
        if self.specs.is_empty() {
            self.specs.resize(SPECS, Weak::new());
        }
        let place = &mut self.specs[place_of(spec)];
        if std::ptr::eq(place.as_ptr(), Arc::as_ptr(spec)) {
            return Arc::clone(spec);
        }
        match place.upgrade() {
            Some(known) if known == *spec => known,
            _ => {
                *place = Arc::downgrade(spec);
                Arc::clone(spec)
            }
        }
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

/// Where a request is looked for: equal ones have one place, and hardly two that people send at one time.
fn place_of(spec: &JobSpec) -> usize {
    let mut hasher = DefaultHasher::new();
    (spec.class, spec.priority, spec.deadline, spec.paused, &spec.name).hash(&mut hasher);
    match &spec.work {
        Work::Noop { tasks } => tasks.hash(&mut hasher),
        Work::Probe { .. } | Work::Encode { .. } | Work::Graph { .. } => {
            spec.work.inputs().next().hash(&mut hasher);
        }
    }
    usize::try_from(hasher.finish() % SPECS as u64).expect("it is small")
}

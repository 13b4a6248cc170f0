//! The depot's double: staged files by attempt, published files by place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, JobId};

/// What the engine asks of it.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Publish { job: JobId, output: u32, from: Artifact, to: Location },
    Drop(Vec<AttemptId>),
    Find { before: Epoch, after: Option<AttemptId> },
}

#[derive(Debug, Default)]
pub(crate) struct Depot {
    pub(crate) staged: BTreeSet<AttemptId>,
    pub(crate) published: BTreeMap<Location, AttemptId>,
    /// The next publishes fail so.
    pub(crate) failing: VecDeque<FailureCode>,
}

impl Depot {
    /// What attempts of reigns before this one have staged, a page of it.
    pub(crate) fn find_staged(&self, before: Epoch, after: Option<AttemptId>) -> Vec<AttemptId> {
        let found = self.staged.iter().filter(|a| a.epoch < before && after.is_none_or(|after| **a > after));
        found.take(2).copied().collect()
    }

    pub(crate) fn drop_staged(&mut self, attempts: &[AttemptId]) {
        for attempt in attempts {
            self.staged.remove(attempt);
        }
    }

    /// Moves a staged file to its place, unless another is there. Doing it twice is no error.
    pub(crate) fn publish(&mut self, from: &Artifact, to: &Location) -> Result<(), Failure> {
        if let Some(code) = self.failing.pop_front() {
            return Err(Failure::new(code, "the depot was told to fail", ""));
        }
        let Location::Staged(attempt, _) = &from.location else { panic!("{from:?} is not staged") };
        match self.published.get(to) {
            Some(there) if there == attempt => Ok(()),
            Some(_) => Err(Failure::new(FailureCode::OutputExists, "something else is there", "")),
            None if self.staged.remove(attempt) => {
                self.published.insert(to.clone(), *attempt);
                Ok(())
            }
            None => Err(Failure::new(FailureCode::InputNotFound, "the staged file is gone", "")),
        }
    }
}

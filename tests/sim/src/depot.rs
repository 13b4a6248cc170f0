//! The depot: staged files by attempt, published files by place.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::{AttemptId, Epoch, JobId};

use crate::laws::{Law, broken};

/// What the engine asks of it.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Publish { job: JobId, output: u32, from: Box<Artifact>, to: Box<Location> },
    Drop(Vec<AttemptId>),
    Find { before: Epoch, after: Option<AttemptId> },
}

#[derive(Debug, Default)]
pub(crate) struct Depot {
    staged: BTreeSet<AttemptId>,
    /// What this reign has dropped: what still comes of it is refused.
    dropped: BTreeSet<AttemptId>,
    published: BTreeMap<Location, AttemptId>,
}

impl Depot {
    pub(crate) fn stage(&mut self, attempt: AttemptId) {
        if !self.dropped.contains(&attempt) {
            self.staged.insert(attempt);
        }
    }

    /// The coordinator that it is a part of has died: what it knew is gone, what is on its disk stays.
    pub(crate) fn die(&mut self) {
        self.dropped.clear();
    }

    /// What attempts of reigns before this one have staged, a page of it.
    pub(crate) fn find_staged(&self, before: Epoch, after: Option<AttemptId>) -> Vec<AttemptId> {
        let found = self.staged.iter().filter(|a| a.epoch < before && after.is_none_or(|after| **a > after));
        found.take(2).copied().collect()
    }

    /// Drops what these have staged, for a reign that is over or for the present one.
    pub(crate) fn drop_staged(&mut self, attempts: &[AttemptId], is_present: bool) {
        for attempt in attempts {
            self.staged.remove(attempt);
        }
        if is_present {
            self.dropped.extend(attempts);
        }
    }

    /// Whose staged files nobody has dropped or published.
    pub(crate) fn staged(&self) -> &BTreeSet<AttemptId> {
        &self.staged
    }

    /// Moves a staged file to its place. Doing it twice is no error; another attempt's file there breaks a law.
    pub(crate) fn publish(&mut self, from: &Artifact, to: &Location) -> Result<Result<(), Failure>, Law> {
        let Location::Staged(attempt, _) = &from.location else {
            return Err(broken!(PublishedOnce, "{} is not a staged file", from.location));
        };
        match self.published.get(to) {
            Some(there) if there == attempt => Ok(Ok(())),
            Some(there) => Err(broken!(PublishedOnce, "{to} is there from {there}; {attempt} came too")),
            None if self.staged.remove(attempt) => {
                self.published.insert(to.clone(), *attempt);
                Ok(Ok(()))
            }
            None => Ok(Err(Failure::new(
                FailureCode::InputNotFound,
                format!("the staged file of {attempt} is gone"),
                "retry the job",
            ))),
        }
    }

    /// The attempt whose file is at a place.
    pub(crate) fn there(&self, place: &Location) -> Option<AttemptId> {
        self.published.get(place).copied()
    }
}

//! Where outputs of live jobs are to go: two jobs that would write the same file cannot both succeed, which is told before
//! the second one has worked for it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use rushes_shared::artifact::Location;
use rushes_shared::id::JobId;
use rustc_hash::FxHasher;

use super::Engine;
use super::intake::Submit;
use crate::event::Refusal;

/// The live job that writes to each place, by a digest of the place, as there may be a million of them. Who asks looks at
/// the job itself. Of two places with one digest the later one is not kept: the depot still refuses what would replace a file.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<u64, JobId>);

fn digest(place: &Location) -> u64 {
    let mut hasher = FxHasher::default();
    place.hash(&mut hasher);
    hasher.finish()
}

impl Engine {
    /// Whether no live job writes where this one would.
    pub(super) fn places_are_free(&self, submit: &Submit) -> Result<(), Refusal> {
        for place in submit.spec.work.places() {
            let Some(other) = self.places.0.get(&digest(place)).and_then(|job| self.state.jobs.get(job))
            else {
                continue;
            };
            if other.spec.work.places().any(|taken| taken == place) {
                let job = (other.tenant == submit.tenant).then_some(other.id);
                return Err(Refusal::DestinationTaken { place: place.clone(), job });
            }
        }
        Ok(())
    }

    pub(super) fn take_places(&mut self, job: JobId) {
        for place in self.state.jobs[&job].spec.work.places() {
            self.places.0.entry(digest(place)).or_insert(job);
        }
    }

    pub(super) fn give_places_back(&mut self, job: JobId) {
        for place in self.state.jobs[&job].spec.work.places() {
            let digest = digest(place);
            if self.places.0.get(&digest) == Some(&job) {
                self.places.0.remove(&digest);
            }
        }
    }

    /// Whether every place that is kept is one of a live job.
    pub(super) fn recount_places(&self) -> Result<(), String> {
        let writes = |job: &JobId, at: u64| {
            self.state
                .jobs
                .get(job)
                .is_some_and(|job| job.spec.work.places().any(|place| digest(place) == at))
        };
        match self.places.0.iter().find(|(at, job)| !writes(job, **at)) {
            Some((_, job)) => Err(format!("{job} has a place to which it does not write")),
            None => Ok(()),
        }
    }
}

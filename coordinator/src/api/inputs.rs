//! Inputs that cannot be read, told before a job waits for its turn only to fail. The depot looks again when a worker asks
//! for the file: until then it may come or go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use actix_web::http::StatusCode;
use rushes_shared::artifact::Location;
use rushes_shared::job::Work;

use super::problem::Problem;
use crate::depot;

/// Refuses files outside the roots, and what is no file that the depot may read. Looks at the disk, once for each file.
pub(super) fn check(paths: &BTreeSet<String>, roots: &[PathBuf]) -> Result<(), Problem> {
    depot::are_readable(paths, roots).map_err(|failure| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, failure.code.as_str(), failure.message)
            .advice(failure.advice)
            .at(Some("input".to_owned()), None)
    })
}

/// The files of the depot's host that a job reads, each once; no more than a graph may have stages.
pub(super) fn files(work: &Work) -> BTreeSet<String> {
    let file = |input: &Location| match input.place() {
        Location::File(path) => Some(path.clone()),
        Location::Upload(..)
        | Location::Staged(..)
        | Location::Output(..)
        | Location::Set(..)
        | Location::Sequence(..) => None,
    };
    match work {
        // Each file of many is told of on its own, those that cannot be read as well.
        Work::Probes { .. } => BTreeSet::new(),
        _ => work.inputs().filter_map(file).collect(),
    }
}

//! Pages of a list of jobs: of the live ones, of the archive, and both in one.

use std::collections::BTreeSet;

use rushes_core::job::{Job, JobDoc};
use rushes_core::record;
use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::principal::Principal;

use super::{FarmError, JobFilter};
use crate::store::StoreReader;

/// Archived jobs that one list request looks at; nobody waits for them meanwhile.
const ARCHIVE_SCAN: usize = 20_000;
/// Archived jobs read at a time.
const ARCHIVE_PAGE: usize = 200;

/// Jobs of the archive before `before`, newest first. Blocks.
pub(super) fn scan(
    archive: &StoreReader,
    by: &Principal,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: usize,
) -> Result<Page, FarmError> {
    let mut page = Page::new(limit, ARCHIVE_SCAN);
    if matches!(filter.state, Some(JobState::Queued | JobState::Running)) {
        return Ok(page);
    }
    let mut cursor = before.map(|id| id.0);
    loop {
        let batch =
            archive.archived_before(cursor, ARCHIVE_PAGE).map_err(|e| FarmError::Store(e.to_string()))?;
        let is_last = batch.len() < ARCHIVE_PAGE;
        for archived in batch {
            cursor = Some(archived.key);
            let doc = decode(&archived.doc)?;
            let wanted = by.sees(&doc.job.tenant) && filter.admits(&doc.job, || doc.state());
            if page.is_full_with(doc.job.id, wanted.then_some(doc)) {
                return Ok(page);
            }
        }
        if is_last {
            return Ok(page);
        }
    }
}

/// Jobs found by one look, newest first, and where the look stopped if it did not reach the end.
pub(super) struct Page {
    found: Vec<JobDoc>,
    limit: usize,
    scan: usize,
    scanned: usize,
    stopped_at: Option<JobId>,
}

impl Page {
    pub(super) fn new(limit: usize, scan: usize) -> Self {
        Self { found: Vec::new(), limit, scan, scanned: 0, stopped_at: None }
    }

    /// Takes one job that was looked at; says whether to look no further.
    pub(super) fn is_full_with(&mut self, id: JobId, doc: Option<JobDoc>) -> bool {
        self.scanned += 1;
        self.found.extend(doc);
        let full = self.found.len() >= self.limit || self.scanned >= self.scan;
        if full {
            self.stopped_at = Some(id);
        }
        full
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<JobDoc, FarmError> {
    record::from_bytes::<Job>(bytes).map(JobDoc::archived).map_err(|e| FarmError::Store(e.to_string()))
}

/// Newest first, each job once; a job that ended between the two looks is in both, and its end counts. What is older
/// than the point at which either look stopped is left to the next page, which begins there.
pub(super) fn merge(live: Page, ended: Page, limit: usize) -> (Vec<JobDoc>, Option<JobId>) {
    let stopped_at = live.stopped_at.max(ended.stopped_at);
    let mut all = ended.found;
    let known: BTreeSet<JobId> = all.iter().map(|d| d.job.id).collect();
    all.extend(live.found.into_iter().filter(|d| !known.contains(&d.job.id)));
    all.retain(|d| stopped_at.is_none_or(|end| d.job.id >= end));
    all.sort_by_key(|d| std::cmp::Reverse(d.job.id));
    if all.len() > limit {
        all.truncate(limit);
        let next = all.last().map(|d| d.job.id);
        return (all, next);
    }
    (all, stopped_at)
}

//! The engine's front for everything else in the process: requests that wait for the disk, questions, news.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::{Addr, MailboxError};
use rushes_core::event::{Event, Refusal, Reply, ReplyTo};
use rushes_core::job::{Job, JobDoc};
use rushes_core::record::{self, IdempotencyKey};
use rushes_core::summary::{FarmDoc, WorkerDoc};
use rushes_shared::id::{JobId, Seq, TenantId, WorkerId};
use rushes_shared::job::{JobSpec, JobState};
use rushes_shared::principal::{Principal, Role};
use tokio::sync::{broadcast, watch};

use crate::engine_actor::{Clock, EngineActor, Inspect, News, Request, View};
use crate::store::StoreReader;

/// Why the farm did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The engine said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such job that the caller may see.
    #[error("there is no job {0}; 'rushes job list' shows those that are kept")]
    NoSuchJob(JobId),
    /// The engine has more to do than it may queue.
    #[error("the coordinator is busy; try again in a moment")]
    Busy,
    /// The process is stopping.
    #[error("the coordinator is stopping; try again when it is back")]
    Stopping,
    /// The archive could not be read.
    #[error("the archive could not be read: {0}")]
    Store(String),
}

impl From<MailboxError> for FarmError {
    fn from(error: MailboxError) -> Self {
        match error {
            MailboxError::Closed => Self::Stopping,
            MailboxError::Timeout => Self::Busy,
        }
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only those with this name.
    pub name: Option<String>,
}

impl JobFilter {
    fn admits(&self, doc: &JobDoc) -> bool {
        let spec = &doc.job.spec;
        self.state.is_none_or(|s| s == doc.state())
            && self.name.as_ref().is_none_or(|n| *n == spec.name)
            && self.labels.iter().all(|(k, v)| spec.labels.get(k) == Some(v))
    }
}

/// How long a request may wait for the engine to take it in before it is refused.
const TAKE_IN: Duration = Duration::from_secs(10);
/// How many live jobs one list request looks at before it answers with where to go on; the engine waits meanwhile.
const LIVE_SCAN: usize = 1_000;
/// The same for archived jobs, which nobody waits for.
const ARCHIVE_SCAN: usize = 20_000;
/// Archived jobs read at a time.
const ARCHIVE_PAGE: usize = 200;

/// The front. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Farm {
    engine: Addr<EngineActor>,
    archive: StoreReader,
    news: broadcast::Sender<News>,
    confirmed: watch::Receiver<Seq>,
    clock: Clock,
}

impl Farm {
    /// A front of a running engine.
    #[must_use]
    pub fn new(
        engine: Addr<EngineActor>,
        archive: StoreReader,
        news: broadcast::Sender<News>,
        confirmed: watch::Receiver<Seq>,
        clock: Clock,
    ) -> Self {
        Self { engine, archive, news, confirmed, clock }
    }

    /// Submits a job. The answer comes when it is on disk. `true`: this call made it; `false`: the same key did before.
    ///
    /// # Errors
    /// [`FarmError::Refused`] with the reason, [`FarmError::Busy`] or [`FarmError::Stopping`].
    pub async fn submit(
        &self,
        by: &Principal,
        spec: JobSpec,
        key: Option<IdempotencyKey>,
    ) -> Result<(JobId, bool), FarmError> {
        let job = JobId::from_parts(self.clock.now().wall.0, rand::random::<u128>() >> 48);
        let (tenant, submitter, spec) = (by.tenant.clone(), by.name.as_str().into(), Box::new(spec));
        let event = move |reply, space_left| Event::JobSubmitted {
            reply,
            job,
            tenant,
            submitter,
            spec,
            key,
            space_left,
        };
        match self.request(event).await? {
            Reply::Accepted { job, created, .. } => Ok((job, created)),
            other => Err(unexpected(&other)),
        }
    }

    /// Cancels a job that has not ended.
    ///
    /// # Errors
    /// [`FarmError::NoSuchJob`] where the caller may not see it; [`FarmError::Refused`] where it has ended.
    pub async fn cancel(&self, by: &Principal, job: JobId) -> Result<(), FarmError> {
        self.job(by, job).await?;
        match self.request(move |reply, _| Event::CancelAsked { reply, job }).await? {
            Reply::Canceled { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Drains a worker, or ends that.
    ///
    /// # Errors
    /// [`FarmError::Refused`] for a worker that never connected.
    pub async fn drain(&self, worker: WorkerId, draining: bool) -> Result<(), FarmError> {
        match self.request(move |reply, _| Event::DrainAsked { reply, worker, draining }).await? {
            Reply::Drained { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// A job, live or archived.
    ///
    /// # Errors
    /// [`FarmError::NoSuchJob`] where there is none that the caller may see.
    pub async fn job(&self, by: &Principal, job: JobId) -> Result<JobDoc, FarmError> {
        let (live, ending) =
            self.inspect(move |view| (view.engine.job(job), view.ending.get(&job).copied())).await?;
        let doc = match live {
            Some(doc) => Some(doc),
            None => {
                self.on_disk(ending).await?;
                self.archived(job)?
            }
        };
        doc.filter(|d| by.sees(&d.job.tenant)).ok_or(FarmError::NoSuchJob(job))
    }

    /// Jobs before `before`, newest first. May return fewer than `limit` although there are more, when few match;
    /// the caller goes on from the second value, which is `None` at the end.
    ///
    /// # Errors
    /// [`FarmError::Store`] where the archive cannot be read.
    pub async fn jobs(
        &self,
        by: &Principal,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<(Vec<JobDoc>, Option<JobId>), FarmError> {
        let all_tenants = by.may(Role::Operator);
        let (tenant, wanted): (TenantId, JobFilter) = (by.tenant.clone(), filter.clone());
        let (live, ending) = self
            .inspect(move |view| {
                let scope = (!all_tenants).then_some(&tenant);
                let mut page = Page::new(limit + 1, LIVE_SCAN);
                for doc in view.engine.jobs_before(before, scope) {
                    let wanted = wanted.admits(&doc);
                    if page.is_full_with(doc.job.id, wanted.then_some(doc)) {
                        break;
                    }
                }
                (page, view.ending.values().max().copied())
            })
            .await?;
        self.on_disk(ending).await?;
        let ended = self.archived_before(by.clone(), filter.clone(), before, limit + 1).await?;
        Ok(merge(live, ended, limit))
    }

    /// All known workers.
    ///
    /// # Errors
    /// [`FarmError::Busy`] or [`FarmError::Stopping`].
    pub async fn workers(&self) -> Result<Vec<WorkerDoc>, FarmError> {
        self.inspect(|view| view.engine.workers()).await
    }

    /// Counts over the farm.
    ///
    /// # Errors
    /// [`FarmError::Busy`] or [`FarmError::Stopping`].
    pub async fn status(&self) -> Result<FarmDoc, FarmError> {
        self.inspect(|view| view.engine.status()).await
    }

    /// News from now on. A slow listener misses some and is told how many.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// The clock that the engine runs on.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    async fn request(
        &self,
        event: impl FnOnce(ReplyTo, bool) -> Event + Send + 'static,
    ) -> Result<Reply, FarmError> {
        let request = self.engine.send(Request { event: Box::new(event) }).timeout(TAKE_IN);
        let Ok(answer) = request.await? else { return Err(FarmError::Busy) };
        match answer.await {
            Ok(Reply::Refused(refusal)) => Err(refusal.into()),
            Ok(reply) => Ok(reply),
            Err(_) => Err(FarmError::Stopping),
        }
    }

    async fn inspect<T: Send + 'static>(
        &self,
        look: impl FnOnce(&View<'_>) -> T + Send + 'static,
    ) -> Result<T, FarmError> {
        Ok(self.engine.send(Inspect(look)).await?)
    }

    /// Waits until a record is on disk. A job that has just ended is shown neither as live, nor before its end is durable.
    async fn on_disk(&self, seq: Option<Seq>) -> Result<(), FarmError> {
        let Some(seq) = seq else { return Ok(()) };
        let mut confirmed = self.confirmed.clone();
        let reached = confirmed.wait_for(|now| *now >= seq).await;
        reached.map(|_| ()).map_err(|_| FarmError::Stopping)
    }

    fn archived(&self, job: JobId) -> Result<Option<JobDoc>, FarmError> {
        let bytes = self.archive.archived(job.0).map_err(|e| FarmError::Store(e.to_string()))?;
        bytes.map(|b| decode(&b)).transpose()
    }

    /// Looks through the archive on a thread that may block.
    async fn archived_before(
        &self,
        by: Principal,
        filter: JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Page, FarmError> {
        let archive = self.archive.clone();
        let scan = move || scan(&archive, &by, &filter, before, limit);
        tokio::task::spawn_blocking(scan).await.map_err(|_| FarmError::Stopping)?
    }
}

fn scan(
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
            let wanted = by.sees(&doc.job.tenant) && filter.admits(&doc);
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
struct Page {
    found: Vec<JobDoc>,
    limit: usize,
    scan: usize,
    scanned: usize,
    stopped_at: Option<JobId>,
}

impl Page {
    fn new(limit: usize, scan: usize) -> Self {
        Self { found: Vec::new(), limit, scan, scanned: 0, stopped_at: None }
    }

    /// Takes one job that was looked at; says whether to look no further.
    fn is_full_with(&mut self, id: JobId, doc: Option<JobDoc>) -> bool {
        self.scanned += 1;
        self.found.extend(doc);
        let full = self.found.len() >= self.limit || self.scanned >= self.scan;
        if full {
            self.stopped_at = Some(id);
        }
        full
    }
}

fn decode(bytes: &[u8]) -> Result<JobDoc, FarmError> {
    record::from_bytes::<Job>(bytes).map(JobDoc::archived).map_err(|e| FarmError::Store(e.to_string()))
}

/// Newest first, each job once; a job that ended between the two looks is in both, and its end counts. What is older
/// than the point at which either look stopped is left to the next page, which begins there.
fn merge(live: Page, ended: Page, limit: usize) -> (Vec<JobDoc>, Option<JobId>) {
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

fn unexpected(reply: &Reply) -> FarmError {
    panic!("the engine answered {reply:?} to another question")
}

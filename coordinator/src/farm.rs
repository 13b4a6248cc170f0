//! The engine's front for everything else in the process: requests that wait for the disk, questions, news.

mod explain;
mod filter;
mod pages;

use std::ops::Bound;
use std::time::Duration;

use actix::{Addr, MailboxError};
use rushes_core::event::{Event, Refusal, Reply, ReplyTo};
use rushes_core::job::JobDoc;
use rushes_core::promise::Forecast;
use rushes_core::record::IdempotencyKey;
use rushes_core::state::TenantLimits;
use rushes_core::summary::{FarmDoc, LimitDoc, TenantDoc, WorkerDoc};
use rushes_shared::artifact::Location;
use rushes_shared::id::{JobId, Seq, TaskId, TenantId, WorkerId};
use rushes_shared::job::{JobChange, JobSpec, JobState};
use rushes_shared::principal::{Principal, Role};
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::engine_actor::{EngineActor, Inspect, News, Request, View, WorkerRemoved};
use crate::store::StoreReader;

pub use filter::JobFilter;
use pages::{Page, decode, merge, scan};

/// Why the farm did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum FarmError {
    /// The engine said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No such job that the caller may see.
    #[error("there is no job {0}; 'rushes job list' shows those that are kept")]
    NoSuchJob(JobId),
    /// The job has no such task, or not yet.
    #[error(
        "there is no task {0}; 'rushes job show' lists a job's tasks, of which some are planned when others are done"
    )]
    NoSuchTask(TaskId),
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

/// How long a request may wait for the engine to take it in before it is refused.
const TAKE_IN: Duration = Duration::from_secs(10);
/// How many live jobs one list request looks at before it answers with where to go on; the engine waits meanwhile.
const LIVE_SCAN: usize = 1_000;

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
    ) -> Result<(JobId, bool, Forecast), FarmError> {
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
            Reply::Accepted { job, created, forecast } => Ok((job, created, forecast)),
            other => Err(unexpected(&other)),
        }
    }

    /// What would come of a submit.
    ///
    /// # Errors
    /// [`FarmError::Refused`] with the reason, [`FarmError::Busy`] or [`FarmError::Stopping`].
    pub async fn dry_run(&self, by: &Principal, spec: JobSpec) -> Result<Forecast, FarmError> {
        let (tenant, spec) = (by.tenant.clone(), Box::new(spec));
        match self.request(move |reply, _| Event::DryRunAsked { reply, tenant, spec }).await? {
            Reply::Forecast(forecast) => Ok(forecast),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes a job that has not ended.
    ///
    /// # Errors
    /// [`FarmError::NoSuchJob`] where the caller may not see it; [`FarmError::Refused`] where it has ended, or where the
    /// change is beyond the tenant's limits.
    pub async fn amend(&self, by: &Principal, job: JobId, change: JobChange) -> Result<(), FarmError> {
        self.check_seen(by, job).await?;
        let change = Box::new(change);
        match self.request(move |reply, _| Event::AmendAsked { reply, job, change }).await? {
            Reply::Amended { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets a tenant's limits; the second argument makes them from those that hold for every tenant.
    ///
    /// # Errors
    /// [`FarmError::Busy`] or [`FarmError::Stopping`].
    pub async fn set_tenant(
        &self,
        tenant: TenantId,
        limits: impl FnOnce(TenantLimits) -> TenantLimits,
    ) -> Result<TenantLimits, FarmError> {
        let limits = limits(self.inspect(|view| view.engine.policy().tenant).await?);
        match self.request(move |reply, _| Event::TenantSetAsked { reply, tenant, limits }).await? {
            Reply::LimitsSet => Ok(limits),
            other => Err(unexpected(&other)),
        }
    }

    /// The tenants with their limits and what they have.
    ///
    /// # Errors
    /// [`FarmError::Stopping`].
    pub async fn tenants(&self) -> Result<Vec<TenantDoc>, FarmError> {
        self.inspect(|view| view.engine.tenants()).await
    }

    /// The named limits and how much of them is used.
    ///
    /// # Errors
    /// [`FarmError::Stopping`].
    pub async fn named_limits(&self) -> Result<Vec<LimitDoc>, FarmError> {
        self.inspect(|view| view.engine.named_limits()).await
    }

    /// Sets a named limit, or takes it away.
    ///
    /// # Errors
    /// [`FarmError::Busy`] or [`FarmError::Stopping`].
    pub async fn set_limit(&self, name: String, most: Option<u32>) -> Result<(), FarmError> {
        match self.request(move |reply, _| Event::LimitSetAsked { reply, name, most }).await? {
            Reply::LimitsSet => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether a job was submitted with this key before.
    ///
    /// # Errors
    /// [`FarmError::Stopping`].
    pub async fn knows_key(&self, by: &Principal, key: &IdempotencyKey) -> Result<bool, FarmError> {
        let (tenant, key) = (by.tenant.clone(), key.key.clone());
        self.inspect(move |view| view.engine.state().keys.get(&tenant, &key).is_some()).await
    }

    /// Cancels a job that has not ended.
    ///
    /// # Errors
    /// [`FarmError::NoSuchJob`] where the caller may not see it; [`FarmError::Refused`] where it has ended.
    pub async fn cancel(&self, by: &Principal, job: JobId) -> Result<(), FarmError> {
        self.check_seen(by, job).await?;
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

    /// Lets a worker go that is not enrolled any more: its connection ends, and what it holds goes elsewhere. How many
    /// tasks that were.
    ///
    /// # Errors
    /// [`FarmError::Stopping`].
    pub async fn let_go(&self, worker: WorkerId) -> Result<usize, FarmError> {
        Ok(self.engine.send(WorkerRemoved(worker)).await?)
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

    /// Whether there is such a job, live or archived, that the caller may see. A live one is not copied for it.
    async fn check_seen(&self, by: &Principal, job: JobId) -> Result<(), FarmError> {
        let tenant =
            move |view: &View<'_>| view.engine.state().jobs.get(&job).map(|live| live.tenant.clone());
        match self.inspect(tenant).await? {
            Some(tenant) if by.sees(&tenant) => Ok(()),
            Some(_) => Err(FarmError::NoSuchJob(job)),
            None => self.job(by, job).await.map(|_| ()),
        }
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
                for job in view.engine.jobs_before(before, scope) {
                    let state = || view.engine.job_state(job.id).unwrap_or(JobState::Queued);
                    let doc = wanted.admits(job, state).then(|| view.engine.job(job.id)).flatten();
                    if page.is_full_with(job.id, doc) {
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

    /// Uploads that live jobs behind `after` read, of a bounded number of jobs; the second value says where to go on,
    /// and is `None` at the end.
    ///
    /// # Errors
    /// [`FarmError::Stopping`].
    pub async fn uploads_in_use(
        &self,
        after: Option<JobId>,
    ) -> Result<(Vec<Location>, Option<JobId>), FarmError> {
        self.inspect(move |view| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            let jobs = view.engine.state().jobs.range((start, Bound::Unbounded)).take(LIVE_SCAN);
            let (mut uploads, mut seen, mut last) = (Vec::new(), 0, None);
            for (id, job) in jobs {
                (seen, last) = (seen + 1, Some(*id));
                let inputs = job.spec.work.inputs().map(Location::place);
                uploads.extend(inputs.filter(|i| matches!(i, Location::Upload(..))).cloned());
            }
            (uploads, last.filter(|_| seen == LIVE_SCAN))
        })
        .await
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

fn unexpected(reply: &Reply) -> FarmError {
    panic!("the engine answered {reply:?} to another question")
}

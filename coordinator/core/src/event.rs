//! What happens to the engine and what it wants done.

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, Seq, TaskId, TenantId, WorkerId};
use rushes_shared::job::{JobSpec, JobState};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, TaskKind, TaskOrder, TaskOutcome};
use rushes_shared::units::WallMs;
use rushes_shared::wire::HeldAttempt;

use crate::job::Job;
use crate::record::{IdempotencyKey, Record};

/// One connection of one worker. A newer connection has a higher number within a reign, so that late words of an old one
/// are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names the caller that waits for an answer; made by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// What happened. Past tense.
#[derive(Debug, Clone)]
pub enum Event {
    /// A principal wants a job done.
    JobSubmitted {
        /// Who waits.
        reply: ReplyTo,
        /// The id that it gets if it is accepted.
        job: JobId,
        /// Whose.
        tenant: TenantId,
        /// The principal's name.
        submitter: String,
        /// What.
        spec: Box<JobSpec>,
        /// The client's key.
        key: Option<IdempotencyKey>,
        /// Whether the store has room for more.
        space_left: bool,
    },
    /// A principal that may do so wants a job stopped.
    CancelAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Which.
        job: JobId,
    },
    /// An operator drains a worker, or ends that.
    DrainAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Which.
        worker: WorkerId,
        /// Whether it gets no new tasks.
        draining: bool,
    },
    /// A worker said hello on a new connection.
    WorkerJoined {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// Random at each start of the worker process.
        instance: u64,
        /// Its node.
        facts: Box<NodeFacts>,
        /// What it still has.
        held: Vec<HeldAttempt>,
    },
    /// A worker renewed its leases.
    HeartbeatCame {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
    },
    /// A worker's node changed.
    FactsChanged {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// Its node.
        facts: Box<NodeFacts>,
    },
    /// A worker wants nothing new and will go.
    WorkerLeaving {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
    },
    /// A connection ended. Its worker's leases run on.
    LinkLost {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
    },
    /// A worker is on an attempt.
    TaskStarted {
        /// Which.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
    },
    /// An attempt came further.
    TaskProgressed {
        /// Which.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
        /// How far.
        progress: Progress,
    },
    /// An attempt ended.
    TaskEnded {
        /// Which.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
        /// How.
        outcome: Box<TaskOutcome>,
    },
    /// A worker would not take an order, or does not have the attempt that it was asked about.
    TaskRefused {
        /// Which.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// The depot answered a [`Command::Publish`].
    PublishEnded {
        /// Whose.
        job: JobId,
        /// Which output.
        output: u32,
        /// Why not, if not.
        result: Result<(), Failure>,
    },
    /// The time that `Engine::next_wake` named has come.
    TimeCame,
}

/// Why a request is refused. Each has its HTTP status in the shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such job in the live state.
    #[error("there is no live job {0}")]
    NoJob(JobId),
    /// No such worker.
    #[error("no worker {0} has ever connected; 'rushes worker list' shows those that have")]
    NoWorker(WorkerId),
    /// The same idempotency key came with another body.
    #[error(
        "the idempotency key was used before with a different request (job {0}); use a new key for a new request"
    )]
    KeyReused(JobId),
    /// The farm holds as many jobs as it may.
    #[error("the farm holds {limit} jobs, its limit (engine.max_jobs); try again later")]
    FarmFull {
        /// `engine.max_jobs`.
        limit: u64,
    },
    /// The tenant has as many jobs as it may.
    #[error(
        "tenant '{tenant}' has {limit} jobs that have not ended, its limit (engine.max_jobs_per_tenant); wait for some to end"
    )]
    TenantFull {
        /// Whose.
        tenant: TenantId,
        /// `engine.max_jobs_per_tenant`.
        limit: u64,
    },
    /// The store's disk is nearly full.
    #[error(
        "the coordinator's disk is nearly full (below store.min_free_bytes); free some space and try again"
    )]
    DiskNearlyFull,
}

impl Refusal {
    /// After how many seconds a retry is worth it; `None` where it is not.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::NoJob(_) | Self::NoWorker(_) | Self::KeyReused(_) => None,
            Self::FarmFull { .. } | Self::TenantFull { .. } => Some(5),
            Self::DiskNearlyFull => Some(60),
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A submit was accepted, now or under the same key before.
    Accepted {
        /// The job.
        job: JobId,
        /// Whether this request made it.
        created: bool,
    },
    /// A cancel took effect.
    Canceled {
        /// The job.
        job: JobId,
    },
    /// A drain took effect.
    Drained {
        /// The worker.
        worker: WorkerId,
        /// Whether it gets no new tasks.
        draining: bool,
    },
    /// It was refused.
    Refused(Refusal),
}

/// What the shell must do. Imperative.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Answer a caller.
    Answer {
        /// Who.
        to: ReplyTo,
        /// What.
        reply: Reply,
    },
    /// Tell a worker that it is welcome, and which held attempts to give up.
    Welcome {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// Attempts that do not count any more.
        give_up: Vec<AttemptId>,
        /// Whether an operator drains it.
        draining: bool,
    },
    /// Open a task stream and send the order.
    StartTask {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// What.
        order: Box<TaskOrder>,
    },
    /// Open a task stream for an attempt that the worker holds.
    AttachTask {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
    },
    /// Stop an attempt.
    CancelTask {
        /// Which.
        worker: WorkerId,
        /// The try.
        attempt: AttemptId,
    },
    /// Tell a worker that an outcome is on disk.
    CollectOutcome {
        /// Which.
        worker: WorkerId,
        /// The try.
        attempt: AttemptId,
    },
    /// End a connection whose worker has stopped renewing its leases; it may connect again.
    CloseLink {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
    },
    /// Tell a worker that it is drained, or not any more.
    TellDraining {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// Whether it gets no new tasks.
        draining: bool,
    },
    /// Have the depot move a staged file to its place; answered by [`Event::PublishEnded`].
    Publish {
        /// Whose.
        job: JobId,
        /// Which output.
        output: u32,
        /// The staged file.
        from: Artifact,
        /// Its place.
        to: Location,
    },
    /// Have the depot remove what these attempts staged.
    DropStaged {
        /// Whose.
        attempts: Vec<AttemptId>,
    },
    /// Tell those who watch.
    Notify(FarmEvent),
}

/// A command that may leave once the record with this sequence number is on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Gated {
    /// The record that it depends on; 0 for none.
    pub after: Seq,
    /// What to do.
    pub command: Command,
}

/// What one event led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// For the journal, in order; already applied to the state.
    pub records: Vec<Record>,
    /// Jobs that ended: they go to the archive in the same commit as the records.
    pub archive: Vec<Job>,
    /// In order.
    pub commands: Vec<Gated>,
}

/// What those who watch are told.
#[derive(Debug, Clone, PartialEq)]
pub struct FarmEvent {
    /// When.
    pub at: WallMs,
    /// Whose; `None` for what concerns the farm as a whole.
    pub tenant: Option<TenantId>,
    /// The job that it is about.
    pub job: Option<JobId>,
    /// What.
    pub what: FarmNews,
}

/// What happened, for people, scripts and metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum FarmNews {
    /// A job was accepted.
    JobAccepted,
    /// A job ended.
    JobEnded {
        /// How.
        state: JobState,
        /// The first cause, for `failed`.
        failure: Option<Failure>,
        /// From acceptance to its end, in milliseconds.
        total_ms: u64,
    },
    /// A task was handed to a worker.
    TaskDispatched {
        /// Which.
        task: TaskId,
        /// Its kind.
        kind: TaskKind,
        /// The try.
        attempt: AttemptId,
        /// Where.
        worker: WorkerId,
        /// How long it had waited since it was ready, in milliseconds.
        queued_ms: u64,
    },
    /// A worker that had been away holds this attempt and goes on with it.
    TaskAdopted {
        /// Which.
        task: TaskId,
        /// Its kind.
        kind: TaskKind,
        /// The try.
        attempt: AttemptId,
        /// Where.
        worker: WorkerId,
    },
    /// A task came further.
    TaskProgressed {
        /// Which.
        task: TaskId,
        /// Its kind.
        kind: TaskKind,
        /// How far.
        progress: Progress,
    },
    /// A task is done.
    TaskSucceeded {
        /// Which.
        task: TaskId,
        /// Its kind.
        kind: TaskKind,
        /// Where.
        worker: WorkerId,
        /// From dispatch to the outcome, in milliseconds.
        run_ms: u64,
    },
    /// An attempt failed.
    AttemptFailed {
        /// Which.
        task: TaskId,
        /// Its kind.
        kind: TaskKind,
        /// Where.
        worker: WorkerId,
        /// Why.
        failure: Failure,
        /// The delay before another attempt, in milliseconds; `None` where the task is given up.
        retry_ms: Option<u64>,
    },
    /// An output is at its place.
    OutputPublished {
        /// Which.
        output: u32,
        /// Its place.
        place: Location,
    },
    /// A worker connected.
    WorkerJoined {
        /// Which.
        worker: WorkerId,
        /// Its name for people.
        name: String,
    },
    /// A worker's link broke; its leases run on.
    WorkerSilent {
        /// Which.
        worker: WorkerId,
    },
    /// A worker left, or its lease ran out.
    WorkerGone {
        /// Which.
        worker: WorkerId,
        /// Whether its lease ran out while it held work.
        lost: bool,
    },
    /// A worker is drained, or not any more.
    WorkerDrained {
        /// Which.
        worker: WorkerId,
        /// Whether it gets no new tasks.
        draining: bool,
    },
}

//! What happens to the engine and what it wants done.

mod answer;
mod decision;
mod news;

use std::sync::Arc;

use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, Epoch, JobId, Seq, TaskId, TenantId, WorkerId};
use rushes_shared::job::{JobChange, JobSpec};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Progress, TaskOrder, TaskOutcome};
use rushes_shared::wire::{AheadOffer, HeldAttempt};

pub use crate::promise::late::LateBy;
pub use answer::{Refusal, Reply};
pub use decision::Decision;
pub use news::{FarmEvent, FarmNews};

use crate::job::Job;
use crate::record::{IdempotencyKey, Record};
use crate::state::TenantLimits;

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
        submitter: Arc<str>,
        /// What.
        spec: Box<JobSpec>,
        /// The client's key.
        key: Option<IdempotencyKey>,
        /// Whether the store has room for more.
        space_left: bool,
    },
    /// A principal wants to know what would come of a job.
    DryRunAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Whose.
        tenant: TenantId,
        /// What.
        spec: Box<JobSpec>,
    },
    /// A principal that may do so wants a job stopped.
    CancelAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Which.
        job: JobId,
    },
    /// A principal that may do so changes a job.
    AmendAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Which.
        job: JobId,
        /// What of it.
        change: Box<JobChange>,
    },
    /// An operator sets a tenant's limits.
    TenantSetAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Whose.
        tenant: TenantId,
        /// All of them.
        limits: TenantLimits,
    },
    /// An operator sets a named limit, or takes it away.
    LimitSetAsked {
        /// Who waits.
        reply: ReplyTo,
        /// Its name.
        name: String,
        /// How many may be held at once; `None`: it limits nothing.
        most: Option<u32>,
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
    /// A worker holds tasks ahead, on this connection.
    AheadOffered {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// How many.
        offer: AheadOffer,
    },
    /// A worker takes orders that name a hardware encoder, on this connection.
    HardwareOffered {
        /// Which.
        worker: WorkerId,
        /// The connection.
        link: LinkId,
        /// How many it works on at once.
        sessions: u32,
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
    /// A worker has given an attempt back, as it was asked to, and had not started it.
    TaskRecalled {
        /// Which.
        worker: WorkerId,
        /// The task.
        task: TaskId,
        /// The try.
        attempt: AttemptId,
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
    /// The depot answered a [`Command::FindStaged`]: attempts in order; none when there are no more.
    StagedFound {
        /// Whose files it has.
        attempts: Vec<AttemptId>,
    },
    /// The time that `Engine::next_wake` named has come.
    TimeCame,
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
    /// Have a worker give an attempt back that it holds ahead; answered by [`Event::TaskRecalled`], or by what becomes of
    /// the attempt where it has been started.
    RecallTask {
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
    /// Ask the depot which attempts of earlier reigns have staged something; answered by [`Event::StagedFound`].
    FindStaged {
        /// Only attempts of reigns before this one.
        before: Epoch,
        /// Only attempts behind this one.
        after: Option<AttemptId>,
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
    pub archive: Vec<Box<Job>>,
    /// In order.
    pub commands: Vec<Gated>,
}

//! News for people, scripts and metrics.

use rushes_shared::artifact::{FileName, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::JobState;
use rushes_shared::task::{Progress, TaskKind};
use rushes_shared::units::{Bytes, WallMs};

use super::Decision;

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
    /// The scheduler decided something that people may want to know.
    Decided(Decision),
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
        /// Where, of two attempts the one that is further.
        worker: WorkerId,
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
        /// Its name; a set of files has none.
        name: Option<FileName>,
        /// Its place.
        place: Location,
        /// Its size, where it is known.
        size: Option<Bytes>,
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

//! Records: outcomes that the journal keeps. Replaying them in order rebuilds the state; no policy runs on replay.
//!
//! Positional encoding: the order of variants and fields is the format of record version 1. New variants go last.

use std::sync::Arc;

use rushes_shared::artifact::Artifact;
use rushes_shared::failure::Failure;
use rushes_shared::frame::{self, FrameError, HEADER_LEN, Header, Message};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, TenantId, WorkerId};
use rushes_shared::job::{JobChange, JobSpec, JobState};
use rushes_shared::task::{Demand, TaskValue, Usage};
use rushes_shared::units::WallMs;
use serde::{Deserialize, Serialize};

use crate::job::{Job, Prediction, Stage};
use crate::promise::late::LateBy;
use crate::promise::trade::Trade;
use crate::state::{KeptKey, KnownWorker, Quarantine, TenantLimits};

/// A client's key that makes a repeated submit the same submit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// What the client sent, 1 to 255 bytes.
    pub key: String,
    /// BLAKE3 of the request's body: another body under the same key is a conflict.
    pub fingerprint: [u8; 32],
}

/// Whether a failed attempt is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Another attempt after this delay in milliseconds.
    Retry {
        /// Backoff with jitter.
        delay_ms: u64,
    },
    /// The task has failed.
    GiveUp,
}

/// An outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A reign began.
    EpochBegan {
        /// Its number, higher than every one before.
        epoch: Epoch,
        /// When.
        at: WallMs,
    },
    /// A job was accepted.
    JobAccepted {
        /// Its id.
        job: JobId,
        /// Whose it is.
        tenant: TenantId,
        /// The principal who submitted it.
        submitter: Arc<str>,
        /// What it asks for.
        spec: Arc<JobSpec>,
        /// The client's key, if it sent one.
        key: Option<IdempotencyKey>,
        /// When.
        at: WallMs,
    },
    /// The planner added stages behind those that the job has.
    StagesPlanned {
        /// Whose.
        job: JobId,
        /// The new stages.
        stages: Vec<Stage>,
    },
    /// An attempt failed.
    AttemptFailed {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: AttemptId,
        /// Where.
        worker: WorkerId,
        /// Why.
        failure: Failure,
        /// What it used.
        usage: Usage,
        /// What follows.
        verdict: Verdict,
        /// When.
        at: WallMs,
    },
    /// A task is done.
    TaskSucceeded {
        /// Which task.
        task: TaskId,
        /// The attempt that did it.
        attempt: AttemptId,
        /// Where.
        worker: WorkerId,
        /// What it found or made; `None` for a no-op.
        value: Option<Box<TaskValue>>,
        /// What it used.
        usage: Usage,
        /// How long the task waited for this attempt's start since it became ready, in milliseconds.
        queued_ms: u64,
        /// What is known of the worker's speed from then on, in thousandths; 1000 is what predictions are made for.
        speed_permille: u32,
        /// When.
        at: WallMs,
    },
    /// An output is at its place.
    OutputPublished {
        /// Whose.
        job: JobId,
        /// Index of the output in the job's spec.
        output: u32,
        /// The file at its place.
        artifact: Artifact,
        /// When.
        at: WallMs,
    },
    /// A live job was changed.
    JobAmended {
        /// Which.
        job: JobId,
        /// What of it.
        change: JobChange,
        /// When.
        at: WallMs,
    },
    /// A job gave something up for its deadline.
    Traded {
        /// Which.
        job: JobId,
        /// What.
        trade: Trade,
    },
    /// A trade was taken back.
    TradeUndone {
        /// Whose.
        job: JobId,
        /// Which of the job's trades, from 0.
        number: u32,
        /// When.
        at: WallMs,
    },
    /// An optional stage failed for good; the job goes on without it.
    StageDropped {
        /// Whose.
        job: JobId,
        /// The stage's index.
        stage: u32,
        /// When.
        at: WallMs,
    },
    /// A job's deadline cannot be kept even at its floor.
    PromiseLate {
        /// Which.
        job: JobId,
        /// When it should be done instead.
        expected: WallMs,
        /// When that was found.
        at: WallMs,
    },
    /// A tenant's limits were set.
    TenantSet {
        /// Whose.
        tenant: TenantId,
        /// All of them.
        limits: TenantLimits,
    },
    /// A named limit was set, or taken away.
    LimitSet {
        /// Its name.
        name: String,
        /// How many may be held at once; `None`: it limits nothing.
        most: Option<u32>,
    },
    /// A job ended; it leaves the live state.
    JobEnded {
        /// Which.
        job: JobId,
        /// `succeeded`, `failed` or `canceled`.
        state: JobState,
        /// The first cause, for `failed`.
        failure: Option<Failure>,
        /// When.
        at: WallMs,
    },
    /// A worker connected; until [`Record::WorkerGone`] a restart waits for it to re-attach.
    WorkerSeen {
        /// Which.
        worker: WorkerId,
        /// Its name for people.
        name: String,
        /// When.
        at: WallMs,
    },
    /// A worker is not expected back soon: it left, or its lease ran out.
    WorkerGone {
        /// Which.
        worker: WorkerId,
        /// When.
        at: WallMs,
    },
    /// An operator drains a worker, or ends that.
    WorkerDrained {
        /// Which.
        worker: WorkerId,
        /// Whether it gets no new tasks.
        draining: bool,
    },
    /// Idempotency keys that were kept since before this time are forgotten.
    KeysForgotten {
        /// Older ones go.
        before: WallMs,
    },
    /// A live job as a snapshot carries it.
    JobCarried(Box<Job>),
    /// An idempotency key as a snapshot carries it.
    KeyCarried(KeptKey),
    /// A known worker as a snapshot carries it.
    WorkerCarried(KnownWorker),
    /// A late job's deadline is kept after all.
    PromiseRestored {
        /// Which.
        job: JobId,
        /// When that was found.
        at: WallMs,
    },
    /// A node fails what others can do and gets nothing for a while; also how a snapshot carries it.
    NodeQuarantined {
        /// Which.
        worker: WorkerId,
        /// How it stands.
        quarantine: Quarantine,
    },
    /// A node that was quarantined has shown that it works.
    NodeReadmitted {
        /// Which.
        worker: WorkerId,
    },
    /// A hardware encoder failed a task: what is left of its stage is encoded in software.
    EncoderFellBack {
        /// Whose.
        job: JobId,
        /// The stage's index.
        stage: u32,
        /// Where.
        worker: WorkerId,
        /// The encoder's element; empty where it is not known.
        element: String,
        /// When.
        at: WallMs,
    },
    /// A node's hardware encoder fails one task after the other and gets none for a while; also how a snapshot carries it.
    EncoderShut {
        /// Whose.
        worker: WorkerId,
        /// How it stands.
        quarantine: Quarantine,
    },
    /// A hardware encoder that was shut has shown that it works.
    EncoderReadmitted {
        /// Whose.
        worker: WorkerId,
    },
    /// What a stage takes is known, as its input was probed; before it was assumed.
    StageSized {
        /// Whose.
        job: JobId,
        /// The stage's index.
        stage: u32,
        /// What each task needs of a node.
        demand: Demand,
        /// What each should cost.
        prediction: Prediction,
    },
    /// A job's deadline is given up for another's, or because nodes were lost. [`Record::PromiseLate`] is late by itself.
    PromiseGivenUp {
        /// Which.
        job: JobId,
        /// When it should be done instead.
        expected: WallMs,
        /// Why.
        because: LateBy,
        /// When that was decided.
        at: WallMs,
    },
    /// A worker has been away for so long that it is not known any more.
    WorkerForgotten {
        /// Which.
        worker: WorkerId,
    },
    /// How many of a job's latest attempts have failed in a row, as a snapshot carries it behind the job.
    FailuresCarried {
        /// Whose.
        job: JobId,
        /// How many.
        in_row: u32,
    },
}

impl Message for Record {
    const KIND: u16 = 32;
    const VERSION: u16 = 1;
    const LIMIT: u32 = 8 << 20;
}

impl Message for Job {
    const KIND: u16 = 33;
    const VERSION: u16 = 1;
    const LIMIT: u32 = 8 << 20;
}

/// Encodes a journal value with its frame header.
///
/// # Errors
/// [`FrameError::TooLong`] for a value past its kind's limit.
pub fn to_bytes<M: Message>(value: &M) -> Result<Vec<u8>, FrameError> {
    frame::encode(value)
}

/// Decodes a journal value with its frame header, of any version that was ever written.
///
/// # Errors
/// [`FrameError`] for other bytes.
pub fn from_bytes<M: Message>(bytes: &[u8]) -> Result<M, FrameError> {
    let head: [u8; HEADER_LEN] = bytes
        .get(..HEADER_LEN)
        .and_then(|b| b.try_into().ok())
        .ok_or(FrameError::TooLong { kind: M::KIND, length: bytes.len() as u64, limit: 0 })?;
    let header = Header::from_bytes(head);
    header.expect::<M>()?;
    frame::decode(&bytes[HEADER_LEN..])
}

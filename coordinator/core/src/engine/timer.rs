//! What the engine is woken for.

use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};

/// Something that the engine wants to look at when its time comes. Checked against the state then, never removed early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A worker's lease may have run out.
    Lease(WorkerId),
    /// A task's backoff ends.
    Retry(TaskId),
    /// A publish is to be tried again.
    Publish(JobId, u32),
    /// A quarantined node may show itself.
    Probation(WorkerId),
    /// A hardware encoder that was shut may show itself.
    EncoderProbe(WorkerId),
    /// An attempt may be a straggler.
    Straggler(TaskId, AttemptId),
    /// An attempt may have stopped coming further.
    Stall(TaskId, AttemptId),
    /// The farm is looked at as a whole.
    Watch,
    /// A promise is to be looked at.
    Promise(JobId),
    /// Late jobs are to be looked at.
    Late,
    /// The window to re-attach closes.
    Reattach,
    /// Old idempotency keys go.
    ForgetKeys,
    /// Workers that are gone for long go.
    ForgetWorkers,
    /// What one turn leaves to the next is gone on with, as every turn does.
    Rest,
}

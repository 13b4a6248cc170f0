//! Messages between coordinator and worker, worker and depot, newcomer and coordinator.
//!
//! ```text
//! ALPN rushes/8 to /1  worker -> coordinator   one control stream (opened by the worker):
//!                                             FarmBound / WorkerBound
//!                                             one stream per task (opened by the coordinator):
//!                                             TaskBound / TaskReply
//!                                             the lane (opened by the coordinator when it is first needed): the one
//!                                             stream of all tasks that the worker answers itself, LaneBound / LaneReply
//! ALPN rushes-join/1  newcomer -> coordinator one stream: JoinRequest / JoinReply
//! ALPN rushes-bulk/1  worker -> depot         one stream per file: BulkRequest / BulkReply, then raw bytes; or one for
//!                                             parts of many, each behind its own BulkReply
//! ```

mod bulk;
mod version;

use serde::{Deserialize, Serialize};

pub use bulk::{
    BulkReply, BulkRequest, NOTE_LIMIT, PARTS, PARTS_BYTES, PARTS_FILES, Part, PartsOf, STAGED_PAGE,
    are_bounded,
};
pub use version::WireVersion;

use crate::failure::Failure;
use crate::frame::Message;
use crate::id::{AttemptId, Epoch, TaskId, WorkerId};
use crate::node::NodeFacts;
use crate::task::{Demand, Progress, SlotKind, TaskOrder, TaskOutcome, Usage};

/// ALPN names of the worker protocol, best first.
pub const WORKER_ALPNS: &[&[u8]] =
    &[CUTS_ALPN, JOIN_ALPN, EXTRACT_ALPN, STREAM_ALPN, FORMATS_ALPN, HARDWARE_ALPN, AHEAD_ALPN, b"rushes/1"];
/// The first version in which a worker knows [`crate::task::StreamWork::CutChunk`].
pub const CUTS_ALPN: &[u8] = b"rushes/8";
/// The first version in which a worker knows hardware encoders of other codecs than H.264.
pub const HARDWARE_CODECS_ALPN: &[u8] = b"rushes/8";
/// The first version in which a worker knows [`crate::task::TaskWork::Join`].
pub const JOIN_ALPN: &[u8] = b"rushes/7";
/// The first version in which a worker knows [`crate::task::StreamWork::Scan`], and packages of chunks that begin at cuts.
pub const SCENES_ALPN: &[u8] = b"rushes/7";
/// The first version in which a worker knows [`crate::task::TaskWork::Probes`].
pub const PROBES_ALPN: &[u8] = b"rushes/7";
/// The first version in which a worker knows [`crate::encode::Extracted::WebpPreview`].
pub const WEBP_ALPN: &[u8] = b"rushes/7";
/// The first version in which a coordinator knows [`crate::check::CheckName::VideoGap`] and `AudioGap`.
pub const GAPS_ALPN: &[u8] = b"rushes/7";
/// The first version in which workers read image sequences.
pub const SEQUENCE_ALPN: &[u8] = b"rushes/7";
/// The first version in which a worker knows outputs that are no renditions, see
/// [`EncodeSettings::extract`](crate::encode::EncodeSettings::extract).
pub const EXTRACT_ALPN: &[u8] = b"rushes/6";
/// The first version in which a worker knows [`crate::task::TaskWork::Stream`].
pub const STREAM_ALPN: &[u8] = b"rushes/5";
/// The first version in which a worker knows limits of an output's checks, and a coordinator checks as values:
/// [`crate::check::Check`].
pub const CHECKS_ALPN: &[u8] = b"rushes/5";
/// The first version in which a worker knows settings beyond their first form, see
/// [`EncodeSettings::have_first_form`](crate::encode::EncodeSettings::have_first_form).
pub const FORMATS_ALPN: &[u8] = b"rushes/4";
/// The first version in which orders name an encoder: both sides may use what [`FarmBound::Hardware`] says.
pub const HARDWARE_ALPN: &[u8] = b"rushes/3";
/// The first version in which a worker knows [`crate::task::TaskWork::Trial`].
pub const TRIAL_ALPN: &[u8] = b"rushes/3";
/// The first version in which a coordinator knows [`LaneReply::Succeeded`].
pub const BRIEF_ALPN: &[u8] = b"rushes/3";
/// The first version in which a worker holds tasks ahead: both sides may use what [`FarmBound::Ahead`] says.
pub const AHEAD_ALPN: &[u8] = b"rushes/2";

/// Whether the version of the worker protocol that was agreed on has what came with `since`.
#[must_use]
pub fn knows(agreed: Option<&[u8]>, since: &[u8]) -> bool {
    let age = |alpn: &[u8]| WORKER_ALPNS.iter().position(|known| *known == alpn);
    agreed.and_then(age).zip(age(since)).is_some_and(|(agreed, since)| agreed <= since)
}

/// ALPN names of enrolment, best first.
pub const JOIN_ALPNS: &[&[u8]] = &[b"rushes-join/1"];
/// ALPN names of the bulk transfer, best first.
pub const BULK_ALPNS: &[&[u8]] = &[b"rushes-bulk/1"];
/// The name in the certificate of every coordinator and depot of a farm.
pub const SERVER_NAME: &str = "farm.rushes.internal";

/// QUIC application close codes.
pub mod close {
    /// Ended in good order.
    pub const BYE: u32 = 0;
    /// The other side broke the protocol.
    pub const PROTOCOL: u32 = 1;
    /// A client certificate is needed for this ALPN.
    pub const NO_CERTIFICATE: u32 = 2;
    /// The certificate names no enrolled worker, or a removed one.
    pub const UNKNOWN_WORKER: u32 = 3;
    /// A newer connection of the same worker took its place.
    pub const REPLACED: u32 = 4;
    /// The server is full or stops.
    pub const UNAVAILABLE: u32 = 5;
}

/// An attempt that a worker still has when it (re)connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldAttempt {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// Whether its result already waits to be collected.
    pub finished: bool,
}

/// What a worker holds ahead: tasks that are there before there is room for them, so that no slot waits for a round trip.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AheadOffer {
    /// Tasks with a process of their own, for each slot.
    pub process: u32,
    /// Most tasks that the worker answers itself.
    pub lane: u32,
    /// How much work of the latter kind is held for each slot, in milliseconds: what passes between the end of a task and
    /// the arrival of another one that was sent for it.
    pub round_trip_ms: u32,
}

/// Worker to coordinator, on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FarmBound {
    /// First message of a connection.
    Hello {
        /// Random at each start of the worker process; tells a reconnect from a restart.
        instance: u64,
        /// The highest epoch that this worker has served.
        epoch: Epoch,
        /// The node.
        facts: NodeFacts,
        /// Attempts that run here or have an uncollected result.
        held: Vec<HeldAttempt>,
    },
    /// Renews the leases of everything that runs here.
    Heartbeat,
    /// The node changed.
    Facts(NodeFacts),
    /// The worker stops after this: nothing new, please.
    Leaving,
    /// The worker holds so much ahead. Said after the welcome, from [`AHEAD_ALPN`] on.
    Ahead(AheadOffer),
    /// The worker takes orders that name a hardware encoder, and runs at most so many of them at once. Said after the
    /// welcome, from [`HARDWARE_ALPN`] on.
    Hardware {
        /// Encoder sessions; 0 takes the offer back.
        sessions: u32,
    },
}

/// Coordinator to worker, on the control stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WorkerBound {
    /// Answer to Hello.
    Welcome {
        /// The coordinator's reign. A worker that has seen a higher one leaves.
        epoch: Epoch,
        /// How often to send a heartbeat, in milliseconds.
        heartbeat_ms: u64,
        /// How long a lease lasts without one, in milliseconds.
        lease_ms: u64,
        /// Where the depot listens, `host:port`; an empty host means the coordinator's own.
        depot: String,
        /// Held attempts to give up; the others are adopted and their streams follow.
        give_up: Vec<AttemptId>,
    },
    /// The operator drains the worker (it gets nothing new), or ends that.
    Draining(bool),
    /// The coordinator is about to stop; keep the work and reconnect.
    Goodbye,
}

/// Coordinator to worker, on a task's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "made once per task")]
pub enum TaskBound {
    /// Run this.
    Start {
        /// What.
        order: TaskOrder,
        /// Permission to read the input, for the depot; empty where there is none.
        read_ticket: Vec<u8>,
        /// Permission to stage the output, for the depot; empty where there is none.
        write_ticket: Vec<u8>,
    },
    /// This attempt, which you hold, is adopted: go on reporting here.
    Attach {
        /// Which.
        attempt: AttemptId,
    },
    /// Stop it within 2 s.
    Cancel,
    /// The outcome is on disk; forget it.
    Collected,
    /// Give it back, unless it has been started.
    Recall,
}

/// Worker to coordinator, on a task's stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "made once per task")]
pub enum TaskReply {
    /// The attempt's process is on it.
    Started,
    /// How far it has come.
    Progress(Progress),
    /// Lines of the task process's standard error.
    Log(String),
    /// How it ended. Kept and repeated until collected.
    Outcome(TaskOutcome),
    /// The order is refused: a lower epoch than this worker has seen, or no such attempt here.
    Refused(Failure),
    /// It was recalled before it was started; the worker has forgotten it.
    Recalled,
}

/// A task that the worker answers itself, without a process: it holds a place for a time and succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOrder {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// How long to hold the place, in milliseconds.
    pub hold_ms: u64,
}

/// A task for the lane that takes room, and waits for it where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneEntry {
    /// What to do.
    pub order: LaneOrder,
    /// The slots that it takes.
    pub slot: SlotKind,
    /// What it takes of them.
    pub demand: Demand,
}

/// Coordinator to worker, on the lane. Tasks that the worker answers itself share a stream, because a stream for each
/// would cost several times what the task does; a frame carries as many as are there when it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaneBound {
    /// Answer these.
    Start(Vec<LaneOrder>),
    /// Stop these.
    Cancel(Vec<AttemptId>),
    /// The outcomes of these are on disk; forget them.
    Collected(Vec<AttemptId>),
    /// Answer these as there is room, in this order.
    Enter(Vec<LaneEntry>),
    /// Give those of these back that have not been started.
    Recall(Vec<AttemptId>),
}

/// How a task on the lane ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneEnd {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// How it ended. Kept until collected.
    pub outcome: TaskOutcome,
}

/// A task on the lane that has succeeded: all that nearly every one of them has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneSuccess {
    /// Which task.
    pub task: TaskId,
    /// Which try.
    pub attempt: AttemptId,
    /// What it used.
    pub usage: Usage,
}

/// Worker to coordinator, on the lane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LaneReply {
    /// These have ended.
    Ended(Vec<LaneEnd>),
    /// An order is refused: a lower epoch than this worker has seen, or no room.
    Refused {
        /// Which task.
        task: TaskId,
        /// Which try.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// These were recalled before they were started; the worker has forgotten them.
    Recalled(Vec<(TaskId, AttemptId)>),
    /// These have succeeded. Said from [`BRIEF_ALPN`] on.
    Succeeded(Vec<LaneSuccess>),
}

/// Most tasks in one frame of the lane.
pub const LANE_FRAME: usize = 1_024;

/// Newcomer to coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The secret part of the join token.
    pub secret: String,
    /// The certificate signing request, DER; its key never leaves the worker.
    pub csr_der: Vec<u8>,
    /// A name for people.
    pub name: String,
}

/// Coordinator to newcomer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinReply {
    /// Enrolled.
    Welcome {
        /// The worker's id, also in its certificate.
        worker: WorkerId,
        /// The certificate, PEM.
        certificate_pem: String,
        /// The farm's CA, PEM.
        ca_pem: String,
    },
    /// Refused: why, and what to do.
    Refused {
        /// One line.
        reason: String,
    },
}

macro_rules! messages {
    ($($type:ty: $kind:literal, $limit:expr;)*) => {
        $(impl Message for $type {
            const KIND: u16 = $kind;
            const VERSION: u16 = 1;
            const LIMIT: u32 = $limit;
        })*
    };
}

messages! {
    FarmBound: 1, 4 << 20;
    WorkerBound: 2, 4 << 20;
    TaskBound: 3, 1 << 20;
    // A job with 32 outputs has to fit a record with all of its tasks' results.
    TaskReply: 4, 160 << 10;
    JoinRequest: 5, 64 << 10;
    JoinReply: 6, 64 << 10;
    BulkRequest: 7, 1 << 20;
    BulkReply: 8, 64 << 10;
    LaneBound: 9, 256 << 10;
    LaneReply: 10, 1 << 20;
}

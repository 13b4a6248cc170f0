//! Read-only answers about the farm: for `status`, `worker list` and gauges.

use rushes_shared::id::{AttemptId, TaskId, TenantId, WorkerId};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::TaskKind;
use rushes_shared::units::{Bytes, Millicores, WallMs};

use crate::anomaly::Anomaly;
use crate::explain::Bottleneck;
use crate::state::TenantLimits;

/// Whether a worker is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Connected.
    Connected,
    /// Its link broke; its lease still runs.
    Silent,
    /// Not connected.
    Gone,
}

/// A worker as the engine sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerDoc {
    /// Its id.
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// Whether it is there.
    pub presence: Presence,
    /// Whether an operator drains it.
    pub draining: bool,
    /// Whether it said that it leaves.
    pub leaving: bool,
    /// Whether it gets nothing for a while because it fails what others can do.
    pub quarantined: bool,
    /// What is known of its speed, in thousandths; 1000 is what predictions are made for.
    pub speed_permille: u32,
    /// When it last connected or went.
    pub since: WallMs,
    /// Its node; `None` until it connects to this reign.
    pub facts: Option<NodeFacts>,
    /// CPU in use by tasks.
    pub cpu_used: Millicores,
    /// Memory in use by tasks.
    pub memory_used: Bytes,
    /// How many tasks may encode in hardware at once.
    pub encoder_sessions: u32,
    /// How many do.
    pub encoder_sessions_used: u32,
    /// Whether its hardware encoder gets nothing for a while, because it failed task after task.
    pub encoder_shut: bool,
    /// What runs there.
    pub running: Vec<(TaskId, AttemptId, TaskKind)>,
}

/// Counts over the farm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FarmDoc {
    /// Jobs that have not ended and have not been started.
    pub jobs_queued: u64,
    /// Jobs that have not ended and have been started.
    pub jobs_running: u64,
    /// Tasks ready to run, by kind.
    pub tasks_ready: Vec<(TaskKind, u64)>,
    /// Tasks that run, by kind.
    pub tasks_running: Vec<(TaskKind, u64)>,
    /// What holds work up, most jobs first.
    pub bottlenecks: Vec<Bottleneck>,
    /// What is out of the ordinary.
    pub anomalies: Vec<Anomaly>,
    /// Workers that get nothing for a while because they fail what others can do.
    pub workers_quarantined: u64,
    /// Workers that are connected.
    pub workers_connected: u64,
    /// Those of them that get no new tasks, because an operator drains them or they leave.
    pub workers_draining: u64,
    /// Workers whose link broke and whose lease still runs.
    pub workers_silent: u64,
    /// Whether the engine still waits for workers of the reign before to re-attach.
    pub reattaching: bool,
}

/// A tenant's limits and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantDoc {
    /// Its name.
    pub name: TenantId,
    /// What holds for it.
    pub limits: TenantLimits,
    /// Whether these were set for it; otherwise they are every tenant's.
    pub is_own: bool,
    /// Jobs that have not ended.
    pub jobs: u64,
    /// Those of them that have a deadline.
    pub deadline_jobs: u64,
    /// Attempts that take capacity.
    pub running: u32,
}

/// A named limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitDoc {
    /// Its name.
    pub name: String,
    /// How many may be held at once; `None` where none is set.
    pub most: Option<u32>,
    /// How many are held by what runs.
    pub held: u32,
}

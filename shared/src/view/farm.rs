//! The farm: workers, status, uploads, tokens, problems.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{TaskId, WorkerId};
use crate::node::EncoderFact;
use crate::principal::Role;
use crate::task::TaskKind;
use crate::view::{AnomalyView, BottleneckView};

/// All workers that have ever connected and were not removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerList {
    /// By id.
    pub items: Vec<WorkerView>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    /// Its id, which is also in its certificate.
    #[schema(value_type = String, example = "wrk_01jv2c8k3q5w7x9z0a2b4c6d8e")]
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// `connected`, `silent` (its link broke, its leases still run) or `gone`.
    pub presence: String,
    /// Whether an operator drains it: it gets no new tasks.
    pub draining: bool,
    /// Whether it said that it leaves.
    pub leaving: bool,
    /// Whether it gets nothing for a while because it fails what others can do.
    #[serde(default)]
    pub quarantined: bool,
    /// What is known of its speed, in thousandths; 1000 is what predictions are made for.
    #[serde(default)]
    pub speed_permille: u32,
    /// When it last connected or went.
    pub since: String,
    /// CPU that tasks may use, in thousandths of a core.
    pub cpu_millicores: u32,
    /// CPU that tasks use now, in thousandths of a core.
    pub cpu_used_millicores: u32,
    /// Memory that tasks may use, in bytes.
    pub memory_bytes: u64,
    /// Memory that tasks use now, in bytes.
    pub memory_used_bytes: u64,
    /// Labels given by the operator.
    pub tags: Vec<String>,
    /// Encoders found; empty until it has connected to this coordinator.
    pub encoders: Vec<EncoderFact>,
    /// How many tasks may encode in hardware at once.
    #[serde(default)]
    pub encoder_sessions: u32,
    /// How many do.
    #[serde(default)]
    pub encoder_sessions_used: u32,
    /// Whether its hardware encoder gets nothing for a while, because it failed task after task.
    #[serde(default)]
    pub encoder_shut: bool,
    /// The worker program's version.
    pub version: String,
    /// Kernel and architecture.
    pub platform: String,
    /// What contains task processes there.
    pub sandbox: String,
    /// What runs there.
    pub running: Vec<RunningView>,
}

/// A worker that was removed: its certificate is refused from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovedWorkerView {
    /// Its id, which no other worker gets.
    #[schema(value_type = String, example = "wrk_01jv2c8k3q5w7x9z0a2b4c6d8e")]
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// How many of its tasks go to other workers.
    pub tasks_moved: u64,
}

/// An attempt that runs on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunningView {
    /// Which task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// Its kind.
    pub kind: TaskKind,
    /// Which try.
    pub attempt: String,
}

/// The farm at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// The coordinator program's version.
    pub version: String,
    /// Jobs that have not been started.
    pub jobs_queued: u64,
    /// Jobs that have been started and have not ended.
    pub jobs_running: u64,
    /// Tasks by kind, where there are any.
    pub tasks: Vec<TaskTally>,
    /// Workers that are connected.
    pub workers_connected: u64,
    /// Those of them that get no new tasks: an operator drains them, or they leave.
    #[serde(default)]
    pub workers_draining: u64,
    /// Workers whose link broke and whose leases still run.
    pub workers_silent: u64,
    /// Workers that get nothing for a while because they fail what others can do.
    #[serde(default)]
    pub workers_quarantined: u64,
    /// What holds work up, most jobs first.
    #[serde(default)]
    pub bottlenecks: Vec<BottleneckView>,
    /// What is out of the ordinary.
    #[serde(default)]
    pub anomalies: Vec<AnomalyView>,
    /// Whether the coordinator still waits for workers of before its start to come back.
    pub reattaching: bool,
    /// Seconds since the coordinator's start.
    pub uptime_s: u64,
}

/// Tasks of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskTally {
    /// The kind.
    pub kind: TaskKind,
    /// Ready to run.
    pub ready: u64,
    /// Running.
    pub running: u64,
}

/// An error, as RFC 9457 has it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemView {
    /// Names the kind of problem: `urn:rushes:problem:` and the code.
    pub r#type: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence: what is wrong and what to do.
    pub detail: String,
    /// A stable code for scripts.
    pub code: String,
    /// What to do, where it is not in the detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// After how many seconds a retry is worth it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// The field of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The line of the request's body that is wrong, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A file that a client wants to upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// BLAKE3 hash of the whole file, 64 hexadecimal digits.
    pub hash: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// Where to upload a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadView {
    /// The file's place once it is there: use it as a job's `input`.
    #[schema(
        example = "farm://uploads/default/0000000000000000000000000000000000000000000000000000000000000000"
    )]
    pub location: String,
    /// `HEAD` it to learn how much is there already, `PUT` the bytes there. Needs no token; good until `expires_at`.
    pub upload_url: String,
    /// When `upload_url` ends.
    pub expires_at: String,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenRequest {
    /// A name for logs and lists, 1 to 64 characters.
    pub name: String,
    /// Whose jobs its bearer sees and makes. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What its bearer may do; at least one.
    pub roles: Vec<Role>,
    /// After how many seconds it ends. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u64>,
}

/// A token that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedTokenView {
    /// What lists show.
    pub token: TokenView,
    /// The secret that goes behind `Authorization: Bearer`. Shown only now: the farm keeps its hash alone.
    pub secret: String,
}

/// All API tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// By id.
    pub items: Vec<TokenView>,
}

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id; tells nothing about the secret.
    pub id: String,
    /// A name for logs and lists.
    pub name: String,
    /// Whose.
    pub tenant: String,
    /// What its bearer may do.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// All presets that a farm knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresetList {
    /// By name.
    pub items: Vec<PresetView>,
}

/// A preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PresetView {
    /// What jobs name it by.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its file, TOML.
    pub text: String,
}

/// Answer of the health checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// `ok`, or why not.
    pub status: String,
}

/// Where a running coordinator can be reached: `run.json` in its state directory, written once all listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressBook {
    /// The coordinator's process.
    pub pid: u32,
    /// Base URL of the REST API, such as `http://127.0.0.1:7320`.
    pub api_url: String,
    /// The unix socket that serves the same to the local administrator.
    pub admin_socket: String,
    /// Where workers connect and join, `host:port` (UDP).
    pub link_addr: String,
    /// Where workers move files, `host:port` (UDP).
    pub depot_addr: String,
    /// Base URL of the depot's HTTP side.
    pub depot_url: String,
}

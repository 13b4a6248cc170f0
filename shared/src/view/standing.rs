//! Where jobs stand: forecasts, what they wait for, what was traded; limits that operators set.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FailureView, SentAheadView, StartView, whole};
use crate::id::{JobId, TaskId, WorkerId};
use crate::job::{Class, JobState};
use crate::task::SlotKind;

/// What the farm expects of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastView {
    /// When it should be done; absent where nothing of it can start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_finish: Option<String>,
    /// Whether its deadline can be kept; absent without a deadline, or where too little is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_keep: Option<bool>,
    /// What was assumed of an input that has not been probed yet: one like those before it. The judgement comes with the
    /// probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumes: Option<AssumedView>,
    /// Why nothing of it can start, however long it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barred: Option<BarredView>,
    /// Named limits of the job that nobody has set: they hold nothing back, which may be a misspelt name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset_limits: Vec<String>,
}

/// What stands before a job that no time takes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BarredView {
    /// What, for scripts: `pause`, `reattachment`, `limit`, `tenant_cap`, `no_node`, `old_nodes` or `shut_nodes`.
    pub reason: String,
    /// What, and what to do about it, in words.
    pub detail: String,
}

/// An input as it is assumed to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssumedView {
    /// Its length, in milliseconds.
    pub duration_ms: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Whether any input was seen that it could be like; otherwise an ordinary film is assumed.
    #[serde(default)]
    pub seen: bool,
}

/// Something that was given up for a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TradeView {
    /// What, in words.
    pub what: String,
    /// The index of the stage that it changes.
    pub stage: u32,
    /// When.
    pub at: String,
    /// Whose deadline it is for: `own_deadline`, `another_deadline`, or `lost_nodes` for what was promised on nodes that were
    /// lost.
    #[serde(default)]
    pub reason: String,
    /// The other job whose deadline it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub for_job: Option<JobId>,
    /// How much was missing to that deadline, in milliseconds.
    pub missing_ms: u64,
    /// What it saves, in milliseconds of the stage's time.
    pub saved_ms: u64,
    /// Quality lost, in tenths of a point.
    pub loss: u32,
    /// When it was taken back, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_at: Option<String>,
}

/// Tasks that wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitView {
    /// The stage's index.
    pub stage: u32,
    /// The stage in a word or two: its name in the job's graph, or what it does and the output that it makes.
    #[serde(default)]
    pub name: String,
    /// The slots that its tasks take.
    pub slot: SlotKind,
    /// How many tasks wait.
    pub tasks: u32,
    /// For what, for scripts: `stages`, `reattachment`, `room`, `reserved`, `no_node`, `old_nodes`,
    /// `shut_nodes`, `limit`, `tenant_cap`, `another_node`, `backoff`, `on_worker`, `failing`, `pause` or `turn`.
    pub reason: String,
    /// For what, in words.
    pub detail: String,
    /// When the first of them should start, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
}

/// An attempt that runs, and why where it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlacedView {
    /// The task.
    #[schema(value_type = String)]
    pub task: TaskId,
    /// The try.
    pub attempt: String,
    /// Where.
    #[schema(value_type = String)]
    pub worker: WorkerId,
    /// Why there, in words.
    pub because: String,
    /// The hardware encoder that it works with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// When it should end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_end: Option<String>,
}

/// Why a job is where it is, from the scheduler's own decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// The job.
    #[schema(value_type = String)]
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// Its class.
    pub class: Class,
    /// Its priority, computed where its content's value decides.
    pub priority: u8,
    /// Where it stands: `not_queued`, `paused`, `held_back`, `emergency`, `at_risk`, `in_class`, `beyond_width` or `plain`.
    pub standing: String,
    /// Jobs that stand before it and want the same kind of room: in the lanes before its own, before it in its lane, and in
    /// its class of each other tenant as many as that tenant's weight lets pass. No more than 10,000 are counted in a lane.
    pub ahead: u64,
    /// How long all connected workers together need for the work that stands before it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_ms: Option<u64>,
    /// When the first of its tasks that wait should start, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
    /// What is expected of it.
    pub forecast: ForecastView,
    /// Since when its deadline is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_since: Option<String>,
    /// Why: `itself`, `another_job`, `lost_nodes`, `limit`, `tenant_cap` or `nodes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_reason: Option<String>,
    /// The job for whose deadline it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub yields_to: Option<JobId>,
    /// What waits, and for what.
    pub waits: Vec<WaitView>,
    /// What workers hold and have not begun, at most the first 100 attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent_ahead: Vec<SentAheadView>,
    /// What runs, at most the first 100 attempts.
    pub running: Vec<PlacedView>,
    /// What was given up for the deadline, and taken back.
    pub trades: Vec<TradeView>,
    /// Stages that are encoded in software because a hardware encoder failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fell_back: Vec<u32>,
    /// Why an output that is made is not in its place yet; it is tried again for `engine.publish_hold_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_up: Option<FailureView>,
}

/// What holds work up over the whole farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BottleneckView {
    /// The slots that are wanted.
    pub slot: SlotKind,
    /// Jobs that wait.
    pub jobs: u32,
    /// For what, for scripts; see `explain`.
    pub reason: String,
    /// For what, in words.
    pub detail: String,
}

/// Something out of the ordinary that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnomalyView {
    /// What, for scripts: `tasks_stalled`, `error_burst`, `job_failing`, `node_slow` or `queue_growing`.
    pub name: String,
    /// What, in words.
    pub detail: String,
}

/// A tenant's limits. Fields that are left out get the value that the configuration has for every tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantLimitsView {
    /// Its share of a class beside other tenants' weights, 1 to 1000.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::within::<_, _, 1, 1_000>"
    )]
    #[schema(minimum = 1, maximum = 1_000)]
    pub weight: Option<u32>,
    /// Most tasks that run at once.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::within::<_, _, 0, { u32::MAX }>"
    )]
    pub max_running: Option<u32>,
    /// Most jobs that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_jobs: Option<u64>,
    /// The highest class that it may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_class: Option<Class>,
    /// The highest priority that it may ask for, 0 to 100.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::within::<_, _, 0, 100>"
    )]
    #[schema(maximum = 100)]
    pub max_priority: Option<u8>,
    /// Most jobs with a deadline that have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deadline_jobs: Option<u64>,
}

/// A tenant as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantView {
    /// Its name.
    pub tenant: String,
    /// What holds for it.
    pub limits: TenantLimitsView,
    /// Whether these were set for it; otherwise they are every tenant's.
    pub own_limits: bool,
    /// Jobs that have not ended.
    pub jobs: u64,
    /// Those of them that have a deadline.
    pub deadline_jobs: u64,
    /// Tasks that run.
    pub running: u32,
}

/// Tenants that have limits of their own or were seen since the coordinator's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantList {
    /// By name.
    pub items: Vec<TenantView>,
}

/// A named limit and how much of it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldLimitView {
    /// Its name, as jobs have it.
    pub name: String,
    /// How many may be held at once; absent: it limits nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
    /// How many are held by what runs.
    pub held: u32,
}

/// Named limits that are set, or held by what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitList {
    /// By name.
    pub items: Vec<HeldLimitView>,
}

/// A named limit, such as the licences of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedLimitView {
    /// How many may be held at once; absent: it limits nothing.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::within::<_, _, 0, { u32::MAX }>"
    )]
    pub most: Option<u32>,
}

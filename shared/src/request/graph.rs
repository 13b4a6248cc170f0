//! A job's own graph of stages, as a user writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settling::{input_at, ranged, text};
use super::{Asking, BadRequest, MAX_GRAPH_STAGES, MAX_LABEL, MAX_NOOP_TASKS};
use crate::job::{GraphStage, StageWork};
use crate::task::{Demand, SlotKind};
use crate::units::{Bytes, Millicores};

/// One stage of a `graph` job: so many equal tasks. With `input` they probe that file; else they hold their slot for
/// `hold_ms` and do nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageRequest {
    /// Its name, unique within the job.
    pub name: String,
    /// The slots that its tasks take. Default: `light`.
    #[serde(default)]
    #[schema(default = "light")]
    pub slot: SlotKind,
    /// Names of earlier stages that have to be complete before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Number of tasks, 1 to 10,000 over all stages of the job. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10_000, default = 1)]
    pub count: Option<i64>,
    /// How long each task holds its slot, in milliseconds, up to a day. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 86_400_000, default = 0)]
    pub hold_ms: Option<i64>,
    /// CPU time that each task stands for in predictions, in milliseconds. Default: `hold_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub cpu_ms: Option<i64>,
    /// The file that its tasks probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// CPU that each task takes, in millicores, where the slot is one of the cores. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000, default = 1_000)]
    pub cpu_millicores: Option<i64>,
    /// Memory that each task takes, in bytes, where the slot is one of the cores. Default: 64 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, default = 67_108_864)]
    pub memory_bytes: Option<i64>,
    /// Whether the job succeeds without it.
    #[serde(default)]
    pub optional: bool,
}

pub(super) fn settle(stages: &[StageRequest], asking: Asking<'_>) -> Result<Vec<GraphStage>, BadRequest> {
    if stages.is_empty() || stages.len() > MAX_GRAPH_STAGES {
        let message = format!("a graph has 1 to {MAX_GRAPH_STAGES} stages, not {}", stages.len());
        return Err(BadRequest::at("stages", message));
    }
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    let mut settled = Vec::with_capacity(stages.len());
    let mut total = 0;
    for (request, index) in stages.iter().zip(0_u32..) {
        let path = format!("stages[{index}]");
        let stage = stage(&path, request, &known, asking)?;
        total += i64::from(stage.count);
        if total > MAX_NOOP_TASKS {
            let message =
                format!("the stages have more tasks together than a job may have ({MAX_NOOP_TASKS})");
            return Err(BadRequest::at(format!("{path}.count"), message));
        }
        if known.insert(&request.name, index).is_some() {
            let message = format!("two stages have the name '{}'; give each its own", request.name);
            return Err(BadRequest::at(format!("{path}.name"), message));
        }
        settled.push(stage);
    }
    Ok(settled)
}

fn stage(
    path: &str,
    request: &StageRequest,
    known: &BTreeMap<&str, u32>,
    asking: Asking<'_>,
) -> Result<GraphStage, BadRequest> {
    let name = text(&format!("{path}.name"), &request.name, MAX_LABEL)?;
    if name.is_empty() {
        return Err(BadRequest::at(format!("{path}.name"), "a stage needs a name"));
    }
    let mut after = Vec::with_capacity(request.after.len());
    for before in &request.after {
        let Some(index) = known.get(before.as_str()) else {
            let shown: String = before.chars().take(60).collect();
            let message = format!("there is no stage '{shown}' before this one");
            return Err(BadRequest::at(format!("{path}.after"), message));
        };
        after.push(*index);
    }
    after.sort_unstable();
    after.dedup();
    let hold_ms: u32 = ranged(&format!("{path}.hold_ms"), request.hold_ms.unwrap_or(0), 0, 86_400_000)?;
    let cpu_ms = request.cpu_ms.unwrap_or(i64::from(hold_ms));
    let work = match &request.input {
        Some(_) if request.hold_ms.is_some() || request.cpu_ms.is_some() => {
            let message = "a stage that probes a file has no hold_ms and no cpu_ms";
            return Err(BadRequest::at(format!("{path}.input"), message));
        }
        Some(input) => StageWork::Probe { input: input_at(&format!("{path}.input"), input, asking)? },
        None => {
            let cpu_ms = ranged(&format!("{path}.cpu_ms"), cpu_ms, 0, 1_000_000_000)?;
            StageWork::Noop { hold_ms, cpu_ms }
        }
    };
    let cpu =
        ranged(&format!("{path}.cpu_millicores"), request.cpu_millicores.unwrap_or(1_000), 0, 1_000_000)?;
    let memory: u64 =
        ranged(&format!("{path}.memory_bytes"), request.memory_bytes.unwrap_or(64 << 20), 0, i64::MAX)?;
    Ok(GraphStage {
        name: name.to_owned(),
        slot: request.slot,
        after,
        count: ranged(&format!("{path}.count"), request.count.unwrap_or(1), 1, MAX_NOOP_TASKS)?,
        work,
        demand: Demand { cpu: Millicores(cpu), memory: Bytes(memory) },
        optional: request.optional,
    })
}

//! A job's own graph of stages, as a user writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settling::{Taken, input_at, output, ranged, text};
use super::{Asking, BadRequest, MAX_GRAPH_STAGES, MAX_LABEL, MAX_NOOP_TASKS, MAX_OUTPUTS, OutputRequest};
use crate::artifact::Location;
use crate::encode::Extracted;
use crate::job::{GraphStage, OutputSpec, StageWork};
use crate::task::{Demand, SlotKind};
use crate::units::{Bytes, Millicores};

/// One stage of a `graph` job: so many equal tasks. With `input` they probe that file; with `output` as well the stage's
/// one task makes that file from it; else they hold their slot for `hold_ms` and do nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageRequest {
    /// Its name, unique within the job.
    pub name: String,
    /// The slots that its tasks take. Default: `light`; of a stage with `output` always `encode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = "light")]
    pub slot: Option<SlotKind>,
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
    /// The file that its tasks probe, or that its task encodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The file to make of `input`, with the settings of an encode job's outputs. One of the stages in `after` has to probe
    /// the same input. At most 32 in a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRequest>,
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
        let stage = stage(&path, request, &known, &settled, asking)?;
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
    check_outputs(&settled)?;
    Ok(settled)
}

/// Outputs of all stages beside each other.
fn check_outputs(stages: &[GraphStage]) -> Result<(), BadRequest> {
    let is_input =
        |place: &Location| stages.iter().any(|s| s.work.input().map(Location::place) == Some(place));
    let mut taken = Taken::default();
    let mut count = 0;
    for (index, stage) in stages.iter().enumerate() {
        let Some(output) = stage.work.output() else { continue };
        let path = format!("stages[{index}].output");
        count += 1;
        if count > MAX_OUTPUTS {
            let message = format!("a job may have at most {MAX_OUTPUTS} outputs");
            return Err(BadRequest::at(path, message));
        }
        taken.take(&path, output, is_input)?;
    }
    Ok(())
}

fn stage(
    path: &str,
    request: &StageRequest,
    known: &BTreeMap<&str, u32>,
    earlier: &[GraphStage],
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
    if let Some(wanted) = &request.output {
        let work = encode(path, request, wanted, &after, earlier, asking)?;
        let (name, demand, slot) = (name.to_owned(), Demand::default(), SlotKind::Encode);
        return Ok(GraphStage { name, slot, after, count: 1, work, demand, optional: request.optional });
    }
    let hold_ms: u32 = ranged(&format!("{path}.hold_ms"), request.hold_ms.unwrap_or(0), 0, 86_400_000)?;
    let cpu_ms = request.cpu_ms.unwrap_or(i64::from(hold_ms));
    let work = match &request.input {
        Some(_) if request.hold_ms.is_some() || request.cpu_ms.is_some() => {
            let message = "a stage that probes a file has no hold_ms and no cpu_ms";
            return Err(BadRequest::at(format!("{path}.input"), message));
        }
        Some(_) if request.optional && request.slot == Some(SlotKind::Analyse) => {
            let message =
                "what comes after a probe cannot do without it: leave 'optional' out, or use another slot";
            return Err(BadRequest::at(format!("{path}.optional"), message));
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
        slot: request.slot.unwrap_or_default(),
        after,
        count: ranged(&format!("{path}.count"), request.count.unwrap_or(1), 1, MAX_NOOP_TASKS)?,
        work,
        demand: Demand { cpu: Millicores(cpu), memory: Bytes(memory) },
        optional: request.optional,
    })
}

/// The work of a stage that makes a file.
fn encode(
    path: &str,
    request: &StageRequest,
    wanted: &OutputRequest,
    after: &[u32],
    earlier: &[GraphStage],
    asking: Asking<'_>,
) -> Result<StageWork, BadRequest> {
    let bad = |field: &str, message: String| Err(BadRequest::at(format!("{path}.{field}"), message));
    let foreign = [
        ("hold_ms", request.hold_ms.is_some()),
        ("cpu_ms", request.cpu_ms.is_some()),
        ("cpu_millicores", request.cpu_millicores.is_some()),
        ("memory_bytes", request.memory_bytes.is_some()),
        ("count", request.count.is_some_and(|count| count != 1)),
    ];
    if let Some((field, _)) = foreign.iter().find(|(_, is_given)| *is_given) {
        let message =
            "a stage that makes a file is one task, and what it takes follows from its input; leave this out";
        return bad(field, message.to_owned());
    }
    if request.slot.is_some_and(|slot| slot != SlotKind::Encode) {
        return bad(
            "slot",
            "a stage that makes a file takes cores: leave it out, or write 'encode'".to_owned(),
        );
    }
    let Some(input) = &request.input else {
        return bad("input", "a stage that makes a file needs the file that it is made from".to_owned());
    };
    let input = input_at(&format!("{path}.input"), input, asking)?;
    let probes =
        |at: &&u32| matches!(&earlier[**at as usize].work, StageWork::Probe { input: i } if *i == input);
    if !after.iter().any(|at| probes(&at)) {
        let message =
            format!("name a stage here that probes {input}: what an encode takes follows from that");
        return bad("after", message);
    }
    if wanted.optional {
        return bad("output.optional", "say it of the stage: optional = true beside its name".to_owned());
    }
    let output = OutputSpec {
        optional: request.optional,
        ..output(&format!("{path}.output"), wanted, &input, asking)?
    };
    if output.settings.extract.as_ref().is_some_and(|extract| matches!(extract.what, Extracted::Sprite(_))) {
        return bad(
            "output.sprite",
            "a stage makes one file, and a sprite has an index: use kind 'encode'".to_owned(),
        );
    }
    Ok(StageWork::Encode { input, output: Box::new(output) })
}

//! Uploads as job specs, and what a simulated attempt finds or makes: the one place that knows the farm's vocabulary of
//! work.

use std::collections::BTreeMap;

use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::encode::EncodeSettings;
use rushes_shared::job::{Destination, JobSpec, OutputSpec, Priority, Work};
use rushes_shared::media::{CheckReport, MediaFacts, VideoFacts};
use rushes_shared::task::{EncodedOutput, TaskOrder, TaskValue, TaskWork};
use rushes_shared::units::{Bytes, Ratio, WallMs};

use crate::agenda::At;
use crate::scenario::{Content, WorkShape};
use crate::upload::Upload;

/// Lines of the pictures in encode jobs: small enough that a task takes one core.
const HEIGHT: u32 = 360;

/// The job that an upload asks for; `wall_zero` is the wall clock's time at the scenario's start.
pub(crate) fn job(upload: &Upload, content: &Content, wall_zero: u64) -> JobSpec {
    let wall = |at: At| WallMs(wall_zero + at.ms());
    JobSpec {
        name: String::new(),
        labels: BTreeMap::new(),
        priority: content.priority.and_then(Priority::new).unwrap_or_default(),
        deadline: upload.deadline.map(wall),
        work: work(upload, content),
    }
}

fn work(upload: &Upload, content: &Content) -> Work {
    match content.work {
        WorkShape::Graph => Work::Noop { tasks: upload.tasks() },
        WorkShape::Encode => {
            let output = |n| OutputSpec {
                name: format!("{n}.mp4").parse().expect("a number is a file's name"),
                destination: Destination::Depot,
                settings: EncodeSettings::default(),
            };
            let input = Location::File("/media/film.mov".to_owned());
            Work::Encode { input, outputs: (0..upload.stretches[1].count).map(output).collect() }
        }
    }
}

/// The facts that make the planner predict what the scenario says for the outputs.
fn facts(upload: &Upload) -> MediaFacts {
    let width = HEIGHT * 16 / 9;
    let pixels = u64::from(width * HEIGHT);
    let wanted_ns = upload.stretches.get(1).map_or(0.0, |s| s.ms) * 1e6;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count of frames, far from the limits of either type"
    )]
    let frames = (wanted_ns / (pixels * 32) as f64).max(1.0) as u64;
    let video = VideoFacts {
        codec: "h264".into(),
        width,
        height: HEIGHT,
        fps: Ratio::new(25, 1),
        frames,
        duration_ns: frames * 40_000_000,
        ..VideoFacts::default()
    };
    MediaFacts {
        container: "mov".into(),
        size_bytes: 1_000_000,
        duration_ns: frames * 40_000_000,
        video: vec![video],
        ..MediaFacts::default()
    }
}

/// What an attempt finds or makes when all goes well.
pub(crate) fn value(order: &TaskOrder, upload: &Upload) -> TaskValue {
    match &order.work {
        TaskWork::Noop => TaskValue::Nothing,
        TaskWork::Probe { input } => {
            let seen =
                Artifact { size: Some(Bytes(1_000_000)), hash: Some(ContentHash([7; 32])), ..input.clone() };
            TaskValue::Probed { input: seen, facts: facts(upload) }
        }
        TaskWork::Encode { output, source, .. } => TaskValue::Encoded(EncodedOutput {
            artifact: Artifact {
                location: Location::Staged(order.attempt, output.clone()),
                size: Some(Bytes(500_000)),
                hash: Some(ContentHash([8; 32])),
                attempt: Some(order.attempt),
            },
            facts: source.clone(),
            check: CheckReport::default(),
            encode_ms: 1,
            speed_permille: 1000,
            encoder: "x264enc".into(),
        }),
    }
}

/// Whether an order takes a light place instead of cores.
pub(crate) fn takes_light(order: &TaskOrder) -> bool {
    matches!(order.work, TaskWork::Noop | TaskWork::Probe { .. })
}

/// How many files a job publishes.
pub(crate) fn outputs(spec: &JobSpec) -> usize {
    match &spec.work {
        Work::Encode { outputs, .. } => outputs.len(),
        _ => 0,
    }
}

/// Whether a success leaves a file in staging.
pub(crate) fn stages_a_file(order: &TaskOrder) -> bool {
    order.work.output().is_some()
}

/// How long an order's work takes, relative to what was planned for the task: a trade may have made it faster.
pub(crate) fn pace(_order: &TaskOrder) -> f64 {
    1.0
}

/// Tasks that wait for a slot: light ones, heavy ones.
pub(crate) fn ready(engine: &rushes_core::engine::Engine) -> [u64; 2] {
    use rushes_shared::task::TaskKind;
    engine.status().tasks_ready.iter().fold([0, 0], |[light, heavy], (kind, count)| match kind {
        TaskKind::Noop | TaskKind::Probe => [light + count, heavy],
        TaskKind::Encode => [light, heavy + count],
    })
}

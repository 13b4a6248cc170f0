//! Uploads as job specs, and what a simulated attempt finds or makes: the one place that knows the farm's vocabulary of
//! work.

use rushes_core::job::Job;
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::encode::{EncodeSettings, SpeedPreset, VideoCodec, VideoSettings};
use rushes_shared::job::{Destination, GraphStage, JobSpec, OutputSpec, Priority, StageWork, Work};
use rushes_shared::media::{CheckReport, MediaFacts, VideoFacts};
use rushes_shared::task::{Demand, EncodedOutput, ProbedFiles, TaskOrder, TaskValue, TaskWork};
use rushes_shared::units::{Bytes, Millicores, Ratio, WallMs};

use crate::agenda::At;
use crate::scenario::{Content, Stage, WorkShape};
use crate::upload::{Stretch, Upload};

/// Lines of the pictures in encode jobs: small enough that a task takes one core.
const HEIGHT: u32 = 360;

/// The job that an upload asks for; `wall_zero` is the wall clock's time at the scenario's start.
pub(crate) fn job(upload: &Upload, content: &Content, wall_zero: u64) -> JobSpec {
    let wall = |at: At| WallMs(wall_zero + at.ms());
    JobSpec {
        class: upload.class,
        priority: content.priority.and_then(Priority::new).unwrap_or_default(),
        value: content.value.map(Box::new),
        deadline: upload.deadline.map(wall),
        floor: content.floor,
        ..JobSpec::of(work(upload, content))
    }
}

fn work(upload: &Upload, content: &Content) -> Work {
    match content.work {
        WorkShape::Graph => Work::Graph { stages: stages(upload, content) },
        WorkShape::Encode => {
            let output = |n| OutputSpec {
                name: format!("{n}.mp4").parse().expect("a number is a file's name"),
                destination: Destination::Depot,
                settings: settings(content),
                optional: content.stage[1].optional && n > 0,
                audience: 0,
            };
            let input = Location::File("/media/film.mov".to_owned());
            Work::Encode { input, outputs: (0..upload.stretches[1].count).map(output).collect() }
        }
    }
}

fn settings(content: &Content) -> EncodeSettings {
    let mut settings = EncodeSettings::default();
    if content.hardware {
        settings.video = Some(VideoSettings::of(VideoCodec::H264Hardware));
    }
    settings
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from f64 saturates")]
fn stages(upload: &Upload, content: &Content) -> Vec<GraphStage> {
    let place = |name: &String| {
        let at = content.stage.iter().position(|s| s.name == *name);
        u32::try_from(at.expect("checked when the scenario was read")).expect("stages are few")
    };
    let of = |(stage, stretch): (&Stage, &Stretch)| GraphStage {
        name: stage.name.clone(),
        slot: stage.slot,
        after: stage.after.iter().map(place).collect(),
        count: stretch.count,
        work: StageWork::Noop { hold_ms: stretch.ms as u32, cpu_ms: (stretch.ms * stage.cores) as u32 },
        demand: Demand {
            cpu: Millicores((stage.cores * 1000.0) as u32),
            memory: Bytes(stage.memory_mib << 20),
        },
        optional: stage.optional,
    };
    content.stage.iter().zip(&upload.stretches).map(of).collect()
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
        TaskWork::Noop { .. } | TaskWork::Trial => TaskValue::Nothing,
        TaskWork::Probes { inputs, output } => TaskValue::ProbedFiles(ProbedFiles {
            artifact: Artifact {
                location: Location::Staged(order.attempt, output.clone()),
                size: Some(Bytes(10_000)),
                hash: Some(ContentHash([9; 32])),
                attempt: Some(order.attempt),
            },
            read: u32::try_from(inputs.len()).unwrap_or(u32::MAX),
            failed: 0,
        }),
        TaskWork::Probe { input } => {
            let seen =
                Artifact { size: Some(Bytes(1_000_000)), hash: Some(ContentHash([7; 32])), ..input.clone() };
            TaskValue::Probed { input: seen, facts: facts(upload) }
        }
        TaskWork::Encode { output, source, .. } | TaskWork::EncodeWith { output, source, .. } => {
            TaskValue::Encoded(EncodedOutput {
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
                encoder: order.work.hardware().unwrap_or("x264enc").to_owned(),
            })
        }
        // No scenario has jobs of these kinds: its films have no index.
        TaskWork::Stream { .. } | TaskWork::Join(_) => TaskValue::Nothing,
    }
}

/// Tasks that a job could not leave out and has not done.
pub(crate) fn undone(job: &Job) -> usize {
    let needed =
        job.stages.iter().flat_map(|s| std::iter::repeat_n(!s.optional && !s.dropped, s.count as usize));
    job.tasks.iter().zip(needed).filter(|(task, needed)| *needed && task.success.is_none()).count()
}

/// How many files a job had to publish.
pub(crate) fn wanted_outputs(job: &Job) -> usize {
    job.spec.work.outputs().filter(|(_, output)| !output.optional).count()
}

/// Whether a success leaves a file in staging.
pub(crate) fn stages_a_file(order: &TaskOrder) -> bool {
    order.work.output().is_some()
}

/// How long an order's work takes, relative to what was planned for the task: a trade may have made it faster.
pub(crate) fn pace(order: &TaskOrder) -> f64 {
    // Nanoseconds of one core a pixel on a common server core, the decoder's four included.
    let ns = |preset| match preset {
        SpeedPreset::Ultrafast => 8.0,
        SpeedPreset::Superfast => 10.0,
        SpeedPreset::Veryfast => 14.0,
        SpeedPreset::Faster => 20.0,
        SpeedPreset::Fast => 26.0,
        SpeedPreset::Medium => 32.0,
        SpeedPreset::Slow => 49.0,
        SpeedPreset::Slower => 94.0,
        SpeedPreset::Veryslow => 174.0,
    };
    match &order.work {
        // A hardware encoder takes as long as the decoder feeds it.
        TaskWork::EncodeWith { .. } => ns(SpeedPreset::Ultrafast) / ns(VideoSettings::default().preset),
        TaskWork::Encode { settings, .. } => settings
            .video
            .as_ref()
            .map_or(1.0, |video| ns(video.preset) / ns(VideoSettings::default().preset)),
        TaskWork::Noop { .. }
        | TaskWork::Trial
        | TaskWork::Probe { .. }
        | TaskWork::Probes { .. }
        | TaskWork::Stream { .. }
        | TaskWork::Join(_) => 1.0,
    }
}

//! Turns a job and what is known so far into the tasks that are now known. Incremental: called again after each result.

use rushes_shared::encode::{EncodeSettings, SpeedPreset};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::job::{GraphStage, OutputSpec, StageWork, Work};
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::{Bytes, Millicores};

use crate::job::{Job, Prediction, Stage, Step};

const MIB: u64 = 1 << 20;
/// What a light task costs where nothing better is known, in milliseconds.
const LIGHT_MS: u64 = 1;
/// What a task process that does nothing costs, in milliseconds.
const TRIAL_MS: u64 = 2;

/// The model of a prediction for an input that nobody has looked into yet.
const ASSUMED: u32 = u32::MAX;

/// The stages that the job needs next and does not have yet. Empty when it has all that can be known now. What encodes of
/// a graph take is what they would if their input is like the `assumed` one, until [`sized`] knows better.
///
/// # Errors
/// A permanent failure where the probe shows that the job cannot be done.
pub fn next_stages(job: &Job, assumed: impl Fn() -> MediaFacts) -> Result<Vec<Stage>, Failure> {
    match &job.spec.work {
        Work::Noop { tasks } if job.stages.is_empty() => {
            let cost = Prediction { cpu_ms: LIGHT_MS, wall_ms: LIGHT_MS, model: 0 };
            let step = Step::Noop { hold_ms: 0, cpu_ms: 0 };
            Ok(vec![Stage { step, count: *tasks, prediction: cost, ..probe() }])
        }
        Work::Trial { tasks } if job.stages.is_empty() => {
            let cost = Prediction { cpu_ms: TRIAL_MS, wall_ms: TRIAL_MS, model: 0 };
            let demand = Demand { cpu: Millicores(250), memory: Bytes(16 * MIB) };
            Ok(vec![Stage { step: Step::Trial, count: *tasks, prediction: cost, demand, ..probe() }])
        }
        Work::Graph { stages } if job.stages.is_empty() => {
            let assumed = assumed();
            Ok((0..).zip(stages).map(|(at, stage)| graph_stage(at, stage, &assumed)).collect())
        }
        Work::Probe { .. } | Work::Encode { .. } if job.stages.is_empty() => Ok(vec![probe()]),
        Work::Encode { outputs, .. } if job.stages.len() == 1 => match job.probed() {
            None => Ok(Vec::new()),
            Some((_, facts)) => {
                let video = facts.video.first().ok_or_else(|| no_video(facts))?;
                Ok(outputs.iter().zip(0..).map(|(output, i)| encode(i, output, facts, video)).collect())
            }
        },
        Work::Noop { .. }
        | Work::Probe { .. }
        | Work::Encode { .. }
        | Work::Graph { .. }
        | Work::Trial { .. } => Ok(Vec::new()),
    }
}

fn graph_stage(at: u32, stage: &GraphStage, assumed: &MediaFacts) -> Stage {
    let (step, prediction) = match &stage.work {
        StageWork::Noop { hold_ms, cpu_ms } => {
            let wall_ms = u64::from(*hold_ms).max(LIGHT_MS);
            let cost = Prediction { cpu_ms: u64::from(*cpu_ms).max(LIGHT_MS), wall_ms, model: 0 };
            (Step::Noop { hold_ms: *hold_ms, cpu_ms: *cpu_ms }, cost)
        }
        StageWork::Probe { .. } => (Step::Probe, probe().prediction),
        StageWork::Encode { output, .. } => {
            let usual = VideoFacts::default();
            let plan = encode(at, output, assumed, assumed.video.first().unwrap_or(&usual));
            let prediction = Prediction { model: ASSUMED, ..plan.prediction };
            return Stage { after: stage.after.clone(), optional: stage.optional, prediction, ..plan };
        }
    };
    Stage {
        step,
        slot: stage.slot,
        count: stage.count,
        after: stage.after.clone(),
        demand: stage.demand,
        prediction,
        optional: stage.optional,
        dropped: false,
    }
}

/// What encodes of a graph take whose input was assumed and is known by now: stage, demand, prediction.
///
/// # Errors
/// A permanent failure where the input has no video.
pub fn sized(job: &Job) -> Result<Vec<(u32, Demand, Prediction)>, Failure> {
    let mut all = Vec::new();
    for (at, stage) in
        (0..).zip(job.stages.iter()).filter(|(_, s)| s.prediction.model == ASSUMED && !s.dropped)
    {
        let Some(output) = stage.step.output() else { continue };
        let Some((_, facts)) = job.source_of(output) else { continue };
        let Some(spec) = job.spec.work.output(output) else { continue };
        let video = facts.video.first().ok_or_else(|| no_video(facts))?;
        let plan = encode(output, spec, facts, video);
        all.push((at, plan.demand, plan.prediction));
    }
    Ok(all)
}

/// Whether most of the job is unknown until its input has been probed.
#[must_use]
pub fn awaits_probe(job: &Job) -> bool {
    match &job.spec.work {
        Work::Encode { .. } => job.stages.len() <= 1,
        Work::Graph { stages } if job.stages.is_empty() => stages.iter().any(|s| s.work.output().is_some()),
        Work::Graph { .. } => job.stages.iter().any(|s| s.prediction.model == ASSUMED && !s.dropped),
        Work::Noop { .. } | Work::Probe { .. } | Work::Trial { .. } => false,
    }
}

/// The stages that a job should have whose input nobody has looked into, if that is like `facts`.
#[must_use]
pub fn foreseen(job: &Job, facts: &MediaFacts) -> Vec<Stage> {
    if let Work::Graph { stages } = &job.spec.work {
        let planned = (0..).zip(stages).map(|(at, stage)| graph_stage(at, stage, facts));
        return if job.stages.is_empty() { planned.collect() } else { job.stages.to_vec() };
    }
    let video = facts.video.first();
    let outputs = video.into_iter().flat_map(|video| {
        let outputs = job.spec.work.outputs();
        outputs.map(move |(i, output)| Stage { after: vec![0], ..encode(i, output, facts, video) })
    });
    std::iter::once(probe()).chain(outputs).collect()
}

fn no_video(facts: &MediaFacts) -> Failure {
    let has = if facts.audio.is_empty() { "no video and no audio" } else { "audio only" };
    Failure::new(
        FailureCode::StreamMissing,
        format!("the input ({}) has {has}, but the job asks for a video", facts.container),
        "name a file with a video stream",
    )
}

fn probe() -> Stage {
    Stage {
        step: Step::Probe,
        slot: SlotKind::Light,
        count: 1,
        after: Vec::new(),
        demand: Demand { cpu: Millicores(250), memory: Bytes(128 * MIB) },
        prediction: Prediction { cpu_ms: 50, wall_ms: 200, model: 0 },
        optional: false,
        dropped: false,
    }
}

fn encode(index: u32, output: &OutputSpec, facts: &MediaFacts, video: &VideoFacts) -> Stage {
    Stage {
        step: Step::Encode { output: index },
        slot: SlotKind::Encode,
        count: 1,
        after: Vec::new(),
        demand: encode_demand(&output.settings, video),
        prediction: encode_cost(&output.settings, facts, video),
        optional: output.optional,
        dropped: false,
    }
}

/// The physical estimate of an encode, until a model is learned: frames x pixels x what the preset costs.
#[must_use]
pub fn encode_cost(settings: &EncodeSettings, facts: &MediaFacts, video: &VideoFacts) -> Prediction {
    let (width, height) = fitted(video.shown_size(), settings.video.max_width, settings.video.max_height);
    let pixels = u64::from(width) * u64::from(height);
    let source_pixels = u64::from(video.width) * u64::from(video.height);
    let frames = if video.frames > 0 { video.frames } else { facts.duration_ns / 33_000_000 };
    let per_frame = pixels
        .saturating_mul(ns_per_pixel(settings.video.preset))
        .saturating_add(source_pixels.saturating_mul(4));
    let cpu_ms = frames.saturating_mul(per_frame) / 1_000_000;
    let cores = u64::from(useful_cpu(pixels).0);
    Prediction { cpu_ms, wall_ms: (cpu_ms.saturating_mul(1_000) / cores).max(1), model: 0 }
}

/// Nanoseconds of one common server core per pixel, measured with x264.
fn ns_per_pixel(preset: SpeedPreset) -> u64 {
    match preset {
        SpeedPreset::Ultrafast => 4,
        SpeedPreset::Superfast => 6,
        SpeedPreset::Veryfast => 10,
        SpeedPreset::Faster => 16,
        SpeedPreset::Fast => 22,
        SpeedPreset::Medium => 28,
        SpeedPreset::Slow => 45,
        SpeedPreset::Slower => 90,
        SpeedPreset::Veryslow => 170,
    }
}

/// How many cores x264's frame threads can keep busy at this picture size.
fn useful_cpu(pixels: u64) -> Millicores {
    Millicores(match pixels {
        0..=230_400 => 1_000,
        230_401..=921_600 => 2_000,
        921_601..=2_073_600 => 4_000,
        _ => 8_000,
    })
}

/// The size that fits both limits, aspect kept, never larger than the source.
fn fitted((width, height): (u32, u32), max_width: Option<u32>, max_height: Option<u32>) -> (u32, u32) {
    let (w, h) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let (mut num, mut den) = (1_u64, 1_u64);
    for (limit, side) in [(max_width, w), (max_height, h)] {
        if let Some(limit) = limit.map(u64::from)
            && limit * den < side * num
        {
            (num, den) = (limit, side);
        }
    }
    let scale = |side: u64| u32::try_from((side * num / den).max(2)).unwrap_or(u32::MAX);
    (scale(w), scale(h))
}

/// What an encode with these settings needs of a node.
#[must_use]
pub fn encode_demand(settings: &EncodeSettings, video: &VideoFacts) -> Demand {
    let (width, height) = fitted(video.shown_size(), settings.video.max_width, settings.video.max_height);
    let pixels = u64::from(width) * u64::from(height);
    let source_pixels = u64::from(video.width) * u64::from(video.height);
    // x264 keeps about 60 frames in lookahead and references; the decoder about 20 of the source's size.
    let memory = (200 * MIB)
        .saturating_add(pixels.saturating_mul(135))
        .saturating_add(source_pixels.saturating_mul(72));
    Demand { cpu: useful_cpu(pixels), memory: Bytes(memory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a probe of a hostile file says is no reason to fall over.
    #[test]
    fn the_largest_pictures_that_can_be_written_down_are_planned() {
        let video =
            VideoFacts { width: u32::MAX, height: u32::MAX, frames: u64::MAX, ..VideoFacts::default() };
        let facts = MediaFacts { duration_ns: u64::MAX, video: vec![video.clone()], ..MediaFacts::default() };
        let settings = EncodeSettings::default();
        assert!(encode_cost(&settings, &facts, &video).cpu_ms > 1 << 40);
        assert!(encode_demand(&settings, &video).memory.0 > 1 << 60);
    }

    #[test]
    fn sizes_fit_both_limits_and_never_grow() {
        assert_eq!(fitted((1920, 1080), Some(1280), None), (1280, 720));
        assert_eq!(fitted((1920, 1080), Some(1280), Some(360)), (640, 360));
        assert_eq!(fitted((640, 360), Some(1280), Some(720)), (640, 360));
        assert_eq!(fitted((1080, 1920), None, Some(1280)), (720, 1280));
        assert_eq!(fitted((0, 0), None, Some(1)), (2, 2));
    }
}

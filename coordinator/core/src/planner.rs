//! Turns a job and what is known so far into the tasks that are now known. Incremental: called again after each result.

mod extract;
mod pieces;
mod stream;

use rushes_shared::encode::{EncodeSettings, RateControl, SpeedPreset, VideoCodec, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::job::{GraphStage, OutputSpec, QualityFloor, StageWork, Work};
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::{Bytes, Millicores};

use crate::job::{Job, Prediction, Stage, Step};

const MIB: u64 = 1 << 20;
/// What a light task costs where nothing better is known, in milliseconds.
const LIGHT_MS: u64 = 1;
/// What a task process that does nothing costs, in milliseconds.
const TRIAL_MS: u64 = 2;

/// Once a job has so many tasks, its further outputs are encoded whole: a record of it must keep its size.
const MOST_PIECES: u64 = 10_000;

/// The model of a prediction for an input that nobody has looked into yet.
const ASSUMED: u32 = u32::MAX;

/// The stages that the job needs next and does not have yet. Empty when it has all that can be known now. What encodes of
/// a graph take is what they would if their input is like the `assumed` one, until [`sized`] knows better. Outputs that can
/// be are made in pieces of `piece_s` seconds; 0 for none.
///
/// # Errors
/// A permanent failure where the probe shows that the job cannot be done.
pub fn next_stages(job: &Job, piece_s: u32, assumed: impl Fn() -> MediaFacts) -> Result<Vec<Stage>, Failure> {
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
        Work::Probes { batch, .. } if job.stages.is_empty() => Ok(vec![probes(&job.spec.work, *batch)]),
        Work::Graph { stages } if job.stages.is_empty() => {
            let assumed = assumed();
            Ok((0..).zip(stages).map(|(at, stage)| graph_stage(at, stage, &assumed)).collect())
        }
        Work::Probe { .. } | Work::Encode { .. } | Work::Stream { .. } if job.stages.is_empty() => {
            Ok(vec![probe()])
        }
        Work::Stream { settings, .. } if job.stages.len() == 1 => match job.probed() {
            None => Ok(Vec::new()),
            Some((_, facts)) => stream::stages(settings, facts),
        },
        Work::Encode { outputs, .. } if job.stages.len() == 1 => match job.probed() {
            None => Ok(Vec::new()),
            Some((_, facts)) => {
                for output in outputs.iter().filter(|output| !output.optional) {
                    // One that the job can do without is refused by its task, and the others go on.
                    has_streams(output, facts)?;
                }
                Ok(of_outputs(job, facts, piece_s))
            }
        },
        Work::Noop { .. }
        | Work::Probe { .. }
        | Work::Encode { .. }
        | Work::Graph { .. }
        | Work::Trial { .. }
        | Work::Stream { .. }
        | Work::Probes { .. } => Ok(Vec::new()),
    }
}

/// The stages of an encode job's outputs, behind its probe.
fn of_outputs(job: &Job, facts: &MediaFacts, piece_s: u32) -> Vec<Stage> {
    let way = (piece_s, job.spec.floor != QualityFloor::default());
    let mut stages = Vec::new();
    for output in job.spec.work.outputs() {
        let at = 1 + u32::try_from(stages.len()).unwrap_or(u32::MAX - 1);
        let tasks: u64 = stages.iter().map(|stage: &Stage| u64::from(stage.count)).sum();
        let way = if tasks < MOST_PIECES { way } else { (0, false) };
        stages.extend(pieces::stages(at, output, facts, way));
    }
    stages
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
            let plan = encode(at, output, assumed);
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
/// A permanent failure where the input has not what the output is to hold.
pub fn sized(job: &Job) -> Result<Vec<(u32, Demand, Prediction)>, Failure> {
    let mut all = Vec::new();
    for (at, stage) in
        (0..).zip(job.stages.iter()).filter(|(_, s)| s.prediction.model == ASSUMED && !s.dropped)
    {
        let Some(output) = stage.step.output() else { continue };
        let Some((_, facts)) = job.source_of(output) else { continue };
        let Some(spec) = job.spec.work.output(output) else { continue };
        has_streams(spec, facts)?;
        let plan = encode(output, spec, facts);
        all.push((at, plan.demand, plan.prediction));
    }
    Ok(all)
}

/// Whether most of the job is unknown until its input has been probed.
#[must_use]
pub fn awaits_probe(job: &Job) -> bool {
    match &job.spec.work {
        Work::Encode { .. } | Work::Stream { .. } => job.stages.len() <= 1,
        Work::Graph { stages } if job.stages.is_empty() => stages.iter().any(|s| s.work.output().is_some()),
        Work::Graph { .. } => job.stages.iter().any(|s| s.prediction.model == ASSUMED && !s.dropped),
        Work::Noop { .. } | Work::Probe { .. } | Work::Trial { .. } | Work::Probes { .. } => false,
    }
}

/// Whether nothing but the probe of a job's input is planned yet, so that the books lack most of it.
#[must_use]
pub fn is_unplanned(job: &Job) -> bool {
    matches!(job.spec.work, Work::Encode { .. } | Work::Stream { .. }) && job.stages.len() <= 1
}

/// The stages that a job should have whose input nobody has looked into, if that is like `facts`.
#[must_use]
pub fn foreseen(job: &Job, piece_s: u32, facts: &MediaFacts) -> Vec<Stage> {
    if let Work::Graph { stages } = &job.spec.work {
        let planned = (0..).zip(stages).map(|(at, stage)| graph_stage(at, stage, facts));
        return if job.stages.is_empty() { planned.collect() } else { job.stages.to_vec() };
    }
    if let Work::Stream { settings, .. } = &job.spec.work {
        let set = stream::stages(settings, facts).unwrap_or_default();
        let behind_probe = |mut stage: Stage| {
            stage.after.push(0);
            stage
        };
        return std::iter::once(probe()).chain(set.into_iter().map(behind_probe)).collect();
    }
    if let Work::Probes { batch, .. } = &job.spec.work {
        return vec![probes(&job.spec.work, *batch)];
    }
    let mut stages = vec![probe()];
    stages.extend(of_outputs(job, facts, piece_s));
    stages.iter_mut().skip(1).filter(|stage| stage.after.is_empty()).for_each(|stage| stage.after.push(0));
    stages
}

/// Whether the input has what an output is to hold. Sound may be missing beside video.
fn has_streams(output: &OutputSpec, facts: &MediaFacts) -> Result<(), Failure> {
    match output.settings.is_of_picture() {
        true if facts.video.is_empty() => Err(no_video(facts)),
        false if facts.audio.is_empty() => Err(Failure::new(
            FailureCode::StreamMissing,
            format!("the input ({}) has no audio, but '{}' is of sound alone", facts.container, output.name),
            "name a file with an audio stream",
        )),
        _ => Ok(()),
    }
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

/// What a file among many costs, in milliseconds: most are read by their headers, the others cost ten times that.
const FILE_MS: u64 = 4;

/// The one stage of a job that probes many files.
fn probes(work: &Work, batch: u32) -> Stage {
    let files = u64::from(batch).min(work.inputs().count() as u64);
    let cost = Prediction { cpu_ms: 20 + FILE_MS * files, wall_ms: 40 + FILE_MS * files, model: 0 };
    let count = u32::try_from(work.batches().len()).unwrap_or(u32::MAX);
    Stage { step: Step::Probes, count, prediction: cost, ..probe() }
}

fn encode(index: u32, output: &OutputSpec, facts: &MediaFacts) -> Stage {
    Stage {
        step: Step::Encode { output: index },
        slot: SlotKind::Encode,
        count: 1,
        after: Vec::new(),
        demand: encode_demand(&output.settings, facts),
        prediction: encode_cost(&output.settings, facts),
        optional: output.optional,
        dropped: false,
    }
}

/// What an encode with these settings needs of a node.
#[must_use]
pub fn encode_demand(settings: &EncodeSettings, facts: &MediaFacts) -> Demand {
    if settings.extract.is_some() {
        return extract::demand(facts);
    }
    match settings.video.as_ref().zip(facts.video.first()) {
        Some((settings, video)) => demand(settings, video),
        None => Demand { cpu: Millicores(1_000), memory: Bytes(200 * MIB) },
    }
}

fn demand(settings: &VideoSettings, video: &VideoFacts) -> Demand {
    let (width, height) = fitted(video.shown_size(), settings.max_width, settings.max_height);
    let pixels = u64::from(width) * u64::from(height);
    // Samples of more than eight bits take two bytes.
    let depth =
        settings.bit_depth.unwrap_or(if settings.codec == VideoCodec::H264 { 8 } else { video.bit_depth });
    let bytes = 1 + u64::from(depth > 8);
    let of_encoder = (pixels.saturating_mul(3) / 2).saturating_mul(frames_held(settings.codec) * bytes);
    let memory = (200 * MIB).saturating_add(of_encoder).saturating_add(decoded(Some(video)));
    Demand { cpu: useful_cpu(pixels), memory: Bytes(memory) }
}

/// Bytes that a decoder holds of a film, with what waits behind it: about 48 frames, of two bytes a sample beyond eight bits.
fn decoded(video: Option<&VideoFacts>) -> u64 {
    let pixels = video.map_or(0, |video| u64::from(video.width) * u64::from(video.height));
    let depth = 1 + u64::from(video.is_some_and(|video| video.bit_depth > 8));
    pixels.saturating_mul(72 * depth)
}

/// How many frames' worth of memory an encoder holds: its lookahead, its references with what is interpolated between their
/// samples, and what waits before it. The decoder holds about 20 more of the source's size.
fn frames_held(codec: VideoCodec) -> u64 {
    match codec.in_software() {
        VideoCodec::Hevc | VideoCodec::Vp9 => 110,
        VideoCodec::Av1 => 150,
        VideoCodec::Ffv1 | VideoCodec::ProRes | VideoCodec::DnxHd => 40,
        _ => 160,
    }
}

/// The physical estimate of an encode, until a model is learned: frames x pixels x what codec and preset cost, and the
/// sound's length.
#[must_use]
pub fn encode_cost(settings: &EncodeSettings, facts: &MediaFacts) -> Prediction {
    if let Some(extract) = &settings.extract {
        return extract::cost(&extract.what, facts);
    }
    let Some((wanted, video)) = settings.video.as_ref().zip(facts.video.first()) else {
        let cpu_ms = (facts.duration_ns / 1_000_000 / SOUND_SPEED).max(1);
        return Prediction { cpu_ms, wall_ms: cpu_ms, model: 0 };
    };
    let (width, height) = fitted(video.shown_size(), wanted.max_width, wanted.max_height);
    let pixels = u64::from(width) * u64::from(height);
    let source_pixels = u64::from(video.width) * u64::from(video.height);
    let frames = if video.frames > 0 { video.frames } else { facts.duration_ns / 33_000_000 };
    let per_frame =
        pixels.saturating_mul(ns_per_pixel(wanted)).saturating_add(source_pixels.saturating_mul(4));
    let passes = 1 + u64::from(matches!(wanted.rate, RateControl::TwoPass { .. }));
    let cpu_ms = frames.saturating_mul(per_frame).saturating_mul(passes) / 1_000_000;
    let cores = u64::from(useful_cpu(pixels).0);
    Prediction { cpu_ms, wall_ms: (cpu_ms.saturating_mul(1_000) / cores).max(1), model: 0 }
}

/// How soon an output goes among those of its job that as many people watch; higher is sooner. Pictures of 720p first, then
/// of 1080p, 480p and 360p, so that there is early what most players take; then all else.
#[must_use]
pub fn usual_turn(output: &OutputSpec, facts: &MediaFacts) -> u8 {
    let Some((wanted, video)) = output.settings.video.as_ref().zip(facts.video.first()) else { return 0 };
    let (width, height) = fitted(video.shown_size(), wanted.max_width, wanted.max_height);
    // The lines of the 16:9 picture that it fits into: a scope film of 1280x536 is 720p.
    let lines = width.min(height).max(width.max(height).saturating_mul(9).div_ceil(16));
    match lines {
        600..=899 => 4,
        900..=1_259 => 3,
        420..=599 => 2,
        300..=419 => 1,
        _ => 0,
    }
}

/// Media time that one common server core gets through of sound, per wall time.
const SOUND_SPEED: u64 = 60;

/// Nanoseconds by pixel of codecs that have no presets.
const MEZZANINE_NS: u64 = 20;

/// Nanoseconds of one common server core by pixel: a codec costs so many tenths of what x264 does at the same preset.
fn ns_per_pixel(settings: &VideoSettings) -> u64 {
    let tenths = match settings.codec.in_software() {
        VideoCodec::Hevc => 30,
        VideoCodec::Vp9 => 60,
        VideoCodec::Av1 => return av1_ns_per_pixel(settings.preset),
        VideoCodec::Ffv1 | VideoCodec::ProRes | VideoCodec::DnxHd => return MEZZANINE_NS,
        // What the others are measured by.
        _ => 10,
    };
    (x264_ns_per_pixel(settings.preset) * tenths / 10).max(1)
}

/// Nanoseconds of one common server core per pixel, measured with libaom from `faster` to `medium` and for `slower`.
fn av1_ns_per_pixel(preset: SpeedPreset) -> u64 {
    match preset {
        SpeedPreset::Ultrafast => 40,
        SpeedPreset::Superfast => 45,
        SpeedPreset::Veryfast | SpeedPreset::Faster => 53,
        SpeedPreset::Fast => 137,
        SpeedPreset::Medium => 358,
        SpeedPreset::Slow => 600,
        SpeedPreset::Slower => 988,
        SpeedPreset::Veryslow => 1_800,
    }
}

/// Nanoseconds of one common server core per pixel, measured with x264.
fn x264_ns_per_pixel(preset: SpeedPreset) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a probe of a hostile file says is no reason to fall over.
    #[test]
    fn the_largest_pictures_that_can_be_written_down_are_planned() {
        let video =
            VideoFacts { width: u32::MAX, height: u32::MAX, frames: u64::MAX, ..VideoFacts::default() };
        let facts = MediaFacts { duration_ns: u64::MAX, video: vec![video], ..MediaFacts::default() };
        let settings = EncodeSettings::default();
        assert!(encode_cost(&settings, &facts).cpu_ms > 1 << 40);
        assert!(encode_demand(&settings, &facts).memory.0 > 1 << 60);
    }

    #[test]
    fn what_most_players_take_goes_first_whatever_its_shape() {
        let turn = |size: (u32, u32), max_height: Option<u32>| {
            let video = VideoFacts { width: size.0, height: size.1, ..VideoFacts::default() };
            let facts = MediaFacts { video: vec![video], ..MediaFacts::default() };
            let settings = EncodeSettings {
                video: Some(VideoSettings { max_height, ..VideoSettings::default() }),
                ..EncodeSettings::default()
            };
            let name = "a.mp4".parse().expect("a file name");
            let destination = rushes_shared::job::Destination::Depot;
            usual_turn(&OutputSpec { name, destination, settings, optional: false, audience: 0 }, &facts)
        };
        let uhd = (3840, 2160);
        let turns = [720, 1080, 480, 360, 2160].map(|height| turn(uhd, Some(height)));
        assert_eq!(turns, [4, 3, 2, 1, 0]);
        assert_eq!(turn((1920, 1080), None), 3, "the film's own size counts");
        assert_eq!(turn((1280, 536), None), 4, "a scope film of 720p");
        assert_eq!(turn((720, 1280), None), 4, "an upright one");
        assert_eq!(turn((0, 0), Some(720)), 0);
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

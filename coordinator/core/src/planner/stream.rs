//! The stages of a streaming set: sound and stills beside the chunks, before those scans where they begin at cuts, then the
//! package of them all.

use rushes_shared::bundle::MAX_FILES;
use rushes_shared::encode::{VideoCodec, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{
    Borders, LEAST_MEAN_BPS, LadderRate, LadderSettings, Rung, StreamSettings, split,
};
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::task::{Demand, SlotKind, StreamStep};
use rushes_shared::units::{Bytes, Millicores};

use super::{MIB, decoded, fitted, frames_held, no_video, ns_per_pixel, probe, useful_cpu};
use crate::job::{Prediction, Stage, Step};

/// Media time that one common server core gets through of sound, per wall time.
const SOUND_SPEED: u64 = 60;
/// Nanoseconds of one core by pixel of a decode.
const DECODE_NS: u64 = 4;
/// Cores that a decoder keeps busy, as a rule: measured 4.2 ns of all cores and 1.6 ns of time a pixel on two.
const DECODER_CORES: u64 = 2;
/// The same of a scan, which makes the picture small, and by pixel of what it looks at then: some 480 by 270 at most.
const SHRINK_NS: u64 = 2;
const SCAN_NS: u64 = 30;
const SCANNED_PIXELS: u64 = 480 * 270;
/// Bytes that a node reads and writes in a millisecond while it joins and packages, each of them some three times.
const DISK_BYTES_A_MS: u64 = 100_000;
const COPIES: u64 = 3;
/// Encodes of a chunk until its rungs have their bits, as a rule.
const ENCODES_TO_MEAN: u64 = 3;
/// Files of a set that are no segments: manifests, stills, the beginnings of renditions.
const FEW_FILES: u64 = 32;

/// The stages of a set after its probe, which is the first.
///
/// # Errors
/// A permanent failure where the film has no picture.
pub(super) fn stages(settings: &StreamSettings, source: &MediaFacts) -> Result<Vec<Stage>, Failure> {
    let ladder = &settings.ladder;
    let video = source.video.first().ok_or_else(|| no_video(source))?;
    let count = u64::try_from(split(source, &ladder.grid).len()).unwrap_or(u64::MAX);
    let sounds = ladder.sounds(source).len();
    let files = segments(ladder, source).saturating_mul((ladder.rungs(source).len() + sounds.max(1)) as u64);
    if files.saturating_add(FEW_FILES) > MAX_FILES as u64 {
        return Err(Failure::new(
            FailureCode::SettingsImpossible,
            format!("the set would have some {files} files, and {MAX_FILES} is the most"),
            "ask for longer segments, or make the film in parts",
        ));
    }
    if ladder.rate != LadderRate::Factor && source.duration_ns == 0 {
        return Err(Failure::new(
            FailureCode::SettingsImpossible,
            "the set cannot have a mean rate: the film's length is not known",
            "use crf, or give a file whose container tells its length",
        ));
    }
    if let Some(least) = ladder.least_rate(source) {
        return Err(Failure::new(
            FailureCode::SettingsImpossible,
            format!(
                "the set cannot have so low a rate: its smallest rung would have less than {LEAST_MEAN_BPS} bit/s"
            ),
            format!("ask for bitrate = {least} or more, or for fewer rungs by max_height"),
        ));
    }
    if let Some(least) = ladder.least_size(source) {
        return Err(Failure::new(
            FailureCode::SettingsImpossible,
            format!(
                "the set cannot be so small: its smallest rung would have less than {LEAST_MEAN_BPS} bit/s"
            ),
            format!("ask for size_bytes = {least} or more, for fewer rungs by max_height, or for less sound"),
        ));
    }
    let mut stages = Vec::with_capacity(4);
    if sounds > 0 {
        let sound = one(StreamStep::Sound, source.duration_ns / 1_000_000 / SOUND_SPEED);
        stages.push(Stage { count: u32::try_from(sounds).unwrap_or(u32::MAX), ..sound });
    }
    if settings.stills {
        let whole = frames(source, video).saturating_mul(pixels_of(video)).saturating_mul(DECODE_NS);
        let stills = one(StreamStep::Stills, whole / 1_000_000);
        let memory = Bytes((300 * MIB).saturating_add(decoded(Some(video))));
        stages.push(Stage { demand: Demand { memory, ..stills.demand }, ..stills });
    }
    let mut chunks = chunks(ladder, source, video, count);
    if !ladder.scans(source).is_empty() {
        // The probe is stage 0.
        stages.push(scans(source, video, count));
        chunks.after = vec![u32::try_from(stages.len()).unwrap_or(u32::MAX)];
    }
    stages.push(chunks);
    let after = (1..).take(stages.len()).collect();
    stages.push(Stage { after, ..package(ladder, source, video) });
    Ok(stages)
}

fn segments(ladder: &LadderSettings, source: &MediaFacts) -> u64 {
    let segment_ns = match ladder.borders {
        Borders::Grid => ladder.grid.segment_ns(),
        // Those that begin at the nearest key frame may be shorter, down to half of it where each is one group.
        Borders::Scenes => ladder.grid.segment_ns() / 2,
    };
    source.duration_ns.div_ceil(segment_ns.max(1)).saturating_add(1)
}

/// One task of a core's work over the whole film: no light work, of which a long film would keep a slot for minutes. The
/// package waits for it as it does for the chunks.
fn one(step: StreamStep, cpu_ms: u64) -> Stage {
    let cpu_ms = cpu_ms.max(1);
    Stage {
        step: Step::Stream(step),
        slot: SlotKind::Analyse,
        demand: Demand { cpu: Millicores(1_000), memory: Bytes(300 * MIB) },
        prediction: Prediction { cpu_ms, wall_ms: cpu_ms, model: 0 },
        ..probe()
    }
}

/// A look at each cell of the chunks' grid: a decode on one core, and what is made of its small pictures.
fn scans(source: &MediaFacts, video: &VideoFacts, count: u64) -> Stage {
    let a_frame = pixels_of(video)
        .saturating_mul(DECODE_NS + SHRINK_NS)
        .saturating_add(pixels_of(video).min(SCANNED_PIXELS).saturating_mul(SCAN_NS));
    let cpu_ms = (frames(source, video) / count.max(1)).saturating_mul(a_frame) / 1_000_000;
    let memory = (200 * MIB).saturating_add(decoded(Some(video)));
    let scan = one(StreamStep::Scan, cpu_ms);
    let demand = Demand { memory: Bytes(memory), ..scan.demand };
    Stage { count: u32::try_from(count).unwrap_or(u32::MAX), demand, ..scan }
}

/// All chunks: equal tasks, each one decode and every rung.
fn chunks(ladder: &LadderSettings, source: &MediaFacts, video: &VideoFacts, count: u64) -> Stage {
    let rungs = ladder.rungs(source);
    let ns = |rung: &Rung| {
        let settings = VideoSettings { preset: rung.preset, ..VideoSettings::of(rung.codec) };
        size_of(rung, video).saturating_mul(ns_per_pixel(&settings))
    };
    let encode_ns = rungs.iter().map(ns).fold(0_u64, u64::saturating_add);
    let a_frame = encode_ns.saturating_add(pixels_of(video).saturating_mul(DECODE_NS));
    // A mean rate is found by encodes at rate factors nearer and nearer.
    let encodes = if ladder.rate == LadderRate::Factor { 1 } else { ENCODES_TO_MEAN };
    let a_frame = a_frame.saturating_mul(encodes);
    let cpu_ms = (frames(source, video) / count.max(1)).saturating_mul(a_frame) / 1_000_000;
    let cpu = useful_cpu(shared_pixels(&rungs, video));
    let held =
        |rung: &Rung| (size_of(rung, video).saturating_mul(3) / 2).saturating_mul(frames_held(rung.codec));
    let of_encoders = rungs.iter().map(held).fold(0_u64, u64::saturating_add);
    let memory = (200 * MIB).saturating_add(of_encoders).saturating_add(decoded(Some(video)));
    let wall_ms = (cpu_ms.saturating_mul(1_000) / u64::from(cpu.0)).max(1);
    Stage {
        step: Step::Stream(StreamStep::Chunk),
        slot: SlotKind::Encode,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        demand: Demand { cpu, memory: Bytes(memory) },
        prediction: Prediction { cpu_ms: cpu_ms.max(1), wall_ms, model: 0 },
        ..probe()
    }
}

/// The rungs' pixels, as far as several threads share their work well. libvpx and libaom lose time there, and a node gets
/// through more with more chunks at once.
fn shared_pixels(rungs: &[Rung], video: &VideoFacts) -> u64 {
    let worth = |rung: &Rung| match rung.codec {
        VideoCodec::Vp9 | VideoCodec::Av1 => size_of(rung, video) / 4,
        _ => size_of(rung, video),
    };
    rungs.iter().map(worth).fold(0_u64, u64::saturating_add)
}

/// What the disks take to copy every packet, and a decode of every segment where that is asked for.
fn package(ladder: &LadderSettings, source: &MediaFacts, video: &VideoFacts) -> Stage {
    let rungs = ladder.rungs(source);
    let bps =
        rungs.iter().filter_map(|rung| rung.cap).fold(0_u64, |sum, cap| sum.saturating_add(cap.max_bps));
    let bytes = (source.duration_ns / 1_000_000_000).saturating_mul(bps / 8);
    let copies_ms = bytes.saturating_mul(COPIES) / DISK_BYTES_A_MS;
    let pixels = rungs.iter().map(|rung| size_of(rung, video)).fold(0_u64, u64::saturating_add);
    let decode_ns = if ladder.decode { DECODE_NS } else { 0 };
    let decode_ms = frames(source, video).saturating_mul(pixels.saturating_mul(decode_ns)) / 1_000_000;
    let wall_ms = copies_ms.saturating_add(decode_ms / DECODER_CORES).max(1);
    Stage {
        step: Step::Stream(StreamStep::Package),
        slot: SlotKind::Finish,
        demand: Demand {
            cpu: Millicores(1_000),
            memory: Bytes((400 * MIB).saturating_add(decoded(Some(video)))),
        },
        prediction: Prediction { cpu_ms: decode_ms.max(1), wall_ms, model: 0 },
        ..probe()
    }
}

fn size_of(rung: &Rung, video: &VideoFacts) -> u64 {
    let (width, height) = fitted(video.shown_size(), Some(rung.max_size.0), Some(rung.max_size.1));
    u64::from(width) * u64::from(height)
}

fn pixels_of(video: &VideoFacts) -> u64 {
    u64::from(video.width) * u64::from(video.height)
}

fn frames(source: &MediaFacts, video: &VideoFacts) -> u64 {
    if video.frames > 0 { video.frames } else { source.duration_ns / 33_000_000 }
}

#[cfg(test)]
mod tests {
    use rushes_shared::ladder::Grid;
    use rushes_shared::media::AudioFacts;
    use rushes_shared::units::Ratio;

    use super::*;

    fn film(seconds: u64, size: (u32, u32)) -> MediaFacts {
        let duration_ns = seconds * 1_000_000_000;
        let video = VideoFacts {
            width: size.0,
            height: size.1,
            fps: Ratio::new(25, 1),
            frames: seconds * 25,
            duration_ns,
            ..VideoFacts::default()
        };
        let audio = vec![AudioFacts::default()];
        MediaFacts { duration_ns, video: vec![video], audio, ..MediaFacts::default() }
    }

    fn settings() -> StreamSettings {
        let ladder = LadderSettings { grid: Grid::of(6, 10), ..LadderSettings::default() };
        StreamSettings { ladder, stills: true }
    }

    #[test]
    fn a_set_has_a_chunk_every_ten_seconds_and_ends_with_its_package() {
        let stages = stages(&settings(), &film(60, (1920, 1080))).expect("it has a picture");
        let plan: Vec<_> = stages.iter().map(|s| (s.step, s.count, s.after.clone())).collect();
        let step = |step, count, after: &[u32]| (Step::Stream(step), count, after.to_vec());
        let expected = [
            step(StreamStep::Sound, 1, &[]),
            step(StreamStep::Stills, 1, &[]),
            step(StreamStep::Chunk, 6, &[]),
            step(StreamStep::Package, 1, &[1, 2, 3]),
        ];
        assert_eq!(plan, expected);
        let slots: Vec<_> = stages.iter().map(|stage| stage.slot).collect();
        let (cores, light) = ([SlotKind::Analyse, SlotKind::Analyse, SlotKind::Encode], SlotKind::Finish);
        assert_eq!(slots, [&cores[..], &[light]].concat(), "what reads the whole film takes no light slot");
    }

    #[test]
    fn chunks_that_begin_at_cuts_wait_for_a_scan_of_every_cell() {
        let mut settings = settings();
        settings.ladder.borders = Borders::Scenes;
        let film = film(60, (1920, 1080));
        let stages = stages(&settings, &film).expect("it has a picture");
        let plan: Vec<_> = stages.iter().map(|s| (s.step, s.count, s.after.clone())).collect();
        let step = |step, count, after: &[u32]| (Step::Stream(step), count, after.to_vec());
        let expected = [
            step(StreamStep::Sound, 1, &[]),
            step(StreamStep::Stills, 1, &[]),
            step(StreamStep::Scan, 6, &[]),
            step(StreamStep::Chunk, 6, &[3]),
            step(StreamStep::Package, 1, &[1, 2, 3, 4]),
        ];
        assert_eq!(plan, expected);
        let short = super::stages(&settings, &self::film(10, (640, 360))).expect("it has a picture");
        let scans = short.iter().find(|s| s.step == Step::Stream(StreamStep::Scan)).map(|s| s.count);
        assert_eq!(scans, Some(1), "groups begin at cuts within one chunk as well");
        let (scan, chunk) = (&stages[2], &stages[3]);
        assert_eq!(
            scan.slot,
            SlotKind::Analyse,
            "a share of the cores, as what waits for it is most of the job"
        );
        assert!(scan.prediction.cpu_ms > 0 && scan.prediction.cpu_ms * 5 < chunk.prediction.cpu_ms);
    }

    #[test]
    fn mean_rates_need_scans_on_the_grid_as_well_and_several_encodes() {
        let (mut settings, film) = (settings(), film(60, (1920, 1080)));
        let cost = |settings: &StreamSettings| {
            let stages = stages(settings, &film).expect("it has a picture");
            let step = |step| stages.iter().find(|s| s.step == Step::Stream(step)).cloned();
            (step(StreamStep::Scan).is_some(), step(StreamStep::Chunk).expect("chunks").prediction.cpu_ms)
        };
        let by_factor = cost(&settings);
        settings.ladder.rate = LadderRate::Mean { top_bps: None };
        let by_mean = cost(&settings);
        assert_eq!((by_factor.0, by_mean.0), (false, true));
        assert_eq!(by_mean.1 / by_factor.1, ENCODES_TO_MEAN);
    }

    #[test]
    fn what_is_not_wanted_or_not_there_is_not_planned() {
        let (mut settings, mut film) = (settings(), film(8, (640, 360)));
        settings.stills = false;
        film.audio.clear();
        let plan = stages(&settings, &film).expect("it has a picture");
        assert_eq!((plan.len(), plan[0].count, plan[1].after.clone()), (2, 1, vec![1]));
        film.video.clear();
        assert!(stages(&settings, &film).expect_err("no picture").message.contains("video"));
    }

    #[test]
    fn more_rungs_cost_more_and_all_chunks_together_cost_what_the_film_does() {
        let cost = |seconds, size| {
            let stages = stages(&settings(), &film(seconds, size)).expect("it has a picture");
            let chunk = stages.iter().find(|s| s.slot == SlotKind::Encode).expect("chunks");
            chunk.prediction.cpu_ms * u64::from(chunk.count)
        };
        assert!(cost(60, (1920, 1080)) > 2 * cost(60, (1280, 720)));
        let (short, long) = (cost(60, (1920, 1080)), cost(600, (1920, 1080)));
        assert!((long / 10).abs_diff(short) < short / 20, "{short} {long}");
        let mut hostile = film(1, (u32::MAX, u32::MAX));
        (hostile.duration_ns, hostile.video[0].duration_ns) = (u64::MAX, u64::MAX);
        hostile.video[0].frames = u64::MAX;
        let refused = stages(&settings(), &hostile).expect_err("more files than a set may have");
        assert_eq!(refused.code, FailureCode::SettingsImpossible);
    }
}

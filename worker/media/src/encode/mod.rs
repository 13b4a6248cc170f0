//! One encode: a source file in, one file with picture, sound or both out.
//!
//! ```text
//! plan       what happens to the picture            level    what gain brings sound to its loudness; limiting, of peaks
//! video      frames -> encoder -> packets           audio    samples -> encoder -> packets
//! encoder    settings -> element, by family         sound    the same for sound; mixing, channels
//! pieced     finished pieces and the film's sound -> one file
//! output     packets -> mp4::Writer, described by entry, or -> spool -> mux, GStreamer's muxers
//! ```
//! Two pipelines: the reader decodes, the encoder encodes, and feeds carry the buffers across. The border is where
//! frames are counted and their times are set, and it lets the encoder be built when the frames' format is known.

pub(crate) mod audio;
pub(crate) mod bitstream;
pub(crate) mod encoder;
mod entry;
pub(crate) mod gaps;
mod hardware;
pub(crate) mod level;
mod limiting;
pub(crate) mod mastering;
mod matroska;
mod mixing;
mod mux;
pub(crate) mod output;
pub(crate) mod picture;
mod pieced;
pub(crate) mod plan;
pub(crate) mod sound;
mod spool;
mod statistics;
mod tags;
#[cfg(test)]
mod taken_down;
pub(crate) mod tally;
mod video;
pub(crate) mod whole;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use gstreamer as gst;
use rushes_shared::encode::{Container, EncodeSettings, RateControl, VideoCodec};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, Progress};

use crate::course::Course;
use crate::fault::{self, Side};
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening, Waiting};
use crate::pace::{self, Pace};
use crate::reader::{self, Wanted};
use crate::running::Running;
use crate::{damage, linked, probe, sequence, start};
use audio::AudioFeed;
use encoder::Pass;
use output::Output;
use plan::Plan;
use statistics::Statistics;
use tally::Tally;
use video::VideoFeed;
use whole::{complete, heard_whole, left_out, no_sound};

pub use pieced::{PiecedJob, join_output};

use crate::witness::{Witness, Witnessed};

/// What to encode.
#[derive(Debug, Clone, Copy)]
pub struct EncodeJob<'a> {
    /// The source, a local file.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found of it.
    pub source: &'a MediaFacts,
    /// How to encode it.
    pub settings: &'a EncodeSettings,
    /// The file to write; overwritten where it exists.
    pub output: &'a Path,
    /// Threads of each decoder and encoder; `None` lets them use every core.
    pub threads: Option<u32>,
}

/// What an encode did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Frames that the source gave, and that went to the encoder.
    pub frames: u64,
    /// From the source's first frame's start to its last one's end, in nanoseconds.
    pub video_duration_ns: u64,
    /// The same for the sound; 0 without.
    pub audio_duration_ns: u64,
    /// The longest time from one of the source's frames to the next, in nanoseconds; nothing where it was not measured.
    pub video_gap_ns: Option<u64>,
    /// First sound's time minus first frame's time in the source, in nanoseconds.
    pub av_start_offset_ns: i64,
    /// Whether the output has sound.
    pub has_audio: bool,
    /// Wall time in milliseconds.
    pub encode_ms: u64,
    /// Media time per wall time in thousandths.
    pub speed_permille: u32,
    /// The encoders and their versions, such as `x264enc 1.22.0 + avenc_aac 1.22.0`.
    pub encoder: String,
    /// What is worth knowing, one line each: streams of the source that were left out; what the decoders had to conceal.
    /// The output holds every frame then, but some of them show the damage.
    pub warnings: Vec<String>,
    /// What a decoder made of the output's pictures meanwhile; nothing where it is not known to be clean.
    pub(crate) witnessed: Option<Witnessed>,
}

/// Encodes a file. Blocks; calls `progress` at least once a second.
///
/// The first video and the first audio stream are taken. A source without audio gives an output without, unless that is of
/// sound alone; a source without video is refused where the output is to have one.
///
/// # Errors
/// [`FailureCode::StreamMissing`] without what the output needs; [`FailureCode::SettingsImpossible`] for settings that do
/// not go together;
/// [`FailureCode::InputDamaged`] where the source ends early or frames cannot be decoded; the codes of
/// [`probe`](crate::probe()) for files that cannot be read; [`FailureCode::NodeUnfit`] and
/// [`FailureCode::ProcessStalled`] for trouble of the node. The output is incomplete then and must be deleted.
pub fn encode(job: &EncodeJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Encoded, Failure> {
    encode_by(job, None, progress)
}

/// The same with a hardware encoder: the GStreamer element of this name.
///
/// # Errors
/// Those of [`encode`], and [`FailureCode::EncoderFailed`] for what may pass with another encoder.
pub fn encode_in_hardware(
    job: &EncodeJob<'_>,
    element: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<Encoded, Failure> {
    encode_by(job, Some(element), progress).map_err(|failure| hardware::blamed(element, failure))
}

fn encode_by(
    job: &EncodeJob<'_>,
    hardware: Option<&str>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Encoded, Failure> {
    let since = Instant::now();
    start::init()?;
    fault::inspect(job.input)?;
    let settings = job.settings;
    settings.possible().map_err(|bad| {
        let message = format!("{}: {}", bad.field, bad.message);
        Failure::new(FailureCode::SettingsImpossible, message, "change the output's settings")
    })?;
    let plan = settings.video.as_ref().map(|_| Plan::new(job.source, settings)).transpose()?;
    if plan.is_none() && job.source.audio.is_empty() {
        return Err(no_sound());
    }
    let mut way =
        Way { hardware, plan, gain: None, pass: Pass::Single, passes: 1, since, warnings: Vec::new() };
    way.warnings.extend(probe::promise_kept(job.input, job.source)?);
    way.warnings.extend(peak_unheld(settings, hardware));
    if let (Some(video), Some(plan), None) = (&settings.video, &way.plan, hardware) {
        way.warnings.extend(encoder::keys_beside(video, plan));
    }
    if let (Some(audio), false) = (&settings.audio, job.source.audio.is_empty())
        && let Some(target) = audio.loudness
    {
        // Nothing is made meanwhile, and those who wait learn that it goes on.
        let still = Pace::new(Phase::Running, job.source.duration_ns, 0);
        let mut beat = |_| progress(still.at(0, 0));
        let found = level::level((job.input, job.source), audio, settings.container, target, &mut beat)?;
        way.gain = found.gain;
        way.warnings.extend(found.told);
    }
    if !matches!(settings.video.as_ref().map(|video| video.rate), Some(RateControl::TwoPass { .. })) {
        return one_pass(job, &way, progress);
    }
    way.passes = 2;
    let statistics = Statistics::beside(job.output);
    way.pass = Pass::First(statistics.0.clone());
    one_pass(job, &way, progress)?;
    way.pass = Pass::Second(statistics.0.clone());
    one_pass(job, &way, progress)
}

/// Says so where a peak is not held: GStreamer 1.22's x264enc takes no other rate for its buffer than the mean, whatever the
/// options beside it say, and libvpx and libaom take a peak as a wish.
fn peak_unheld(settings: &EncodeSettings, hardware: Option<&str>) -> Option<String> {
    let video =
        settings.video.as_ref().filter(|video| video.codec != VideoCodec::Hevc && hardware.is_none())?;
    let name = video.codec.word();
    let (peak, instead) = match video.rate {
        RateControl::TwoPass { peak_bps, .. } | RateControl::OnePass { peak_bps, .. } => {
            (peak_bps?, "use crf with max_bitrate, or rate = \"cbr\"")
        }
        RateControl::CappedCrf { peak_bps, .. } if video.codec != VideoCodec::H264 => {
            (peak_bps, "a streaming set keeps it in its chunks")
        }
        _ => return None,
    };
    Some(format!(
        "{name} keeps no peak here, so that some seconds may have more than max_bitrate ({peak} b/s): {instead}"
    ))
}

/// What was decided before the file is read.
struct Way<'a> {
    hardware: Option<&'a str>,
    plan: Option<Plan>,
    gain: Option<level::Gain>,
    pass: Pass,
    passes: u64,
    since: Instant,
    warnings: Vec<String>,
}

fn one_pass(
    job: &EncodeJob<'_>,
    way: &Way<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Encoded, Failure> {
    let pace = match job.source.video.first().filter(|_| way.plan.is_some()) {
        Some(video) => {
            let course = Course::of(job.input, job.source);
            Pace::new(Phase::Running, video.duration_ns, video.frames).along(course)
        }
        None => Pace::new(Phase::Running, job.source.audio.first().map_or(0, |audio| audio.duration_ns), 0),
    };
    let pace = pace.part(u64::from(matches!(way.pass, Pass::Second(_))), way.passes);
    damage::take();
    let (notes, waiting) = Notes::new();
    let (tally, is_narrowed) = (Arc::new(Mutex::new(Tally::default())), Arc::default());
    let output = Arc::new(if way.pass.is_first() {
        Output::nowhere(job.settings)
    } else {
        Output::create(job.output, job.source, job.settings)?
    });
    // Stopped in reverse order, the last one first: no one waits for room in the next one when it is stopped.
    let Pipelines { mut reader, mut encoder, mut decoder, witness } =
        pipelines(job, way, &notes, (&tally, &is_narrowed), &output)?;
    decoder.play()?;
    encoder.play()?;
    reader.play().or_else(|failure| first_cause(&waiting, failure))?;
    let mut opening = Opening::new(&reader, &notes);
    let mut beat = || {
        opening.look();
        let (frames, at) = output.reached();
        progress(pace.at(at, frames));
    };
    beat();
    let ended = wait(&waiting, &output, (way.plan.is_some(), sound_of(job, way)), &mut beat);
    match ended {
        Ok(()) => {}
        Err(Interrupted::Failed(failure)) => return Err(failure),
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            reader.abandon();
            encoder.abandon();
            decoder.abandon();
            return Err(note::stalled("the encode"));
        }
    }
    drop(decoder);
    drop(encoder);
    drop(reader);
    let mut tally = *tally.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plan) = &way.plan {
        complete(job.source, plan.frame_ns, &tally)?;
        if job.source.video[0].frames == 0 {
            // Too long to be counted: its facts say what its head does.
            probe::reached(job.input, tally.video_end.max(tally.audio_end))?;
        }
        let promised = &job.source.video[0];
        if promised.frames == tally.frames && tally.frames > 0 {
            tally.ends_at(promised.start_ns + promised.duration_ns);
        }
    } else {
        heard_whole(job.source, &tally)?;
    }
    let mut quiet = || progress(pace.at(output.reached().1, output.reached().0));
    output.finish(tally.video_end - tally.video_last, &mut quiet)?;
    quiet();
    let witnessed = witness.map(|witness| witness.lock().unwrap_or_else(PoisonError::into_inner).witnessed());
    Ok(result(job, way, (&tally, is_narrowed.load(Ordering::Relaxed)), witnessed))
}

/// Whether sound is encoded: not in the first of two passes, which looks at pictures only.
fn sound_of(job: &EncodeJob<'_>, way: &Way<'_>) -> bool {
    job.settings.audio.is_some() && !way.pass.is_first()
}

/// Data goes from the first to the last.
struct Pipelines {
    reader: Running,
    encoder: Running,
    decoder: Running,
    witness: Option<Arc<Mutex<Witness>>>,
}

fn pipelines(
    job: &EncodeJob<'_>,
    way: &Way<'_>,
    notes: &Notes,
    (tally, is_narrowed): (&Arc<Mutex<Tally>>, &Arc<AtomicBool>),
    output: &Arc<Output>,
) -> Result<Pipelines, Failure> {
    let (encoder, decoder) = (Running::heard(notes, Side::Output), Running::heard(notes, Side::Output));
    let settings = job.settings;
    let witness = is_witnessed(settings, &way.pass)
        .then(|| Arc::new(Mutex::new(Witness::new(decoder.site(), job.threads, notes, output))));
    let video = way.plan.as_ref().zip(settings.video.as_ref()).map(|(plan, settings)| VideoFeed {
        site: encoder.site(),
        plan: plan.clone(),
        settings: settings.clone(),
        hardware: way.hardware.map(ToOwned::to_owned),
        pass: way.pass.clone(),
        threads: job.threads,
        tally: Arc::clone(tally),
        output: Arc::clone(output),
        witness: witness.clone(),
        notes: notes.clone(),
        entrance: None,
        tone_mapped: plan.tone_mapped.and_then(|_| job.source.video.first().cloned()),
        mapper: None,
        is_narrowed: Arc::clone(is_narrowed),
    });
    let audio = settings.audio.as_ref().filter(|_| sound_of(job, way)).map(|audio| AudioFeed {
        site: encoder.site(),
        settings: audio.clone(),
        container: settings.container,
        gain: way.gain,
        picture_end_ns: audio::picture_end(job.source),
        language: job.source.audio.first().map(|audio| audio.language.clone()).unwrap_or_default(),
        tally: Arc::clone(tally),
        output: Arc::clone(output),
        notes: notes.clone(),
        entrance: None,
    });
    // Tone mapping mixes what is on both sides of a row, and goes behind what puts fields together.
    let video_chain = match &way.plan {
        Some(plan) if plan.tone_mapped.is_some() => picture::progressive(plan, is_narrowed)?,
        _ => Vec::new(),
    };
    let wanted = Wanted {
        video_chain,
        video: video.map(|feed| Box::new(feed) as Box<dyn reader::Feed>),
        audio: audio.map(|feed| Box::new(feed) as Box<dyn reader::Feed>),
        threads: job.threads,
        ..Wanted::default()
    };
    let reader = reader::open(job.input, wanted, notes)?;
    Ok(Pipelines { reader, encoder, decoder, witness })
}

/// Whether what is made can be decoded while it is made, and recognised in the file: of other codecs and containers the
/// check decodes the finished file.
fn is_witnessed(settings: &EncodeSettings, pass: &Pass) -> bool {
    let is_h264 = settings.video.as_ref().is_some_and(|video| video.codec.in_software() == VideoCodec::H264);
    is_h264 && matches!(settings.container, Container::Mp4 | Container::Mov) && !pass.is_first()
}

/// A pipeline that does not start has put its cause on the bus.
fn first_cause(waiting: &Waiting, otherwise: Failure) -> Result<(), Failure> {
    let soon = std::time::Instant::now() + std::time::Duration::from_secs(1);
    match waiting.until(Some(soon), || (), |_| false) {
        Err(Interrupted::Failed(cause)) => Err(cause),
        _ => Err(otherwise),
    }
}

fn wait(
    waiting: &Waiting,
    output: &Output,
    (wants_video, wants_audio): (bool, bool),
    beat: &mut dyn FnMut(),
) -> Result<(), Interrupted> {
    let (mut has_video, mut has_audio, mut all_known) = (false, false, false);
    waiting.until(None, beat, |note| {
        match note {
            Note::Found(Branch::Video) => has_video = true,
            Note::Found(Branch::Audio) => has_audio = true,
            Note::StreamsKnown => all_known = true,
            _ => {}
        }
        let (video_done, audio_done) = output.ended();
        let sound_done = audio_done || !wants_audio || !has_audio;
        let picture_done = video_done || !wants_video;
        all_known && ((wants_video && !has_video) || (picture_done && sound_done))
    })?;
    if !wants_video && !has_audio {
        return Err(Interrupted::Failed(no_sound()));
    }
    if wants_video && !has_video {
        return Err(Interrupted::Failed(Failure::new(
            FailureCode::StreamMissing,
            "the input has no video stream",
            "give a file with video",
        )));
    }
    Ok(())
}

fn result(
    job: &EncodeJob<'_>,
    way: &Way<'_>,
    (tally, is_narrowed): (&Tally, bool),
    witnessed: Option<Witnessed>,
) -> Encoded {
    let elapsed = way.since.elapsed();
    let has_audio = tally.audio_start.is_some();
    let video = job.settings.video.as_ref();
    let video =
        video.map(|video| versioned(way.hardware.unwrap_or(encoder::element_name(video.codec, video.rate))));
    let audio = job.settings.audio.as_ref().filter(|_| has_audio);
    let audio = audio.map(|audio| versioned(sound::element_name(audio.codec)));
    let encoder: Vec<String> = video.into_iter().chain(audio).collect();
    let encoder = encoder.join(" + ");
    let length = if way.plan.is_some() { tally.video_length() } else { tally.audio_length() };
    let mut warnings: Vec<String> = left_out(job.source, job.settings).into_iter().collect();
    warnings.extend(way.warnings.iter().cloned());
    warnings.extend(sequence::told(job.source));
    let planned = way.plan.as_ref().zip(job.source.video.first());
    warnings.extend(planned.into_iter().flat_map(|(plan, video)| plan.told(video, is_narrowed)));
    let seen = damage::take();
    warnings.extend(seen.told());
    Encoded {
        frames: tally.frames,
        video_duration_ns: tally.video_length(),
        audio_duration_ns: tally.audio_length(),
        video_gap_ns: way.plan.as_ref().map(|_| tally.video_gaps.longest().ns),
        av_start_offset_ns: tally.av_offset(),
        has_audio,
        encode_ms: pace::millis(elapsed),
        speed_permille: pace::speed_permille(length, elapsed),
        encoder,
        warnings,
        // Which of two decoders complained cannot be told, so that a check has to see for itself.
        witnessed: witnessed.filter(|_| seen.count == 0),
    }
}

/// An element with its library's version where known.
pub(crate) fn versioned(element: &str) -> String {
    use gst::prelude::*;
    let plugin = || gst::ElementFactory::find(element)?.plugin();
    let version = match element {
        linked::AV1 | linked::VP9 => linked::version(element),
        _ => plugin().map(|plugin| plugin.version().to_string()),
    };
    format!("{element} {}", version.unwrap_or_default()).trim_end().to_owned()
}

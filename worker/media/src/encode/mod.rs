//! One encode: a source file in, one MP4 with H.264 and AAC out.
//!
//! Two pipelines: the reader decodes, the encoder encodes, and feeds carry the buffers across. The border is where
//! frames are counted and their times are set, and it lets the encoder be built when the frames' format is known.

pub(crate) mod audio;
mod hardware;
pub(crate) mod output;
pub(crate) mod plan;
mod tags;
pub(crate) mod tally;
pub(crate) mod video;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, Progress};

use crate::fault::{self, Side};
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening, Running, Waiting};
use crate::pace::{self, Pace};
use crate::reader::{self, Wanted};
use crate::{damage, start};
use audio::AudioFeed;
use output::Output;
use plan::Plan;
use tally::Tally;
use video::VideoFeed;

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
/// The first video and the first audio stream are taken. A source without audio gives an output without; a source
/// without video is refused.
///
/// # Errors
/// [`FailureCode::StreamMissing`] without video; [`FailureCode::SettingsImpossible`] for HDR;
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
    start::init()?;
    fault::inspect(job.input)?;
    let plan = Plan::new(job.source, job.settings)?;
    let pace = Pace::new(Phase::Running, job.source.video[0].duration_ns, job.source.video[0].frames);
    damage::take();
    let (notes, waiting) = Notes::new();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let output = Arc::new(Output::create(job.output, job.source)?);
    // Stopped in reverse order, the last one first: no one waits for room in the next one when it is stopped.
    let Pipelines { mut reader, mut encoder, mut decoder, witness } =
        pipelines(job, hardware, &plan, &notes, &tally, &output)?;
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
    let wants_audio = job.settings.audio.is_some();
    let ended = wait(&waiting, &output, wants_audio, &mut beat);
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
    complete(job.source, &plan, &tally)?;
    let promised = &job.source.video[0];
    if promised.frames == tally.frames && tally.frames > 0 {
        tally.ends_at(promised.start_ns + promised.duration_ns);
    }
    output.finish(tally.video_end - tally.video_last)?;
    beat();
    let witnessed = witness.lock().unwrap_or_else(PoisonError::into_inner).witnessed();
    Ok(result(job, hardware.unwrap_or("x264enc"), &tally, witnessed, &pace))
}

/// Data goes from the first to the last.
struct Pipelines {
    reader: Running,
    encoder: Running,
    decoder: Running,
    witness: Arc<Mutex<Witness>>,
}

fn pipelines(
    job: &EncodeJob<'_>,
    hardware: Option<&str>,
    plan: &Plan,
    notes: &Notes,
    tally: &Arc<Mutex<Tally>>,
    output: &Arc<Output>,
) -> Result<Pipelines, Failure> {
    let (encoder, decoder) = (gst::Pipeline::new(), gst::Pipeline::new());
    notes.listen(&encoder, Side::Output);
    notes.listen(&decoder, Side::Output);
    let witness = Witness::new(decoder.clone(), job.threads, notes, output);
    let witness = Arc::new(Mutex::new(witness));
    let video = VideoFeed {
        pipeline: encoder.clone(),
        plan: plan.clone(),
        settings: job.settings.video.clone(),
        hardware: hardware.map(ToOwned::to_owned),
        threads: job.threads,
        tally: Arc::clone(tally),
        output: Arc::clone(output),
        witness: Arc::clone(&witness),
        notes: notes.clone(),
        entrance: None,
    };
    let audio = job.settings.audio.as_ref().map(|settings| AudioFeed {
        pipeline: encoder.clone(),
        settings: settings.clone(),
        language: job.source.audio.first().map(|audio| audio.language.clone()).unwrap_or_default(),
        tally: Arc::clone(tally),
        output: Arc::clone(output),
        notes: notes.clone(),
        entrance: None,
    });
    let wanted = Wanted {
        video: Some(Box::new(video)),
        audio: audio.map(|feed| Box::new(feed) as Box<dyn reader::Feed>),
        threads: job.threads,
        ..Wanted::default()
    };
    let reader = reader::open(job.input, wanted, notes)?;
    Ok(Pipelines { reader, encoder: Running::new(encoder), decoder: Running::new(decoder), witness })
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
    wants_audio: bool,
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
        all_known && (!has_video || (video_done && sound_done))
    })?;
    if !has_video {
        return Err(Interrupted::Failed(Failure::new(
            FailureCode::StreamMissing,
            "the input has no video stream",
            "give a file with video",
        )));
    }
    Ok(())
}

/// Frames that a source may lose at its start without being damaged: a recording that began between two key frames
/// has a few that nothing can decode.
const LOST_HEAD_NS: u64 = 1_500_000_000;

/// Whether the source gave what its index promised. A decoder that conceals damage still gives every frame; one that
/// gives less has met an end or a hole.
fn complete(source: &MediaFacts, plan: &Plan, tally: &Tally) -> Result<(), Failure> {
    let promised = &source.video[0];
    if promised.frames == 0 || tally.frames >= promised.frames {
        return Ok(());
    }
    let missing = promised.frames - tally.frames;
    let frame = plan.frame_ns.max(1);
    let length = tally.video_length();
    let late_start = promised.duration_ns.saturating_sub(length);
    let head_ok = missing * frame <= LOST_HEAD_NS
        && late_start <= LOST_HEAD_NS + frame
        && tally.video_start.is_some_and(|start| start > promised.start_ns.saturating_add(frame / 2))
        && tally.video_end + 2 * frame >= promised.start_ns + promised.duration_ns;
    if head_ok {
        return Ok(());
    }
    let at = tally.video_end;
    Err(Failure::new(
        FailureCode::InputDamaged,
        format!(
            "the input is damaged after {}: {} of {} frames could be decoded",
            seconds(at),
            tally.frames,
            promised.frames
        ),
        format!("get a complete copy; what is before {} can be cut out and encoded", seconds(at)),
    ))
}

fn seconds(ns: u64) -> String {
    format!("{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10)
}

fn result(job: &EncodeJob<'_>, element: &str, tally: &Tally, witnessed: Witnessed, pace: &Pace) -> Encoded {
    let elapsed = pace.elapsed();
    let has_audio = tally.audio_start.is_some();
    let mut encoder = versioned(element);
    if has_audio {
        encoder = format!("{encoder} + {}", versioned("avenc_aac"));
    }
    let mut warnings: Vec<String> = left_out(job.source).into_iter().collect();
    let seen = damage::take();
    if seen.count > 0 {
        warnings
            .push(format!("the source is damaged in {} places, which its decoders concealed", seen.count));
        warnings.extend(seen.first.into_iter().map(|place| format!("damage: {place}")));
    }
    Encoded {
        frames: tally.frames,
        video_duration_ns: tally.video_length(),
        audio_duration_ns: tally.audio_length(),
        av_start_offset_ns: tally.av_offset(),
        has_audio,
        encode_ms: pace::millis(elapsed),
        speed_permille: pace::speed_permille(tally.video_length(), elapsed),
        encoder,
        warnings,
        // Which of two decoders complained cannot be told, so that a check has to see for itself.
        witnessed: (seen.count == 0).then_some(witnessed),
    }
}

/// Names the streams that an output with one picture and one sound has no place for.
fn left_out(source: &MediaFacts) -> Option<String> {
    let beyond_first = |streams: usize| streams.saturating_sub(1);
    let counts = [
        (beyond_first(source.video.len()), "video"),
        (beyond_first(source.audio.len()), "audio"),
        (source.subtitles.len(), "subtitle"),
    ];
    let named = counts.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
    let named: Vec<String> = named.collect();
    (!named.is_empty())
        .then(|| format!("streams left out, as one video and one audio are kept: {}", named.join(", ")))
}

fn versioned(element: &str) -> String {
    use gst::prelude::*;
    let version =
        gst::ElementFactory::find(element).and_then(|f| f.plugin()).map(|p| p.version().to_string());
    format!("{element} {}", version.unwrap_or_default()).trim_end().to_owned()
}

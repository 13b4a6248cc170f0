//! An output whose pictures were encoded in pieces: the film's sound in one piece, then a join of both.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rushes_shared::encode::EncodeSettings;
use rushes_shared::failure::Failure;
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;

use super::plan::Plan;
use super::tally::Tally;
use super::whole::{complete, left_out};
use super::{Encoded, encoder, level, sound, versioned};
use crate::join::{self, JoinJob, SoundEncoded};
use crate::{pace, tone};

/// What to join.
#[derive(Debug, Clone, Copy)]
pub struct PiecedJob<'a> {
    /// The film, a local file, whose sound is encoded.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found of it.
    pub source: &'a MediaFacts,
    /// How the output is encoded.
    pub settings: &'a EncodeSettings,
    /// The pieces, in the film's order.
    pub pieces: &'a [PathBuf],
    /// How many frames they have.
    pub frames: u64,
    /// What their encodes took, one after the other, in milliseconds.
    pub pieces_ms: u64,
    /// A directory for what is made on the way.
    pub scratch: &'a Path,
    /// The file to write; overwritten where it exists.
    pub output: &'a Path,
}

/// Where the sound's encode ends, and the join, in thousandths; the check follows.
const SOUND: (u16, u16) = (0, 600);
const JOIN: (u16, u16) = (600, 800);

/// Joins the pieces of an output. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`sound`](crate::sound()) and [`join`](crate::join()), and [`rushes_shared::failure::FailureCode::InputDamaged`]
/// where the pieces lack frames that the source promised. The output is incomplete then and must be deleted.
pub fn join_output(job: &PiecedJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Encoded, Failure> {
    let since = Instant::now();
    let plan = Plan::new(job.source, job.settings)?;
    let mut warnings: Vec<String> = left_out(job.source, job.settings).into_iter().collect();
    warnings.extend(crate::promise_kept(job.input, job.source)?);
    let track = job.scratch.join("sound.m4a");
    let heard = sound_of(job, &track, &mut warnings, progress)?;
    let joining = JoinJob {
        chunks: job.pieces,
        sound: heard.is_some().then_some(&track),
        frames: Some(job.frames),
        output: job.output,
    };
    let joined = join::join_of(&joining, Some(job.source), &mut |at| progress(within(at, JOIN)))?;
    let mut tally = Tally { frames: joined.frames, ..Tally::default() };
    (tally.video_start, tally.video_end) =
        (Some(joined.video_start_ns), joined.video_start_ns + joined.video_duration_ns);
    if let Some(heard) = heard {
        (tally.audio_start, tally.audio_end) = (Some(heard.start_ns), heard.start_ns + heard.duration_ns);
    }
    complete(job.source, plan.frame_ns, &tally)?;
    warnings.extend(plan.tone_mapped.map(tone::told));
    warnings.extend(joined.damage.told());
    let settings = job.settings;
    let video =
        settings.video.as_ref().map(|video| versioned(encoder::element_name(video.codec, video.rate)));
    let audio = settings.audio.as_ref().filter(|_| heard.is_some());
    let audio = audio.map(|audio| versioned(sound::element_name(audio.codec)));
    let by: Vec<String> = video.into_iter().chain(audio).collect();
    let took = since.elapsed().saturating_add(Duration::from_millis(job.pieces_ms));
    Ok(Encoded {
        frames: tally.frames,
        video_duration_ns: tally.video_length(),
        audio_duration_ns: tally.audio_length(),
        video_gap_ns: Some(joined.video_gap_ns),
        av_start_offset_ns: tally.av_offset(),
        has_audio: heard.is_some(),
        encode_ms: pace::millis(took),
        speed_permille: pace::speed_permille(tally.video_length(), took),
        encoder: by.join(" + "),
        warnings,
        witnessed: None,
    })
}

/// Encodes the film's sound, where the output has some.
fn sound_of(
    job: &PiecedJob<'_>,
    track: &Path,
    warnings: &mut Vec<String>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<SoundEncoded>, Failure> {
    let (input, source) = (job.input, job.source);
    let Some(audio) = job.settings.audio.as_ref().filter(|_| !source.audio.is_empty()) else {
        return Ok(None);
    };
    let mut gain = None;
    if let Some(target) = audio.loudness {
        // Nothing is made meanwhile, and those who wait learn that it goes on.
        let mut beat = |_| progress(Progress::default());
        let found = level::level((input, source), audio, job.settings.container, target, &mut beat)?;
        gain = found.gain;
        warnings.extend(found.told);
    }
    let mut step = |at| progress(within(at, SOUND));
    join::sound_at_level(input, source, (audio, gain), track, &mut step).map(Some)
}

/// Progress of a step as that of the whole.
fn within(at: Progress, (from, to): (u16, u16)) -> Progress {
    let part = u32::from(to - from) * u32::from(at.permille.min(1000)) / 1000;
    Progress { permille: from + u16::try_from(part).unwrap_or(0), eta_ms: None, ..at }
}

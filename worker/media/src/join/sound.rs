//! The film's sound, encoded in one piece.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rushes_shared::encode::{AudioSettings, Container, EncodeSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{Phase, Progress};

use crate::encode::audio::{AudioFeed, picture_end};
use crate::encode::level::Gain;
use crate::encode::output::Output;
use crate::encode::tally::Tally;
use crate::fault::{self, Side};
use crate::note::{self, Branch, Interrupted, Note, Notes, Opening};
use crate::pace::Pace;
use crate::reader::{self, Wanted};
use crate::running::Running;
use crate::start;

/// What became of a film's sound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoundEncoded {
    /// When it begins in the film, in nanoseconds.
    pub start_ns: u64,
    /// How long it is.
    pub duration_ns: u64,
}

/// Encodes a film's first audio stream into an MP4 of its own, which begins where the film does: sound that starts later
/// has a wait before it. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// [`FailureCode::StreamMissing`] without sound; the others of [`encode`](crate::encode()).
pub fn sound(
    input: &Path,
    source: &MediaFacts,
    settings: &AudioSettings,
    output: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<SoundEncoded, Failure> {
    sound_at_level(input, source, (settings, None), output, progress)
}

/// The same with what brings it to its loudness.
pub(crate) fn sound_at_level(
    input: &Path,
    source: &MediaFacts,
    (settings, gain): (&AudioSettings, Option<Gain>),
    output: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<SoundEncoded, Failure> {
    start::init()?;
    fault::inspect(input)?;
    let audio = source.audio.first().ok_or_else(no_sound)?;
    let pace = Pace::new(Phase::Running, audio.duration_ns, 0);
    let (notes, waiting) = Notes::new();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let container = Container::Mp4;
    let whole =
        EncodeSettings { container, video: None, audio: Some(settings.clone()), ..EncodeSettings::default() };
    let out = Arc::new(Output::create(output, source, &whole)?);
    out.begins_with_the_film();
    let mut encoder = Running::heard(&notes, Side::Output);
    let feed = AudioFeed {
        site: encoder.site(),
        settings: settings.clone(),
        container,
        gain,
        picture_end_ns: picture_end(source),
        language: audio.language.clone(),
        tally: Arc::clone(&tally),
        output: Arc::clone(&out),
        notes: notes.clone(),
        entrance: None,
    };
    let wanted = Wanted { audio: Some(Box::new(feed)), ..Wanted::default() };
    let mut reader = reader::open(input, wanted, &notes)?;
    encoder.play()?;
    reader.play()?;
    let mut opening = Opening::new(&reader, &notes);
    let mut beat = || {
        opening.look();
        let reached = tally.lock().unwrap_or_else(PoisonError::into_inner).audio_end;
        progress(pace.at(reached, 0));
    };
    beat();
    let (mut found, mut known) = (false, false);
    let ended = waiting.until(None, &mut beat, |note| {
        found |= matches!(note, Note::Found(Branch::Audio));
        known |= matches!(note, Note::StreamsKnown);
        known && (!found || out.ended().1)
    });
    match ended {
        Ok(()) if found => {}
        Ok(()) => return Err(no_sound()),
        Err(Interrupted::Failed(failure)) => return Err(failure),
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            reader.abandon();
            encoder.abandon();
            return Err(note::stalled("the sound's encode"));
        }
    }
    drop(encoder);
    drop(reader);
    out.finish(0, &mut beat)?;
    let tally = *tally.lock().unwrap_or_else(PoisonError::into_inner);
    beat();
    Ok(SoundEncoded { start_ns: tally.audio_start.unwrap_or(0), duration_ns: tally.audio_length() })
}

fn no_sound() -> Failure {
    Failure::new(FailureCode::StreamMissing, "the input has no sound", "leave the sound out")
}

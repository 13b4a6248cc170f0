//! Reading a file from its start to its end, or until what it is read for has been seen.

use std::path::Path;

use rushes_shared::failure::Failure;

use crate::note::{self, Branch, Interrupted, Note, Notes, Opening};
use crate::reader::{self, Wanted};
use crate::{fault, start};

/// Feeds `wanted` with the streams of the file at `path` until each has ended. Calls `beat` at least four times a second.
/// `what` names the operation in the failure of one that stands still.
///
/// A stream that the file does not have is not waited for.
pub(crate) fn walk(path: &Path, wanted: Wanted, what: &str, beat: &mut dyn FnMut()) -> Result<(), Failure> {
    let (notes, waiting) = Notes::new();
    walk_with(path, wanted, what, beat, &notes, &waiting)
}

/// The same over given notes: a feed that has seen enough ends its branch itself, by [`Note::Ended`].
pub(crate) fn walk_with(
    path: &Path,
    wanted: Wanted,
    what: &str,
    beat: &mut dyn FnMut(),
    notes: &Notes,
    waiting: &note::Waiting,
) -> Result<(), Failure> {
    start::init()?;
    fault::inspect(path)?;
    let (wants_video, wants_audio) = (wanted.video.is_some(), wanted.audio.is_some());
    let mut reader = reader::open(path, wanted, notes)?;
    let started = reader.play();
    let mut opening = Opening::new(&reader, notes);
    let (mut has_video, mut has_audio, mut all_known) = (false, false, false);
    let (mut video_done, mut audio_done) = (!wants_video, !wants_audio);
    let ended = waiting.until(
        started.is_err().then(|| std::time::Instant::now() + std::time::Duration::from_secs(1)),
        || {
            opening.look();
            beat();
        },
        |note| {
            match note {
                Note::Found(Branch::Video) => has_video = true,
                Note::Found(Branch::Audio) => has_audio = true,
                Note::Ended(Branch::Video) => video_done = true,
                Note::Ended(Branch::Audio) => audio_done = true,
                Note::StreamsKnown => all_known = true,
                Note::Found(Branch::Other) | Note::Ended(Branch::Other) | Note::Begun | Note::Failed(_) => {}
            }
            all_known && (video_done || !has_video) && (audio_done || !has_audio)
        },
    );
    match ended {
        Ok(()) => Ok(()),
        Err(Interrupted::Failed(failure)) => Err(failure),
        // A pipeline that does not start has put its cause on the bus, which was waited for.
        Err(Interrupted::Deadline) if started.is_err() => started,
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            reader.abandon();
            Err(note::stalled(what))
        }
    }
}

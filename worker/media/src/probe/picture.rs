//! The first frame's format, for codecs whose parsers do not know it: PNG, JPEG, ProRes and their like.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer as gst;
use rushes_shared::failure::Failure;
use rushes_shared::media::{Colour, VideoFacts};

use super::{facts, name};
use crate::colour;
use crate::note::{Branch, Interrupted, Note, Notes};
use crate::reader::{self, Feed, Wanted};

/// Longest time for one frame.
const LIMIT: Duration = Duration::from_secs(5);

struct First {
    caps: Arc<Mutex<Option<gst::Caps>>>,
    notes: Notes,
}

impl Feed for First {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let mut caps = self.caps.lock().unwrap_or_else(PoisonError::into_inner);
        if caps.is_none() {
            *caps = sample.caps_owned();
            self.notes.tell(Note::Ended(Branch::Video));
        }
        Ok(())
    }

    fn end(&mut self) {}
}

/// Fills in what only a decoded frame shows. A file that cannot be decoded keeps its gaps; an encode will say why.
pub(super) fn complete(path: &Path, video: &mut VideoFacts) {
    let (notes, waiting) = Notes::new();
    let caps = Arc::new(Mutex::new(None));
    let first = First { caps: Arc::clone(&caps), notes: notes.clone() };
    let wanted = Wanted { video: Some(Box::new(first)), ..Wanted::default() };
    let Ok(mut running) = reader::open(path, wanted, &notes) else { return };
    if running.play().is_err() {
        return;
    }
    let deadline = Instant::now() + LIMIT;
    let ended = waiting.until(Some(deadline), || (), |note| matches!(note, Note::Ended(Branch::Video)));
    if matches!(ended, Err(Interrupted::Stalled | Interrupted::Deadline)) {
        running.abandon();
    }
    drop(running);
    let caps = caps.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(fields) = caps.as_ref().and_then(|caps| caps.structure(0)) else { return };
    let (pixel_format, bit_depth) = name::raw_video(&fields.get::<String>("format").unwrap_or_default());
    (video.pixel_format, video.bit_depth) = (pixel_format, bit_depth);
    let side = |field| fields.get::<i32>(field).ok().and_then(|side| u32::try_from(side).ok());
    video.width = side("width").filter(|_| video.width == 0).unwrap_or(video.width);
    video.height = side("height").filter(|_| video.height == 0).unwrap_or(video.height);
    if video.colour == Colour::default() {
        video.colour = facts::described(fields);
        video.hdr = colour::hdr(&video.colour);
    }
    video.interlaced |= facts::is_interlaced(fields);
}

//! Finding the frames that are shown at given times.
//!
//! Frames that lie close together are found in one pass. Where they are far apart, each is sought: the film is read
//! again from the key frame before it. A seek that does not land where it should (a broken index) is not trusted; the
//! frame is then found by a pass from the start.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::{Failure, FailureCode};

use crate::note::{self, Branch, Interrupted, Note, Notes, Opening};
use crate::reader::{self, Feed, Wanted, unusable};
use crate::walk;

/// From this distance in time on a seek is cheaper than decoding what lies between.
const WORTH_A_SEEK_NS: u64 = 10_000_000_000;
/// Frames farther apart than this were not read one after the other.
const ADJACENT_NS: u64 = 2_000_000_000;

/// Takes a frame: the number of its time, and the frame.
pub(super) type Taker = Box<dyn FnMut(usize, &gst::Sample) -> Result<(), Failure> + Send>;

/// Gives `take` the frame that is shown at each of `times` (nanoseconds from the film's start, rising), in order; before
/// the first frame that is the first, after the last the last. `progress` is told how many were taken.
pub(super) fn pick(
    input: &Path,
    times: &[u64],
    take: Taker,
    progress: &mut dyn FnMut(usize),
) -> Result<(), Failure> {
    let take = Arc::new(Mutex::new(take));
    let apart = times.last().map_or(0, |last| *last) / times.len().max(1) as u64;
    if apart < WORTH_A_SEEK_NS {
        return pass(input, times, 0, &take, progress);
    }
    for (number, time) in times.iter().enumerate() {
        progress(number);
        let found = if *time < WORTH_A_SEEK_NS { None } else { seek(input, *time, progress, number)? };
        match found {
            Some(sample) => take.lock().unwrap_or_else(PoisonError::into_inner)(number, &sample)?,
            None => pass(input, &[*time], number, &take, progress)?,
        }
    }
    progress(times.len());
    Ok(())
}

/// Looks for the frames in one pass; `first` is the number of the first time.
fn pass(
    input: &Path,
    times: &[u64],
    first: usize,
    take: &Arc<Mutex<Taker>>,
    progress: &mut dyn FnMut(usize),
) -> Result<(), Failure> {
    let (notes, waiting) = Notes::new();
    let found = Arc::new(Mutex::new(Found { taken: 0, last: None }));
    let feed = Passing {
        times: times.to_vec(),
        first,
        take: Arc::clone(take),
        found: Arc::clone(&found),
        notes: notes.clone(),
    };
    let wanted = Wanted { video: Some(Box::new(feed)), ..Wanted::default() };
    let mut beat = || progress(first + found.lock().unwrap_or_else(PoisonError::into_inner).taken);
    walk::walk_with(input, wanted, WHAT, &mut beat, &notes, &waiting)?;
    let taken = found.lock().unwrap_or_else(PoisonError::into_inner).taken;
    progress(first + taken);
    if taken == times.len() { Ok(()) } else { Err(no_frame()) }
}

const WHAT: &str = "the search for a frame";

struct Found {
    taken: usize,
    last: Option<gst::Sample>,
}

struct Passing {
    times: Vec<u64>,
    first: usize,
    take: Arc<Mutex<Taker>>,
    found: Arc<Mutex<Found>>,
    notes: Notes,
}

impl Passing {
    /// Takes the frame that was shown until now for every time before `until`.
    fn shown_until(&self, found: &mut Found, until: u64, next: Option<&gst::Sample>) -> Result<(), Failure> {
        while self.times.get(found.taken).is_some_and(|time| *time < until) {
            let Some(frame) = found.last.as_ref().or(next) else { break };
            let number = self.first + found.taken;
            self.take.lock().unwrap_or_else(PoisonError::into_inner)(number, frame)?;
            found.taken += 1;
        }
        Ok(())
    }
}

impl Feed for Passing {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let buffer = sample.buffer().ok_or_else(|| unusable("a frame without data"))?;
        let Some(at) = reader::shown_at(sample, buffer) else { return Ok(()) };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.taken == self.times.len() {
            return Ok(());
        }
        self.shown_until(&mut found, at, Some(sample))?;
        if found.taken == self.times.len() {
            found.last = None;
            self.notes.tell(Note::Ended(Branch::Video));
        } else {
            found.last = Some(sample.clone());
        }
        Ok(())
    }

    fn end(&mut self) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(failure) = self.shown_until(&mut found, u64::MAX, None) {
            self.notes.tell(Note::Failed(failure));
        }
    }
}

/// The frame at `time`, read from the key frame before it; nothing where the seek cannot be trusted.
fn seek(
    input: &Path,
    time: u64,
    progress: &mut dyn FnMut(usize),
    number: usize,
) -> Result<Option<gst::Sample>, Failure> {
    let (notes, waiting) = Notes::new();
    let sought = Arc::new(Mutex::new(Sought::default()));
    let feed = Seeking { time, sought: Arc::clone(&sought), notes: notes.clone() };
    let wanted = Wanted { video: Some(Box::new(feed)), ..Wanted::default() };
    let mut reader = reader::open(input, wanted, &notes)?;
    reader.play()?;
    let mut opening = Opening::new(&reader, &notes);
    let mut beat = || {
        opening.look();
        progress(number);
    };
    let started =
        waiting.until(None, &mut beat, |note| matches!(note, Note::Begun | Note::Ended(Branch::Video)));
    let ended = started.and_then(|()| {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT | gst::SeekFlags::SNAP_BEFORE;
        if reader.pipeline.seek_simple(flags, gst::ClockTime::from_nseconds(time)).is_err() {
            return Ok(());
        }
        sought.lock().unwrap_or_else(PoisonError::into_inner).landed = true;
        waiting.until(None, &mut beat, |note| matches!(note, Note::Ended(Branch::Video)))
    });
    match ended {
        Ok(()) => Ok(sought.lock().unwrap_or_else(PoisonError::into_inner).found.take()),
        Err(Interrupted::Failed(failure)) => Err(failure),
        Err(Interrupted::Stalled | Interrupted::Deadline) => {
            reader.abandon();
            Err(note::stalled(WHAT))
        }
    }
}

#[derive(Default)]
struct Sought {
    /// The seek is over; what came before it does not count.
    landed: bool,
    begun: bool,
    done: bool,
    last: Option<(u64, gst::Sample)>,
    found: Option<gst::Sample>,
}

struct Seeking {
    time: u64,
    sought: Arc<Mutex<Sought>>,
    notes: Notes,
}

impl Feed for Seeking {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        if !sought.begun {
            sought.begun = true;
            self.notes.tell(Note::Begun);
        }
        // After a seek the time that runs starts anew; the place in the film does not.
        let segment = sample.segment().and_then(|s| s.downcast_ref::<gst::ClockTime>());
        let at =
            segment.and_then(|s| s.to_stream_time(sample.buffer()?.pts()?)).map(gst::ClockTime::nseconds);
        let (Some(at), true, false) = (at, sought.landed, sought.done) else { return Ok(()) };
        if at > self.time {
            let before = sought.last.take().filter(|(last, _)| at - last <= ADJACENT_NS);
            sought.found = before.map(|(_, sample)| sample);
            sought.done = true;
            self.notes.tell(Note::Ended(Branch::Video));
        } else {
            sought.last = Some((at, sample.clone()));
        }
        Ok(())
    }

    fn end(&mut self) {
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        let time = self.time;
        let before = sought.last.take().filter(|(last, _)| time - last <= ADJACENT_NS);
        if !sought.done {
            sought.found = before.map(|(_, sample)| sample);
        }
    }
}

fn no_frame() -> Failure {
    Failure::new(
        FailureCode::InputDamaged,
        "not one frame of the input's video could be decoded",
        "check that the file plays; get an undamaged copy",
    )
}

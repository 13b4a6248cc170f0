//! What pipelines tell the thread that waits for them, and the wait itself.
//!
//! Every bus and every callback of an operation writes into one channel. The waiting thread takes the first failure,
//! counts the ends, reports progress on time, and gives up where nothing has moved for the process's stall limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::{Failure, FailureCode};

use crate::fault::{self, Side};
use crate::running::{self, Running};

/// The stall limit in milliseconds, for who has set none.
static STALL_MS: AtomicU64 = AtomicU64::new(30_000);

/// How often the waiting thread wakes up to report progress.
const BEAT: Duration = Duration::from_millis(250);

/// Sets how long an operation of this process may stand still, no buffer moving, before it gives up. A process serves
/// one job, so it is the job's limit. Without it: 30 seconds.
pub fn set_stall(limit: Duration) {
    STALL_MS.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn stall() -> Duration {
    Duration::from_millis(STALL_MS.load(Ordering::Relaxed))
}

/// Something that the waiting thread must know.
#[derive(Debug)]
pub(crate) enum Note {
    /// The first of these ends the operation.
    Failed(Failure),
    /// The input has a stream of this kind.
    Found(Branch),
    /// Every stream of the input is known.
    StreamsKnown,
    /// A feed has seen its first frame.
    Begun,
    /// A branch has seen its last buffer.
    Ended(Branch),
}

/// A branch of the data's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Branch {
    Video,
    Audio,
    Other,
}

/// The writing end: cheap to clone, usable from any streaming thread.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    sender: Sender<Note>,
    moved: Arc<AtomicU64>,
    known: Arc<AtomicBool>,
}

impl Notes {
    /// Both ends.
    pub(crate) fn new() -> (Self, Waiting) {
        let (sender, receiver) = channel();
        let moved = Arc::new(AtomicU64::new(0));
        let known = Arc::new(AtomicBool::new(false));
        (Self { sender, moved: Arc::clone(&moved), known }, Waiting { receiver, moved, stall: stall() })
    }

    /// Sends a note; one that nobody waits for any more is dropped.
    pub(crate) fn tell(&self, note: Note) {
        drop(self.sender.send(note));
    }

    fn streams_known(&self) {
        self.known.store(true, Ordering::Relaxed);
        self.tell(Note::StreamsKnown);
    }

    /// Says that a buffer moved.
    pub(crate) fn moved(&self) {
        self.moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the moment when all streams of an input are known. A `parsebin` or demuxer shows all its pads before it lets
    /// data through any of them, and does not say so otherwise; a `parsebin` without pads is drained at once.
    pub(crate) fn await_streams(&self, parse: &gst::Element) {
        if gst::glib::subclass::SignalId::lookup("drained", parse.type_()).is_some() {
            let notes = self.clone();
            parse.connect("drained", false, move |_| {
                notes.streams_known();
                None
            });
        }
        let notes = self.clone();
        parse.connect_pad_added(move |_, pad| notes.await_data(pad));
    }

    /// Takes all streams of an input for known when data or the end comes through this pad.
    pub(crate) fn await_data(&self, pad: &gst::Pad) {
        let notes = self.clone();
        let mask =
            gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
        pad.add_probe(mask, move |_, info| {
            let waits = info.event().is_some_and(|event| event.type_() != gst::EventType::Eos);
            if waits {
                return gst::PadProbeReturn::Ok;
            }
            notes.streams_known();
            gst::PadProbeReturn::Remove
        });
    }

    /// Turns the errors of a pipeline's bus into notes, and has nobody wait for that pipeline any more. Nothing else on the
    /// bus is of interest.
    pub(crate) fn listen(&self, pipeline: &gst::Pipeline, side: Side) {
        let (notes, failing) = (self.clone(), pipeline.downgrade());
        let bus = pipeline.bus().expect("a pipeline has a bus");
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                notes.tell(Note::Failed(fault::from_bus(side, error)));
                if let Some(pipeline) = failing.upgrade() {
                    running::let_go(&pipeline);
                }
            }
            gst::BusSyncReply::Drop
        });
    }
}

/// The waiting end.
#[derive(Debug)]
pub(crate) struct Waiting {
    receiver: Receiver<Note>,
    moved: Arc<AtomicU64>,
    stall: Duration,
}

/// Why a wait ended without reaching its goal.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// A pipeline or callback failed.
    Failed(Failure),
    /// Nothing moved for too long; the pipelines must not be waited for either.
    Stalled,
    /// The deadline passed.
    Deadline,
}

impl Waiting {
    /// Waits until `done` says so of a note; calls `beat` at least four times a second.
    pub(crate) fn until(
        &self,
        deadline: Option<Instant>,
        mut beat: impl FnMut(),
        mut done: impl FnMut(&Note) -> bool,
    ) -> Result<(), Interrupted> {
        let mut seen = self.moved.load(Ordering::Relaxed);
        let mut since = Instant::now();
        let mut next_beat = since + BEAT;
        loop {
            let now = Instant::now();
            let wake = deadline.map_or(next_beat, |at| at.min(next_beat));
            match self.receiver.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(Note::Failed(failure)) => return Err(Interrupted::Failed(failure)),
                Ok(note) => {
                    if done(&note) {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            let now = Instant::now();
            if deadline.is_some_and(|at| now >= at) {
                return Err(Interrupted::Deadline);
            }
            if now >= next_beat {
                next_beat = now + BEAT;
                beat();
            }
            let moved = self.moved.load(Ordering::Relaxed);
            if moved != seen {
                seen = moved;
                since = now;
            } else if now.duration_since(since) >= self.stall {
                return Err(Interrupted::Stalled);
            }
        }
    }
}

/// The failure for an operation in which nothing moves any more.
pub(crate) fn stalled(what: &str) -> Failure {
    Failure::new(
        FailureCode::ProcessStalled,
        format!("{what} stopped moving for {} seconds", stall().as_secs_f64()),
        "try again; if it stays, the input may be damaged in a way that confuses its decoder",
    )
}

/// Watches an input whose streams are not known yet.
///
/// A `parsebin` swallows the error of an element that fails while it is being tried, and then waits for ever. All that
/// shows it is that no thread drives the pipeline any more.
#[derive(Debug)]
pub(crate) struct Opening {
    pipeline: gst::Pipeline,
    notes: Notes,
    idle: u32,
}

impl Opening {
    pub(crate) fn new(input: &Running, notes: &Notes) -> Self {
        Self { pipeline: input.pipeline.clone(), notes: notes.clone(), idle: 0 }
    }

    /// To be called from time to time; reports an input that went silent.
    pub(crate) fn look(&mut self) {
        if self.notes.known.load(Ordering::Relaxed) {
            return;
        }
        self.idle = if is_driven(&self.pipeline) { 0 } else { self.idle + 1 };
        // Twice in a row: between finding the type and reading the first box no thread runs for a moment.
        if self.idle == 2 {
            let text = "the input holds no stream that can be read";
            self.notes.tell(Note::Failed(fault::unreadable(text)));
        }
    }
}

fn is_driven(pipeline: &gst::Pipeline) -> bool {
    let mut elements = pipeline.iterate_recurse();
    while let Ok(Some(element)) = elements.next() {
        if element.pads().iter().any(|pad| pad.task_state() == gst::TaskState::Started) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_gives_up_where_nothing_moves_and_at_no_other_limit_than_the_one_that_was_set() {
        let hour = Duration::from_secs(3600);
        set_stall(hour);
        let (notes, mut waiting) = Notes::new();
        assert_eq!(waiting.stall, hour);
        assert!(stalled("the encode").message.contains("3600 seconds"));
        waiting.stall = Duration::from_millis(400);
        let mut beats = 0;
        let moving = || {
            beats += 1;
            if beats < 4 {
                notes.moved();
            }
        };
        let ended = waiting.until(None, moving, |_| false);
        assert!(matches!(ended, Err(Interrupted::Stalled)), "{ended:?}");
        assert!(beats >= 4, "it gave up while something moved");
        set_stall(Duration::from_secs(30));
    }
}

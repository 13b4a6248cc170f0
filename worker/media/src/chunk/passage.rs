//! The way of frames from the decoder into the rungs: which belong to the chunk, and whether none is missing.

use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::Failure;
use rushes_shared::ladder::{ChunkRange, Keys};
use rushes_shared::media::VideoFacts;

use super::Taker;
use crate::damage;
use crate::note::{Branch as Kind, Note, Notes};
use crate::reader::{Feed, shown_at, unusable};
use crate::tone::{self, ToneMapper};

/// What has come by; shared between the feed, the probes and the thread that waits.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// Frames count from here on: nothing was sought, or the seek is over.
    pub(super) landed: bool,
    /// A frame or the end has been seen, so that there is something to seek in.
    pub(super) begun: bool,
    /// Whether the decoder gives two fields a frame.
    pub(super) interlaced: bool,
    /// Whether the times are those after a seek.
    sought: bool,
    /// The first packet after the seek: whether decoding can start there, and its time in the film.
    packet: Option<(bool, Option<u64>)>,
    /// The place that was sought is of no use: its first packet is no key frame, or is late.
    pub(super) missed: bool,
    pub(super) done: bool,
    pub(super) frames: u64,
    pub(super) first_ns: Option<u64>,
    pub(super) last_ns: u64,
    pub(super) last_duration_ns: u64,
}

/// Handles to it.
pub(super) type Shared = Arc<Mutex<Passed>>;

/// Sends frames on.
pub(super) struct Passage<T> {
    pub(super) range: ChunkRange,
    pub(super) keys: Keys,
    pub(super) frame_ns: u64,
    pub(super) rungs: Arc<Mutex<Vec<T>>>,
    pub(super) passed: Shared,
    pub(super) notes: Notes,
    /// The film, whose high dynamic range some rungs may not carry.
    pub(super) film: VideoFacts,
    pub(super) threads: Option<u32>,
    pub(super) mapper: Option<ToneMapper>,
}

impl<T: Taker> Feed for Passage<T> {
    fn take(&mut self, sample: &gst::Sample) -> Result<(), Failure> {
        let shared = Arc::clone(&self.passed);
        let mut passed = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if !passed.begun {
            passed.begun = true;
            self.notes.tell(Note::Begun);
        }
        if !passed.landed || passed.done || passed.missed {
            return Ok(());
        }
        if self.is_missed(&passed) {
            passed.missed = true;
            self.notes.tell(Note::Ended(Kind::Video));
            return Ok(());
        }
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else {
            return Err(unusable("a frame without data or format"));
        };
        let Some(shown_ns) = place(sample, &buffer, passed.sought) else { return Ok(()) };
        let is_behind = self.range.end_ns.is_some_and(|end| shown_ns >= end);
        // Encoders may take their time; who waits looks at what has passed meanwhile.
        if self.range.holds(shown_ns) {
            let stamped = self.stamped(&mut passed, buffer, shown_ns);
            drop(passed);
            return self.pass(caps, &stamped);
        }
        drop(passed);
        for rung in self.rungs.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            rung.beside(caps, buffer.clone())?;
        }
        if is_behind {
            self.finish();
        }
        Ok(())
    }

    fn end(&mut self) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if !passed.begun {
            passed.begun = true;
            self.notes.tell(Note::Begun);
        }
        let is_over = passed.landed && !passed.done && !passed.missed;
        drop(passed);
        if is_over {
            self.finish();
        }
    }
}

impl<T: Taker> Passage<T> {
    fn finish(&self) {
        for rung in self.rungs.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            rung.end();
        }
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).done = true;
        self.notes.tell(Note::Ended(Kind::Video));
    }

    /// Whether frames that belong to the chunk lie before the first packet that was sought, or could not be decoded whole.
    fn is_missed(&self, passed: &Passed) -> bool {
        // A border lies before its first frame, by half a frame of a constant rate.
        let latest = self.range.start_ns.saturating_add(self.keys.slack_ns);
        match passed.packet {
            Some((key, at)) if passed.sought && self.range.start_ns > 0 => {
                !key || at.is_none_or(|at| at > latest)
            }
            _ => false,
        }
    }

    /// A frame of the chunk with its time, which counts from now on.
    fn stamped(&self, passed: &mut Passed, mut buffer: gst::Buffer, shown_ns: u64) -> gst::Buffer {
        // Two frames at one time, or one that goes back, cannot be encoded; both are kept, a millisecond apart.
        let at = if passed.frames == 0 { shown_ns } else { shown_ns.max(passed.last_ns + 1_000_000) };
        let duration_ns = buffer.duration().map(gst::ClockTime::nseconds).filter(|d| *d > 0);
        let duration_ns = duration_ns.unwrap_or(self.frame_ns);
        if passed.first_ns.is_none() && self.range.start_ns > 0 {
            // What decoders miss behind a place that was sought is no damage.
            damage::take();
        }
        passed.first_ns.get_or_insert(at);
        passed.frames += 1;
        (passed.last_ns, passed.last_duration_ns) = (at, duration_ns);
        let stamped = buffer.make_mut();
        stamped.set_pts(gst::ClockTime::from_nseconds(at));
        stamped.set_dts(gst::ClockTime::NONE);
        stamped.set_duration(gst::ClockTime::from_nseconds(duration_ns));
        buffer
    }

    fn pass(&mut self, caps: &gst::CapsRef, buffer: &gst::Buffer) -> Result<(), Failure> {
        let rungs = Arc::clone(&self.rungs);
        let mut standard = None;
        for rung in rungs.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            if !rung.is_standard_range() {
                rung.take(caps, buffer.clone())?;
                continue;
            }
            let (caps, frame) = match &standard {
                Some(mapped) => mapped,
                None => {
                    standard.insert(tone::mapped(&mut self.mapper, (caps, buffer), &self.film, self.threads)?)
                }
            };
            rung.take(caps, frame.clone())?;
        }
        Ok(())
    }
}

/// When a frame is shown in the film. After a seek the time that runs starts anew, and the place in the film does not; but
/// not every container has one without.
fn place(sample: &gst::Sample, buffer: &gst::BufferRef, sought: bool) -> Option<u64> {
    if !sought {
        return shown_at(sample, buffer);
    }
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_stream_time(buffer.pts()?).map(gst::ClockTime::nseconds)
}

/// Watches packets on their way to the decoder: at the end of a flush everything before it is forgotten.
pub(super) fn watch_packets(pad: &gst::Pad, passed: &Shared) {
    let passed = Arc::clone(passed);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(mask, move |pad, info| {
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        if info.event().is_some_and(|event| event.type_() == gst::EventType::FlushStop) {
            passed.packet = None;
            (passed.landed, passed.sought) = (true, true);
        } else if let Some(packet) = info.buffer()
            && passed.packet.is_none()
        {
            let segment = pad.sticky_event::<gst::event::Segment>(0);
            let at = segment.and_then(|event| {
                event.segment().downcast_ref::<gst::ClockTime>()?.to_stream_time(packet.pts()?)
            });
            let key = !packet.flags().contains(gst::BufferFlags::DELTA_UNIT);
            passed.packet = Some((key, at.map(gst::ClockTime::nseconds)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// Says whether frames have two fields, before a deinterlacer puts them together.
pub(super) fn watch_fields(deinterlacer: &gst::Element, passed: &Shared) {
    let passed = Arc::clone(passed);
    let pad = deinterlacer.static_pad("sink").expect("a filter has a sink pad");
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
            let mode =
                caps.caps().structure(0).and_then(|fields| fields.get::<String>("interlace-mode").ok());
            if mode.is_some_and(|mode| mode != "progressive") {
                passed.lock().unwrap_or_else(PoisonError::into_inner).interlaced = true;
            }
        }
        gst::PadProbeReturn::Ok
    });
}

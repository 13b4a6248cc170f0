//! MP4 files whose movie duration keeps `qtdemux` from reading all of them (seen in GStreamer 1.22).
//!
//! It ends a stream at the first key frame whose time in the media is past that duration, which counts what is shown
//! only: with a head cut off by an edit list, as a cut without re-encoding makes it, everything from there on would be
//! lost. And it leaves out a track that is shorter than a fifth of the movie. It is given an unknown duration instead,
//! while it reads; what is shown is still decided by each track's own edit list. The file itself is not touched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::probe;

/// Whether a frame that begins `before` the first time that is shown belongs to what is shown: at most a tenth of it may
/// be cut off, which no rounding of times reaches. The rest of a longer one would be a frame of no length, which others
/// (FFmpeg among them) do not count either.
pub(crate) fn is_kept(before: u64, duration: u64) -> bool {
    before.saturating_mul(10) <= duration
}

/// Takes away the frame that is cut through by the edit's begin, unless it [is kept](is_kept): a decoder by itself shows
/// it for what is left of its time. `packets` is where the decoder's packets pass, `frames` where its frames leave.
pub(crate) fn drop_cut_frame(packets: &gst::Pad, frames: &gst::Pad) {
    let seen = Arc::new(AtBegin::default());
    let passing = Arc::clone(&seen);
    packets.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let (Some(packet), Some(begins)) = (info.buffer(), begin(pad)) {
            passing.packet(packet, begins);
        }
        gst::PadProbeReturn::Ok
    });
    frames.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let at_begin = info.buffer().is_some_and(|frame| frame.pts() == begin(pad));
        if at_begin && seen.drops() { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
    });
}

/// Packets whose frame a decoder shows at the very begin of the edit.
#[derive(Debug, Default)]
struct AtBegin {
    /// Those that belong there.
    kept: AtomicU32,
    /// Those that were cut through and have not been dropped; parsers do not always know how long a packet lasts, so
    /// there may be more.
    cut: AtomicU32,
    /// Whether any packet begins before the edit; without one, nothing can have been cut through.
    head: AtomicBool,
}

impl AtBegin {
    fn packet(&self, packet: &gst::BufferRef, begins: gst::ClockTime) {
        let Some(at) = packet.pts().filter(|at| *at <= begins) else { return };
        if at < begins {
            self.head.store(true, Ordering::Relaxed);
        }
        let (before, duration) = (begins - at, packet.duration().unwrap_or(gst::ClockTime::ZERO));
        if is_kept(before.nseconds(), duration.nseconds()) {
            self.kept.fetch_add(1, Ordering::Relaxed);
        } else if duration > before {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the next frame there is one to drop. What begins earlier is shown earlier, so those come first.
    fn drops(&self) -> bool {
        let cut =
            self.cut.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        cut || (self.head.load(Ordering::Relaxed) && self.kept.load(Ordering::Relaxed) == 0)
    }
}

/// Where what is shown begins, in the media's own time.
fn begin(pad: &gst::Pad) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    event.segment().downcast_ref::<gst::ClockTime>()?.start()
}

/// Has what reads from `source`, a `filesrc` of the file at `path`, see an unknown duration where the file's does harm.
pub(crate) fn pass_harmless_duration(source: &gst::Element, path: &Path) {
    let Some(field) = probe::harmless_duration(path) else { return };
    let pad = source.static_pad("src").expect("a source has a pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        let (start, len) = (buffer.offset(), buffer.size() as u64);
        if start == u64::MAX || start >= field.at + field.bytes.len() as u64 || start + len <= field.at {
            return gst::PadProbeReturn::Ok;
        }
        if let Ok(mut map) = buffer.make_mut().map_writable() {
            for (place, byte) in (field.at..).zip(&field.bytes) {
                let within = place.checked_sub(start).and_then(|n| usize::try_from(n).ok());
                if let Some(target) = within.and_then(|n| map.get_mut(n)) {
                    *target = *byte;
                }
            }
        }
        gst::PadProbeReturn::Ok
    });
}

//! The last frames of an encoder that may lose them.
//!
//! libvpx, asked for what it still holds, gives no more at once than a frame takes uncompressed, and its element asks once.
//! Frames that follow move them out; their packets are not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gstreamer as gst;
use rushes_shared::encode::VideoCodec;

use super::encoder::vp9;
use crate::reader::shown_at;

/// What is known of the last frame, and of the packets so far. Its clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    is_needed: bool,
    /// The last frame and how long it lasts.
    last: Option<(gst::Buffer, u64)>,
    /// The largest packet so far, in bytes.
    largest: Arc<AtomicU64>,
    /// The last frame's time, once it is known that more are encoded behind it.
    end_ns: Arc<AtomicU64>,
}

impl Tail {
    pub(crate) fn of(codec: VideoCodec) -> Self {
        let end_ns = Arc::new(AtomicU64::new(u64::MAX));
        Self { is_needed: codec == VideoCodec::Vp9, last: None, largest: Arc::default(), end_ns }
    }

    /// Sees a frame on its way to the encoder.
    pub(crate) fn passes(&mut self, frame: &gst::Buffer, duration_ns: u64) {
        if self.is_needed {
            self.last = Some((frame.clone(), duration_ns));
        }
    }

    /// The frames that are to follow the last one, each with its time; none where packets are small enough for a size of
    /// `pixels`.
    pub(crate) fn follow(&self, pixels: u64) -> Vec<(gst::Buffer, u64, u64)> {
        let Some((frame, duration_ns)) = &self.last else { return Vec::new() };
        let Some(last_ns) = frame.pts().map(gst::ClockTime::nseconds) else { return Vec::new() };
        let largest = self.largest.load(Ordering::Relaxed);
        if largest > 0 && largest * u64::from(vp9::HELD_FRAMES) < pixels {
            return Vec::new();
        }
        self.end_ns.store(last_ns, Ordering::Release);
        let number = 1..=u64::from(vp9::HELD_FRAMES) + 1;
        let next = number.map(|number| {
            let (mut frame, at) = (frame.clone(), last_ns + number * duration_ns);
            frame.make_mut().set_pts(gst::ClockTime::from_nseconds(at));
            (frame, at, *duration_ns)
        });
        next.collect()
    }

    /// Sees a packet; whether it is one of the film's.
    pub(crate) fn keeps(&self, sample: &gst::Sample) -> bool {
        let Some(packet) = sample.buffer() else { return true };
        self.largest.fetch_max(u64::try_from(packet.size()).unwrap_or(u64::MAX), Ordering::Relaxed);
        shown_at(sample, packet).is_none_or(|at| at <= self.end_ns.load(Ordering::Acquire))
    }
}

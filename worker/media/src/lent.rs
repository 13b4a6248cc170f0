//! Memory for frames that an encoder copies.
#![expect(
    unsafe_code,
    reason = "memory that is written anew while somebody still points at it; each use says why it is sound"
)]
//!
//! GStreamer's encoder elements keep a frame until its packet leaves, which with a lookahead is some sixty frames later. But x264,
//! x265, libaom and libvpx copy each one when they are given it. So a frame's memory is used anew once the next one goes into the encoder:
//! a few frames in place of sixty, which at 2160p is 0.7 GiB that need not be found and cleared.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as video;

use crate::linked;

/// Encoders that have copied a frame when they come back from being given it.
const COPYING: &[&str] = &["x264enc", "x265enc", linked::AV1, linked::VP9];

/// Where frames for an encoder are made.
#[derive(Debug)]
pub(crate) enum Frames {
    /// The memory is used anew while the encoder keeps the frame.
    Lent(Arc<Mutex<Loans>>),
    /// The memory is used anew when nobody has the frame any more.
    Kept(Option<(video::VideoInfo, video::VideoBufferPool)>),
}

/// Memory that is lent out, and that can be.
#[derive(Debug, Default)]
pub(crate) struct Loans {
    free: Vec<Arc<Slot>>,
    /// Waits before the encoder, in order.
    waiting: VecDeque<Arc<Slot>>,
    /// The encoder is given it.
    passing: Option<Arc<Slot>>,
}

impl Frames {
    /// Frames for an encoder. They must go through the pad `entrance`, each once and in the order in which they were
    /// made, and from there on one thread brings each through `encoder` before it takes the next.
    pub(crate) fn of(encoder: &gst::Element, entrance: &gst::Pad) -> Self {
        let name = encoder.factory().map(|factory| factory.name());
        if !name.is_some_and(|name| COPYING.contains(&name.as_str())) {
            return Self::Kept(None);
        }
        let loans = Arc::new(Mutex::new(Loans::default()));
        let passed = Arc::clone(&loans);
        entrance.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            passed.lock().unwrap_or_else(PoisonError::into_inner).pass();
            gst::PadProbeReturn::Ok
        });
        Self::Lent(loans)
    }

    /// Whether a frame that comes from elsewhere is better copied, so that its memory is free again.
    pub(crate) fn are_lent(&self) -> bool {
        matches!(self, Self::Lent(_))
    }

    /// A new frame, whatever is in it. `None` where there is no memory.
    pub(crate) fn make(&mut self, info: &video::VideoInfo) -> Option<gst::Buffer> {
        match self {
            Self::Lent(loans) => Some(loans.lock().unwrap_or_else(PoisonError::into_inner).lend(info.size())),
            Self::Kept(pool) => {
                if pool.as_ref().is_none_or(|(of, _)| of != info) {
                    *pool = Some((info.clone(), pool_of(info)?));
                }
                pool.as_ref()?.1.acquire_buffer(None).ok()
            }
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Self::Kept(Some((_, pool))) = self {
            // Frames that are on their way keep the memory that they have.
            let _stopped = pool.set_active(false);
        }
    }
}

fn pool_of(info: &video::VideoInfo) -> Option<video::VideoBufferPool> {
    let pool = video::VideoBufferPool::new();
    let mut config = pool.config();
    config.set_params(info.to_caps().ok().as_ref(), u32::try_from(info.size()).ok()?, 0, 0);
    pool.set_config(config).ok()?;
    pool.set_active(true).ok()?;
    Some(pool)
}

impl Loans {
    fn lend(&mut self, size: usize) -> gst::Buffer {
        self.free.retain(|slot| slot.size == size);
        let slot = self.free.pop().unwrap_or_else(|| Arc::new(Slot::new(size)));
        self.waiting.push_back(Arc::clone(&slot));
        gst::Buffer::from_mut_slice(Loan(slot))
    }

    /// The next frame goes into the encoder: the one before is copied.
    fn pass(&mut self) {
        let copied = std::mem::replace(&mut self.passing, self.waiting.pop_front());
        self.free.extend(copied);
    }
}

/// A frame's memory.
#[derive(Debug)]
struct Slot {
    size: usize,
    bytes: UnsafeCell<Box<[u8]>>,
}

// SAFETY: its bytes are reached through a `Loan` alone, of which no two are used at a time: a slot is lent again only after the
// encoder has copied what the loan before it was for.
unsafe impl Sync for Slot {}

impl Slot {
    fn new(size: usize) -> Self {
        Self { size, bytes: UnsafeCell::new(vec![0; size].into_boxed_slice()) }
    }
}

/// Keeps a slot's memory alive for as long as a frame points to it.
struct Loan(Arc<Slot>);

impl AsMut<[u8]> for Loan {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: GStreamer asks once, when the frame is made, and keeps the address. Frames before this one in the same slot
        // have the address too, but who has them, the encoder, looked at their bytes for the last time before the slot
        // became free; nothing that Rust knows of refers to them.
        unsafe { &mut *self.0.bytes.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_lent_again_once_the_next_frame_has_gone_in() {
        crate::init().expect("GStreamer starts");
        let address = |frame: &gst::Buffer| frame.map_readable().expect("mapped").as_ptr() as usize;
        let mut loans = Loans::default();
        let frames: Vec<gst::Buffer> = (0..3).map(|_| loans.lend(1_000)).collect();
        let places: Vec<usize> = frames.iter().map(address).collect();
        loans.pass();
        assert!(!places.contains(&address(&loans.lend(1_000))), "the first one is being copied");
        loans.pass();
        assert_eq!(address(&loans.lend(1_000)), places[0], "though its frame is still kept");
        loans.pass();
        assert!(!places.contains(&address(&loans.lend(2_000))), "another size");
        assert!(loans.free.is_empty());
    }
}

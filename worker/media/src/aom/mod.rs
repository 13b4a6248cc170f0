//! AV1 by libaom, which is linked in.
//!
//! GStreamer 1.22's own element knows no level of quality but a lowest quantizer that is also the highest, with which every frame
//! costs as much as the best one, two thirds more bits for the same picture; and it takes eight bits alone. This one has
//! libaom's constrained quality, ten bits, and key frames where they are asked for.
//!
//! ```text
//! element   a GStreamer encoder: frames in, packets out, in the order of the film
//!   └─ context   libaom's encoder: the calls into the C library
//! ```

mod context;
mod element;

use std::num::NonZeroU32;
use std::thread;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use rushes_shared::failure::Failure;

use crate::encode::mastering::Mastering;
use crate::start;

/// The element's name.
pub(crate) const ELEMENT: &str = "rushesaomenc";

/// How an encoder is to encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) usage: Usage,
    /// libaom's `cpu-used`.
    pub(crate) speed: i32,
    /// As many as the machine has where nothing is said.
    pub(crate) threads: Option<NonZeroU32>,
    /// Tile columns, as a power of two.
    pub(crate) tile_columns: u32,
    pub(crate) keys: Keys,
    pub(crate) rate: Rate,
    /// How long frames of a variable rate are shown on the mean, in nanoseconds, by which a bit rate is shared out.
    pub(crate) frame_ns: u64,
    /// Primaries, transfer and matrix as ISO/IEC 23091-2 numbers them; 2 is unspecified.
    pub(crate) points: [u16; 3],
    pub(crate) is_full_range: bool,
    /// What key frames say of the display that the film was mastered on, and of its light.
    pub(crate) mastering: Option<Mastering>,
}

/// libaom's usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Good,
    Realtime,
}

/// Where key frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Every so many frames and nowhere else.
    Every(u32),
    /// At cuts, and after so many frames at most.
    AtMost(u32),
    /// Where they are asked for and nowhere else.
    Asked,
}

/// What decides the bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    Lossless,
    /// A level of quality, 1 to 63, the lower the better.
    Quality(u8),
    /// A level of quality as long as the mean rate in kbit/s stays below this.
    Capped(u8, u32),
    /// A constant rate in kbit/s over a buffer of so many milliseconds.
    Constant(u32, u32),
}

impl Settings {
    fn thread_count(&self) -> u32 {
        let all = || thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        // libaom's own limit.
        self.threads.map_or_else(all, NonZeroU32::get).min(64)
    }
}

/// libaom's version.
pub(crate) fn version() -> String {
    context::version()
}

/// Makes the element known. A second time changes nothing.
pub(crate) fn register() -> Result<(), glib::BoolError> {
    gst::Element::register(None, ELEMENT, gst::Rank::NONE, element::Aom::static_type())
}

/// An encoder of these settings.
pub(crate) fn encoder(settings: Settings) -> Result<gst::Element, Failure> {
    let made = start::element(ELEMENT)?;
    if let Some(encoder) = made.downcast_ref::<element::Aom>() {
        encoder.set(settings);
    }
    Ok(made)
}

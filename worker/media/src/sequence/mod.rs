//! Image sequences as films: the pictures of a pattern or of a tar archive, at a constant frame rate.
//!
//! ```text
//! place      a path -> which pictures there are, in order; their bytes, from files or straight out of the archive
//! picture    a picture's bytes -> pixels in red, green and blue, of 8 bits or of 12
//! pixels     how they lie in a frame
//! curve      scene-linear light -> the curve of screens
//! ahead      pictures are decoded by several threads before they are asked for, and come out in order
//! source     appsrc: frames with their times, seekable to each
//! facts      what a probe says of them
//! ```
//! The [reader](crate::reader) opens a sequence where its path names one, so no operation knows of them.

mod ahead;
mod curve;
mod facts;
mod picture;
mod pixels;
mod place;
mod source;

use std::sync::atomic::{AtomicU64, Ordering};

use rushes_shared::media::MediaFacts;
use rushes_shared::sequence::{CONTAINER, DEFAULT_RATE, FrameRate};
use rushes_shared::units::Ratio;

pub(crate) use facts::read as facts;
pub(crate) use place::Sequence;
pub(crate) use source::source;

/// The rate, numerator above denominator; 0 where none was set.
static RATE: AtomicU64 = AtomicU64::new(0);

/// Sets the frame rate of image sequences in this process, which serves one job. Without it: 24 pictures a second.
pub fn set_frame_rate(rate: FrameRate) {
    let Ratio { num, den } = rate.ratio();
    RATE.store(u64::from(num) << 32 | u64::from(den), Ordering::Relaxed);
}

/// The rate, and whether it was set.
fn rate() -> (Ratio, bool) {
    let set = RATE.load(Ordering::Relaxed);
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    match Ratio::new(half(set >> 32), half(set)) {
        Some(rate) => (rate, true),
        None => (DEFAULT_RATE, false),
    }
}

/// What a user should know of a film that is a sequence, a line each.
pub(crate) fn told(source: &MediaFacts) -> Vec<String> {
    let Some(video) = source.video.first().filter(|_| source.container == CONTAINER) else {
        return Vec::new();
    };
    let mut told = Vec::new();
    if !rate().1 {
        told.push("no frame rate was said of the image sequence: 24 pictures a second are taken".to_owned());
    }
    if video.codec == "exr" {
        told.push(
            "the pictures are scene-linear: they get the curve of sRGB, with the primaries of BT.709, and light above 1 is cut off"
                .to_owned(),
        );
    }
    if facts::has_alpha(&video.pixel_format) {
        told.push("the pictures are partly transparent: they are laid over black".to_owned());
    }
    told
}

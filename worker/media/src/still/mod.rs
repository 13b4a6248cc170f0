//! Pictures from a film.
//!
//! ```text
//! pick       times -> the decoded frames that are shown then: one pass over the film, or a seek for each
//! render     decoded frame -> upright picture with square pixels, in a size
//! thumbnail, sprite, preview
//! ```

mod best;
mod pick;
mod preview;
mod render;
mod sprite;
mod thumbnail;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::{MediaFacts, VideoFacts};

pub use preview::preview;
pub(crate) use preview::size as preview_size;
pub(crate) use sprite::stamp;
pub use sprite::{Sprite, sprite, sprite_index};
pub use thumbnail::thumbnails;
pub(crate) use thumbnail::{size as thumbnail_size, spaced as times};

/// The film that pictures are taken from.
fn film(source: &MediaFacts) -> Result<&VideoFacts, Failure> {
    let Some(video) = source.video.first() else {
        return Err(Failure::new(
            FailureCode::StreamMissing,
            "the input has no picture",
            "give a file with a video stream",
        ));
    };
    Ok(video)
}

/// Where the film ends, in nanoseconds; 0 where that is not known, or for a still.
fn end_of(video: &VideoFacts) -> u64 {
    if video.frames == 1 { 0 } else { video.start_ns + video.duration_ns }
}

fn impossible(message: String, advice: &str) -> Failure {
    Failure::new(FailureCode::SettingsImpossible, message, advice)
}

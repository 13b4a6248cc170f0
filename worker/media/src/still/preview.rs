//! Moving previews: a few seconds of a film as an endless GIF, by the `gif` crate.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gif::{Encoder, Frame, Repeat};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::still::PreviewSettings;
use rushes_shared::task::{Phase, Progress};

use super::pick::{Taker, pick};
use super::render::{fitted, render};
use super::{end_of, film, impossible};
use crate::fault;
use crate::pace::Pace;

/// Frames of a preview at most.
const FRAMES_MAX: u64 = 1_000;
const SECOND_NS: u64 = 1_000_000_000;
/// A GIF counts time in hundredths of a second.
const TICKS_A_SECOND: u32 = 100;
/// How fast colours are chosen: 1 is best, 30 fastest.
const PALETTE_SPEED: i32 = 10;

/// Writes the preview of a film into `output`. Returns the number of its frames. Blocks; calls `progress` at least once a
/// second.
///
/// # Errors
/// Those of [`thumbnails`](super::thumbnails()), and of writing; `SettingsImpossible` for a preview that begins after the
/// film's end, has no frame or more than 1,000, or a rate that is not 1 to 50 frames a second.
pub fn preview(
    input: &Path,
    source: &MediaFacts,
    settings: &PreviewSettings,
    output: Box<dyn Write + Send>,
    progress: &mut dyn FnMut(Progress),
) -> Result<usize, Failure> {
    let film = film(source)?;
    let end = end_of(film);
    let length =
        settings.length_ns.min(if end > 0 { end.saturating_sub(settings.from_ns) } else { u64::MAX });
    let fps = u64::from(settings.fps);
    let count = crate::pace::scaled(length, fps, SECOND_NS);
    if !(1..=50).contains(&fps) || count == 0 || count > FRAMES_MAX {
        return Err(impossible(
            format!("a preview of {count} frames at {fps} a second cannot be made"),
            "make 1 to 1000 frames, 1 to 50 a second, from a time within the film",
        ));
    }
    let times: Vec<u64> = (0..count).map(|n| settings.from_ns + n * SECOND_NS / fps).collect();
    let size = size(source, settings)?;
    let side = |side: u32| u16::try_from(side).map_err(|_| too_large(size));
    let (width, height) = (side(size.0)?, side(size.1)?);
    let mut encoder = Encoder::new(output, width, height, &[]).map_err(|error| unwritten(&error))?;
    encoder.set_repeat(Repeat::Infinite).map_err(|error| unwritten(&error))?;
    let pace = Pace::new(Phase::Running, 0, count);
    let of = film.clone();
    let delay = u16::try_from(TICKS_A_SECOND / settings.fps).unwrap_or(1);
    let encoder = Arc::new(Mutex::new(Some(encoder)));
    let into = Arc::clone(&encoder);
    let take: Taker = Box::new(move |_, frame| {
        let picture = render(frame, &of, size)?;
        let mut frame = Frame::from_rgb_speed(width, height, picture.pixels(), PALETTE_SPEED);
        frame.delay = delay;
        let mut encoder = into.lock().unwrap_or_else(PoisonError::into_inner);
        let encoder = encoder.as_mut().expect("frames come before the end");
        encoder.write_frame(&frame).map_err(|error| unwritten(&error))
    });
    pick(input, &times, take, &mut |taken| progress(pace.at(0, taken as u64)))?;
    let encoder =
        encoder.lock().unwrap_or_else(PoisonError::into_inner).take().expect("nothing else takes it");
    let mut output = encoder.into_inner().map_err(|error| unwritten(&error))?;
    output.flush().map_err(|error| fault::writing(&error))?;
    Ok(times.len())
}

/// The size of a preview's frames.
pub(crate) fn size(source: &MediaFacts, settings: &PreviewSettings) -> Result<(u32, u32), Failure> {
    Ok(fitted(film(source)?, Some(settings.max_width.max(1)), None))
}

fn too_large(size: (u32, u32)) -> Failure {
    impossible(format!("a GIF of {}x{} pixels cannot be made", size.0, size.1), "use a smaller width")
}

fn unwritten(error: &gif::EncodingError) -> Failure {
    match error {
        gif::EncodingError::Io(error) => fault::writing(&io::Error::from(error.kind())),
        other => Failure::new(FailureCode::PipelineFailed, "the preview could not be encoded", "try again")
            .with_detail(&other.to_string()),
    }
}

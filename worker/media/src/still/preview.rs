//! Moving previews: a few seconds of a film as an endless GIF, by the `gif` crate, or animated WebP, by libwebp.
//!
//! A thread of its own writes them, so that frames are decoded while others are encoded.

use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use gif::{Encoder, Frame, Repeat};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;
use rushes_shared::still::{MovingFormat, PreviewSettings};
use rushes_shared::task::{Phase, Progress};
use webp_animation::{ColorMode, EncoderOptions, EncodingConfig};

use super::pick::{Taker, pick};
use super::render::{fitted, render};
use super::{end_of, film, impossible};
use crate::canvas::Canvas;
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
    format: MovingFormat,
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
    let (frames, taken) = sync_channel(FRAMES_WAITING);
    let fps = settings.fps;
    let writer = thread::Builder::new().name("preview".to_owned()).spawn(move || match format {
        MovingFormat::Gif => write_gif(&taken, size, fps, output),
        MovingFormat::Webp(quality) => write_webp(&taken, size, (fps, quality), output),
    });
    let writer = writer.map_err(|error| fault::writing(&error))?;
    let pace = Pace::new(Phase::Running, 0, count);
    let of = film.clone();
    let into = frames.clone();
    let take: Taker = Box::new(move |_, frame| {
        // Where nobody takes frames any more the writer has failed, and says why.
        into.send(Some(render(frame, &of, size)?)).map_err(|_| stopped())
    });
    let picked = pick(input, &times, take, &mut |taken| progress(pace.at(0, taken as u64)));
    let _ended_before = frames.send(None);
    writer.join().map_err(|_| stopped())??;
    picked?;
    Ok(times.len())
}

/// Frames that wait to be written.
const FRAMES_WAITING: usize = 2;

/// Frames, and after the last one `None`.
type Frames = Receiver<Option<Canvas>>;

fn write_gif(
    frames: &Frames,
    size: (u32, u32),
    fps: u32,
    output: Box<dyn Write + Send>,
) -> Result<(), Failure> {
    let side = |side: u32| u16::try_from(side).map_err(|_| too_large(size));
    let (width, height) = (side(size.0)?, side(size.1)?);
    let mut encoder = Encoder::new(output, width, height, &[]).map_err(|error| unwritten(&error))?;
    encoder.set_repeat(Repeat::Infinite).map_err(|error| unwritten(&error))?;
    // Whole ticks that follow the time of the frames, so that the speed is right over all of them.
    let ticks = |frames: u32| frames.saturating_mul(TICKS_A_SECOND) / fps.max(1);
    let mut number = 0;
    while let Ok(Some(picture)) = frames.recv() {
        let mut frame = Frame::from_rgb_speed(width, height, picture.pixels(), PALETTE_SPEED);
        frame.delay = u16::try_from(ticks(number + 1) - ticks(number)).unwrap_or(1).max(1);
        number += 1;
        encoder.write_frame(&frame).map_err(|error| unwritten(&error))?;
    }
    let mut output = encoder.into_inner().map_err(|error| unwritten(&error))?;
    output.flush().map_err(|error| fault::writing(&error))
}

fn write_webp(
    frames: &Frames,
    size: (u32, u32),
    (fps, quality): (u32, u8),
    mut output: Box<dyn Write + Send>,
) -> Result<(), Failure> {
    let options = EncoderOptions {
        color_mode: ColorMode::Rgb,
        encoding_config: Some(EncodingConfig::new_lossy(f32::from(quality))),
        ..EncoderOptions::default()
    };
    let mut encoder =
        webp_animation::Encoder::new_with_options(size, options).map_err(|error| unmade(&error))?;
    let at = |number: u32| {
        let ms = u64::from(number) * 1_000 / u64::from(fps.max(1));
        i32::try_from(ms).unwrap_or(i32::MAX)
    };
    let mut number = 0;
    while let Ok(Some(picture)) = frames.recv() {
        encoder.add_frame(picture.pixels(), at(number)).map_err(|error| unmade(&error))?;
        number += 1;
    }
    let file = encoder.finalize(at(number)).map_err(|error| unmade(&error))?;
    output.write_all(&file).and_then(|()| output.flush()).map_err(|error| fault::writing(&error))
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

fn unmade(error: &webp_animation::Error) -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the preview could not be encoded", "use a smaller width")
        .with_detail(&error.to_string())
}

fn stopped() -> Failure {
    Failure::new(FailureCode::PipelineFailed, "the preview's encoder stopped", "try again")
}

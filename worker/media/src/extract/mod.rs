//! Outputs that are no renditions: each is one file, and is read back before anybody is given it.
//!
//! ```text
//! stills, sprite, preview, waveform -> the file     (archive: many pictures in one)
//! the file -> check: size in bytes, pictures, width and height against what was planned
//! ```

mod archive;
mod check;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use rushes_shared::check::Check;
use rushes_shared::encode::{Extract, Extracted};
use rushes_shared::failure::Failure;
use rushes_shared::measure::{Waveform, WaveformSettings};
use rushes_shared::media::MediaFacts;
use rushes_shared::still::{Moment, MovingFormat, PreviewSettings, ThumbnailSettings};
use rushes_shared::task::Progress;

use crate::{fault, sound, still};
use check::Planned;

/// What to take from which file.
#[derive(Debug, Clone, Copy)]
pub struct ExtractJob<'a> {
    /// The source.
    pub input: &'a Path,
    /// What [`probe`](crate::probe()) found it to be.
    pub source: &'a MediaFacts,
    /// What is taken.
    pub extract: &'a Extract,
    /// The file to make.
    pub output: &'a Path,
}

/// A file that was taken, and read back.
#[derive(Debug, Clone, PartialEq)]
pub struct ExtractMade {
    /// What the file is. Of what is no media only the container and the size are known.
    pub facts: MediaFacts,
    /// Pictures that were planned; 0 where there are none.
    pub planned: u64,
    /// Pictures that were found in the file.
    pub found: u64,
    /// Every check, those that failed among them.
    pub checks: Vec<Check>,
    /// Wall time until the file was written, in milliseconds.
    pub took_ms: u64,
    /// What has made it.
    pub by: &'static str,
}

/// Makes the file and reads it back. Blocks; calls `progress` at least once a second while it reads the source.
///
/// # Errors
/// Those of [`thumbnails`](crate::thumbnails()), [`sprite`](crate::sprite()), [`preview`](crate::preview()) and
/// [`waveform`](crate::waveform()); `NodeUnfit` where the file cannot be written; `CheckFailed` where it cannot be read back.
/// A limit that is broken is no error here: the check says so.
pub fn extract(job: &ExtractJob<'_>, progress: &mut dyn FnMut(Progress)) -> Result<ExtractMade, Failure> {
    let since = Instant::now();
    let (planned, by) = make(job, progress)?;
    let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (facts, found) = check::read_back(job.output, &job.extract.what)?;
    let checks = check::held(&facts, found, planned, job.extract.max_bytes);
    Ok(ExtractMade { facts, planned: planned.pictures, found, checks, took_ms, by })
}

fn make(
    job: &ExtractJob<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Planned, &'static str), Failure> {
    let &ExtractJob { input, source, extract, output } = job;
    match &extract.what {
        Extracted::Stills(settings @ ThumbnailSettings { moment: Moment::Every(every_ns), .. }) => {
            let archive = archive::Archive::create(output)?;
            let count =
                still::thumbnails(input, source, settings, archive.keeper(settings.format), progress)?;
            archive.finish(&still::times(source, *every_ns, count)?, settings.format)?;
            let size = still::thumbnail_size(source, settings)?;
            Ok((Planned { pictures: count as u64, size: Some(size) }, settings.format.ending()))
        }
        Extracted::Stills(settings) => {
            let place = output.to_owned();
            let keep =
                Box::new(move |_, bytes: &[u8]| fs::write(&place, bytes).map_err(|e| fault::writing(&e)));
            still::thumbnails(input, source, settings, keep, progress)?;
            let size = still::thumbnail_size(source, settings)?;
            Ok((Planned { pictures: 1, size: Some(size) }, settings.format.ending()))
        }
        Extracted::Sprite(settings) => {
            let made = still::sprite(input, source, settings, progress)?;
            written(output, &made.sheet)?;
            Ok((Planned { pictures: 1, size: Some(made.size) }, settings.format.ending()))
        }
        Extracted::SpriteIndex(settings) => {
            written(output, still::sprite_index(source, settings)?.as_bytes())?;
            Ok((Planned::default(), "vtt"))
        }
        Extracted::Preview(settings) => moving(job, settings, MovingFormat::Gif, progress),
        Extracted::WebpPreview(settings, quality) => {
            moving(job, settings, MovingFormat::Webp(*quality), progress)
        }
        Extracted::Waveform(settings) => {
            let waveform = sound::waveform(input, source, settings, progress)?;
            drawn(output, &waveform, settings)
        }
    }
}

fn moving(
    job: &ExtractJob<'_>,
    settings: &PreviewSettings,
    format: MovingFormat,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Planned, &'static str), Failure> {
    let file = File::create(job.output).map_err(|e| fault::writing(&e))?;
    let file = Box::new(BufWriter::new(file));
    let frames = still::preview(job.input, job.source, settings, format, file, progress)?;
    let size = still::preview_size(job.source, settings)?;
    Ok((Planned { pictures: frames as u64, size: Some(size) }, format.ending()))
}

fn drawn(
    output: &Path,
    waveform: &Waveform,
    settings: &WaveformSettings,
) -> Result<(Planned, &'static str), Failure> {
    if let Some(size) = settings.picture {
        written(output, &sound::waveform_picture(waveform, size)?)?;
        return Ok((Planned { pictures: 1, size: Some(size) }, "png"));
    }
    let file = File::create(output).map_err(|e| fault::writing(&e))?;
    let mut file = BufWriter::new(file);
    let told = serde_json::to_writer(&mut file, waveform).map_err(io::Error::from);
    told.and_then(|()| file.write_all(b"\n")).and_then(|()| file.flush()).map_err(|e| fault::writing(&e))?;
    Ok((Planned::default(), "json"))
}

fn written(output: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(output, bytes).map_err(|e| fault::writing(&e))
}

//! Thumbnails: one poster, or one every few seconds.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use rushes_shared::failure::Failure;
use rushes_shared::media::{MediaFacts, VideoFacts};
use rushes_shared::still::{Moment, StillFormat, ThumbnailSettings};
use rushes_shared::task::{Phase, Progress};

use super::pick::{Taker, pick};
use super::render::{fitted, render};
use super::{best, end_of, film, impossible};
use crate::canvas::PictureFormat;
use crate::pace::Pace;

/// Frames that are looked at for the best one, and the width in pixels in which they are.
const CANDIDATES: u64 = 12;
const LOOK_WIDTH: u32 = 160;
/// Where most films have begun.
const EARLY_NS: u64 = 1_000_000_000;
/// Thumbnails of one film at most.
const THUMBNAILS_MAX: u64 = 10_000;

/// Takes a picture's number and its file's bytes.
type Keep = Box<dyn FnMut(usize, &[u8]) -> Result<(), Failure> + Send>;

/// Takes thumbnails of a film that [`probe`](crate::probe()) found to be `source` and gives `keep` each, with its number
/// from 0 and as the bytes of a file. Returns their number. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// `StreamMissing` without video; `SettingsImpossible` for a time beyond the film's end, or more than 10,000
/// pictures; `InputDamaged` where no frame can be decoded; the codes of [`probe`](crate::probe()); what `keep` says.
pub fn thumbnails(
    input: &Path,
    source: &MediaFacts,
    settings: &ThumbnailSettings,
    keep: Keep,
    progress: &mut dyn FnMut(Progress),
) -> Result<usize, Failure> {
    let film = film(source)?;
    let times = times(film, settings.moment)?;
    let pace = Pace::new(Phase::Running, 0, times.len() as u64);
    let mut tell = |taken: usize| progress(pace.at(0, taken as u64));
    let size = fitted(film, settings.max_width, settings.max_height);
    let mut drawer = Drawer { film: film.clone(), size, format: stored(settings.format), keep };
    if settings.moment == Moment::Best {
        let frame = most_telling(input, film, &times, &mut tell)?;
        drawer.draw(0, &frame)?;
        return Ok(1);
    }
    let take: Taker = Box::new(move |number, frame| drawer.draw(number, frame));
    pick(input, &times, take, &mut tell)?;
    Ok(times.len())
}

/// The size of every picture that these settings give.
pub(crate) fn size(source: &MediaFacts, settings: &ThumbnailSettings) -> Result<(u32, u32), Failure> {
    Ok(fitted(film(source)?, settings.max_width, settings.max_height))
}

/// The times of so many pictures, this far apart, and where the last one ends.
pub(crate) fn spaced(source: &MediaFacts, every_ns: u64, count: usize) -> Result<Vec<u64>, Failure> {
    let end = end_of(film(source)?);
    let mut times: Vec<u64> = (0..count as u64).map(|n| n * every_ns).collect();
    let last = times.last().map_or(0, |last| if end > *last { end } else { last + every_ns });
    times.push(last);
    Ok(times)
}

struct Drawer {
    film: VideoFacts,
    size: (u32, u32),
    format: PictureFormat,
    keep: Keep,
}

impl Drawer {
    fn draw(&mut self, number: usize, frame: &gst::Sample) -> Result<(), Failure> {
        (self.keep)(number, &render(frame, &self.film, self.size)?.encode(self.format)?)
    }
}

/// How a canvas stores it.
pub(super) fn stored(format: StillFormat) -> PictureFormat {
    match format {
        StillFormat::Jpeg(quality) => PictureFormat::Jpeg(quality),
        StillFormat::Png => PictureFormat::Png,
    }
}

fn times(film: &VideoFacts, moment: Moment) -> Result<Vec<u64>, Failure> {
    let end = end_of(film);
    match moment {
        Moment::Early => Ok(vec![EARLY_NS.min(end / 2)]),
        Moment::At(time) if end > 0 && time >= end => {
            #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
            let seconds = end as f64 / 1e9;
            Err(impossible(
                format!("the film ends after {seconds:.3} s, before the time that a picture is asked of"),
                "give an earlier time",
            ))
        }
        Moment::At(time) => Ok(vec![time]),
        // Neither the first nor the last moments, which are often black.
        Moment::Best => Ok((0..CANDIDATES).map(|n| end / (2 * CANDIDATES) * (2 * n + 1)).collect()),
        Moment::Every(0) => {
            Err(impossible("there is no time between the pictures".to_owned(), "give more than 0 seconds"))
        }
        Moment::Every(step) => {
            let count = end.div_ceil(step).max(1);
            if count > THUMBNAILS_MAX {
                return Err(impossible(
                    format!("{count} pictures are asked for, at most {THUMBNAILS_MAX} are made"),
                    "take one less often",
                ));
            }
            Ok((0..count).map(|n| n * step).collect())
        }
    }
}

/// The frame that shows most.
fn most_telling(
    input: &Path,
    film: &VideoFacts,
    times: &[u64],
    tell: &mut dyn FnMut(usize),
) -> Result<gst::Sample, Failure> {
    let best: Arc<Mutex<Option<(f64, gst::Sample)>>> = Arc::default();
    let found = Arc::clone(&best);
    let (of, size) = (film.clone(), fitted(film, Some(LOOK_WIDTH), Some(LOOK_WIDTH)));
    let take: Taker = Box::new(move |_, frame| {
        let score = best::score(&render(frame, &of, size)?);
        let mut best = best.lock().unwrap_or_else(PoisonError::into_inner);
        if best.as_ref().is_none_or(|(other, _)| score > *other) {
            *best = Some((score, frame.clone()));
        }
        Ok(())
    });
    pick(input, times, take, tell)?;
    let found = found.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(found.expect("a pick without failure has taken frames").1)
}

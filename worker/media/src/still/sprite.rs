//! Sprite sheets with their WebVTT index, as players use them for previews on the time line.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rushes_shared::failure::Failure;
use rushes_shared::media::MediaFacts;
use rushes_shared::still::SpriteSettings;
use rushes_shared::task::{Phase, Progress};

use super::pick::{Taker, pick};
use super::render::{fitted, render};
use super::thumbnail::stored;
use super::{end_of, film, impossible};
use crate::canvas::Canvas;
use crate::pace::Pace;

/// Pictures of one sheet at most.
const TILES_MAX: u64 = 2_500;
/// Pictures of a sheet where nothing else is asked for.
const TILES: u64 = 100;
const SECOND_NS: u64 = 1_000_000_000;

/// A sheet and its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sprite {
    /// The sheet, as the bytes of a file.
    pub sheet: Vec<u8>,
    /// The index, a WebVTT file whose cues are `NAME#xywh=X,Y,WIDTH,HEIGHT`.
    pub index: String,
    /// Pictures on the sheet.
    pub pictures: usize,
    /// Width and height of the sheet in pixels.
    pub size: (u32, u32),
}

/// Where which picture lies on a sheet.
struct Layout {
    /// Of each picture, in nanoseconds from the film's start.
    times: Vec<u64>,
    /// Where the last one ends.
    end: u64,
    columns: u32,
    tile: (u32, u32),
}

impl Layout {
    fn of(source: &MediaFacts, settings: &SpriteSettings) -> Result<Self, Failure> {
        let film = film(source)?;
        let end = end_of(film);
        let every = settings.every_ns.unwrap_or_else(|| end.div_ceil(TILES).div_ceil(SECOND_NS) * SECOND_NS);
        let every = every.max(if settings.every_ns.is_some() { 1 } else { SECOND_NS });
        let count = end.div_ceil(every).max(1);
        if count > TILES_MAX || settings.columns == 0 || settings.width == 0 {
            return Err(impossible(
                format!("a sheet of {count} pictures, {} in a row, cannot be made", settings.columns),
                "make at most 2500 pictures, at least one in a row, each at least a pixel wide",
            ));
        }
        Ok(Self {
            times: (0..count).map(|n| n * every).collect(),
            end: end.max(every),
            columns: settings.columns.min(u32::try_from(count).unwrap_or(u32::MAX)),
            tile: fitted(film, Some(settings.width), None),
        })
    }

    /// Width and height of the sheet.
    fn size(&self) -> (u32, u32) {
        let rows = u32::try_from(self.times.len()).unwrap_or(u32::MAX).div_ceil(self.columns);
        (self.tile.0.saturating_mul(self.columns), self.tile.1.saturating_mul(rows))
    }
}

/// The WebVTT index of the sheet that [`sprite`] makes of the same film with the same settings. It follows from the film's
/// facts alone.
///
/// # Errors
/// `StreamMissing` without video; `SettingsImpossible` where [`sprite`] says so.
pub fn sprite_index(source: &MediaFacts, settings: &SpriteSettings) -> Result<String, Failure> {
    let layout = Layout::of(source, settings)?;
    Ok(index(&layout.times, layout.end, layout.columns, layout.tile, &settings.name))
}

/// Makes the sprite sheet of a film. Blocks; calls `progress` at least once a second.
///
/// # Errors
/// Those of [`thumbnails`](super::thumbnails()); `SettingsImpossible` for more than 2,500 pictures or a sheet that is larger
/// than pictures can be.
pub fn sprite(
    input: &Path,
    source: &MediaFacts,
    settings: &SpriteSettings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Sprite, Failure> {
    let layout = Layout::of(source, settings)?;
    let (size, Layout { times, end, columns, tile }) = (layout.size(), layout);
    let sheet = Arc::new(Mutex::new(Canvas::new(size.0, size.1, [0, 0, 0])?));
    let pace = Pace::new(Phase::Running, 0, times.len() as u64);
    let (canvas, of) = (Arc::clone(&sheet), film(source)?.clone());
    let take: Taker = Box::new(move |number, frame| {
        let picture = render(frame, &of, tile)?;
        let at = place(number, columns, tile);
        canvas.lock().unwrap_or_else(PoisonError::into_inner).paste(at, &picture);
        Ok(())
    });
    pick(input, &times, take, &mut |taken| progress(pace.at(0, taken as u64)))?;
    let sheet = sheet.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Sprite {
        sheet: sheet.encode(stored(settings.format))?,
        index: index(&times, end, columns, tile, &settings.name),
        pictures: times.len(),
        size,
    })
}

fn place(number: usize, columns: u32, tile: (u32, u32)) -> (u32, u32) {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    (number % columns * tile.0, number / columns * tile.1)
}

/// The index (W3C WebVTT; media fragments for the rectangles).
fn index(times: &[u64], end: u64, columns: u32, tile: (u32, u32), name: &str) -> String {
    let mut text = "WEBVTT\n".to_owned();
    for (number, start) in times.iter().enumerate() {
        let until = times.get(number + 1).copied().unwrap_or(end);
        let (x, y) = place(number, columns, tile);
        let (from, to) = (stamp(*start), stamp(until));
        let _ = write!(text, "\n{from} --> {to}\n{name}#xywh={x},{y},{},{}\n", tile.0, tile.1);
    }
    text
}

/// A time as WebVTT has it.
pub(crate) fn stamp(ns: u64) -> String {
    let ms = ns / 1_000_000;
    let (s, m, h) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
    format!("{h:02}:{m:02}:{s:02}.{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_every_picture_and_ends_with_the_film() {
        let text = index(&[0, 2_000_000_000, 4_000_000_000], 5_500_000_000, 2, (160, 90), "s.jpg");
        let expected = "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\ns.jpg#xywh=0,0,160,90\n\n\
            00:00:02.000 --> 00:00:04.000\ns.jpg#xywh=160,0,160,90\n\n\
            00:00:04.000 --> 00:00:05.500\ns.jpg#xywh=0,90,160,90\n";
        assert_eq!(text, expected);
        assert_eq!(stamp(3_723_004_000_000), "01:02:03.004");
    }
}

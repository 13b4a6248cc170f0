//! The index of an MP4 file for who copies its samples: where each lies, when it is shown, whether decoding can start
//! there. Of files with one index and of fragmented ones.
//!
//! Nothing of the media itself is read or understood: a sample entry is kept byte for byte, so that what is copied is
//! described as it was. The file is not trusted: every number is looked at, and every table is bounded.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use rushes_shared::failure::{Failure, FailureCode};

use super::parse::{be32, be64, child, children};
use super::{fragment, moof, moov};
use crate::fault;

/// Largest index box read; ten hours of video need about 40 MB.
const LARGEST_INDEX: u64 = 256 << 20;
/// Most boxes at the top of a file: 18 hours in fragments of two seconds.
const MOST_BOXES: usize = 1 << 16;
/// Largest box of a kind of its own that is looked at.
const MOST_OF_A_UUID: u64 = 1024;
/// Most samples of a track.
pub(super) const MOST_SAMPLES: usize = 16 << 20;

/// What a track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Video,
    Audio,
}

/// A track's description and samples.
#[derive(Debug, Clone)]
pub(crate) struct ReadTrack {
    pub(crate) kind: Kind,
    /// Its number in the file.
    pub(super) id: u32,
    /// Time units a second; at least 1.
    pub(crate) timescale: u32,
    /// The sample entry: the whole box.
    pub(crate) entry: Vec<u8>,
    /// Width and height as shown, in pixels as 16.16 fixed point.
    pub(crate) shown: (u32, u32),
    /// ISO 639-2, five bits a letter.
    pub(crate) language: u16,
    /// In decoding order.
    pub(crate) samples: Vec<Sample>,
    /// Units at the begin of the media that are decoded and not presented: an encoder's priming.
    pub(crate) skip: u64,
    /// What the edit list adds to every sample's time.
    pub(super) shift: i64,
    /// What holds for samples of fragments that do not say otherwise.
    pub(super) usual: Usual,
    /// When presentation ends, in units; `None` where the file does not say.
    pub(crate) end: Option<i64>,
    /// What the file says that it was made by; `None` for what is no chunk.
    pub(crate) recipe: Option<[u8; 16]>,
    /// In how many places a chunk says that its part of the film was damaged, and what a decoder said of the first.
    pub(crate) damage: Option<(u64, String)>,
}

/// Duration, size and flags of samples that have none of their own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usual {
    pub(super) duration: Option<u32>,
    pub(super) size: Option<u32>,
    pub(super) flags: Option<u32>,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Where it lies in the file.
    pub(crate) offset: u64,
    pub(crate) size: u32,
    /// When it is shown, in the track's units from the file's start; below zero for priming.
    pub(crate) pts: i64,
    /// By how much later that is than it is decoded.
    pub(crate) delay: i64,
    /// Units to the next sample in decoding order.
    pub(crate) duration: u32,
    pub(crate) key: bool,
}

impl ReadTrack {
    /// A time of the track in nanoseconds.
    pub(crate) fn ns(&self, units: i64) -> i64 {
        let ns = (i128::from(units) * 1_000_000_000 + i128::from(self.timescale) / 2)
            .div_euclid(i128::from(self.timescale));
        i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
    }

    /// When a sample is decoded, in the track's units as they stand in the file.
    pub(crate) fn decoded(&self, sample: &Sample) -> i64 {
        sample.pts.saturating_sub(sample.delay).saturating_sub(self.shift)
    }

    /// When the media ends: its samples follow each other without a gap, in whichever order they are shown.
    pub(crate) fn media_end(&self) -> i64 {
        let start = self.samples.iter().map(|sample| sample.pts).min().unwrap_or(0);
        let length: u64 = self.samples.iter().map(|sample| u64::from(sample.duration)).sum();
        start.saturating_add(i64::try_from(length).unwrap_or(i64::MAX))
    }

    /// When what is presented ends.
    pub(crate) fn shown_end(&self) -> i64 {
        self.end.map_or(self.media_end(), |end| end.min(self.media_end()))
    }

    /// The four letters of the sample entry.
    pub(crate) fn code(&self) -> [u8; 4] {
        self.entry.get(4..8).and_then(|code| code.try_into().ok()).unwrap_or_default()
    }
}

/// Reads the tracks of a file that show pictures or carry sound.
///
/// # Errors
/// [`FailureCode::InputUnreadable`] for what is no MP4 file; [`FailureCode::Unsupported`] for tracks with several edits or
/// several sample entries; the codes of an input that cannot be opened.
pub(crate) fn read(path: &Path) -> Result<Vec<ReadTrack>, Failure> {
    let mut tracks = None;
    scan(path, &mut tracks)?;
    tracks.ok_or_else(|| unreadable(path, "it has no index"))
}

/// Reads a segment of tracks that another file describes: its samples are added to theirs, and lie in the segment's file. Gives the
/// file's size.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_segment(path: &Path, tracks: &mut Vec<ReadTrack>) -> Result<u64, Failure> {
    let before: Vec<usize> = tracks.iter().map(|track| track.samples.len()).collect();
    let mut known = Some(std::mem::take(tracks));
    let scanned = scan(path, &mut known);
    *tracks = known.unwrap_or_default();
    let (size, end) = scanned?;
    let added = tracks.iter().zip(before).flat_map(|(track, before)| &track.samples[before..]);
    let is_inside = |sample: &Sample| {
        sample.offset.checked_add(u64::from(sample.size)).is_some_and(|sample_end| sample_end <= end)
    };
    if end != size || !added.into_iter().all(is_inside) {
        return Err(unreadable(path, "it is cut off"));
    }
    Ok(size)
}

/// Goes over the boxes at a file's top; gives its size, and where the last one ends.
fn scan(path: &Path, tracks: &mut Option<Vec<ReadTrack>>) -> Result<(u64, u64), Failure> {
    let size = fault::inspect(path)?;
    let mut file = File::open(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let mut at = 0;
    for _ in 0..MOST_BOXES {
        let Some(top) =
            next_box(&mut file, at, size).map_err(|error| unreadable(path, &error.to_string()))?
        else {
            return Ok((size, at));
        };
        let body = match &top.code {
            b"uuid" if top.end - top.at > MOST_OF_A_UUID => None,
            b"moov" | b"moof" | b"uuid" => {
                Some(top.body(&mut file).map_err(|error| unreadable(path, &error.to_string()))?)
            }
            _ => None,
        };
        match (&top.code, body, tracks.as_mut()) {
            (b"moov", Some(body), None) => *tracks = Some(moov::tracks(&body).map_err(|what| what.of(path))?),
            (b"moof", Some(body), Some(tracks)) => {
                moof::samples(&body, top.at, tracks).map_err(|what| what.of(path))?;
            }
            (b"uuid", Some(body), Some(tracks)) => {
                let said = body.strip_prefix(fragment::RECIPE).and_then(|recipe| recipe.try_into().ok());
                for track in tracks.iter_mut().filter(|_| said.is_some()) {
                    track.recipe = said;
                }
                let damage = fragment::damage_in(&body);
                for track in tracks.iter_mut().filter(|_| damage.is_some()) {
                    track.damage.clone_from(&damage);
                }
            }
            _ => {}
        }
        at = top.end;
    }
    Err(unreadable(path, "it has too many boxes"))
}

/// What is wrong with an index.
#[derive(Debug)]
pub(super) enum Wrong {
    /// A box is missing or damaged.
    Damaged(&'static str),
    /// It is right, and asks for more than copying samples.
    Unsupported(&'static str),
}

impl Wrong {
    fn of(&self, path: &Path) -> Failure {
        match self {
            Self::Damaged(what) => unreadable(path, what),
            Self::Unsupported(what) => Failure::new(
                FailureCode::Unsupported,
                format!("{} cannot be copied from: {what}", path.display()),
                "encode it first",
            ),
        }
    }
}

/// A box at the top of a file.
struct TopBox {
    code: [u8; 4],
    at: u64,
    header: u64,
    end: u64,
}

impl TopBox {
    fn body(&self, file: &mut File) -> io::Result<Vec<u8>> {
        let length = self.end - self.at - self.header;
        if length > LARGEST_INDEX {
            return Err(io::Error::other("its index is too large"));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(self.at + self.header))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn next_box(file: &mut File, at: u64, size: u64) -> io::Result<Option<TopBox>> {
    if at + 8 > size {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; 16];
    let got = usize::try_from((size - at).min(16)).map_err(io::Error::other)?;
    file.read_exact(&mut head[..got])?;
    let (length, header) = match be32(&head, 0).map_or(0, u64::from) {
        0 => (size - at, 8),
        1 => (be64(&head, 8).unwrap_or(0), 16),
        length => (length, 8),
    };
    let code = [head[4], head[5], head[6], head[7]];
    let end = at.checked_add(length).filter(|end| length >= header && *end <= size);
    let Some(end) = end else { return Err(io::Error::other("it ends within a box, or is no MP4 file")) };
    Ok(Some(TopBox { code, at, header, end }))
}

/// The only box of a kind, or what is missing.
pub(super) fn need<'a>(parent: &'a [u8], code: &[u8; 4], name: &'static str) -> Result<&'a [u8], Wrong> {
    child(parent, code).ok_or(Wrong::Damaged(name))
}

/// How many boxes of a kind there are.
pub(super) fn count_of(parent: &[u8], wanted: &[u8; 4]) -> usize {
    children(parent).filter(|(code, _)| code == wanted).count()
}

fn unreadable(path: &Path, what: &str) -> Failure {
    Failure::new(
        FailureCode::InputUnreadable,
        format!("{} cannot be copied from: {what}", path.display()),
        "give a complete MP4 file",
    )
}

#[cfg(test)]
impl ReadTrack {
    /// A track of samples that are nowhere.
    pub(crate) fn for_tests(kind: Kind, timescale: u32, samples: Vec<Sample>) -> Self {
        let (entry, shown, language) = (Vec::new(), (0, 0), 0);
        Self {
            kind,
            id: 1,
            timescale,
            entry,
            shown,
            language,
            samples,
            skip: 0,
            shift: 0,
            usual: Usual::default(),
            end: None,
            recipe: None,
            damage: None,
        }
    }
}

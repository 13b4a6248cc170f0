//! The index of an MP4 or QuickTime file (ISO/IEC 14496-12), read without touching the media.
//!
//! Only what gives times and sizes. Where the file is anything but plain (fragments, several edits, references to
//! other files, damage), nothing is returned and the packets are counted instead.

use std::path::Path;

use super::facts::Index;
use super::source::Source;
use super::timing::Timing;
use crate::edit_list::is_kept;
use crate::mp4::parse::{be32, be64, child, children};

/// A number of the file's index, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its first byte's place in the file.
    pub(crate) at: u64,
    /// What is to be read there, in the file's byte order.
    pub(crate) bytes: Vec<u8>,
}

/// Largest index read; ten hours of video need about 40 MB.
const LARGEST_INDEX: u64 = 256 << 20;
/// Most samples of a track.
const MOST_SAMPLES: usize = 16 << 20;

/// Boxes at a file's top at most: it has a handful of them; one with thousands is a fragmented or a broken one.
pub(super) const MOST_BOXES: usize = 1000;

/// The body of the file's index, or nothing where there is none that could be read.
pub(super) fn movie(file: &Source) -> Option<Vec<u8>> {
    find_movie(file).map(|(movie, _)| movie)
}

/// Times of every track, or nothing where the index is missing or not plain.
pub(super) fn read(path: &Path) -> Option<Index> {
    movie_index(&movie(&Source::whole(path).ok()?)?)
}

/// The movie's duration as it has to read where it would keep something from being read: as unknown, which is nought.
/// Nothing where it does no harm.
///
/// A movie's duration counts what is shown, the media's own times begin before that where an edit list cuts off a head;
/// and a track that is much shorter than the movie would be taken for a still.
pub(crate) fn harmless_duration(path: &Path) -> Option<Field> {
    let (movie, at) = find_movie(&Source::whole(path).ok()?)?;
    unknown_duration(&movie).map(|Field { at: within, bytes }| Field { at: at + within, bytes })
}

/// The same, placed within the movie's box.
fn unknown_duration(movie: &[u8]) -> Option<Field> {
    let header = child(movie, b"mvhd")?;
    let wide = header.first()? == &1;
    let scale = u64::from(be32(header, if wide { 20 } else { 12 })?);
    let (place, length) = if wide { (24, 8) } else { (16, 4) };
    let duration = if wide { be64(header, place)? } else { u64::from(be32(header, place)?) };
    let does_harm = |track: &[u8]| -> Option<bool> {
        let media = child(child(track, b"mdia")?, b"mdhd")?;
        let wide = media.first()? == &1;
        let media_scale = u64::from(be32(media, if wide { 20 } else { 12 })?);
        let media_length = if wide { be64(media, 24)? } else { u64::from(be32(media, 16)?) };
        let is_short =
            u128::from(media_length) * u128::from(scale) * 4 < u128::from(duration) * u128::from(media_scale);
        let has_head = edits(track).into_iter().flatten().any(|edit| edit.from > 0);
        Some(is_short || has_head)
    };
    let mut tracks = children(movie).filter(|(code, _)| code == b"trak");
    if !tracks.any(|(_, track)| does_harm(track) == Some(true)) {
        return None;
    }
    // Both lie in one allocation, so their addresses say how far the one is into the other.
    let at = header.as_ptr().addr() - movie.as_ptr().addr() + place;
    Some(Field { at: u64::try_from(at).ok()?, bytes: vec![0; length] })
}

/// The movie's box without its head, and where that begins in the file.
fn find_movie(file: &Source) -> Option<(Vec<u8>, u64)> {
    let end = file.length();
    let mut at = 0u64;
    for _ in 0..MOST_BOXES {
        let TopBox { code, header, size, .. } = box_at(file, at, end)?;
        if &code == b"moov" {
            let body = size - header;
            if body > LARGEST_INDEX || at.checked_add(size)? > end {
                return None;
            }
            return Some((file.bytes(at + header, usize::try_from(body).ok()?)?, at + header));
        }
        at = at.checked_add(size)?;
    }
    None
}

/// A box at a file's top.
pub(super) struct TopBox {
    pub(super) code: [u8; 4],
    /// Bytes of its head.
    header: u64,
    /// Bytes in all, which may be more than the file has left.
    pub(super) size: u64,
    /// The first bytes of its body; meaningless where it has none, or a head of 16 bytes.
    pub(super) start: [u8; 4],
}

/// The box that begins at a place of a file of `end` bytes.
pub(super) fn box_at(file: &Source, at: u64, end: u64) -> Option<TopBox> {
    if at.checked_add(8)? > end {
        return None;
    }
    let mut head = [0; 16];
    let got = usize::try_from((end - at).min(16)).ok()?;
    file.fill(at, &mut head[..got])?;
    let (size, header) = match u64::from(be32(&head, 0)?) {
        0 => (end - at, 8),
        1 => (be64(&head, 8)?, 16),
        size => (size, 8),
    };
    let part = |from: usize| [head[from], head[from + 1], head[from + 2], head[from + 3]];
    (size >= header).then(|| TopBox { code: part(4), header, size, start: part(8) })
}

/// Times of every track by the body of the file's index, or nothing where that is not plain.
pub(super) fn movie_index(movie: &[u8]) -> Option<Index> {
    if child(movie, b"mvex").is_some() {
        return None;
    }
    let movie_header = child(movie, b"mvhd")?;
    let movie_scale = be32(movie_header, if movie_header.first()? == &1 { 20 } else { 12 })?;
    let mut index = Index::default();
    for track in children(movie).filter(|(code, _)| code == b"trak").map(|(_, body)| body) {
        let media = child(track, b"mdia")?;
        match child(media, b"hdlr")?.get(8..12)? {
            b"vide" => index.video.push(track_timing(track, media, movie_scale, true)?),
            b"subt" | b"sbtl" | b"text" => index.subtitles.push(language(child(media, b"mdhd")?)),
            b"soun" => index.audio.push(track_timing(track, media, movie_scale, false)?),
            _ => {}
        }
    }
    Some(index)
}

fn track_timing(track: &[u8], media: &[u8], movie_scale: u32, is_video: bool) -> Option<Timing> {
    let header = child(media, b"mdhd")?;
    let scale = be32(header, if header.first()? == &1 { 20 } else { 12 })?;
    if scale == 0 || movie_scale == 0 {
        return None;
    }
    let table = child(child(media, b"minf")?, b"stbl")?;
    let edit = edit(track)?;
    let sizes = sizes(child(table, b"stsz")?)?;
    let durations = runs(child(table, b"stts")?)?;
    if durations.len() < sizes.len() {
        return None;
    }
    let offsets = match child(table, b"ctts") {
        Some(table) => runs(table)?,
        None => Vec::new(),
    };
    let shown = Shown::new(&edit, scale, movie_scale);
    let mut starts = Vec::with_capacity(sizes.len());
    let (mut at, mut bytes, mut last) = (0i64, 0u64, 0i64);
    for (n, size) in sizes.iter().enumerate() {
        // Version 0 offsets are unsigned by the standard and signed in practice.
        let from = at + offsets.get(n).map_or(0, |offset| i64::from(offset.cast_signed()));
        let to = from + i64::from(durations[n]);
        at += i64::from(durations[n]);
        bytes += u64::from(*size);
        let Some(from) = shown.clip(from, to).filter(|_| !is_video || shown.keeps(from, to)) else {
            continue;
        };
        starts.push(shown.nanoseconds(from));
        last = last.max(from);
    }
    // A sample's own duration is in decoding order; the track's length says when the last one shown ends.
    let end = shown.to.min(shown.from.saturating_add(at)).max(last);
    let step_ns =
        if is_video { crate::pace::scaled(2_000_000_000, 1, u64::from(scale)) } else { 1_000_000_000 };
    let last_duration = shown.nanoseconds(end).saturating_sub(shown.nanoseconds(last));
    let timing = Timing::of(starts, last_duration, bytes, step_ns);
    Some(Timing { language: language(header), ..timing })
}

/// ISO 639-2/T, five bits a letter; empty where it is undetermined.
pub(super) fn language(media_header: &[u8]) -> String {
    let at = if media_header.first() == Some(&1) { 32 } else { 20 };
    let packed = media_header.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let letters = [10, 5, 0].map(|shift| u8::try_from(packed >> shift & 0x1f).unwrap_or(0) + 0x60);
    match std::str::from_utf8(&letters) {
        Ok(code) if letters.iter().all(u8::is_ascii_lowercase) && code != "und" => code.to_owned(),
        _ => String::new(),
    }
}

/// The one edit of a plain track: an optional wait, then the media from some time on.
#[derive(Debug, Default)]
struct Edit {
    /// Wait in movie units.
    wait: u64,
    /// Where the media begins, in media units.
    from: i64,
    /// How long it is shown, in movie units; 0 for to its end.
    length: u64,
}

/// One line of an edit list.
struct Listed {
    /// How long it is shown, in movie units; 0 for to its end.
    length: u64,
    /// Where the media begins, in media units; -1 shows nothing.
    from: i64,
    /// Speed in 16.16 fixed point.
    rate: u32,
}

/// Most edits read.
const MOST_EDITS: u32 = 1000;

/// A track's edit list; empty without one, nothing where it is damaged.
fn edits(track: &[u8]) -> Option<Vec<Listed>> {
    let Some(list) = child(track, b"edts").and_then(|edits| child(edits, b"elst")) else {
        return Some(Vec::new());
    };
    let wide = list.first()? == &1;
    let count = be32(list, 4).filter(|count| *count <= MOST_EDITS)?;
    let listed = |n: usize| {
        Some(if wide {
            let at = 8 + n * 20;
            let from = be64(list, at + 8)?.cast_signed();
            Listed { length: be64(list, at)?, from, rate: be32(list, at + 16)? }
        } else {
            let at = 8 + n * 12;
            let from = i64::from(be32(list, at + 4)?.cast_signed());
            Listed { length: u64::from(be32(list, at)?), from, rate: be32(list, at + 8)? }
        })
    };
    (0..usize::try_from(count).ok()?).map(listed).collect()
}

fn edit(track: &[u8]) -> Option<Edit> {
    let mut edit = Edit::default();
    let mut found = false;
    for Listed { length, from, rate } in edits(track)? {
        match (from, found) {
            (-1, false) => edit.wait = edit.wait.saturating_add(length),
            // A second edit, or a speed other than one, makes a track that must be played to be known.
            (_, true) => return None,
            _ if rate != 0x1_0000 => return None,
            (from, false) => {
                (edit.from, edit.length) = (from, length);
                found = true;
            }
        }
    }
    Some(edit)
}

/// An edit in the media's units.
struct Shown {
    wait_ns: u64,
    from: i64,
    to: i64,
    scale: u32,
}

impl Shown {
    fn new(edit: &Edit, scale: u32, movie_scale: u32) -> Self {
        let length = crate::pace::scaled(edit.length, u64::from(scale), u64::from(movie_scale));
        let to = if edit.length == 0 {
            i64::MAX
        } else {
            edit.from.saturating_add(length.try_into().unwrap_or(i64::MAX))
        };
        let wait_ns = crate::pace::scaled(edit.wait, 1_000_000_000, u64::from(movie_scale));
        Self { wait_ns, from: edit.from, to, scale }
    }

    /// When a sample is first shown, if any part of it is.
    fn clip(&self, from: i64, to: i64) -> Option<i64> {
        (to > self.from && from < self.to).then(|| from.max(self.from))
    }

    /// Whether enough of a frame is shown for it to count.
    fn keeps(&self, from: i64, to: i64) -> bool {
        is_kept(u64::try_from(self.from - from).unwrap_or(0), u64::try_from(to - from).unwrap_or(0))
    }

    fn nanoseconds(&self, at: i64) -> u64 {
        let since = u64::try_from(at - self.from).unwrap_or(0);
        self.wait_ns + crate::pace::scaled(since, 1_000_000_000, u64::from(self.scale))
    }
}

fn sizes(table: &[u8]) -> Option<Vec<u32>> {
    let (same, count) = (be32(table, 4)?, usize::try_from(be32(table, 8)?).ok()?);
    if count > MOST_SAMPLES {
        return None;
    }
    if same != 0 {
        return Some(vec![same; count]);
    }
    (0..count).map(|n| be32(table, 12 + n * 4)).collect()
}

/// A table of (count, value), spread out.
fn runs(table: &[u8]) -> Option<Vec<u32>> {
    let count = usize::try_from(be32(table, 4)?).ok()?;
    let mut values = Vec::new();
    for n in 0..count {
        let times = usize::try_from(be32(table, 8 + n * 8)?).ok()?;
        if values.len().checked_add(times)? > MOST_SAMPLES {
            return None;
        }
        values.resize(values.len() + times, be32(table, 12 + n * 8)?);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_index_and_no_crash() {
        for bytes in
            [&b""[..], b"\0\0\0\x08trak", b"\xff\xff\xff\xffmvhd", b"\0\0\0\0mvhd\x01", b"\0\0\0\x04mvhd"]
        {
            assert_eq!(movie_index(bytes), None);
            assert_eq!(unknown_duration(bytes), None);
        }
    }
}

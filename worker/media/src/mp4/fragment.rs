//! A fragmented track (ISO/IEC 14496-12, 8.8; CMAF, ISO/IEC 23000-19): what describes it, and rows of packets that stand
//! on their own.
//!
//! Times are absolute: a row says in the track's own units when it is shown, to the unit, wherever it lies. Packets of a
//! row are shown after all of the row before, as those of closed GOPs are, so that decoding times are the times of
//! presentation in order. Pictures that are shown before they would be decoded then need either offsets below zero, as chunks have
//! them, or an edit list that brings all of them forward, as sets have one: FFmpeg, and players that are built upon it, show the
//! former too late.

use super::atom::{Atom, count};
use super::index::{MOVIE_TIMESCALE, UPRIGHT, file_types, media_of, sample_entry, shown_width};
use super::read::Sample;
use super::track::TrackKind;

/// Largest row of packets, in bytes: what a 32-bit size holds.
pub(crate) const LARGEST: u64 = u32::MAX as u64 - (1 << 20);
/// Flags of a sample that decoding can start at: it depends on no other.
const KEY: u32 = 0x0200_0000;
/// And of any other.
const NOT_KEY: u32 = 0x0101_0000;
/// A track's number: each has a file of its own.
const TRACK: u32 = 1;

/// What describes a fragmented track.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) is_video: bool,
    /// The sample entry: the whole box.
    pub(crate) entry: Vec<u8>,
    /// Width and height as shown, 16.16 fixed point.
    pub(crate) shown: (u32, u32),
    /// ISO 639-2, five bits a letter.
    pub(crate) language: u16,
    pub(crate) timescale: u32,
    /// Units at the begin that are decoded and not presented.
    pub(crate) skip: u64,
    /// Units by which pictures are written later and brought forward by the edit list: at least the [most](reordered) by which
    /// one is decoded too late, or 0 for offsets below zero.
    pub(crate) late: u64,
}

impl Description {
    /// Of a track of ours; its language is undetermined.
    pub(crate) fn of(kind: &TrackKind) -> Self {
        let entry = sample_entry(kind);
        let undetermined = 0x55c4;
        match kind {
            TrackKind::Video(video) => Self {
                is_video: true,
                entry,
                shown: (shown_width(video.width, video.sar), u32::from(video.height) << 16),
                language: undetermined,
                timescale: video.timescale,
                skip: 0,
                late: 0,
            },
            TrackKind::Audio(audio) => Self {
                is_video: false,
                entry,
                shown: (0, 0),
                language: undetermined,
                timescale: audio.rate,
                skip: u64::from(audio.priming),
                late: 0,
            },
            TrackKind::Copied(copied) => Self {
                is_video: copied.is_video,
                entry,
                shown: copied.shown,
                language: copied.language,
                timescale: copied.timescale,
                skip: copied.skip,
                late: 0,
            },
        }
    }
}

/// A packet of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) size: u32,
    /// When it is shown, in units from the film's start; below zero for priming only.
    pub(crate) pts: i64,
    pub(crate) key: bool,
}

/// What describes the track: `ftyp` and `moov`.
pub(crate) fn init(track: &Description) -> Vec<u8> {
    let (group, volume) = if track.is_video { (0, 0) } else { (1, 0x100) };
    let mut header = Atom::full(b"tkhd", 1, 3).u64(0).u64(0).u32(TRACK).u32(0).u64(0).zeros(8);
    header = header.u16(0).u16(group).u16(volume).u16(0);
    let mut movie = Atom::full(b"mvhd", 1, 0).u64(0).u64(0).u32(MOVIE_TIMESCALE).u64(0);
    movie = movie.u32(0x1_0000).u16(0x100).zeros(10);
    for value in UPRIGHT {
        header = header.u32(value);
        movie = movie.u32(value);
    }
    header = header.u32(track.shown.0).u32(track.shown.1);
    movie = movie.zeros(24).u32(TRACK + 1);
    let media = Atom::full(b"mdhd", 1, 0).u64(0).u64(0).u32(track.timescale).u64(0);
    let media = media.u16(track.language).u16(0);
    let table = Atom::new(b"stbl")
        .with(Atom::full(b"stsd", 0, 0).u32(1).bytes(&track.entry))
        .with(Atom::full(b"stts", 0, 0).u32(0))
        .with(Atom::full(b"stsc", 0, 0).u32(0))
        .with(Atom::full(b"stsz", 0, 0).u32(0).u32(0))
        .with(Atom::full(b"stco", 0, 0).u32(0));
    let mut body = Atom::new(b"trak").with(header);
    let from = track.skip.saturating_add(track.late);
    if from > 0 {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let edit = Atom::full(b"elst", 1, 0).u32(1).u64(0).i64(from).u32(0x1_0000);
        body = body.with(Atom::new(b"edts").with(edit));
    }
    let extends = Atom::full(b"trex", 0, 0).u32(TRACK).u32(1).u32(0).u32(0).u32(0);
    let mut bytes = file_types(b"iso6", &[b"iso6", b"cmfc", b"mp41"]);
    let moov = Atom::new(b"moov")
        .with(movie)
        .with(body.with(media_of(track.is_video, media, table)))
        .with(Atom::new(b"mvex").with(extends));
    bytes.extend_from_slice(&moov.done());
    bytes
}

/// The type of the box with a chunk's recipe: `rushes chunk id` as a UUID.
pub(super) const RECIPE: &[u8; 16] = b"rushes chunk id\0";

/// A box that says what a chunk was made by; players pass over it (ISO/IEC 14496-12, 11.1).
pub(crate) fn recipe(recipe: &[u8; 16]) -> Vec<u8> {
    Atom::new(b"uuid").bytes(RECIPE).bytes(recipe).done()
}

/// The type of the box that tells of damage, likewise.
pub(super) const DAMAGE: &[u8; 16] = b"rushes damaged\0\0";

/// A box that says in how many places the part of the film that a chunk shows was damaged, and what a decoder said of the first.
pub(crate) fn damage(places: u64, first: &str) -> Vec<u8> {
    Atom::new(b"uuid").bytes(DAMAGE).bytes(&places.to_be_bytes()).bytes(first.as_bytes()).done()
}

/// What the body of such a box says; `None` of any other.
pub(super) fn damage_in(body: &[u8]) -> Option<(u64, String)> {
    let (places, first) = body.strip_prefix(DAMAGE)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*places), String::from_utf8_lossy(first).into_owned()))
}

/// A whole file for a part of a film in which no frame begins, as a slide may stand for minutes.
pub(crate) fn blank(by: &[u8; 16]) -> Vec<u8> {
    let mut bytes = file_types(b"iso6", &[b"iso6"]);
    bytes.extend_from_slice(&recipe(by));
    bytes
}

/// What such a file says that it was made by; `None` of any other file.
pub(crate) fn recipe_of_blank(bytes: &[u8]) -> Option<[u8; 16]> {
    let by: [u8; 16] = bytes.last_chunk().copied()?;
    (bytes == blank(&by)).then_some(by)
}

/// The box that goes before a segment of its own.
pub(crate) fn segment_type() -> Vec<u8> {
    let mut bytes = file_types(b"msdh", &[b"msdh", b"cmfs"]);
    bytes[4..8].copy_from_slice(b"styp");
    bytes
}

/// What stands before a row's packets: `moof`, and the head of `mdat`. `end` is when the last of them ends, in units.
///
/// # Panics
/// Where the packets are [too large](LARGEST) for one row.
pub(crate) fn head(track: &Description, sequence: u32, pieces: &[Piece], end: i64) -> Vec<u8> {
    let bytes: u64 = pieces.iter().map(|piece| u64::from(piece.size)).sum();
    assert!(bytes <= LARGEST, "a row's packets fit a 32-bit size");
    let order = order(pieces);
    let first = order.first().copied().unwrap_or(0);
    let start = first.saturating_add(i64::try_from(track.skip).unwrap_or(0));
    let start = u64::try_from(start).unwrap_or(0);
    let size = moof(track, sequence, start, pieces, &order, end, 0).len();
    let mut head = moof(track, sequence, start, pieces, &order, end, count(size) + 8);
    head.extend_from_slice(&(u32::try_from(bytes).unwrap_or(u32::MAX) + 8).to_be_bytes());
    head.extend_from_slice(b"mdat");
    head
}

/// How long that is, in bytes; where the packets lie in time does not change it.
pub(crate) fn head_length(track: &Description, pieces: &[Piece]) -> u64 {
    moof(track, 0, 0, pieces, &order(pieces), 0, 0).len() as u64 + 8
}

/// When packets are decoded: at the times when they are shown, in order.
fn order(pieces: &[Piece]) -> Vec<i64> {
    let mut order: Vec<i64> = pieces.iter().map(|piece| piece.pts).collect();
    order.sort_unstable();
    order
}

/// The most by which a packet of rows would be decoded later than it is shown, in units.
pub(crate) fn reordered<'a>(rows: impl Iterator<Item = &'a [Sample]>) -> u64 {
    let most = |row: &[Sample]| {
        let mut order: Vec<i64> = row.iter().map(|sample| sample.pts).collect();
        order.sort_unstable();
        row.iter().zip(order).map(|(sample, dts)| dts.saturating_sub(sample.pts)).max().unwrap_or(0)
    };
    rows.map(most).max().and_then(|late| u64::try_from(late).ok()).unwrap_or(0)
}

fn moof(
    track: &Description,
    sequence: u32,
    start: u64,
    pieces: &[Piece],
    order: &[i64],
    end: i64,
    data: u32,
) -> Vec<u8> {
    let late = i64::try_from(track.late).unwrap_or(0);
    let has_offsets = late > 0 || pieces.iter().zip(order).any(|(piece, dts)| piece.pts != *dts);
    // Where the packets lie, how long each lasts and how large it is; then its flags; then how late it is shown.
    let contents = 0x301 | if track.is_video { 0x400 } else { 0 } | if has_offsets { 0x800 } else { 0 };
    let is_signed = u8::from(late == 0);
    let mut run = Atom::full(b"trun", is_signed, contents).u32(count(pieces.len())).u32(data);
    let next = order.iter().skip(1).chain([&end]);
    for ((piece, dts), next) in pieces.iter().zip(order).zip(next) {
        run = run.u32(u32::try_from(next - dts).unwrap_or(0)).u32(piece.size);
        if track.is_video {
            run = run.u32(if piece.key { KEY } else { NOT_KEY });
        }
        if has_offsets {
            let offset = piece.pts.saturating_add(late).saturating_sub(*dts);
            // With an edit list there is room for twice as much, as none is below zero.
            let signed = || i32::try_from(offset).map(i32::cast_unsigned);
            run = run.u32(u32::try_from(offset).or_else(|_| signed()).unwrap_or(0));
        }
    }
    // Places are counted from this box; sound is all key frames.
    let header = if track.is_video {
        Atom::full(b"tfhd", 0, 0x2_0000).u32(TRACK)
    } else {
        Atom::full(b"tfhd", 0, 0x2_0020).u32(TRACK).u32(KEY)
    };
    let fragment = Atom::new(b"traf").with(header).with(Atom::full(b"tfdt", 1, 0).u64(start)).with(run);
    Atom::new(b"moof").with(Atom::full(b"mfhd", 0, 0).u32(sequence)).with(fragment).done()
}

//! The index of a file: `ftyp` and `moov`.

use rushes_shared::units::Ratio;

use super::atom::{Atom, count};
use super::track::{AudioTrack, CopiedTrack, Entry, Track, TrackKind, VideoTrack};
use super::{Brand, Text};
use crate::colour;

/// Time units a second of the file as a whole: divides by all common frame times and sample rates well enough that
/// rounding up never shows a frame less.
pub(super) const MOVIE_TIMESCALE: u32 = 90_000;

/// The identity matrix of `mvhd` and `tkhd`, 16.16 and 2.30 fixed point.
pub(super) const UPRIGHT: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

pub(super) fn file_type(brand: Brand) -> Vec<u8> {
    let atom = Atom::new(b"ftyp");
    match brand {
        Brand::Fragmented => atom.bytes(b"iso6").u32(0x200).bytes(b"iso6isommp41"),
        Brand::Mp4 => atom.bytes(b"isom").u32(0x200).bytes(b"isomiso2avc1mp41"),
        Brand::M4a => atom.bytes(b"M4A ").u32(0x200).bytes(b"M4A isomiso2mp42"),
        Brand::QuickTime => atom.bytes(b"qt  ").u32(0x200).bytes(b"qt  "),
    }
    .done()
}

/// A `ftyp` box with these brands.
pub(super) fn file_types(major: &[u8; 4], brands: &[&[u8; 4]]) -> Vec<u8> {
    brands.iter().fold(Atom::new(b"ftyp").bytes(major).u32(0), |atom, brand| atom.bytes(*brand)).done()
}

/// What the index says of the file as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    /// Texts for players.
    pub(super) texts: &'a [Text],
    /// When the media was made, in seconds since 1904; 0 where unknown.
    pub(super) created: u64,
    /// The time that is the file's zero, where that is not the earliest track's start.
    pub(super) origin_ns: Option<i64>,
}

/// The index, with every chunk `shift` bytes further than it was written. `end` is the last byte's place, which
/// decides whether offsets need 64 bits.
pub(super) fn build(tracks: &[Track], about: About<'_>, shift: u64, end: u64) -> Vec<u8> {
    let earliest = tracks.iter().filter_map(Track::start_ns).min().unwrap_or(0);
    let origin = about.origin_ns.unwrap_or(earliest);
    let wide = end > u64::from(u32::MAX) - (256 << 20);
    // Players and people expect the picture first; sound is usually encoded first.
    let mut tracks: Vec<&Track> = tracks.iter().collect();
    tracks.sort_by_key(|track| !track.is_video());
    let times: Vec<Times> = tracks.iter().map(|track| Times::of(track, origin)).collect();
    let duration = times.iter().map(|t| t.delay + t.shown).max().unwrap_or(0);
    let mut moov = Atom::new(b"moov").with(movie_header(duration, tracks.len(), about.created));
    for (number, (track, times)) in tracks.iter().zip(&times).enumerate() {
        moov = moov.with(track_box(track, times, count(number) + 1, shift, wide));
    }
    if !about.texts.is_empty() {
        moov = moov.with(user_data(about.texts));
    }
    moov.done()
}

/// Decoding distances.
enum Deltas {
    Each(Vec<u32>),
    /// So many of one unit.
    Moments(u32),
}

impl Deltas {
    fn runs(&self) -> Vec<(u32, u32)> {
        match self {
            Self::Each(deltas) => runs(deltas),
            Self::Moments(number) => vec![(*number, 1)],
        }
    }
}

/// The index of a file whose packets are in fragments: descriptions only.
pub(super) fn build_fragmented(tracks: &[(Track, u64)], about: About<'_>) -> Vec<u8> {
    let mut moov = Atom::new(b"moov").with(movie_header(0, tracks.len(), about.created));
    let mut extends = Atom::new(b"mvex");
    for (number, (track, skip)) in tracks.iter().enumerate() {
        let id = count(number) + 1;
        moov = moov.with(track_box(track, &Times::of_fragments(track, *skip), id, 0, false));
        extends = extends.with(Atom::full(b"trex", 0, 0).u32(id).u32(1).u32(0).u32(0).u32(0));
    }
    moov = moov.with(extends);
    if !about.texts.is_empty() {
        moov = moov.with(user_data(about.texts));
    }
    moov.done()
}

/// A track's times in its own units and the movie's.
struct Times {
    timescale: u32,
    /// Decoding distance from each packet to the next.
    deltas: Deltas,
    /// Presentation minus decoding time of each packet; empty where all are zero.
    offsets: Vec<u32>,
    /// Where presentation begins in the media.
    skip: i64,
    /// Length of the media.
    media: u64,
    /// Before the track starts, in movie units.
    delay: u64,
    /// Length of what is presented, in movie units.
    shown: u64,
}

impl Times {
    fn of(track: &Track, origin: i64) -> Self {
        let delay_ns = track.start_ns().map_or(0, |start| u64::try_from(start - origin).unwrap_or(0));
        let delay = rescale(delay_ns, MOVIE_TIMESCALE);
        match &track.kind {
            TrackKind::Video(video) => Self::of_pictures(track, video.timescale, delay),
            TrackKind::Copied(copied) => Self::of_pictures(track, copied.timescale, delay).presenting(copied),
            TrackKind::Audio(audio) => Self::of_audio(track, audio, delay),
        }
    }

    /// Decoding times are the presentation times in order, earlier by what the deepest reordering needs; the edit
    /// list takes that shift back.
    fn of_pictures(track: &Track, timescale: u32, delay: u64) -> Self {
        let start = track.entries.iter().map(|entry| entry.pts_ns).min().unwrap_or(0);
        let units = |pts: i64| rescale(u64::try_from(pts - start).unwrap_or(0), timescale);
        let mut order: Vec<usize> = (0..track.entries.len()).collect();
        order.sort_by_key(|&i| track.entries[i].pts_ns);
        let mut shown_at = vec![0u64; order.len()];
        let mut ordered = Vec::with_capacity(order.len());
        for &i in &order {
            let at = units(track.entries[i].pts_ns).max(ordered.last().map_or(0, |last| last + 1));
            shown_at[i] = at;
            ordered.push(at);
        }
        let last = rescale(track.last_duration_ns, timescale).max(1);
        let end = ordered.last().map_or(0, |at| at + last);
        let skip =
            ordered.iter().zip(&shown_at).map(|(dts, pts)| dts.saturating_sub(*pts)).max().unwrap_or(0);
        let deltas = ordered
            .iter()
            .zip(ordered.iter().skip(1).chain([&end]))
            .map(|(at, next)| narrow(next - at))
            .collect();
        let reordered = shown_at != ordered;
        let offsets = if reordered {
            ordered.iter().zip(&shown_at).map(|(dts, pts)| narrow(pts + skip - dts)).collect()
        } else {
            Vec::new()
        };
        Self {
            timescale,
            deltas: Deltas::Each(deltas),
            offsets,
            skip: i64::try_from(skip).unwrap_or(i64::MAX),
            media: end,
            delay,
            shown: rescale_up(end, timescale, MOVIE_TIMESCALE),
        }
    }

    /// The same with the begin and the end cut off that are not presented.
    fn presenting(mut self, copied: &CopiedTrack) -> Self {
        let rest = self.media.saturating_sub(copied.skip);
        let presented = copied.presented.unwrap_or(rest).min(rest);
        self.skip = self.skip.saturating_add(i64::try_from(copied.skip).unwrap_or(i64::MAX));
        self.shown = rescale_up(presented, self.timescale, MOVIE_TIMESCALE);
        self
    }

    fn of_audio(track: &Track, audio: &AudioTrack, delay: u64) -> Self {
        if let Some(bytes) = track.moment_bytes {
            return Self::of_moments(track, audio, u64::from(bytes.max(1)), delay);
        }
        let packets = u64::from(count(track.entries.len()));
        let coded = packets * u64::from(audio.packet_samples);
        let priming = u64::from(audio.priming);
        let shown = track.presented.unwrap_or(u64::MAX).min(coded.saturating_sub(priming));
        // The last packet may be cut short, but lasts at least one sample.
        let media = (priming + shown).max(coded - coded.min(u64::from(audio.packet_samples)) + 1).min(coded);
        let mut deltas = vec![audio.packet_samples; track.entries.len()];
        if let Some(last) = deltas.last_mut() {
            *last -= narrow(coded - media);
        }
        Self {
            timescale: audio.rate,
            deltas: Deltas::Each(deltas),
            offsets: Vec::new(),
            skip: i64::from(audio.priming),
            media,
            delay,
            shown: rescale_up(shown, audio.rate, MOVIE_TIMESCALE),
        }
    }
}

impl Times {
    /// All that is known before the packets: what is to be skipped.
    fn of_fragments(track: &Track, skip: u64) -> Self {
        let timescale = match &track.kind {
            TrackKind::Video(video) => video.timescale,
            TrackKind::Audio(audio) => audio.rate,
            TrackKind::Copied(copied) => copied.timescale,
        };
        let skip = i64::try_from(skip).unwrap_or(i64::MAX);
        let (deltas, offsets) = (Deltas::Each(Vec::new()), Vec::new());
        Self { timescale, deltas, offsets, skip, media: 0, delay: 0, shown: 0 }
    }

    /// Uncompressed sound: each moment is a sample of the table.
    fn of_moments(track: &Track, audio: &AudioTrack, bytes: u64, delay: u64) -> Self {
        let media = track.entries.iter().map(|entry| u64::from(entry.size)).sum::<u64>() / bytes;
        Self {
            timescale: audio.rate,
            deltas: Deltas::Moments(narrow(media)),
            offsets: Vec::new(),
            skip: 0,
            media,
            delay,
            shown: rescale_up(media, audio.rate, MOVIE_TIMESCALE),
        }
    }
}

fn movie_header(duration: u64, tracks: usize, created: u64) -> Atom {
    let mut atom = Atom::full(b"mvhd", 1, 0)
        .u64(created)
        .u64(created)
        .u32(MOVIE_TIMESCALE)
        .u64(duration)
        .u32(0x1_0000)
        .u16(0x100)
        .zeros(10);
    for value in UPRIGHT {
        atom = atom.u32(value);
    }
    atom.zeros(24).u32(count(tracks) + 1)
}

fn track_box(track: &Track, times: &Times, id: u32, shift: u64, wide: bool) -> Atom {
    Atom::new(b"trak")
        .with(track_header(track, times, id))
        .with(Atom::new(b"edts").with(edit_list(times)))
        .with(media_box(track, times, shift, wide))
}

fn track_header(track: &Track, times: &Times, id: u32) -> Atom {
    let (volume, width, height) = match &track.kind {
        // Shown width: the pixel aspect is applied here, in 16.16 fixed point.
        TrackKind::Video(video) => (0, shown_width(video.width, video.sar), u32::from(video.height) << 16),
        TrackKind::Audio(_) => (0x100, 0, 0),
        TrackKind::Copied(copied) => {
            (if copied.is_video { 0 } else { 0x100 }, copied.shown.0, copied.shown.1)
        }
    };
    let group = if track.is_video() { 0 } else { 1 };
    let mut atom = Atom::full(b"tkhd", 1, 3)
        .u64(0)
        .u64(0)
        .u32(id)
        .u32(0)
        .u64(times.delay + times.shown)
        .zeros(8)
        .u16(0)
        .u16(group)
        .u16(volume)
        .u16(0);
    for value in UPRIGHT {
        atom = atom.u32(value);
    }
    atom.u32(width).u32(height)
}

/// Width with the pixel aspect applied, in 16.16 fixed point.
pub(super) fn shown_width(width: u16, sar: Ratio) -> u32 {
    let wide = u64::from(width) * u64::from(sar.num) * 0x1_0000 / u64::from(sar.den.max(1));
    u32::try_from(wide).unwrap_or(u32::from(width) << 16)
}

fn edit_list(times: &Times) -> Atom {
    let mut edits = Vec::new();
    if times.delay > 0 {
        edits.push((times.delay, -1));
    }
    edits.push((times.shown, times.skip));
    Atom::full(b"elst", 1, 0)
        .table(&edits, |atom, &(duration, start)| atom.u64(duration).i64(start).u32(0x1_0000))
}

fn media_box(track: &Track, times: &Times, shift: u64, wide: bool) -> Atom {
    let language = match &track.kind {
        TrackKind::Video(_) => packed_language("und"),
        TrackKind::Audio(audio) => packed_language(&audio.language),
        TrackKind::Copied(copied) => copied.language,
    };
    let media_header =
        Atom::full(b"mdhd", 1, 0).u64(0).u64(0).u32(times.timescale).u64(times.media).u16(language).u16(0);
    media_of(track.is_video(), media_header, sample_table(track, times, shift, wide))
}

/// A `mdia` box around its parts.
pub(super) fn media_of(is_video: bool, media_header: Atom, table: Atom) -> Atom {
    let (handler, name, header) = if is_video {
        (b"vide", &b"video\0"[..], Atom::full(b"vmhd", 0, 1).zeros(8))
    } else {
        (b"soun", &b"sound\0"[..], Atom::full(b"smhd", 0, 0).zeros(4))
    };
    let data = Atom::new(b"dinf").with(Atom::full(b"dref", 0, 0).u32(1).with(Atom::full(b"url ", 0, 1)));
    Atom::new(b"mdia")
        .with(media_header)
        .with(Atom::full(b"hdlr", 0, 0).u32(0).bytes(handler).zeros(12).bytes(name))
        .with(Atom::new(b"minf").with(header).with(data).with(table))
}

/// ISO 639-2/T, five bits a letter.
fn packed_language(language: &str) -> u16 {
    let letters = match language.as_bytes() {
        code @ [_, _, _] if code.iter().all(u8::is_ascii_lowercase) => code,
        _ => b"und",
    };
    letters.iter().fold(0, |packed, letter| packed << 5 | u16::from(letter - 0x60))
}

fn sample_table(track: &Track, times: &Times, shift: u64, wide: bool) -> Atom {
    let entry = match &track.entry {
        Some(entry) => entry.clone(),
        None => sample_entry(&track.kind),
    };
    let mut table = Atom::new(b"stbl")
        .with(Atom::full(b"stsd", 0, 0).u32(1).bytes(&entry))
        .with(Atom::full(b"stts", 0, 0).table(&times.deltas.runs(), |a, &(n, delta)| a.u32(n).u32(delta)));
    if !times.offsets.is_empty() {
        table = table.with(
            Atom::full(b"ctts", 0, 0).table(&runs(&times.offsets), |a, &(n, offset)| a.u32(n).u32(offset)),
        );
    }
    if !track.entries.iter().all(|entry| entry.key) {
        let keys: Vec<u32> = (1u32..).zip(&track.entries).filter(|(_, e)| e.key).map(|(n, _)| n).collect();
        table = table.with(Atom::full(b"stss", 0, 0).table(&keys, |a, &n| a.u32(n)));
    }
    table = table.with(chunk_map(track)).with(match track.moment_bytes {
        Some(bytes) => Atom::full(b"stsz", 0, 0).u32(bytes).u32(track.chunks.iter().map(|c| c.packets).sum()),
        None => sizes(&track.entries),
    });
    let code = if wide { b"co64" } else { b"stco" };
    table.with(Atom::full(code, 0, 0).table(&track.chunks, |a, chunk| {
        let offset = chunk.offset + shift;
        if wide { a.u64(offset) } else { a.u32(narrow(offset)) }
    }))
}

/// What describes a track's packets: the whole box.
pub(super) fn sample_entry(kind: &TrackKind) -> Vec<u8> {
    match kind {
        TrackKind::Video(video) => video_entry(video).done(),
        TrackKind::Audio(audio) => audio_entry(audio).done(),
        TrackKind::Copied(copied) => copied.entry.clone(),
    }
}

fn chunk_map(track: &Track) -> Atom {
    let mut rows: Vec<(u32, u32)> = Vec::new();
    for (number, chunk) in (1u32..).zip(&track.chunks) {
        if rows.last().is_none_or(|row| row.1 != chunk.packets) {
            rows.push((number, chunk.packets));
        }
    }
    Atom::full(b"stsc", 0, 0).table(&rows, |a, &(first, packets)| a.u32(first).u32(packets).u32(1))
}

fn sizes(entries: &[Entry]) -> Atom {
    Atom::full(b"stsz", 0, 0).u32(0).table(entries, |a, entry| a.u32(entry.size))
}

/// Equal neighbours as (count, value).
fn runs(values: &[u32]) -> Vec<(u32, u32)> {
    let mut rows: Vec<(u32, u32)> = Vec::new();
    for &value in values {
        match rows.last_mut() {
            Some(row) if row.1 == value => row.0 += 1,
            _ => rows.push((1, value)),
        }
    }
    rows
}

fn video_entry(video: &VideoTrack) -> Atom {
    let mut entry = Atom::new(b"avc1")
        .zeros(6)
        .u16(1)
        .zeros(16)
        .u16(video.width)
        .u16(video.height)
        .u32(0x48_0000)
        .u32(0x48_0000)
        .u32(0)
        .u16(1)
        .zeros(32)
        .u16(24)
        .u16(0xffff)
        .with(Atom::new(b"avcC").bytes(&video.config));
    let (points, full) = colour::code_points(&video.colour);
    if points != [2, 2, 2] || full {
        let mut colr = Atom::new(b"colr").bytes(b"nclx");
        for point in points {
            colr = colr.u16(point);
        }
        entry = entry.with(colr.u8(if full { 0x80 } else { 0 }));
    }
    entry.with(Atom::new(b"pasp").u32(video.sar.num).u32(video.sar.den))
}

fn audio_entry(audio: &AudioTrack) -> Atom {
    Atom::new(b"mp4a")
        .zeros(6)
        .u16(1)
        .zeros(8)
        .u16(audio.channels)
        .u16(16)
        .zeros(4)
        .u32(if audio.rate > 0xffff { 0 } else { audio.rate << 16 })
        .with(stream_descriptor(audio))
}

/// ISO/IEC 14496-1, 7.2.6: ES descriptor with decoder configuration.
fn stream_descriptor(audio: &AudioTrack) -> Atom {
    let specific = descriptor(5, &audio.config);
    let mut decoder = vec![0x40, 0x15, 0, 0, 0];
    decoder.extend_from_slice(&audio.bitrate_bps.to_be_bytes());
    decoder.extend_from_slice(&audio.bitrate_bps.to_be_bytes());
    decoder.extend_from_slice(&specific);
    let mut stream = vec![0, 0, 0];
    stream.extend_from_slice(&descriptor(4, &decoder));
    stream.extend_from_slice(&descriptor(6, &[2]));
    Atom::full(b"esds", 0, 0).bytes(&descriptor(3, &stream))
}

/// Tag, length in four groups of seven bits, body.
pub(crate) fn descriptor(tag: u8, body: &[u8]) -> Vec<u8> {
    let size = count(body.len());
    let group = |shift: u32| u8::try_from(size >> shift & 0x7f).expect("seven bits fit a byte");
    let mut bytes = vec![tag, group(21) | 0x80, group(14) | 0x80, group(7) | 0x80, group(0)];
    bytes.extend_from_slice(body);
    bytes
}

/// Texts in the form that players of this format read: `udta/meta/ilst`.
fn user_data(texts: &[Text]) -> Atom {
    let mut list = Atom::new(b"ilst");
    for (code, value) in texts {
        let data = Atom::new(b"data").u32(1).u32(0).bytes(value.as_bytes());
        list = list.with(Atom::new(code).with(data));
    }
    let handler = Atom::full(b"hdlr", 0, 0).u32(0).bytes(b"mdirappl").zeros(9);
    Atom::new(b"udta").with(Atom::full(b"meta", 0, 0).with(handler).with(list))
}

/// Nanoseconds in units of a time scale, rounded to the nearest.
pub(super) fn rescale(ns: u64, timescale: u32) -> u64 {
    u64::try_from((u128::from(ns) * u128::from(timescale) + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Units of one time scale in another, rounded up.
fn rescale_up(value: u64, from: u32, to: u32) -> u64 {
    u64::try_from((u128::from(value) * u128::from(to)).div_ceil(u128::from(from.max(1)))).unwrap_or(u64::MAX)
}

/// A distance as the format stores it; one that does not fit (hours in fine units) is stored as the longest.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

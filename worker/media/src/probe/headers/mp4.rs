//! Tracks of an MP4 or QuickTime file (ISO/IEC 14496-12) by its index.

use gstreamer as gst;
use gstreamer::tags;
use gstreamer_video as video;

use super::first::Packet;
use super::picture::{self, Entry};
use super::{about, mpeg, sound};
use crate::language::two_letters;
use crate::mp4::parse::{be32, be64, child, children};
use crate::probe::facts::Index;
use crate::probe::mp4::{MOST_BOXES, box_at, language};
use crate::probe::parse::{Parsed, Stream};
use crate::probe::source::Source;
use crate::probe::timing::Timing;

/// Streams by the headers alone: `movie` is the body of the file's `moov` box, `index` what its tables say. Nothing where
/// the file is not plain.
pub(in crate::probe) fn read(file: &Source, movie: &[u8], index: &Index) -> Option<Parsed> {
    let length = file.length();
    let brand = brand(file, length)?;
    if !only(movie, &[b"mvhd", b"trak", b"udta", b"iods", b"free"]) || !index.subtitles.is_empty() {
        return None;
    }
    let mut about = about::tags(movie, brand)?;
    let (mut pictures, mut sounds, mut last) = (Vec::new(), Vec::new(), 0);
    for body in children(movie).filter(|(code, _)| code == b"trak").map(|(_, body)| body) {
        let track = Track::of(body, length)?;
        // Streams are told in the order of their numbers.
        if track.number <= last {
            return None;
        }
        last = track.number;
        match &track.handler {
            b"vide" => pictures.push(track.picture(file, index.video.get(pictures.len())?)?),
            b"soun" => sounds.push(track.sound(file)?),
            _ => return None,
        }
    }
    let mut streams: Vec<Stream> = pictures.into_iter().chain(sounds).collect();
    let first = streams.first_mut()?;
    about.make_mut().insert(&first.tags, gst::TagMergeMode::Append);
    first.tags = about;
    Some(Parsed { streams, seekable: true, ..Parsed::default() })
}

/// The brand of a file that is whole and has nothing but an index and media at its top.
fn brand(file: &Source, length: u64) -> Option<[u8; 4]> {
    let (mut at, mut brand) = (0, None);
    for _ in 0..MOST_BOXES {
        if at == length {
            return brand;
        }
        let found = box_at(file, at, length)?;
        match &found.code {
            b"ftyp" if at == 0 => brand = Some(found.start),
            b"moov" | b"mdat" | b"free" | b"skip" | b"wide" => {}
            _ => return None,
        }
        at = at.checked_add(found.size).filter(|end| *end <= length)?;
    }
    None
}

/// Whether a box holds no others than these.
fn only(parent: &[u8], known: &[&[u8; 4]]) -> bool {
    children(parent).all(|(code, _)| known.contains(&&code))
}

struct Track<'a> {
    number: u32,
    header: &'a [u8],
    media_header: &'a [u8],
    handler: [u8; 4],
    table: &'a [u8],
    code: [u8; 4],
    /// The one sample entry, without its head.
    entry: &'a [u8],
    first: Packet,
    language: Option<&'static str>,
}

impl<'a> Track<'a> {
    fn of(body: &'a [u8], length: u64) -> Option<Self> {
        if !only(body, &[b"tkhd", b"edts", b"mdia", b"free"]) {
            return None;
        }
        let (header, media) = (child(body, b"tkhd")?, child(body, b"mdia")?);
        let media_header = child(media, b"mdhd")?;
        // A track that is switched off.
        if be32(header, 0)? & 1 == 0 {
            return None;
        }
        let wide = header.first()? == &1;
        let table = child(child(media, b"minf")?, b"stbl")?;
        let described = child(table, b"stsd")?;
        let mut entries = children(described.get(8..)?);
        let (Some((code, entry)), None, 1) = (entries.next(), entries.next(), be32(described, 4)?) else {
            return None;
        };
        Some(Self {
            number: be32(header, if wide { 20 } else { 12 })?,
            header,
            media_header,
            handler: child(media, b"hdlr")?.get(8..12)?.try_into().ok()?,
            table,
            code,
            entry,
            first: Packet { at: first_place(table, length)?, bytes: u64::from(first_size(table)?) },
            language: spoken(media_header)?,
        })
    }

    fn picture(&self, file: &Source, timing: &Timing) -> Option<Stream> {
        const HEAD: usize = 78;
        let boxes = self.entry.get(HEAD..)?;
        let known: [&[u8; 4]; 9] =
            [b"avcC", b"hvcC", b"av1C", b"pasp", b"colr", b"fiel", b"btrt", b"mdcv", b"clli"];
        let progressive = child(boxes, b"fiel").is_none_or(|fields| fields.first() == Some(&1));
        if !only(boxes, &known) || !progressive {
            return None;
        }
        let side =
            |at: usize| Some(u32::from(u16::from_be_bytes(self.entry.get(at..at + 2)?.try_into().ok()?)));
        let (width, height) = (side(24)?, side(26)?);
        let colour = match child(boxes, b"colr") {
            Some(body) => Some(colour(body)?),
            None => None,
        };
        let rate = self.rate();
        // Without one, the stream itself is asked; which matters where frames are evenly spaced.
        if timing.packets < 2 || (rate.is_none() && !timing.vfr) {
            return None;
        }
        let aspect = Some(self.aspect(boxes, width, height)?);
        let entry = Entry { width, height, aspect, rate, colour };
        let (caps, codec) = match &self.code {
            b"avc1" => (picture::h264(child(boxes, b"avcC")?, &entry, file, self.first)?, "H.264 / AVC"),
            b"hvc1" | b"hev1" => {
                (picture::hevc(child(boxes, b"hvcC")?, &entry, file, self.first)?, "H.265 / HEVC")
            }
            b"av01" => (picture::av1(child(boxes, b"av1C")?, &entry, file, self.first)?, "AV1"),
            _ => return None,
        };
        let mut list = gst::TagList::new();
        let into = list.make_mut();
        into.add::<tags::VideoCodec>(&codec, gst::TagMergeMode::Append);
        self.speak(into);
        if let Some(turn) = self.turn()? {
            into.add::<tags::ImageOrientation>(&turn, gst::TagMergeMode::Append);
        }
        Some(Stream::described(caps, list))
    }

    fn sound(&self, file: &Source) -> Option<Stream> {
        if &self.code != b"mp4a" {
            return None;
        }
        // QuickTime's second form has four numbers more and its configuration one box deeper.
        let boxes = match u16::from_be_bytes(self.entry.get(8..10)?.try_into().ok()?) {
            0 => self.entry.get(28..)?,
            1 => self.entry.get(44..)?,
            _ => return None,
        };
        let wave = child(boxes, b"wave").unwrap_or_default();
        let descriptor = child(boxes, b"esds").or_else(|| child(wave, b"esds"))?;
        let mut list = gst::TagList::new();
        let into = list.make_mut();
        let caps = if sound::is_mpeg_1(descriptor) {
            into.add::<tags::AudioCodec>(&"MPEG-1 audio", gst::TagMergeMode::Append);
            mpeg::track(file, self.first, child(self.table, b"stsz")?, into)?
        } else {
            into.add::<tags::AudioCodec>(&"MPEG-4 AAC audio", gst::TagMergeMode::Append);
            sound::aac(descriptor)?
        };
        self.speak(into);
        Some(Stream::described(caps, list))
    }

    fn speak(&self, into: &mut gst::TagListRef) {
        if let Some(language) = self.language {
            into.add::<tags::LanguageCode>(&language, gst::TagMergeMode::Append);
        }
    }

    /// The mean rate without the first frame, which may be cut, where it is near a common one: as `qtdemux` tells it.
    fn rate(&self) -> Option<gst::Fraction> {
        let header = self.media_header;
        let wide = header.first()? == &1;
        let scale = u128::from(be32(header, if wide { 20 } else { 12 })?);
        let whole = if wide { be64(header, 24)? } else { u64::from(be32(header, 16)?) };
        let first = u64::from(be32(child(self.table, b"stts")?, 12)?);
        let samples = u128::from(be32(child(self.table, b"stsz")?, 8)?);
        let (span, part) = (u128::from(whole.checked_sub(first)?), scale * samples.checked_sub(1)?);
        if part == 0 || span == 0 {
            return None;
        }
        let frame = u64::try_from((span * 1_000_000_000 + part / 2) / part).ok()?;
        video::guess_framerate(gst::ClockTime::from_nseconds(frame))
    }

    /// The pixels' aspect ratio by `pasp`, else by the size that the track is shown at.
    fn aspect(&self, boxes: &[u8], width: u32, height: u32) -> Option<gst::Fraction> {
        let (across, down) = if let Some(body) = child(boxes, b"pasp") {
            (be32(body, 0)?, be32(body, 4)?)
        } else {
            let at = self.header.len().checked_sub(8)?;
            let (shown_width, shown_height) =
                (be32(self.header, at)? >> 16, be32(self.header, at + 4)? >> 16);
            (shown_width.checked_mul(height)?, shown_height.checked_mul(width)?)
        };
        let (across, down) = (i32::try_from(across).ok()?, i32::try_from(down).ok()?);
        (across > 0 && down > 0).then(|| gst::Fraction::new(across, down))
    }

    /// How a player has to turn the picture; `Some(None)` for not at all.
    fn turn(&self) -> Option<Option<&'static str>> {
        const ONE: u32 = 1 << 16;
        const MINUS_ONE: u32 = ONE.wrapping_neg();
        let at = self.header.len().checked_sub(44)?;
        let cell = |n: usize| be32(self.header, at + n * 4);
        if [cell(2)?, cell(5)?, cell(8)?] != [0, 0, 1 << 30] {
            return None;
        }
        match [cell(0)?, cell(1)?, cell(3)?, cell(4)?] {
            [ONE, 0, 0, ONE] => Some(None),
            [0, ONE, MINUS_ONE, 0] => Some(Some("rotate-90")),
            [MINUS_ONE, 0, 0, MINUS_ONE] => Some(Some("rotate-180")),
            [0, MINUS_ONE, ONE, 0] => Some(Some("rotate-270")),
            _ => None,
        }
    }
}

/// Where the first packet lies; nothing where any chunk begins behind the file's end.
fn first_place(table: &[u8], length: u64) -> Option<u64> {
    let mut first = None;
    let mut take = |place: u64| {
        first.get_or_insert(place);
        place < length
    };
    let whole = if let Some(narrow) = child(table, b"stco") {
        let count = usize::try_from(be32(narrow, 4)?).ok()?;
        (0..count).try_for_each(|n| take(u64::from(be32(narrow, 8 + n * 4)?)).then_some(()))
    } else {
        let wide = child(table, b"co64")?;
        let count = usize::try_from(be32(wide, 4)?).ok()?;
        (0..count).try_for_each(|n| take(be64(wide, 8 + n * 8)?).then_some(()))
    };
    whole.and(first)
}

fn first_size(table: &[u8]) -> Option<u32> {
    let sizes = child(table, b"stsz")?;
    match be32(sizes, 4)? {
        0 => be32(sizes, 12),
        same => Some(same),
    }
}

/// The language's two letters: `Some(None)` where the track has none.
fn spoken(media_header: &[u8]) -> Option<Option<&'static str>> {
    let at = if media_header.first()? == &1 { 32 } else { 20 };
    let packed = u16::from_be_bytes(media_header.get(at..at + 2)?.try_into().ok()?);
    /// Below, the numbers are those of the Macintosh.
    const LETTERS: u16 = 0x400;
    if packed < LETTERS {
        return None;
    }
    match language(media_header).as_str() {
        "" => Some(None),
        code => two_letters(code).map(Some),
    }
}

/// Primaries, transfer, matrix and full range of a `colr` box.
fn colour(body: &[u8]) -> Option<([u16; 3], bool)> {
    let point = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let points = [point(4)?, point(6)?, point(8)?];
    match (body.get(..4)?, body.len()) {
        (b"nclx", 11) => Some((points, body[10] >> 7 == 1)),
        (b"nclc", 10) => Some((points, false)),
        _ => None,
    }
}

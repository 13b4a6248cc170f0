//! FLAC files (RFC 9639): what the stream's information says, once its first frame's head and its whole last frame say the same.
//!
//! A file that was cut off has no last frame, and one that was joined of others has another number there.

use gstreamer as gst;
use gstreamer::tags;

use super::plain::{Sound, caps, tagged, text};
use crate::probe::source::Source;

/// Metadata blocks at most, and bytes of the one that is looked into.
const MOST_BLOCKS: usize = 32;
const LARGEST: usize = 64 << 10;
/// Bytes at the end in which the last frame is looked for, where the stream does not say how large its frames are; and at most.
const LAST: (usize, usize) = (32 << 10, 1 << 20);
/// Longest head of a frame, in bytes.
const LONGEST_HEAD: usize = 16;

/// The stream's information.
struct Info {
    block: u64,
    rate: u32,
    channels: u32,
    /// Bytes of the largest frame; 0 where it is not said.
    largest: usize,
    /// Bits a sample.
    bits: u32,
    samples: u64,
}

/// The file by its headers; nothing where it is not plain or not whole.
pub(in crate::probe) fn read(file: &Source) -> Option<Sound> {
    if file.bytes(0, 4)? != b"fLaC" {
        return None;
    }
    let (mut at, mut info, mut list) = (4_u64, None, tagged("Free Lossless Audio Codec (FLAC)"));
    for _ in 0..MOST_BLOCKS {
        let head = file.bytes(at, 4)?;
        let size =
            usize::try_from(u32::from_be_bytes([0, *head.get(1)?, *head.get(2)?, *head.get(3)?])).ok()?;
        let (is_last, kind) = (head.first()? >> 7 == 1, head.first()? & 0x7f);
        match kind {
            0 if info.is_none() => info = Some(Info::of(&file.bytes(at + 4, size.min(LARGEST))?)?),
            // Padding, an index of places.
            1 | 3 => {}
            4 if size <= LARGEST => comments(&file.bytes(at + 4, size)?, list.make_mut())?,
            _ => return None,
        }
        at += 4 + size as u64;
        if is_last {
            let info = info?;
            if !info.is_whole(file, at)? {
                return None;
            }
            let duration_ns =
                u64::try_from(u128::from(info.samples) * 1_000_000_000 / u128::from(info.rate)).ok()?;
            let caps = caps("audio/x-flac", info.rate, info.channels)?.build();
            return Some(Sound::of(caps, list, duration_ns, file.length()));
        }
    }
    None
}

impl Info {
    fn of(body: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u64::from(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?)));
        let (least, most) = (short(0)?, short(2)?);
        let packed = u64::from_be_bytes(body.get(10..18)?.try_into().ok()?);
        let size = |at: usize| {
            let bytes = body.get(at..at + 3)?;
            Some(bytes.iter().fold(0_usize, |size, byte| size << 8 | usize::from(*byte)))
        };
        let info = Self {
            block: most,
            largest: size(7)?,
            rate: u32::try_from(packed >> 44).ok()?,
            channels: u32::try_from(packed >> 41 & 7).ok()? + 1,
            bits: u32::try_from(packed >> 36 & 31).ok()? + 1,
            samples: packed & 0xf_ffff_ffff,
        };
        // Blocks of one size, so that each one's number says where it is.
        let plain = body.len() == 34 && least == most && most >= 16 && info.samples > 0 && info.rate > 0;
        (plain && info.channels <= 2).then_some(info)
    }

    /// Whether the frames from this place on begin with the first one and end with the last one, undamaged.
    fn is_whole(&self, file: &Source, at: u64) -> Option<bool> {
        let length = usize::try_from(file.length().checked_sub(at)?).ok()?;
        let first = file.bytes(at, length.min(LONGEST_HEAD))?;
        let last = (self.samples - 1) / self.block;
        let most = if self.largest == 0 { LAST.0 } else { self.largest.min(LAST.1) };
        let most = most.min(length);
        let end = file.bytes(file.length() - most as u64, most)?;
        if !self.is_head(&first, 0)? {
            return Some(false);
        }
        let mut places = end.iter().enumerate().filter(|(_, byte)| **byte == 0xff);
        Some(places.any(|(place, _)| {
            let frame = end.get(place..).unwrap_or_default();
            self.is_head(frame, last) == Some(true) && crc16(frame) == 0
        }))
    }

    /// Whether the head of the frame with this number stands here (9.1).
    fn is_head(&self, bytes: &[u8], number: u64) -> Option<bool> {
        if bytes.get(..2)? != [0xff, 0xf8] {
            return None;
        }
        let (codes, more) = (*bytes.get(2)?, *bytes.get(3)?);
        let (found, length) = coded_number(bytes.get(4..)?)?;
        let mut at = 4 + length;
        let mut next = |count: usize| {
            let taken = bytes.get(at..at + count)?;
            at += count;
            Some(taken.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)))
        };
        let block = match codes >> 4 {
            1 => 192,
            code @ 2..=5 => 576 << (code - 2),
            6 => next(1)? + 1,
            7 => next(2)? + 1,
            code @ 8..=15 => 256 << (code - 8),
            _ => return None,
        };
        let rate = match codes & 0xf {
            0 => self.rate,
            code @ 1..=11 => *RATES.get(usize::from(code) - 1)?,
            12 => next(1)? * 1000,
            13 => next(2)?,
            14 => next(2)? * 10,
            _ => return None,
        };
        let channels = match more >> 4 {
            code @ 0..=7 => u32::from(code) + 1,
            8..=10 => 2,
            _ => return None,
        };
        let bits = *[self.bits, 8, 12, 0, 16, 20, 24, 32].get(usize::from(more >> 1 & 7))?;
        let left = self.samples.saturating_sub(number.saturating_mul(self.block));
        let fits = found == number
            && u64::from(block) == self.block.min(left)
            && (rate, channels, bits) == (self.rate, self.channels, self.bits)
            && more & 1 == 0;
        Some(fits && crc8(bytes.get(..=at)?) == 0)
    }
}

/// Whether a file ends with a whole frame.
pub(in crate::probe) fn ends_in_frame(file: &Source) -> bool {
    /// What looks like a frame's beginning and is none is rare in a real one.
    const MOST_STARTS: usize = 64;
    let most = file.length().min(LAST.1 as u64);
    let Some(end) = usize::try_from(most).ok().and_then(|size| file.bytes(file.length() - most, size)) else {
        return false;
    };
    let is_start = |place: &usize| matches!(end.get(*place..*place + 2), Some([0xff, 0xf8 | 0xf9]));
    let mut starts = (0..end.len()).rev().filter(is_start).take(MOST_STARTS);
    starts.any(|place| crc16(end.get(place..).unwrap_or_default()) == 0)
}

/// Samples a second by their code, from 1 on.
const RATES: [u32; 11] =
    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/// A number in the form of UTF-8 (9.1.5), and its length.
fn coded_number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = match first.leading_ones() {
        0 => return Some((u64::from(first), 1)),
        length @ 2..=7 => length as usize,
        _ => return None,
    };
    let mut number = u64::from(first) & ((1 << (7 - length.min(7))) - 1);
    for byte in bytes.get(1..length)? {
        if byte >> 6 != 2 {
            return None;
        }
        number = number << 6 | u64::from(byte & 0x3f);
    }
    Some((number, length))
}

/// 9.1.8.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum: u8, _| if sum >> 7 == 1 { sum << 1 ^ 0x07 } else { sum << 1 })
    })
}

/// 9.3: nought over whole frames with their sums.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        let [high, _] = sum.to_be_bytes();
        sum << 8 ^ SUMS[usize::from(high ^ byte)]
    })
}

/// The sum of each byte.
const SUMS: [u16; 256] = {
    let (mut sums, mut byte) = ([0; 256], 0_u16);
    while byte < 256 {
        let (mut sum, mut bit) = (byte << 8, 0);
        while bit < 8 {
            sum = if sum >> 15 == 1 { sum << 1 ^ 0x8005 } else { sum << 1 };
            bit += 1;
        }
        sums[byte as usize] = sum;
        byte += 1;
    }
    sums
};

/// Comments that are known here, each once.
fn comments(body: &[u8], into: &mut gst::TagListRef) -> Option<()> {
    const MOST: u32 = 64;
    let mut rest = body;
    let mut next = |size: usize| {
        let (taken, left) = rest.split_at_checked(size)?;
        rest = left;
        Some(taken)
    };
    let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
    let vendor = number(next(4)?)?;
    next(vendor as usize)?;
    let count = number(next(4)?).filter(|count| *count <= MOST)?;
    let how = gst::TagMergeMode::Append;
    for _ in 0..count {
        let size = number(next(4)?)?;
        let comment = text(next(size as usize)?)?;
        let (key, value) = comment.split_once('=')?;
        let value = text(value.as_bytes())?;
        let key = key.to_ascii_uppercase();
        let is_new = match key.as_str() {
            "TITLE" => into.index::<tags::Title>(0).is_none(),
            "ARTIST" => into.index::<tags::Artist>(0).is_none(),
            "ALBUM" => into.index::<tags::Album>(0).is_none(),
            "GENRE" => into.index::<tags::Genre>(0).is_none(),
            "ENCODER" => into.index::<tags::ApplicationName>(0).is_none(),
            "MAJOR_BRAND" | "MINOR_VERSION" | "COMPATIBLE_BRANDS" => true,
            _ => false,
        };
        if !is_new {
            return None;
        }
        match key.as_str() {
            "TITLE" => into.add::<tags::Title>(&value, how),
            "ARTIST" => into.add::<tags::Artist>(&value, how),
            "ALBUM" => into.add::<tags::Album>(&value, how),
            "GENRE" => into.add::<tags::Genre>(&value, how),
            "ENCODER" => into.add::<tags::ApplicationName>(&value, how),
            _ => into.add::<tags::ExtendedComment>(&comment, how),
        }
    }
    Some(())
}

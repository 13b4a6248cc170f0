//! Files that end before what their own heads promise: a demuxer reads to the end of what is there and calls it whole.
//!
//! MP4 with one index needs none of this, as that names every frame. What is read is a few kilobytes, and of a Matroska recording whose
//! length was never written, and of fragments, the head of each.

use std::path::Path;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::media::MediaFacts;

use super::headers::{ends_in_flac_frame, promised_by_mpeg};
use super::mkv;
use super::sniff;
use super::source::Source;
use crate::mp4::parse::{be32, be64};
use crate::pace;

/// What may be missing where bytes are missing for sure: the last frame's length as heads and demuxers count it.
const NEARLY_NS: u64 = 250_000_000;
/// The same where only a count says so. Whoever cuts such a file often leaves the count a little off.
const LOOSELY_NS: u64 = 1_500_000_000;
/// Elements of a Matroska file looked at, at most.
const MOST_ELEMENTS: u32 = 200_000;

/// What a file's head says of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Promise {
    /// When the last stream ends, on the file's time line.
    end_ns: u64,
    /// When the bytes that are there end, where bytes alone say so.
    there_ns: Option<u64>,
    /// How much less is no damage.
    slack_ns: u64,
}

/// What a file's head says of its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// All of it.
    Time(Promise),
    /// How many bytes there should be.
    Bytes(u64),
    /// Nothing, and the file ends in the middle of something, as a recording does that was broken off.
    BrokenOff,
}

/// Whether a file with these facts reaches the end that its head promises; gives what is worth knowing. Heads that promise
/// nothing, as those of live recordings, are kept.
///
/// # Errors
/// [`FailureCode::InputDamaged`] with the time at which it ends, and what to do.
pub fn promise_kept(path: &Path, source: &MediaFacts) -> Result<Option<String>, Failure> {
    reached(path, source.duration_ns)
}

/// The same where it is known that streams end there.
pub(crate) fn reached(path: &Path, end_ns: u64) -> Result<Option<String>, Failure> {
    let Some((said, length)) = Source::whole(path).ok().and_then(|file| Some((said(&file)?, file.length())))
    else {
        return Ok(None);
    };
    match said {
        Said::Time(promise) => {
            // What a Matroska file promises is on its own time line, which may begin anywhere.
            let there = promise.there_ns.unwrap_or_else(|| end_ns + mkv::begins_at(path).unwrap_or(0));
            if there.saturating_add(promise.slack_ns) >= promise.end_ns {
                return Ok(None);
            }
            Err(cut_off(there, &format!("its header promises {}", seconds(promise.end_ns))))
        }
        Said::Bytes(whole) => {
            let missing = pace::scaled(end_ns, whole.saturating_sub(length), length.max(1));
            if missing < LOOSELY_NS {
                return Ok(None);
            }
            Err(cut_off(end_ns, &format!("{length} of the {whole} bytes that its header promises are there")))
        }
        Said::BrokenOff => Ok(Some(format!(
            "the recording was broken off: its last part is incomplete, so that it ends at {}",
            seconds(end_ns)
        ))),
    }
}

fn cut_off(at_ns: u64, why: &str) -> Failure {
    let at = seconds(at_ns);
    Failure::new(
        FailureCode::InputDamaged,
        format!("the input is damaged after {at}: {why}"),
        format!("get a complete copy; what is before {at} can be cut out and encoded"),
    )
}

fn seconds(ns: u64) -> String {
    format!("{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10)
}

fn said(file: &Source) -> Option<Said> {
    match sniff::of_source(file)? {
        "matroska" | "webm" => matroska(file),
        "mp4" | "mov" => movie(file),
        "wav" => wave(file),
        "flac" => flac(file),
        "mp3" => {
            let (end_ns, bytes) = promised_by_mpeg(file)?;
            // One that has all of its bytes has a wrong count.
            let lacks = bytes.is_none_or(|bytes| bytes > file.length());
            lacks.then_some(Said::Time(Promise { end_ns, there_ns: None, slack_ns: LOOSELY_NS }))
        }
        _ => None,
    }
}

/// Of a file in fragments, whether the last of its boxes is whole.
fn movie(file: &Source) -> Option<Said> {
    let (mut at, mut is_fragmented) = (0, false);
    for _ in 0..MOST_ELEMENTS {
        let rest = file.length().checked_sub(at).filter(|rest| *rest > 0)?;
        let head = file.bytes(at, usize::try_from(rest.min(16)).ok()?)?;
        let size = be32(&head, 0).map(u64::from);
        let whole = match size {
            Some(0) => return None,
            Some(1) => be64(&head, 8).filter(|size| *size >= 16),
            size => size.filter(|size| *size >= 8),
        };
        is_fragmented |= head.get(4..8) == Some(b"moof");
        match whole.and_then(|size| at.checked_add(size)) {
            Some(end) if end <= file.length() => at = end,
            _ => return is_fragmented.then_some(Said::BrokenOff),
        }
    }
    None
}

/// An element of a Matroska file (RFC 8794, 6); without a size it ends where its parent does.
struct Element {
    id: u64,
    body: u64,
    size: Option<u64>,
}

const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_A966;
const CLUSTER: u64 = 0x1F43_B675;
const TIME_SCALE: u64 = 0x2A_D7B1;
const DURATION: u64 = 0x4489;

impl Element {
    fn at(file: &Source, at: u64) -> Option<Self> {
        let head = file.bytes(at, usize::try_from(file.length().checked_sub(at)?.min(12)).ok()?)?;
        let id_length = usize::try_from(head.first()?.leading_zeros()).ok()? + 1;
        let id = head.get(..id_length.min(4))?.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
        let length = head.get(id_length)?.leading_zeros() + 1;
        let bytes = head.get(id_length..id_length + usize::try_from(length).ok()?)?;
        let mask = 1_u64.checked_shl(7 * length)?.checked_sub(1)?;
        let size = bytes.iter().fold(0_u64, |size, byte| size << 8 | u64::from(*byte)) & mask;
        let body = at + u64::try_from(id_length + bytes.len()).ok()?;
        Some(Self { id, body, size: (size != mask).then_some(size) })
    }

    fn end(&self) -> Option<u64> {
        self.body.checked_add(self.size?)
    }
}

/// The segment's length in bytes and its duration; of a segment without a length its last cluster's.
fn matroska(file: &Source) -> Option<Said> {
    let header = Element::at(file, 0)?;
    let segment = Element::at(file, header.end()?).filter(|segment| segment.id == SEGMENT)?;
    let length = file.length();
    let is_open = match segment.end() {
        Some(end) if end <= length => return None,
        end => end.is_none(),
    };
    let (mut at, mut duration_ns) = (segment.body, None);
    let mut is_cut = !is_open;
    for _ in 0..MOST_ELEMENTS {
        let Some(element) = Element::at(file, at).filter(|_| at < length) else { break };
        if element.id == INFO {
            duration_ns = duration(file, &element);
        }
        if element.id == CLUSTER && !is_open {
            break;
        }
        let Some(end) = element.end() else { break };
        is_cut |= end > length;
        at = end;
    }
    match (duration_ns, segment.end()) {
        _ if !is_cut => None,
        (Some(end_ns), _) => Some(Said::Time(Promise { end_ns, there_ns: None, slack_ns: NEARLY_NS })),
        (None, Some(whole)) => Some(Said::Bytes(whole)),
        (None, None) => Some(Said::BrokenOff),
    }
}

/// What the segment's information says of its length, in nanoseconds (RFC 9559, 5.1.2).
fn duration(file: &Source, info: &Element) -> Option<u64> {
    let (mut at, mut scale, mut ticks) = (info.body, 1_000_000.0, None);
    for _ in 0..MOST_ELEMENTS {
        if at >= info.end()? {
            break;
        }
        let element = Element::at(file, at)?;
        let size = element.size.filter(|size| *size <= 4096)?;
        let body = file.bytes(element.body, usize::try_from(size).ok()?)?;
        match (element.id, body.len()) {
            (TIME_SCALE, 1..=4) => {
                scale = f64::from(body.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)));
            }
            (DURATION, 4) => ticks = Some(f64::from(f32::from_be_bytes(body.try_into().ok()?))),
            (DURATION, 8) => ticks = Some(f64::from_be_bytes(body.try_into().ok()?)),
            _ => {}
        }
        at = element.end()?;
    }
    // A hundred years: more is no length.
    let ns = ticks? * scale;
    (1.0..3.2e18).contains(&ns).then(|| whole_number(ns))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies within 64 bits")]
fn whole_number(ns: f64) -> u64 {
    ns as u64
}

/// Bytes of samples, as the `data` chunk says, or the `ds64` chunk before it (EBU Tech 3306).
fn wave(file: &Source) -> Option<Said> {
    /// Chunks before the samples, at most.
    const MOST: u32 = 1000;
    let number = |at: u64| Some(u32::from_le_bytes(file.bytes(at, 4)?.try_into().ok()?));
    let (mut at, mut bytes_a_second, mut wide) = (12, 0, None);
    for _ in 0..MOST {
        let (name, size) = (file.bytes(at, 4)?, number(at + 4)?);
        let body = at + 8;
        match name.as_slice() {
            b"fmt " => bytes_a_second = number(body + 8)?,
            b"ds64" => wide = Some(u64::from(number(body + 8)?) | u64::from(number(body + 12)?) << 32),
            b"data" => {
                let size = wide.or_else(|| (!is_of_a_stream(size)).then_some(u64::from(size)))?;
                let time = |bytes| pace::scaled(bytes, 1_000_000_000, u64::from(bytes_a_second));
                let there = file.length().saturating_sub(body).min(size);
                let lacks = bytes_a_second > 0 && there < size;
                let (end_ns, there_ns) = (time(size), Some(time(there)));
                return lacks.then_some(Said::Time(Promise { end_ns, there_ns, slack_ns: NEARLY_NS }));
            }
            _ => {}
        }
        at = body + u64::from(size) + u64::from(size % 2);
    }
    None
}

/// What programs write that do not know the length yet: nothing, or about the largest number of 31 or 32 bits.
fn is_of_a_stream(size: u32) -> bool {
    size == 0 || size >= 0xffff_0000 || (0x7fff_0000..=0x8000_0000).contains(&size)
}

/// Samples in the stream's information (RFC 9639, 8.2); nought where they were not known.
fn flac(file: &Source) -> Option<Said> {
    let head = file.bytes(0, 26)?;
    let field = |from: usize, to: usize| {
        head.get(from..to).map(|bytes| bytes.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)))
    };
    let is_information = field(0, 4)? == u64::from(u32::from_be_bytes(*b"fLaC")) && field(4, 5)? & 0x7f == 0;
    let (rate, samples) = (field(18, 21)? >> 4, field(21, 26)? & 0xf_ffff_ffff);
    // What was cut out of a longer file has its number of samples, and ends with a whole frame.
    (is_information && rate > 0 && samples > 0 && !ends_in_flac_frame(file)).then(|| {
        let end_ns = pace::scaled(samples, 1_000_000_000, rate);
        Said::Time(Promise { end_ns, there_ns: None, slack_ns: LOOSELY_NS })
    })
}

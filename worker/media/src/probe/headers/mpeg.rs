//! MP3 files (ISO/IEC 11172-3, 2.4.1.3; ISO/IEC 13818-3): every frame's head from the first byte to the last.

use gstreamer as gst;
use gstreamer::tags;

use super::first::Packet;
use super::plain::{Sound, caps, tagged, text};
use crate::mp4::parse::be32;
use crate::pace;
use crate::probe::source::Source;

/// Longest file that is walked, in bytes; its frames are read in one go.
const LARGEST: u64 = 64 << 20;
/// Largest frame of the third layer, in bytes: 320 kbit/s at 32 kHz.
const LARGEST_FRAME: usize = 1441;
/// Kilobits a second of MPEG-1's third layer.
const RATES_1: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// The same of MPEG-2.
const RATES_2: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// A frame's head.
#[derive(Clone, Copy, PartialEq)]
struct Head {
    is_first_version: bool,
    /// Samples a second.
    rate: u32,
    /// Kilobits a second.
    kilobits: u32,
    mode: u8,
    size: usize,
}

impl Head {
    fn of(bytes: &[u8]) -> Option<Self> {
        let word = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
        let field = |shift: u32, mask: u32| usize::try_from(word >> shift & mask).unwrap_or(0);
        const THIRD_LAYER: usize = 1;
        if word >> 21 != 0x7ff || field(17, 3) != THIRD_LAYER {
            return None;
        }
        let is_first_version = match field(19, 3) {
            3 => true,
            2 => false,
            _ => return None,
        };
        let kilobits =
            *if is_first_version { &RATES_1 } else { &RATES_2 }.get(field(12, 15).checked_sub(1)?)?;
        let rate = *[44_100, 48_000, 32_000].get(field(10, 3))?;
        let rate = if is_first_version { rate } else { rate / 2 };
        let eighths = if is_first_version { 144_000 } else { 72_000 };
        let size = usize::try_from(eighths * kilobits / rate).ok()? + field(9, 1);
        Some(Self { is_first_version, rate, kilobits, mode: u8::try_from(field(6, 3)).ok()?, size })
    }

    fn caps(self) -> Option<gst::Caps> {
        let channels = if self.mode == 3 { 1 } else { 2 };
        let caps = caps("audio/mpeg", self.rate, channels)?;
        Some(caps.field("mpegversion", 1i32).field("layer", 3i32).build())
    }

    /// Tells how its channels are coded.
    fn tell(self, into: &mut gst::TagListRef) -> Option<()> {
        let mode = *["stereo", "joint-stereo", "dual-channel", "mono"].get(usize::from(self.mode))?;
        register_tags();
        into.add_generic("channel-mode", mode, gst::TagMergeMode::Append).ok()
    }

    fn samples(self) -> u64 {
        if self.is_first_version { 1152 } else { 576 }
    }

    /// Where a table of the file's contents stands in a first frame, from its start.
    fn table_at(self) -> usize {
        4 + match (self.is_first_version, self.mode == 3) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        }
    }
}

/// How long the file is by the table in its first frame, in nanoseconds, and up to which byte of the file it reaches where the
/// table says that as well.
pub(in crate::probe) fn promised(file: &Source) -> Option<(u64, Option<u64>)> {
    const FRAMES: u32 = 1;
    const BYTES: u32 = 2;
    let head = file.bytes(0, 10)?;
    let size = |part: &[u8]| part.iter().fold(0_u64, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let from = if head.starts_with(b"ID3") { 10 + size(head.get(6..10)?) } else { 0 };
    let first = file.bytes(from, 64)?;
    let frame = Head::of(&first)?;
    let table = first.get(frame.table_at()..)?;
    let number = |at: usize| Some(u32::from_be_bytes(table.get(at..at + 4)?.try_into().ok()?));
    let flags = number(4).filter(|_| matches!(table.get(..4), Some(b"Xing" | b"Info")))?;
    let count = number(8).filter(|count| flags & FRAMES != 0 && *count > 0)?;
    let bytes = number(12).filter(|bytes| flags & BYTES != 0 && *bytes > 0);
    let end_ns = pace::scaled(u64::from(count) * frame.samples(), 1_000_000_000, u64::from(frame.rate));
    Some((end_ns, bytes.map(|bytes| from + u64::from(bytes))))
}

/// The file by its frames; nothing where they are not all alike and side by side.
pub(in crate::probe) fn read(file: &Source) -> Option<Sound> {
    let length = file.length();
    if length > LARGEST {
        return None;
    }
    let mut list = tagged("MPEG-1 Layer 3 (MP3)");
    let from = about(file, list.make_mut())?;
    let frames = file.bytes(from, usize::try_from(length.checked_sub(from)?).ok()?)?;
    let first = Head::of(&frames)?;
    let has_table = has_table(&frames, first)?;
    let (mut at, mut count, mut is_constant) = (0, 0_u64, true);
    while at < frames.len() {
        let head = Head::of(frames.get(at..)?)?;
        is_constant &= head.kilobits == first.kilobits;
        // Two channels may be told apart or together from frame to frame; the first one's way is told.
        let mode = if head.mode < 2 && first.mode < 2 { first.mode } else { head.mode };
        let alike = Head { size: first.size, kilobits: first.kilobits, mode, ..head };
        if alike != first || head.size < 24 {
            return None;
        }
        at += head.size;
        count += 1;
    }
    // Readers want some frames before they believe it, and the last one whole.
    if at != frames.len() || count < 10 {
        return None;
    }
    let into = list.make_mut();
    first.tell(into)?;
    // The frame with the table sounds of nothing, and says itself what the rate is.
    let count = count - u64::from(has_table);
    match (has_table, is_constant) {
        (true, _) => {}
        (false, true) => {
            into.add::<tags::NominalBitrate>(&(first.kilobits * 1000), gst::TagMergeMode::Append);
        }
        (false, false) => return None,
    }
    let caps = first.caps()?;
    // Each frame's length is rounded down.
    let frame_ns = first.samples() * 1_000_000_000 / u64::from(first.rate);
    Some(Sound::of(caps, list, count * frame_ns, length - from))
}

/// Caps of an MP4 track of the third layer by the head of its first frame, and what `sizes`, its table of them, says: all of one
/// rate.
pub(super) fn track(
    file: &Source,
    first: Packet,
    sizes: &[u8],
    into: &mut gst::TagListRef,
) -> Option<gst::Caps> {
    let bytes =
        file.bytes(first.at, usize::try_from(first.bytes).ok().filter(|size| *size <= LARGEST_FRAME)?)?;
    let head = Head::of(&bytes).filter(|head| head.is_first_version && head.size == bytes.len())?;
    let place = head.table_at();
    let is_table = |at: usize| matches!(bytes.get(at..at + 4), Some(b"Xing" | b"Info" | b"VBRI"));
    if is_table(place) || is_table(36) {
        return None;
    }
    let usual = 144_000 * head.kilobits / head.rate;
    let count = usize::try_from(be32(sizes, 8)?).ok()?;
    let is_usual = |size| size == usual || size == usual + 1;
    let are_alike = match be32(sizes, 4)? {
        0 => (0..count).all(|n| be32(sizes, 12 + n * 4).is_some_and(is_usual)),
        all => is_usual(all),
    };
    if !are_alike {
        return None;
    }
    head.tell(into)?;
    into.add::<tags::NominalBitrate>(&(head.kilobits * 1000), gst::TagMergeMode::Append);
    head.caps()
}

/// Whether the first frame holds a table of what the file has; nothing where others than FFmpeg made it, as readers tell more
/// of those.
fn has_table(frames: &[u8], first: Head) -> Option<bool> {
    let place = first.table_at();
    let table = frames.get(place..place + 4)?;
    if frames.get(36..40)? == b"VBRI" {
        return None;
    }
    if !matches!(table, b"Xing" | b"Info") {
        return Some(false);
    }
    let start = frames.get(..first.size)?;
    let by = |name: &[u8]| start.windows(name.len()).any(|word| word == name);
    (by(b"Lavf") || by(b"Lavc")).then_some(true)
}

/// GStreamer knows the tag of an MP3's channels once its parser was made.
fn register_tags() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(gst::ElementFactory::make("mpegaudioparse").build()));
}

/// What stands before the frames: nothing, or what wrote the file. Gives where the frames begin.
fn about(file: &Source, into: &mut gst::TagListRef) -> Option<u64> {
    const MOST: usize = 4096;
    let head = file.bytes(0, 10)?;
    if !head.starts_with(b"ID3") {
        return Some(0);
    }
    if head.get(3..6)? != [4, 0, 0] {
        return None;
    }
    let size = |part: &[u8]| part.iter().fold(0_usize, |size, byte| size << 7 | usize::from(byte & 0x7f));
    let whole = size(head.get(6..10)?);
    let body = file.bytes(10, Some(whole).filter(|whole| *whole <= MOST)?)?;
    let length = size(body.get(4..8)?);
    let said = body.get(10..10_usize.checked_add(length)?)?;
    // One frame in UTF-8, and nothing but padding behind it.
    let behind = body.get(10 + length..)?;
    if body.get(..4)? != b"TSSE" || body.get(8..10)? != [0, 0] || behind.iter().any(|byte| *byte != 0) {
        return None;
    }
    let name = said.strip_prefix(&[3])?;
    let name = text(name.strip_suffix(&[0]).unwrap_or(name))?;
    into.add::<tags::ContainerFormat>(&"ID3 tag", gst::TagMergeMode::Append);
    into.add::<tags::Encoder>(&name, gst::TagMergeMode::Append);
    u64::try_from(10 + whole).ok()
}

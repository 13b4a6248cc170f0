//! WAV files of plain PCM (Multimedia Programming Interface and Data Specifications 1.0; Microsoft's multiple channel audio
//! data note for the extensible form).

use gstreamer as gst;
use gstreamer::tags;

use super::plain::{Sound, caps, tagged, text};
use crate::probe::source::Source;

/// Chunks before the samples at most, and bytes of one that is looked into.
const MOST_CHUNKS: usize = 16;
const LARGEST: u32 = 4096;
/// The first samples, in which a reader looks for compressed sound that a disc would play.
const LOOKED_AT: usize = 32 << 10;
/// How frames of DTS begin, in four orders of their bits.
const DTS: [[u8; 4]; 4] =
    [[0x7f, 0xfe, 0x80, 0x01], [0xfe, 0x7f, 0x01, 0x80], [0x1f, 0xff, 0xe8, 0x00], [0xff, 0x1f, 0x00, 0xe8]];

/// The `fmt ` chunk.
struct Form {
    channels: u32,
    rate: u32,
    bits: u32,
}

/// The file by its headers; nothing where it is not plain.
pub(in crate::probe) fn read(file: &Source) -> Option<Sound> {
    let length = file.length();
    let head = file.bytes(0, 12)?;
    let whole = u64::from(number(&head, 4)?).checked_add(8)?;
    if !head.starts_with(b"RIFF") || head.get(8..12)? != b"WAVE" || whole != length {
        return None;
    }
    let (mut at, mut form, mut list) = (12_u64, None, gst::TagList::new());
    for _ in 0..MOST_CHUNKS {
        let chunk = file.bytes(at, 8)?;
        let size = number(&chunk, 4)?;
        let body = at + 8;
        let end = body + u64::from(size) + u64::from(size % 2);
        match chunk.get(..4)? {
            b"data" => {
                let end_of_samples = body + u64::from(size);
                let is_last = end == length || end_of_samples == length;
                return samples(file, body, size, &form?, &list).filter(|_| is_last);
            }
            _ if size > LARGEST => return None,
            b"fmt " if form.is_none() => form = Some(Form::of(&file.bytes(body, size as usize)?)?),
            b"LIST" => about(&file.bytes(body, size as usize)?, list.make_mut())?,
            _ => return None,
        }
        at = end;
    }
    None
}

fn samples(file: &Source, at: u64, size: u32, form: &Form, more: &gst::TagList) -> Option<Sound> {
    let frame = form.channels * form.bits / 8;
    if size == 0 || !size.is_multiple_of(frame) {
        return None;
    }
    let start = file.bytes(at, LOOKED_AT.min(size as usize))?;
    if start.windows(4).any(|word| DTS.iter().any(|sync| sync == word)) {
        return None;
    }
    let format = match form.bits {
        8 => "U8",
        16 => "S16LE",
        24 => "S24LE",
        32 => "S32LE",
        _ => return None,
    };
    let caps = caps("audio/x-raw", form.rate, form.channels)?.field("format", format).build();
    let mut list = tagged(&format!("Uncompressed {}-bit PCM audio", form.bits));
    let into = list.make_mut();
    into.insert(more, gst::TagMergeMode::Append);
    into.add::<tags::ContainerFormat>(&"WAV", gst::TagMergeMode::Append);
    // The reader rounds up.
    let bits_ns = u128::from(size) * 1_000_000_000;
    let duration_ns = u64::try_from(bits_ns.div_ceil(u128::from(frame) * u128::from(form.rate))).ok()?;
    Some(Sound::of(caps, list, duration_ns, u64::from(size)))
}

impl Form {
    fn of(body: &[u8]) -> Option<Self> {
        const PCM: u32 = 1;
        const EXTENSIBLE: u32 = 0xfffe;
        /// The subformat's bytes behind its first two, which are a form's number.
        const SUBFORMAT: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
        let channels = short(body, 2)?;
        let (rate, pace, frame, bits) =
            (number(body, 4)?, number(body, 8)?, short(body, 12)?, short(body, 14)?);
        let plain = match (short(body, 0)?, body.len()) {
            (PCM, 16) => true,
            (PCM, 18) => short(body, 16)? == 0,
            (EXTENSIBLE, 40) => {
                let is_pcm = short(body, 24)? == PCM && body.get(26..40)? == SUBFORMAT;
                // One speaker in front, or the two beside it.
                let mask = number(body, 20)?;
                let usual = matches!((channels, mask), (1, 4) | (2, 3));
                is_pcm && usual && short(body, 16)? == 22 && short(body, 18)? == bits
            }
            _ => false,
        };
        let fits = frame == channels * bits / 8 && pace == rate.checked_mul(frame)?;
        let known = matches!(bits, 8 | 16 | 24 | 32) && matches!(channels, 1 | 2);
        let rates = (1_000..=384_000).contains(&rate);
        (plain && fits && known && rates).then_some(Self { channels, rate, bits })
    }
}

/// What wrote the file; nothing where it says more.
fn about(list: &[u8], into: &mut gst::TagListRef) -> Option<()> {
    let inside = list.strip_prefix(b"INFO")?;
    let size = number(inside, 4)? as usize;
    let said = inside.get(8..8_usize.checked_add(size)?)?;
    if inside.get(..4)? != b"ISFT" || inside.len() > 8 + size + size % 2 {
        return None;
    }
    let end = said.iter().position(|byte| *byte == 0).unwrap_or(said.len());
    let name = said.get(..end)?;
    into.add::<tags::Encoder>(&text(name).filter(|name| name.is_ascii())?, gst::TagMergeMode::Append);
    Some(())
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

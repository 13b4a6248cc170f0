//! Colour in streams whose encoders' elements leave it out: written into the headers of key frames.
//!
//! Sources: VP9 bitstream specification 0.6, 6.2 and 7.2.2; AV1 specification, 5.5; ProRes SMPTE RDD 36.

use std::borrow::Cow;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::encode::VideoCodec;
use rushes_shared::media::Colour;

use crate::colour;

/// Writes the colour into packets of codecs whose encoders leave it out, before anything is made of them.
pub(crate) fn describe_colour(sink: &app::AppSink, codec: VideoCodec, described: &Colour) {
    let described = described.clone();
    let pad = sink.static_pad("sink").expect("a sink has a pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(packet) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        if packet.flags().contains(gst::BufferFlags::DELTA_UNIT) {
            return gst::PadProbeReturn::Ok;
        }
        let changed =
            packet.map_readable().ok().and_then(|bytes| match coloured(codec, &described, &bytes) {
                Cow::Owned(changed) => Some(changed),
                Cow::Borrowed(_) => None,
            });
        if let Some(bytes) = changed {
            let mut fresh = gst::Buffer::from_mut_slice(bytes);
            let into = fresh.get_mut().expect("a new buffer has one owner");
            if packet
                .copy_into(into, gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::FLAGS, ..)
                .is_ok()
            {
                *packet = fresh;
            }
        }
        gst::PadProbeReturn::Ok
    });
}

/// The packet with the description of colour in its header; as it is where that says it already, or is not understood.
pub(super) fn coloured<'a>(codec: VideoCodec, described: &Colour, packet: &'a [u8]) -> Cow<'a, [u8]> {
    let (points, full) = colour::code_points(described);
    let changed = match codec.in_software() {
        VideoCodec::Vp9 => vp9(packet, points[2], full),
        VideoCodec::ProRes => prores(packet, points),
        VideoCodec::Av1 if points != [2, 2, 2] => av1(packet, points),
        _ => None,
    };
    changed.map_or(Cow::Borrowed(packet), Cow::Owned)
}

/// VP9 knows matrices only: its numbers for H.273's.
fn vp9_space(matrix: u16) -> Option<u8> {
    Some(match matrix {
        1 => 2,
        5 | 6 => 1,
        7 => 4,
        9 => 5,
        _ => return None,
    })
}

fn vp9(packet: &[u8], matrix: u16, full: bool) -> Option<Vec<u8>> {
    const SYNC: u32 = 0x49_8342;
    let space = vp9_space(matrix);
    if space.is_none() && !full {
        return None;
    }
    let mut bits = Bits { bytes: packet, at: 0 };
    let (marker, low, high) = (bits.take(2)?, bits.take(1)?, bits.take(1)?);
    let profile = high << 1 | low;
    if profile == 3 {
        bits.take(1)?;
    }
    let (shown_again, frame_type) = (bits.take(1)?, bits.take(1)?);
    bits.take(2)?;
    if marker != 2 || shown_again != 0 || frame_type != 0 || bits.take(24)? != SYNC {
        return None;
    }
    if profile >= 2 {
        bits.take(1)?;
    }
    let at = bits.at;
    // 7 is RGB, which is laid out in another way.
    let said = u8::try_from(bits.take(3)?).ok().filter(|said| *said != 7)?;
    let space = space.unwrap_or(said);
    let mut changed = packet.to_vec();
    for (place, bit) in (at..).zip([space >> 2 & 1, space >> 1 & 1, space & 1, u8::from(full)]) {
        let mask = 0x80 >> (place % 8);
        changed[place / 8] = changed[place / 8] & !mask | if bit == 1 { mask } else { 0 };
    }
    Some(changed)
}

/// The bytes of primaries, transfer and matrix in a frame's header (SMPTE RDD 36, 5.1.1).
fn prores(packet: &[u8], points: [u16; 3]) -> Option<Vec<u8>> {
    const PLACE: usize = 22;
    if packet.get(4..8)? != b"icpf" || packet.len() < PLACE + 3 {
        return None;
    }
    let mut changed = packet.to_vec();
    for (byte, point) in changed[PLACE..].iter_mut().zip(points) {
        *byte = u8::try_from(point).unwrap_or(2);
    }
    Some(changed)
}

/// Puts primaries, transfer and matrix into the sequence header, 24 bits that leave all behind them in their places
/// within their bytes.
fn av1(packet: &[u8], points: [u16; 3]) -> Option<Vec<u8>> {
    let (before, header, payload, after) = sequence_header(packet)?;
    let place = description_flag(payload)?;
    let mut bits = Bits { bytes: payload, at: 0 };
    let mut written = Written::default();
    for _ in 0..place {
        written.put(bits.take(1)?, 1);
    }
    bits.take(1)?;
    written.put(1, 1);
    for point in points {
        written.put(u32::from(point), 8);
    }
    for _ in place + 1..payload.len() * 8 {
        written.put(bits.take(1)?, 1);
    }
    let size = u8::try_from(written.bytes.len()).ok().filter(|size| *size < 0x80)?;
    let mut changed = before.to_vec();
    changed.extend_from_slice(header);
    changed.push(size);
    changed.extend_from_slice(&written.bytes);
    changed.extend_from_slice(after);
    Some(changed)
}

/// What is before a sequence header, its header, its payload, the rest.
type Parts<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a [u8]);

/// A packet's parts around its sequence header: what is before, the OBU's header without its size, its payload, the rest.
pub(crate) fn sequence_header(packet: &[u8]) -> Option<Parts<'_>> {
    const SEQUENCE_HEADER: u8 = 1;
    let mut at = 0;
    while let Some(first) = packet.get(at) {
        let extended = usize::from(first >> 2 & 1);
        if first >> 1 & 1 == 0 {
            return None;
        }
        let header = at..at + 1 + extended;
        let (mut size, mut length) = (0usize, 0);
        loop {
            let byte = *packet.get(header.end + length)?;
            size |= usize::from(byte & 0x7f) << (7 * length);
            length += 1;
            if byte & 0x80 == 0 || length == 4 {
                break;
            }
        }
        let start = header.end + length;
        let end = start.checked_add(size).filter(|end| *end <= packet.len())?;
        if first >> 3 & 0xf == SEQUENCE_HEADER {
            return Some((&packet[..at], &packet[header], &packet[start..end], &packet[end..]));
        }
        at = end;
    }
    None
}

/// The place of `color_description_present_flag`, where it is not set; `None` in headers of other shapes than encoders
/// of whole films write.
fn description_flag(payload: &[u8]) -> Option<usize> {
    let mut bits = Bits { bytes: payload, at: 0 };
    let profile = bits.take(3)?;
    let (_still, reduced, timed, delayed) = (bits.take(1)?, bits.take(1)?, bits.take(1)?, bits.take(1)?);
    if reduced + timed + delayed > 0 {
        return None;
    }
    for _ in 0..=bits.take(5)? {
        bits.take(12)?;
        if bits.take(5)? > 7 {
            bits.take(1)?;
        }
    }
    let (width, height) = (bits.take(4)? as usize, bits.take(4)? as usize);
    bits.take(width + 1)?;
    bits.take(height + 1)?;
    if bits.take(1)? == 1 {
        bits.take(7)?;
    }
    // Large blocks, filters, edges; then compound and motion tools.
    bits.take(3)?;
    bits.take(4)?;
    let ordered = bits.take(1)?;
    if ordered == 1 {
        bits.take(2)?;
    }
    let screen = if bits.take(1)? == 1 { 2 } else { bits.take(1)? };
    if screen > 0 && bits.take(1)? == 0 {
        bits.take(1)?;
    }
    if ordered == 1 {
        bits.take(3)?;
    }
    // Super-resolution, CDEF, restoration.
    bits.take(3)?;
    let high = bits.take(1)?;
    if profile == 2 && high == 1 {
        bits.take(1)?;
    }
    if profile != 1 {
        bits.take(1)?;
    }
    let at = bits.at;
    (bits.take(1)? == 0).then_some(at)
}

/// Bits, the most significant first.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl Bits<'_> {
    pub(crate) fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

/// Bits that are put together.
#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    at: usize,
}

impl Written {
    fn put(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            if self.at.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if value >> bit & 1 == 1 {
                *self.bytes.last_mut().expect("a byte was begun") |= 0x80 >> (self.at % 8);
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bt709() -> Colour {
        let name = || "bt709".to_owned();
        Colour { matrix: name(), transfer: name(), primaries: name(), range: "tv".to_owned() }
    }

    #[test]
    fn a_key_frame_of_vp9_gets_a_matrix_and_others_stay() {
        // Profile 0, key frame, shown; the sync code; an unknown space.
        let key = [0x82, 0x49, 0x83, 0x42, 0x00, 0x09];
        assert_eq!(coloured(VideoCodec::Vp9, &bt709(), &key)[..], [0x82, 0x49, 0x83, 0x42, 0x40, 0x09]);
        let inter = [0x86, 0x00, 0x40, 0x92];
        assert_eq!(coloured(VideoCodec::Vp9, &bt709(), &inter)[..], inter);
        assert_eq!(coloured(VideoCodec::Vp9, &Colour::default(), &key)[..], key);
        for end in 0..key.len() {
            assert_eq!(coloured(VideoCodec::Vp9, &bt709(), &key[..end]).len(), end);
        }
    }

    #[test]
    fn a_sequence_header_of_av1_grows_by_three_bytes_and_broken_ones_stay() {
        // A temporal delimiter, a sequence header as libaom writes it for 64x64, and something behind.
        let packet = [
            0x12, 0x00, 0x0a, 0x0a, 0x00, 0x00, 0x00, 0x02, 0xaf, 0xff, 0x9b, 0x5f, 0x30, 0x08, 0x32, 0x01,
            0xaa,
        ];
        let changed = coloured(VideoCodec::Av1, &bt709(), &packet);
        assert_eq!(changed.len(), packet.len() + 3);
        assert_eq!(
            (&changed[..4], &changed[changed.len() - 3..]),
            (&[0x12, 0x00, 0x0a, 0x0d][..], &packet[14..])
        );
        assert_eq!(coloured(VideoCodec::Av1, &bt709(), &changed), changed, "it is there already");
        for end in 0..packet.len() - 3 {
            assert_eq!(coloured(VideoCodec::Av1, &bt709(), &packet[..end]).len(), end);
        }
    }
}

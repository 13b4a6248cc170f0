//! What a sample entry holds, in the words of manifests: the `codecs` parameter of RFC 6381, sizes, rates.
//!
//! H.264, HEVC, AV1 and VP9 pictures, AAC, MP3, Opus, AC-3, E-AC-3 and FLAC sound.

use crate::mp4::parse::{be32, child};

/// Length of the fixed part of a sample entry with its head (ISO/IEC 14496-12, 12.1.3 and 12.2.3).
const VIDEO_HEAD: usize = 86;
const AUDIO_HEAD: usize = 36;

/// The `codecs` parameter; `None` for what is not known.
pub(super) fn parameter(entry: &[u8]) -> Option<String> {
    let code = entry.get(4..8)?;
    let name = std::str::from_utf8(code).ok()?;
    match code {
        b"avc1" | b"avc3" => {
            let config = child(entry.get(VIDEO_HEAD..)?, b"avcC")?;
            let (profile, flags, level) = (config.get(1)?, config.get(2)?, config.get(3)?);
            Some(format!("{name}.{profile:02X}{flags:02X}{level:02X}"))
        }
        b"hvc1" | b"hev1" => hevc(name, child(entry.get(VIDEO_HEAD..)?, b"hvcC")?),
        b"av01" => av1(child(entry.get(VIDEO_HEAD..)?, b"av1C")?, hdr(entry)),
        b"vp09" => {
            let config = child(entry.get(VIDEO_HEAD..)?, b"vpcC")?;
            let (profile, level, depth) = (config.get(4)?, config.get(5)?, config.get(6)? >> 4);
            let mut text = format!("vp09.{profile:02}.{level:02}.{depth:02}");
            if let Some([primaries, transfer, matrix, full]) = hdr(entry) {
                let chroma = config.get(6)? >> 1 & 7;
                text.push_str(&format!(".{chroma:02}.{primaries:02}.{transfer:02}.{matrix:02}.{full:02}"));
            }
            Some(text)
        }
        b"mp4a" => esds(child(entry.get(AUDIO_HEAD..)?, b"esds")?),
        b"Opus" => Some("opus".to_owned()),
        b"ac-3" | b"ec-3" => Some(name.to_owned()),
        b"fLaC" => Some("fLaC".to_owned()),
        _ => None,
    }
}

/// Width and height in pixels.
pub(super) fn size(entry: &[u8]) -> Option<(u32, u32)> {
    let sides = be32(entry, 32)?;
    Some((sides >> 16, sides & 0xffff))
}

/// Channels and samples a second.
pub(super) fn sound(entry: &[u8]) -> Option<(u32, u32)> {
    let written = be32(entry, 24)? >> 16;
    Some((channels(entry).unwrap_or(written), be32(entry, 32)? >> 16))
}

/// Channels by the codec's own configuration: what the entry says is often 2, whatever the stream has.
fn channels(entry: &[u8]) -> Option<u32> {
    /// Channels of each arrangement of AC-3, without the one of bass (ETSI TS 102 366, table 4.3).
    const ARRANGED: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
    let config = |code| child(entry.get(AUDIO_HEAD..)?, code);
    let arranged = |mode: u8, bass: u8| Some(u32::from(ARRANGED.get(usize::from(mode & 7))? + (bass & 1)));
    match entry.get(4..8)? {
        b"mp4a" => aac_channels(specific(config(b"esds")?)?),
        b"ac-3" => config(b"dac3")?.get(1).and_then(|byte| arranged(byte >> 3, byte >> 2)),
        b"ec-3" => config(b"dec3")?.get(3).and_then(|byte| arranged(byte >> 1, *byte)),
        b"Opus" => config(b"dOps")?.get(1).map(|count| u32::from(*count)),
        // Behind the box's version and the block's head: sizes, the rate in 20 bits, channels less one in 3.
        b"fLaC" => config(b"dfLa")?.get(20).map(|byte| u32::from(byte >> 1 & 7) + 1),
        _ => None,
    }
}

/// Of MPEG-4 sound whose rate is one of the listed ones (ISO/IEC 14496-3, 1.6.2.1 and table 1.19).
fn aac_channels(specific: &[u8]) -> Option<u32> {
    let (first, second) = (specific.first()?, specific.get(1)?);
    let (kind, rate) = (first >> 3, (first & 7) << 1 | second >> 7);
    match (kind, rate, second >> 3 & 0xf) {
        (31, ..) | (_, 15, _) => None,
        (.., count @ 1..=6) => Some(u32::from(count)),
        (.., 11) => Some(7),
        (.., 7 | 12 | 14) => Some(8),
        _ => None,
    }
}

/// ISO/IEC 14496-15, annex E.3.
fn hevc(name: &str, config: &[u8]) -> Option<String> {
    let profile = *config.get(1)?;
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatible = be32(config, 2)?.reverse_bits();
    let mut text = format!("{name}.{space}{}.{compatible:X}.{tier}{}", profile & 0x1f, config.get(12)?);
    let constraints = config.get(6..12)?;
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        text.push_str(&format!(".{byte:X}"));
    }
    Some(text)
}

/// Primaries, transfer and matrix (ITU-T H.273) and whether the range is full, of pictures whose dynamic range is high. The names of
/// VP9 and AV1 end with them: one without says that they are those of BT.709.
fn hdr(entry: &[u8]) -> Option<[u8; 4]> {
    let colour = child(entry.get(VIDEO_HEAD..)?, b"colr")?.strip_prefix(b"nclx")?;
    let point = |at: usize| colour.get(at).copied();
    let points = [point(1)?, point(3)?, point(5)?, point(6)? >> 7];
    matches!(points[1], 16 | 18).then_some(points)
}

/// AV1 codec ISO media file format binding, 5.
fn av1(config: &[u8], hdr: Option<[u8; 4]>) -> Option<String> {
    let (first, second) = (config.get(1)?, config.get(2)?);
    let (profile, level, tier) = (first >> 5, first & 0x1f, if second & 0x80 == 0 { 'M' } else { 'H' });
    let depth = match (second & 0x40 != 0, second & 0x20 != 0) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    let mut text = format!("av01.{profile}.{level:02}{tier}.{depth:02}");
    if let Some([primaries, transfer, matrix, full]) = hdr {
        let (grey, across, down) = (second >> 4 & 1, second >> 3 & 1, second >> 2 & 1);
        // Where chroma lies is told of 4:2:0 alone.
        let place = if across & down == 1 { second & 3 } else { 0 };
        text.push_str(&format!(
            ".{grey}.{across}{down}{place}.{primaries:02}.{transfer:02}.{matrix:02}.{full}"
        ));
    }
    Some(text)
}

/// The object type in an ES descriptor (ISO/IEC 14496-1, 7.2.6), and for MPEG-4 sound the audio object type.
fn esds(body: &[u8]) -> Option<String> {
    let object = *decoder(body)?.first()?;
    if object != 0x40 {
        return Some(format!("mp4a.{object:02X}"));
    }
    let specific = specific(body)?;
    let kind = match specific.first()? >> 3 {
        31 => 32 + ((specific.first()? & 7) << 3 | specific.get(1)? >> 5),
        kind => kind,
    };
    Some(format!("mp4a.40.{kind}"))
}

/// The decoder's configuration in an ES descriptor.
fn decoder(body: &[u8]) -> Option<&[u8]> {
    let stream = descriptor(&mut body.get(4..)?, 3)?;
    descriptor(&mut stream.get(3..)?, 4)
}

/// What is specific to MPEG-4 sound in it.
fn specific(body: &[u8]) -> Option<&[u8]> {
    descriptor(&mut decoder(body)?.get(13..)?, 5)
}

/// The body of the next descriptor, which has to have this tag.
fn descriptor<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (first, mut after) = rest.split_first().filter(|(first, _)| **first == tag).map(|(f, a)| (*f, a))?;
    let _ = first;
    let mut length = 0usize;
    for _ in 0..4 {
        let (byte, next) = after.split_first()?;
        after = next;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = after.get(..length)?;
    *rest = &after[length..];
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample entry with one box in it.
    fn entry(code: &[u8; 4], head: usize, inner: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; head];
        bytes[4..8].copy_from_slice(code);
        bytes.extend_from_slice(&u32::try_from(body.len() + 8).unwrap().to_be_bytes());
        bytes.extend_from_slice(inner);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn channels_are_those_of_the_stream() {
        // Two channels and 48 kHz, as most writers have it.
        let of = |code: &[u8; 4], inner: &[u8; 4], body: &[u8]| {
            let mut bytes = entry(code, AUDIO_HEAD, inner, body);
            bytes[25] = 2;
            bytes[32..34].copy_from_slice(&48_000_u16.to_be_bytes());
            sound(&bytes).unwrap()
        };
        let aac = |config: &[u8]| {
            let head = [0, 0, 0, 0, 3, 22, 0, 1, 0, 4, 17, 0x40, 0x15];
            of(b"mp4a", b"esds", &[&head[..], &[0; 11], &[5, 2], config].concat()).0
        };
        assert_eq!([[0x11, 0x88], [0x11, 0xb0], [0x11, 0xb8], [0x11, 0x80]].map(|c| aac(&c)), [1, 6, 8, 2]);
        assert_eq!(of(b"ac-3", b"dac3", &[0x10, 0x3d, 0xe0]), (6, 48_000));
        assert_eq!(of(b"ec-3", b"dec3", &[0x07, 0xc0, 0x20, 0x0f]).0, 6);
        assert_eq!(of(b"Opus", b"dOps", &[0, 8]).0, 8);
        assert_eq!(of(b"fLaC", b"dfLa", &[[0; 20].as_slice(), &[0xf2]].concat()).0, 2);
        assert_eq!(of(b"alac", b"alac", &[]).0, 2, "as the entry says");
    }

    #[test]
    fn codecs_are_named_as_players_expect_them() {
        let video = |code, inner, body: &[u8]| parameter(&entry(code, VIDEO_HEAD, inner, body));
        assert_eq!(video(b"avc1", b"avcC", &[1, 0x64, 0, 0x28]).unwrap(), "avc1.640028");
        let main10 = [1, 2, 0x20, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93];
        assert_eq!(video(b"hvc1", b"hvcC", &main10).unwrap(), "hvc1.2.4.L93.B0");
        assert_eq!(video(b"av01", b"av1C", &[0x81, 0x08, 0x40, 0]).unwrap(), "av01.0.08M.10");
        assert_eq!(video(b"vp09", b"vpcC", &[1, 0, 0, 0, 0, 31, 0x82]).unwrap(), "vp09.00.31.08");
        let colr = |transfer: u8| [&[0, 0, 0, 19], &b"colrnclx"[..], &[0, 9, 0, transfer, 0, 9, 0]].concat();
        let coloured = |code, inner, body: &[u8], transfer| {
            parameter(&[entry(code, VIDEO_HEAD, inner, body), colr(transfer)].concat()).unwrap()
        };
        let av1 = [0x81, 0x08, 0x4e, 0];
        assert_eq!(coloured(b"av01", b"av1C", &av1, 16), "av01.0.08M.10.0.112.09.16.09.0");
        assert_eq!(coloured(b"av01", b"av1C", &av1, 14), "av01.0.08M.10");
        let vp9 = [1, 0, 0, 0, 2, 31, 0xa2];
        assert_eq!(coloured(b"vp09", b"vpcC", &vp9, 18), "vp09.02.31.10.01.09.18.09.00");
        // Version and flags; ES descriptor; decoder configuration: type, stream, three numbers; AAC-LC.
        let head = [0, 0, 0, 0, 3, 22, 0, 1, 0, 4, 17, 0x40, 0x15];
        let esds = [&head[..], &[0; 11], &[5, 2, 0x12, 0x10]].concat();
        assert_eq!(parameter(&entry(b"mp4a", AUDIO_HEAD, b"esds", &esds)).unwrap(), "mp4a.40.2");
        assert_eq!(parameter(&entry(b"Opus", AUDIO_HEAD, b"dOps", &[])).unwrap(), "opus");
        for end in 0..esds.len() {
            assert_eq!(parameter(&entry(b"mp4a", AUDIO_HEAD, b"esds", &esds[..end])), None, "{end} bytes");
        }
    }
}

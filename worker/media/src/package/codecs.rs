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
        b"av01" => av1(child(entry.get(VIDEO_HEAD..)?, b"av1C")?),
        b"vp09" => {
            let config = child(entry.get(VIDEO_HEAD..)?, b"vpcC")?;
            let (profile, level, depth) = (config.get(4)?, config.get(5)?, config.get(6)? >> 4);
            Some(format!("vp09.{profile:02}.{level:02}.{depth:02}"))
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
    Some((be32(entry, 24)? >> 16, be32(entry, 32)? >> 16))
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

/// AV1 codec ISO media file format binding, 5.
fn av1(config: &[u8]) -> Option<String> {
    let (first, second) = (config.get(1)?, config.get(2)?);
    let (profile, level, tier) = (first >> 5, first & 0x1f, if second & 0x80 == 0 { 'M' } else { 'H' });
    let depth = match (second & 0x40 != 0, second & 0x20 != 0) {
        (true, true) => 12,
        (true, false) => 10,
        _ => 8,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"))
}

/// The object type in an ES descriptor (ISO/IEC 14496-1, 7.2.6), and for MPEG-4 sound the audio object type.
fn esds(body: &[u8]) -> Option<String> {
    let mut rest = body.get(4..)?;
    let stream = descriptor(&mut rest, 3)?;
    let mut rest = stream.get(3..)?;
    let config = descriptor(&mut rest, 4)?;
    let object = *config.first()?;
    if object != 0x40 {
        return Some(format!("mp4a.{object:02X}"));
    }
    let mut rest = config.get(13..)?;
    let specific = descriptor(&mut rest, 5)?;
    let kind = match specific.first()? >> 3 {
        31 => 32 + ((specific.first()? & 7) << 3 | specific.get(1)? >> 5),
        kind => kind,
    };
    Some(format!("mp4a.40.{kind}"))
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
    fn codecs_are_named_as_players_expect_them() {
        let video = |code, inner, body: &[u8]| parameter(&entry(code, VIDEO_HEAD, inner, body));
        assert_eq!(video(b"avc1", b"avcC", &[1, 0x64, 0, 0x28]).unwrap(), "avc1.640028");
        let main10 = [1, 2, 0x20, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93];
        assert_eq!(video(b"hvc1", b"hvcC", &main10).unwrap(), "hvc1.2.4.L93.B0");
        assert_eq!(video(b"av01", b"av1C", &[0x81, 0x08, 0x40, 0]).unwrap(), "av01.0.08M.10");
        assert_eq!(video(b"vp09", b"vpcC", &[1, 0, 0, 0, 0, 31, 0x82]).unwrap(), "vp09.00.31.08");
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

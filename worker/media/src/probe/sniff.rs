//! The container, from a file's first bytes. Names are those that the field uses, and never come from the file's name.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::source::Source;

/// The container's short name, or an empty text.
pub(super) fn container(path: &Path) -> &'static str {
    Source::whole(path).ok().and_then(|file| of_source(&file)).unwrap_or("")
}

/// The same of a file that is open; nothing where its start is not here.
pub(super) fn of_source(file: &Source) -> Option<&'static str> {
    const LOOKED_AT: usize = 1024;
    let length = usize::try_from(file.length()).unwrap_or(LOOKED_AT).min(LOOKED_AT);
    Some(of(&file.bytes(0, length)?))
}

fn of(head: &[u8]) -> &'static str {
    let at = |from: usize, text: &[u8]| head.get(from..from + text.len()) == Some(text);
    if at(4, b"ftyp") {
        return if at(8, b"qt  ") {
            "mov"
        } else if at(8, b"avif") || at(8, b"avis") {
            "avif"
        } else if at(8, b"heic") || at(8, b"mif1") || at(8, b"heix") {
            "heif"
        } else {
            "mp4"
        };
    }
    if [&b"moov"[..], b"mdat", b"wide", b"free", b"skip"].iter().any(|code| at(4, code)) {
        return "mov";
    }
    if at(0, b"\x1a\x45\xdf\xa3") {
        let webm = head.windows(4).take(64).any(|word| word == b"webm");
        return if webm { "webm" } else { "matroska" };
    }
    if at(0, b"RIFF") || at(0, b"RF64") {
        return match head.get(8..12) {
            Some(b"WAVE") => "wav",
            Some(b"AVI ") => "avi",
            Some(b"WEBP") => "webp",
            _ => "",
        };
    }
    let packets = |size: usize, first: usize| (0..3).all(|n| head.get(first + n * size) == Some(&0x47));
    if packets(188, 0) || packets(192, 4) {
        return "mpegts";
    }
    let known: [(&[u8], &str); 15] = [
        (b"OggS", "ogg"),
        (b"fLaC", "flac"),
        (b"ID3", "mp3"),
        (b"\xff\xfb", "mp3"),
        (b"\xff\xf3", "mp3"),
        (b"\xff\xf1", "adts"),
        (b"\xff\xf9", "adts"),
        (b"FLV\x01", "flv"),
        (b"\x00\x00\x01\xba", "mpegps"),
        (b"\x00\x00\x01\xb3", "mpegvideo"),
        (b"\x30\x26\xb2\x75", "asf"),
        (b"\x89PNG", "png"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"GIF8", "gif"),
        (b"FORM", "aiff"),
    ];
    known.iter().find(|(magic, _)| at(0, magic)).map_or("", |(_, name)| *name)
}

/// Most segments of a JPEG before the one with its size: Exif, colour profiles and the like.
const MOST_SEGMENTS: usize = 1 << 10;

/// Whether a file is a JPEG of four colours, for print: GStreamer has no format for those.
pub(crate) fn is_cmyk(file: &mut (impl Read + Seek)) -> bool {
    colours(file).is_ok_and(|colours| colours == Some(4))
}

/// How many colours a JPEG has (ITU-T T.81, B.2.2); `None` of any other file.
fn colours(file: &mut (impl Read + Seek)) -> io::Result<Option<u8>> {
    let mut start = [0; 2];
    file.read_exact(&mut start)?;
    if start != [0xff, 0xd8] {
        return Ok(None);
    }
    for _ in 0..MOST_SEGMENTS {
        let mut head = [0; 4];
        file.read_exact(&mut head)?;
        let [0xff, kind, high, low] = head else { return Ok(None) };
        // All frame headers but the tables and extensions between them.
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            let mut frame = [0; 6];
            file.read_exact(&mut frame)?;
            return Ok(Some(frame[5]));
        }
        let rest = i64::from(u16::from_be_bytes([high, low])) - 2;
        file.seek(SeekFrom::Current(rest.max(0)))?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn pictures_of_four_colours_are_known_behind_what_else_stands_in_front() {
        let picture = |colours: u8| {
            let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, 0, 5, 1, 2, 3, 0xff, 0xc4, 0, 3, 9];
            bytes.extend([0xff, 0xc2, 0, 20, 8, 0, 16, 0, 16, colours]);
            bytes
        };
        assert!(is_cmyk(&mut Cursor::new(picture(4))));
        assert!(!is_cmyk(&mut Cursor::new(picture(3))));
        for broken in [&picture(4)[..20], b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\0", b"RIFF", b""] {
            assert!(!is_cmyk(&mut Cursor::new(broken)));
        }
    }

    #[test]
    fn containers_are_known_by_their_bytes() {
        assert_eq!(of(b"\0\0\0\x18ftypqt  "), "mov");
        assert_eq!(of(b"\0\0\0\x18ftypisom"), "mp4");
        assert_eq!(of(b"RIFF\0\0\0\0WAVE"), "wav");
        assert_eq!(of(b"plain text"), "");
        assert_eq!(of(b""), "");
    }
}

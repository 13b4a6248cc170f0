//! What GStreamer 1.22's Matroska muxer writes wrongly, set right in the finished file. Nothing moves: every element keeps its place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use gstreamer::prelude::*;

/// Bytes at a file's begin in which its tracks are described, and at its end in which its tags are.
const DESCRIBED_IN: u64 = 64 << 10;
const TAGS_IN: u64 = 1 << 20;

/// Writes the most and the least light of the display anew, in cd/m2: the muxer divides them by the wrong number.
pub(super) fn set_light(place: &Path, [most, least]: [f64; 2]) -> io::Result<()> {
    // MasteringMetadata; LuminanceMax and LuminanceMin, of eight bytes each.
    const DISPLAY: &[u8] = &[0x55, 0xd0];
    const MOST: &[u8] = &[0x55, 0xd9, 0x88];
    const LEAST: &[u8] = &[0x55, 0xda, 0x88];
    const LENGTH: usize = 256;
    let mut file = File::options().read(true).write(true).open(place)?;
    let mut head = Vec::new();
    (&mut file).take(DESCRIBED_IN).read_to_end(&mut head)?;
    let Some(display) = find(&head, DISPLAY) else { return Ok(()) };
    let described = &head[display..head.len().min(display + LENGTH)];
    for (word, light) in [(MOST, most), (LEAST, least)] {
        if let Some(at) = find(described, word) {
            file.seek(SeekFrom::Start((display + at + word.len()) as u64))?;
            file.write_all(&light.to_be_bytes())?;
        }
    }
    Ok(())
}

/// Writes the texts of tags anew: the muxer quotes them as a command line does.
pub(super) fn set_texts(place: &Path, tags: &[(&'static str, String)]) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(place)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAGS_IN);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    (&mut file).take(TAGS_IN).read_to_end(&mut end)?;
    for (_, text) in tags {
        let Some((quoted, plain)) = elements(text) else { continue };
        // Two tags may have one text.
        while let Some(at) = find(&end, &quoted) {
            file.seek(SeekFrom::Start(start + at as u64))?;
            file.write_all(&plain)?;
            end[at..at + plain.len()].copy_from_slice(&plain);
        }
    }
    Ok(())
}

/// A TagString as the muxer writes it, and as it is to be, with what fills up its place; `None` where they are the same.
fn elements(text: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    const TAG_STRING: [u8; 2] = [0x44, 0x87];
    const VOID: u8 = 0xec;
    let quoted = text.to_value().serialize().ok().filter(|quoted| quoted != text)?;
    // It writes the end of a text too.
    let quoted = [quoted.as_bytes(), &[0]].concat();
    let width = (1..=4).find(|width| quoted.len() < (1 << (7 * width)) - 1)?;
    let element = |text: &[u8]| [&TAG_STRING, &sized(text.len(), width)[..], text].concat();
    let (written, mut wanted) = (element(&quoted), element(text.as_bytes()));
    // What is left has its own head, of two bytes at least.
    let rest = written.len().checked_sub(wanted.len()).filter(|rest| *rest >= 2)?;
    let (width, filling) = if rest - 2 < 127 { (1, rest - 2) } else { (4, rest.checked_sub(5)?) };
    wanted.push(VOID);
    wanted.extend(sized(filling, width));
    wanted.resize(written.len(), 0);
    Some((written, wanted))
}

/// A size of so many bytes (RFC 8794, 4).
fn sized(size: usize, width: usize) -> Vec<u8> {
    let marked = (1_u64 << (7 * width)) | size as u64;
    marked.to_be_bytes()[8 - width..].to_vec()
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|at| at == word)
}

#[cfg(test)]
mod tests {
    use gstreamer as gst;

    use super::*;

    #[test]
    fn quoted_texts_become_plain_ones_in_their_place() {
        gst::init().unwrap();
        assert_eq!(elements("plain"), None);
        let (written, wanted) = elements("A B").unwrap();
        assert_eq!(written, b"\x44\x87\x87\"A\\ B\"\0");
        assert_eq!(wanted, b"\x44\x87\x83A B\xec\x82\0\0");
        for text in ["ünï".repeat(200), "a b".to_owned(), "x \"y\" ".repeat(30), " ".repeat(127)] {
            let (written, wanted) = elements(&text).unwrap();
            assert_eq!(written.len(), wanted.len());
            assert!(find(&wanted, text.as_bytes()).is_some());
        }
    }
}

//! Block times of a Matroska or WebM file (RFC 9559), read from block headers without touching the media.
//!
//! Matroska has no index of frames. Its blocks say their time in their first bytes, so walking from header to header
//! reads a few bytes a frame.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::facts::Index;
use super::timing::Timing;

const EBML: u32 = 0x1A45_DFA3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CLUSTER: u32 = 0x1F43_B675;
const TRACK_ENTRY: u32 = 0xAE;
const BLOCK_GROUP: u32 = 0xA0;
const BLOCK: u32 = 0xA1;
const SIMPLE_BLOCK: u32 = 0xA3;
const CLUSTER_TIME: u32 = 0xE7;
const TIME_SCALE: u32 = 0x2A_D7B1;
const TRACK_NUMBER: u32 = 0xD7;
const TRACK_TYPE: u32 = 0x83;
const CODEC_DELAY: u32 = 0x56AA;
const LANGUAGE: u32 = 0x22_B59C;
const DEFAULT_DURATION: u32 = 0x23_E383;

/// Most blocks walked.
const MOST_BLOCKS: usize = 16 << 20;

/// Blocks among which the first of every track is looked for.
const FIRST_BLOCKS: usize = 4096;

/// When the first picture or sound of a file begins, on the file's own time line; `None` for other files, and damaged ones.
pub(crate) fn begins_at(path: &Path) -> Option<u64> {
    let mut walk = Walk::of(path, Duration::from_secs(1))?;
    walk.first_alone = true;
    walk.top()?;
    let kept = walk.tracks.iter().filter(|track| matches!(track.kind, 1 | 2));
    kept.filter_map(|track| track.starts.first().copied()).min()
}

/// Times of every track, or nothing where the file is damaged or too long to walk in `limit`.
pub(super) fn read(path: &Path, limit: Duration) -> Option<Index> {
    let mut walk = Walk::of(path, limit)?;
    walk.top()?;
    Some(walk.index())
}

#[derive(Debug, Default)]
struct Track {
    number: u64,
    kind: u64,
    language: String,
    delay_ns: u64,
    frame_ns: u64,
    starts: Vec<u64>,
    last_duration_ns: u64,
    bytes: u64,
}

struct Walk {
    file: File,
    end: u64,
    deadline: Instant,
    window: Vec<u8>,
    window_at: u64,
    scale: u64,
    tracks: Vec<Track>,
    cluster: u64,
    blocks: usize,
    elements: u64,
    /// Whether it ends once each track has a block.
    first_alone: bool,
}

/// An element's id and where its body lies. A body of unknown size ends where its parent does.
#[derive(Clone, Copy)]
struct Element {
    id: u32,
    body: u64,
    end: u64,
}

/// Bytes read at once: a header costs one read, and small elements come in with it.
const WINDOW: usize = 1024;

impl Walk {
    fn of(path: &Path, limit: Duration) -> Option<Self> {
        let file = File::open(path).ok()?;
        let end = file.metadata().ok()?.len();
        Some(Self {
            file,
            end,
            deadline: Instant::now() + limit,
            window: Vec::new(),
            window_at: 0,
            scale: 1_000_000,
            tracks: Vec::new(),
            cluster: 0,
            blocks: 0,
            elements: 0,
            first_alone: false,
        })
    }

    /// Whether nothing more has to be known.
    fn is_done(&self) -> bool {
        let mut kept = self.tracks.iter().filter(|track| matches!(track.kind, 1 | 2));
        self.first_alone && (self.blocks >= FIRST_BLOCKS || kept.all(|track| !track.starts.is_empty()))
    }

    fn top(&mut self) -> Option<()> {
        // Other files are not walked: what looks like elements there may be any number of them.
        let mut at = self.element(0, self.end).filter(|header| header.id == EBML)?.end;
        while at < self.end {
            let element = self.element(at, self.end)?;
            if element.id == SEGMENT {
                return self.segment(element);
            }
            at = element.end;
        }
        None
    }

    /// Walks the segment flat: a cluster of unknown size is left when a new one begins.
    fn segment(&mut self, segment: Element) -> Option<()> {
        let mut at = segment.body;
        while at < segment.end {
            // A file that was cut off has an element that reaches past its end: what is there still counts.
            let Some(element) = self.element(at, segment.end) else { break };
            at = match element.id {
                CLUSTER | BLOCK_GROUP | TRACKS => element.body,
                TRACK_ENTRY => {
                    self.track(element)?;
                    element.end
                }
                INFO => {
                    self.info(element)?;
                    element.end
                }
                CLUSTER_TIME => {
                    self.cluster = self.number(element)?;
                    element.end
                }
                SIMPLE_BLOCK | BLOCK => {
                    self.block(element)?;
                    if self.is_done() {
                        break;
                    }
                    element.end
                }
                _ => element.end,
            };
        }
        Some(())
    }

    fn info(&mut self, info: Element) -> Option<()> {
        let mut at = info.body;
        while at < info.end {
            let element = self.element(at, info.end)?;
            if element.id == TIME_SCALE {
                self.scale = self.number(element)?;
            }
            at = element.end;
        }
        Some(())
    }

    fn track(&mut self, entry: Element) -> Option<()> {
        // RFC 9559, 5.1.4.1.19: English where nothing is said.
        let mut track = Track { language: "eng".to_owned(), ..Track::default() };
        let mut at = entry.body;
        while at < entry.end {
            let element = self.element(at, entry.end)?;
            match element.id {
                TRACK_NUMBER => track.number = self.number(element)?,
                TRACK_TYPE => track.kind = self.number(element)?,
                CODEC_DELAY => track.delay_ns = self.number(element)?,
                LANGUAGE => track.language = self.text(element)?,
                DEFAULT_DURATION => track.frame_ns = self.number(element)?,
                _ => {}
            }
            at = element.end;
        }
        self.tracks.push(track);
        Some(())
    }

    fn block(&mut self, block: Element) -> Option<()> {
        self.blocks += 1;
        if self.blocks > MOST_BLOCKS || (self.blocks.is_multiple_of(256) && Instant::now() > self.deadline) {
            return None;
        }
        let (number, length) = self.vint(block.body)?;
        let head = self.bytes(block.body + length, 3)?;
        let relative = i64::from(i16::from_be_bytes([head[0], head[1]]));
        let laced = head[2] & 0x06 != 0;
        let time = i64::try_from(self.cluster).ok()?.checked_add(relative)?;
        let scale = self.scale;
        let size = block.end - block.body - length - 3;
        let track = self.tracks.iter_mut().find(|track| track.number == number)?;
        let at = u64::try_from(time).unwrap_or(0).saturating_mul(scale);
        track.starts.push(at.saturating_sub(track.delay_ns));
        track.bytes += size;
        // Several frames in one block are used for sound only, where frames are not counted.
        if laced && track.kind == 1 {
            return None;
        }
        track.last_duration_ns = track.frame_ns;
        Some(())
    }

    fn index(self) -> Index {
        let mut index = Index::default();
        for track in self.tracks {
            let language = if track.language == "und" { String::new() } else { track.language };
            let timing = Timing {
                language,
                ..Timing::of(track.starts, track.last_duration_ns, track.bytes, self.scale)
            };
            match track.kind {
                1 => index.video.push(timing),
                2 => index.audio.push(timing),
                17 => index.subtitles.push(timing.language),
                _ => {}
            }
        }
        index
    }

    fn element(&mut self, at: u64, limit: u64) -> Option<Element> {
        self.elements += 1;
        if self.elements.is_multiple_of(4096) && Instant::now() > self.deadline {
            return None;
        }
        let first = *self.bytes(at, 1)?.first()?;
        let id_length = u64::from(first.leading_zeros()) + 1;
        if id_length > 4 {
            return None;
        }
        let id = self
            .bytes(at, usize::try_from(id_length).ok()?)?
            .iter()
            .fold(0, |id, byte| id << 8 | u32::from(*byte));
        let (size, length) = self.vint(at + id_length)?;
        let body = at + id_length + length;
        let unknown = size == (1 << (7 * length)) - 1;
        let end = if unknown { limit } else { body.checked_add(size)? };
        // A body may be cut off by the file's end only where it is walked into.
        let container = matches!(id, SEGMENT | CLUSTER);
        if end > limit && !container {
            return None;
        }
        Some(Element { id, body, end: end.min(limit) })
    }

    /// A variable-length number and its length in bytes.
    fn vint(&mut self, at: u64) -> Option<(u64, u64)> {
        let first = *self.bytes(at, 1)?.first()?;
        let length = usize::try_from(first.leading_zeros()).ok()? + 1;
        if length > 8 {
            return None;
        }
        let bytes = self.bytes(at, length)?;
        let value = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let value = value & ((1u64 << (7 * length)) - 1);
        Some((value, u64::try_from(length).ok()?))
    }

    fn number(&mut self, element: Element) -> Option<u64> {
        let length = usize::try_from(element.end - element.body).ok().filter(|length| *length <= 8)?;
        Some(self.bytes(element.body, length)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn text(&mut self, element: Element) -> Option<String> {
        let length = usize::try_from(element.end - element.body).ok().filter(|length| *length <= 64)?;
        let bytes = self.bytes(element.body, length)?;
        Some(String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned())
    }

    fn bytes(&mut self, at: u64, length: usize) -> Option<&[u8]> {
        let inside = at.checked_sub(self.window_at).and_then(|offset| usize::try_from(offset).ok());
        let held = inside.filter(|offset| offset + length <= self.window.len());
        let offset = match held {
            Some(offset) => offset,
            None => {
                let mut window = std::mem::take(&mut self.window);
                window.resize(WINDOW, 0);
                let got = self.file.read_at(&mut window, at).ok()?;
                window.truncate(got);
                self.window = window;
                self.window_at = at;
                0
            }
        };
        self.window.get(offset..offset + length)
    }
}

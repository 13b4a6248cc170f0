//! An MP4 writer (ISO/IEC 14496-12 and -14, 14496-15 for AVC) that puts the index before the media in one pass.
//!
//! Why not a muxer element: its edit lists cannot say that an encoder's priming samples are to be skipped, it wants a
//! second copy of the file to put the index first, and it waits for every stream, which locks up on badly
//! interleaved input. Here a place for the index is reserved by estimate; media is written as it comes, in chunks;
//! the index goes into the reserved place at the end. Only where the estimate was too small is the media moved.
//!
//! ```text
//! Writer     packets -> progressive file, index first
//! fragment   packets -> a fragmented track (init segment, one moof and mdat for each row of packets)
//! read       either kind of file -> where its samples lie, for who copies them
//! ```
//!
//! Times: video timestamps are kept to the unit of the track's time scale, in presentation order, so that variable
//! rates stay what they were. Sound is continuous from its first sample. Both start where they started in relation to
//! each other; the earlier one at zero.

pub(crate) mod atom;
pub(crate) mod fragment;
mod fragmented;
mod index;
mod moof;
mod moov;
pub(crate) mod parse;
pub(crate) mod read;
pub(crate) mod samples;
mod track;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

pub(crate) use fragmented::{FragmentTrack, FragmentedPacket, write_fragmented};
pub(crate) use index::descriptor;
use track::Track;
pub use track::{AudioTrack, CopiedTrack, TrackKind, VideoTrack};

/// One encoded access unit.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Presentation time in nanoseconds. Sound is counted in samples instead; only its first packet's time is used.
    pub pts_ns: i64,
    /// How long it lasts, in nanoseconds; used for the last frame only.
    pub duration_ns: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// The bytes, as the track's format stores them.
    pub data: &'a [u8],
}

/// A track's place in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackId(usize);

/// A file being written.
#[derive(Debug)]
pub struct Writer {
    file: BufWriter<File>,
    /// Where the media box begins; the index has the room between the file type and here.
    media_box: u64,
    /// Where the next byte goes.
    position: u64,
    tracks: Vec<Track>,
    /// Title and other texts for players: four-character code and value.
    texts: Vec<Text>,
    created: u64,
    /// The time that is the file's zero; `None` for that of the earliest track.
    origin_ns: Option<i64>,
    brand: Brand,
}

/// Whose files these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brand {
    /// MP4.
    Mp4,
    /// MP4 with sound alone.
    M4a,
    /// QuickTime.
    QuickTime,
    /// MP4 in fragments.
    Fragmented,
}

/// A text for players: four-character code and value.
pub type Text = ([u8; 4], String);

/// Box header with a 64-bit size.
const MEDIA_HEADER: u64 = 16;

impl Writer {
    /// A new file with `reserve` bytes kept free for the index.
    ///
    /// # Errors
    /// Those of the file system. An existing file is overwritten.
    pub fn create(path: &Path, reserve: u64) -> io::Result<Self> {
        Self::create_as(Brand::Mp4, path, reserve)
    }

    /// The same with the brand of a relative of the format.
    ///
    /// # Errors
    /// Those of the file system. An existing file is overwritten.
    pub fn create_as(brand: Brand, path: &Path, reserve: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let start = index::file_type(brand);
        file.write_all(&start)?;
        let media_box = len64(&start) + reserve.max(8);
        file.seek(SeekFrom::Start(media_box))?;
        file.write_all(&[0; 16])?;
        Ok(Self {
            file,
            media_box,
            position: media_box + MEDIA_HEADER,
            tracks: Vec::new(),
            texts: Vec::new(),
            created: 0,
            origin_ns: None,
            brand,
        })
    }

    /// Room that the index of such a file will need, on the generous side.
    #[must_use]
    pub fn estimate(frames: u64, sound_packets: u64, texts: &[Text]) -> u64 {
        let texts: u64 = texts.iter().map(|(_, value)| 24 + len64(value.as_bytes())).sum();
        // A frame: size 4, composition offset 8, now and then a sync entry; a packet: size 4; a chunk a second: 20.
        2048 + frames * 13 + sound_packets * 5 + texts
    }

    /// Adds a track; allowed until [`Writer::finish`].
    pub fn add(&mut self, kind: TrackKind) -> TrackId {
        self.tracks.push(Track::new(kind));
        TrackId(self.tracks.len() - 1)
    }

    /// Describes a track's packets by a sample entry of another codec than H.264 or AAC: the whole box.
    ///
    /// # Panics
    /// Where the id is another file's.
    pub fn describe(&mut self, id: TrackId, entry: Vec<u8>) {
        self.tracks.get_mut(id.0).expect("the id is of this file").entry = Some(entry);
    }

    /// Says that a track's packets are uncompressed sound of so many bytes a moment (one sample of each channel).
    ///
    /// # Panics
    /// Where the id is another file's.
    pub fn uncompressed(&mut self, id: TrackId, moment_bytes: u32) {
        self.tracks.get_mut(id.0).expect("the id is of this file").moment_bytes = Some(moment_bytes);
    }

    /// Adds a text such as `©too`, the tool that wrote the file.
    pub fn text(&mut self, code: [u8; 4], value: String) {
        self.texts.push((code, value));
    }

    /// Sets when the media was made, in seconds since 1904-01-01; 0, as without it, is unknown.
    pub fn created(&mut self, seconds: u64) {
        self.created = seconds;
    }

    /// Sets which time is the file's zero, in nanoseconds; else it is the start of the earliest track. Tracks that start
    /// before it start there.
    pub fn origin(&mut self, ns: i64) {
        self.origin_ns = Some(ns);
    }

    /// Adds a packet, in decoding order.
    ///
    /// # Errors
    /// Those of the file system.
    ///
    /// # Panics
    /// Where the id is another file's.
    pub fn push(&mut self, id: TrackId, packet: Packet<'_>) -> io::Result<()> {
        let track = self.tracks.get_mut(id.0).expect("the id is of this file");
        if track.push(packet) {
            self.position += track.flush(self.position, &mut self.file)?;
        }
        Ok(())
    }

    /// Sets how many samples a sound track presents after its priming, where the last packet is not full.
    ///
    /// # Panics
    /// Where the id is another file's.
    pub fn presents(&mut self, id: TrackId, samples: u64) {
        self.tracks.get_mut(id.0).expect("the id is of this file").presents(samples);
    }

    /// Sets how long the frame that is shown last stays, in nanoseconds; else it is the packet's own duration.
    ///
    /// # Panics
    /// Where the id is another file's.
    pub fn lasts(&mut self, id: TrackId, duration_ns: u64) {
        self.tracks.get_mut(id.0).expect("the id is of this file").last_duration_ns = duration_ns;
    }

    /// Writes the index and closes the file. Returns its size in bytes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> io::Result<u64> {
        for track in &mut self.tracks {
            self.position += track.flush(self.position, &mut self.file)?;
        }
        let start = len64(&index::file_type(self.brand));
        let end = self.position;
        let about = index::About { texts: &self.texts, created: self.created, origin_ns: self.origin_ns };
        let mut index = index::build(&self.tracks, about, 0, end);
        let room = self.media_box - start;
        let need = len64(&index);
        if need != room && need + 8 > room {
            let shift = need - room.min(need);
            // An index of exactly the room's size needs no filler; otherwise a filler's header must fit as well.
            let shift = if shift == 0 { 8 } else { shift };
            index = index::build(&self.tracks, about, shift, end);
            self.shift_media(shift)?;
        }
        self.file.seek(SeekFrom::Start(start))?;
        self.file.write_all(&index)?;
        let free = self.media_box - start - len64(&index);
        if free > 0 {
            self.file.write_all(&u32::try_from(free).map_err(io::Error::other)?.to_be_bytes())?;
            self.file.write_all(b"free")?;
        }
        self.file.seek(SeekFrom::Start(self.media_box))?;
        self.file.write_all(&1u32.to_be_bytes())?;
        self.file.write_all(b"mdat")?;
        self.file.write_all(&(self.position - self.media_box).to_be_bytes())?;
        self.file.flush()?;
        Ok(self.position)
    }

    /// Moves everything behind the index's room towards the end, last block first.
    fn shift_media(&mut self, by: u64) -> io::Result<()> {
        self.file.flush()?;
        let file = self.file.get_mut();
        let mut block = vec![0; 4 << 20];
        let mut end = self.position;
        while end > self.media_box {
            let size = (end - self.media_box).min(4 << 20);
            let part = &mut block[..usize::try_from(size).map_err(io::Error::other)?];
            file.seek(SeekFrom::Start(end - size))?;
            file.read_exact(part)?;
            file.seek(SeekFrom::Start(end - size + by))?;
            file.write_all(part)?;
            end -= size;
        }
        self.media_box += by;
        self.position += by;
        Ok(())
    }
}

fn len64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rushes_shared::media::Colour;
    use rushes_shared::units::Ratio;

    use super::*;

    fn written(reserve: u64) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::create(file.path(), reserve).unwrap();
        let video = writer.add(TrackKind::Video(VideoTrack {
            width: 64,
            height: 48,
            sar: Ratio::ONE,
            colour: Colour::default(),
            config: vec![1, 2, 3],
            timescale: 12_800,
        }));
        for (n, shown) in [0i64, 3, 1, 2, 4].into_iter().enumerate() {
            let data = [u8::try_from(n).unwrap() + 0xe0; 100];
            let pts_ns = shown * 40_000_000;
            writer.push(video, Packet { pts_ns, duration_ns: 40_000_000, key: n == 0, data: &data }).unwrap();
        }
        let size = writer.finish().unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(size, len64(&bytes));
        bytes
    }

    fn place(bytes: &[u8], code: &[u8; 4]) -> usize {
        bytes.windows(4).position(|word| word == code).unwrap()
    }

    fn number(bytes: &[u8], at: usize) -> usize {
        usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap()
    }

    #[test]
    fn the_index_comes_first_and_points_at_the_media_whatever_room_was_kept() {
        let tight = len64(&written(4096)[..]) - 4096;
        for reserve in [0, 8, 100, 4096, tight, 600, 601, 605, 607, 608, 700] {
            let bytes = written(reserve);
            assert!(place(&bytes, b"moov") < place(&bytes, b"mdat"), "reserve {reserve}");
            let first = number(&bytes, place(&bytes, b"stco") + 12);
            assert_eq!(
                bytes[first..first + 500].chunks(100).map(|frame| frame[0]).collect::<Vec<_>>(),
                [0xe0, 0xe1, 0xe2, 0xe3, 0xe4]
            );
            assert_eq!(first + 500, bytes.len(), "reserve {reserve}");
        }
    }

    #[test]
    fn reordered_frames_are_shown_when_they_were_and_the_shift_is_taken_back() {
        let bytes = written(4096);
        let deltas = place(&bytes, b"stts");
        assert_eq!(
            [number(&bytes, deltas + 8), number(&bytes, deltas + 12), number(&bytes, deltas + 16)],
            [1, 5, 512]
        );
        // Frame 3 is decoded third after frame 1 is due: the deepest reordering is one frame.
        let edits = place(&bytes, b"elst");
        assert_eq!(number(&bytes, edits + 24), 512, "the media starts one frame late");
        assert_eq!(number(&bytes, edits + 16), 5 * 3600, "five frames of 40 ms at 90 kHz");
    }
}

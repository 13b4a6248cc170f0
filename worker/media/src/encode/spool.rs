//! Encoded packets that wait in a file beside the output until all of them are there.
//!
//! Forty bytes of memory a packet; the packets themselves are on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gstreamer as gst;

use super::output::Clip;
use crate::mp4::{FragmentedPacket, Packet};

/// What is known of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) pts_ns: i64,
    pub(super) duration_ns: u64,
    pub(super) key: bool,
    pub(super) clip: Option<Clip>,
    at: u64,
    size: u32,
}

impl Entry {
    /// As fragments hold it.
    pub(super) fn fragmented(&self) -> FragmentedPacket {
        let Self { pts_ns, duration_ns, key, size, .. } = *self;
        FragmentedPacket { pts_ns, duration_ns, key, size }
    }
}

/// One stream's packets, in decoding order.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) caps: gst::Caps,
    pub(super) is_video: bool,
    /// By ISO 639-2, where it is known.
    pub(super) language: Option<String>,
    pub(super) entries: Vec<Entry>,
}

/// All packets of an output. The file goes with it.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    file: BufWriter<File>,
    end: u64,
    pub(super) streams: Vec<Stream>,
}

impl Spool {
    /// A new one beside `output`.
    pub(super) fn create(output: &Path) -> io::Result<Self> {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(".packets");
        let path = output.with_file_name(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { path, file: BufWriter::with_capacity(1 << 20, file), end: 0, streams: Vec::new() })
    }

    /// Adds a stream of pictures; its number.
    pub(super) fn add_video(&mut self, caps: gst::Caps) -> usize {
        self.add(Stream { caps, is_video: true, language: None, entries: Vec::new() })
    }

    /// Adds a stream of sound in a language, which may be undetermined; its number.
    pub(super) fn add_audio(&mut self, caps: gst::Caps, language: &str) -> usize {
        let language = Some(language.to_owned()).filter(|code| !code.is_empty() && code != "und");
        self.add(Stream { caps, is_video: false, language, entries: Vec::new() })
    }

    fn add(&mut self, stream: Stream) -> usize {
        self.streams.push(stream);
        self.streams.len() - 1
    }

    /// Adds a packet, in decoding order.
    pub(super) fn push(&mut self, stream: usize, packet: Packet<'_>, clip: Option<Clip>) -> io::Result<()> {
        self.file.write_all(packet.data)?;
        let size = u32::try_from(packet.data.len()).map_err(io::Error::other)?;
        self.streams[stream].entries.push(Entry {
            pts_ns: packet.pts_ns,
            duration_ns: packet.duration_ns,
            key: packet.key,
            clip,
            at: self.end,
            size,
        });
        self.end += u64::from(size);
        Ok(())
    }

    /// The streams, and the file to read their packets from, which has lost its name: it is gone when it is closed.
    pub(super) fn read(mut self) -> io::Result<(Vec<Stream>, Packets)> {
        self.file.flush()?;
        let file = self.file.get_ref().try_clone()?;
        Ok((std::mem::take(&mut self.streams), Packets { file }))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Where it cannot be removed it goes with the directory of its task.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Packets' bytes.
#[derive(Debug)]
pub(super) struct Packets {
    file: File,
}

impl Packets {
    /// The bytes of a packet.
    pub(super) fn bytes(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; entry.size as usize];
        self.file.read_exact_at(&mut bytes, entry.at)?;
        Ok(bytes)
    }
}

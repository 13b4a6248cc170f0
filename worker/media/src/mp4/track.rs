//! One track while it is written: what the index will say of every packet, and the chunk that is being filled.

use std::io::{self, Write};

use rushes_shared::media::Colour;
use rushes_shared::units::Ratio;

use super::Packet;

/// A chunk is written once it holds this much.
const CHUNK_BYTES: usize = 512 << 10;
/// Or this many packets: about a second of video or of sound.
const CHUNK_PACKETS: u32 = 48;

/// What a track holds.
#[derive(Debug)]
pub enum TrackKind {
    /// H.264.
    Video(VideoTrack),
    /// AAC.
    Audio(AudioTrack),
    /// Whatever another file held.
    Copied(CopiedTrack),
}

/// A track whose packets come from another file as they are.
#[derive(Debug, Clone)]
pub struct CopiedTrack {
    /// Whether it shows pictures; else it carries sound.
    pub is_video: bool,
    /// The sample entry: the whole box, of any codec.
    pub entry: Vec<u8>,
    /// Width and height as shown, in pixels as 16.16 fixed point; zeros for sound.
    pub shown: (u32, u32),
    /// ISO 639-2, five bits a letter.
    pub language: u16,
    /// Time units a second, at most a million.
    pub timescale: u32,
    /// Units at the begin that are decoded and not presented. The first packet's time is that much before the track's
    /// start.
    pub skip: u64,
    /// Units presented after those; `None` for all.
    pub presented: Option<u64>,
}

/// A video track's description.
#[derive(Debug)]
pub struct VideoTrack {
    /// Coded width in pixels.
    pub width: u16,
    /// Coded height in pixels.
    pub height: u16,
    /// Pixel aspect ratio.
    pub sar: Ratio,
    /// Colour description; a part that is empty is written as unspecified.
    pub colour: Colour,
    /// The AVCDecoderConfigurationRecord.
    pub config: Vec<u8>,
    /// Time units a second.
    pub timescale: u32,
}

/// A sound track's description.
#[derive(Debug)]
pub struct AudioTrack {
    /// Samples a second; the time scale as well.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
    /// Samples in a packet.
    pub packet_samples: u32,
    /// Samples that the encoder puts before the first real one.
    pub priming: u32,
    /// The AudioSpecificConfig.
    pub config: Vec<u8>,
    /// Bit rate asked of the encoder, in bits a second.
    pub bitrate_bps: u32,
    /// ISO 639-2 language, such as `eng`; anything else is written as undetermined.
    pub language: String,
}

/// What the index says of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) pts_ns: i64,
    pub(super) size: u32,
    pub(super) key: bool,
}

/// A run of packets in one place of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) packets: u32,
}

/// Everything about one track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) kind: TrackKind,
    pub(super) entries: Vec<Entry>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) last_duration_ns: u64,
    pub(super) presented: Option<u64>,
    /// What describes the packets where it is not H.264 or AAC: the whole box.
    pub(super) entry: Option<Vec<u8>>,
    /// Bytes of a moment of uncompressed sound: the packets are rows of moments then.
    pub(super) moment_bytes: Option<u32>,
    pending: Vec<u8>,
    pending_packets: u32,
}

impl Track {
    pub(super) fn new(kind: TrackKind) -> Self {
        Self {
            kind,
            entries: Vec::new(),
            chunks: Vec::new(),
            last_duration_ns: 0,
            presented: None,
            entry: None,
            moment_bytes: None,
            pending: Vec::new(),
            pending_packets: 0,
        }
    }

    /// Takes a packet; says whether the chunk is full.
    pub(super) fn push(&mut self, packet: Packet<'_>) -> bool {
        let newest = self.entries.iter().rev().take(32).all(|entry| entry.pts_ns < packet.pts_ns);
        if newest {
            self.last_duration_ns = packet.duration_ns;
        }
        self.entries.push(Entry {
            pts_ns: packet.pts_ns,
            size: super::atom::count(packet.data.len()),
            key: packet.key,
        });
        self.pending.extend_from_slice(packet.data);
        self.pending_packets += 1;
        self.pending.len() >= CHUNK_BYTES || self.pending_packets >= CHUNK_PACKETS
    }

    /// Writes the chunk; returns its size.
    pub(super) fn flush(&mut self, offset: u64, file: &mut impl Write) -> io::Result<u64> {
        if self.pending_packets == 0 {
            return Ok(0);
        }
        file.write_all(&self.pending)?;
        let size = super::len64(&self.pending);
        let packets = match self.moment_bytes {
            Some(bytes) => u32::try_from(size / u64::from(bytes.max(1))).unwrap_or(u32::MAX),
            None => self.pending_packets,
        };
        self.chunks.push(Chunk { offset, packets });
        self.pending.clear();
        self.pending_packets = 0;
        Ok(size)
    }

    pub(super) fn is_video(&self) -> bool {
        match &self.kind {
            TrackKind::Video(_) => true,
            TrackKind::Audio(_) => false,
            TrackKind::Copied(copied) => copied.is_video,
        }
    }

    pub(super) fn presents(&mut self, samples: u64) {
        self.presented = Some(samples);
    }

    /// Time of the first thing shown or heard.
    pub(super) fn start_ns(&self) -> Option<i64> {
        match self.kind {
            TrackKind::Video(_) => self.entries.iter().map(|entry| entry.pts_ns).min(),
            TrackKind::Audio(_) => self.entries.first().map(|entry| entry.pts_ns),
            TrackKind::Copied(ref copied) => {
                let first = self.entries.iter().map(|entry| entry.pts_ns).min()?;
                let skip = u128::from(copied.skip) * 1_000_000_000 / u128::from(copied.timescale.max(1));
                Some(first.saturating_add(i64::try_from(skip).unwrap_or(i64::MAX)))
            }
        }
    }
}

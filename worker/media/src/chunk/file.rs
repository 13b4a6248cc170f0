//! A chunk's file: one fragmented track, a fragment for each group of pictures.
//!
//! Fragments say in the track's own units when each frame is shown on the time line of the whole film, so that chunks
//! that were made on different nodes lie beside each other to the unit. Any player plays one.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::ChunkBound;

use crate::damage::Seen;
use crate::fault;
use crate::mp4::fragment::{self, Description, Piece};
use crate::mp4::{Packet, TrackKind};

/// A file being written.
#[derive(Debug)]
pub(super) struct ChunkFile {
    file: BufWriter<File>,
    track: Option<Description>,
    group: Vec<Piece>,
    data: Vec<u8>,
    sequence: u32,
    recipe: [u8; 16],
    /// Time in nanoseconds and bytes of each packet, in decoding order.
    sizes: Vec<(i64, u32)>,
}

impl ChunkFile {
    pub(super) fn create(path: &Path, recipe: [u8; 16]) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| fault::writing(&error))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self {
            file,
            track: None,
            group: Vec::new(),
            data: Vec::new(),
            sequence: 0,
            recipe,
            sizes: Vec::new(),
        })
    }

    pub(super) fn is_described(&self) -> bool {
        self.track.is_some()
    }

    /// Says what the packets are: in the words of a sample entry of its own, where there is one.
    pub(super) fn describe(&mut self, kind: &TrackKind, entry: Option<Vec<u8>>) -> Result<(), Failure> {
        let mut track = Description::of(kind);
        track.entry = entry.unwrap_or(track.entry);
        let track = self.track.insert(track);
        let mut head = fragment::init(track);
        head.extend_from_slice(&fragment::recipe(&self.recipe));
        self.file.write_all(&head).map_err(|error| fault::writing(&error))
    }

    /// The largest share of its bits, in thousandths, with which the chunk would keep a bound; its last frame lasts `last_ns`.
    pub(super) fn share_within(&self, bound: &ChunkBound, last_ns: u64) -> u64 {
        let mut order: Vec<i64> = self.sizes.iter().map(|(at, _)| *at).collect();
        order.sort_unstable();
        let last = order.last().copied().unwrap_or(0);
        let end = last.saturating_add(i64::try_from(last_ns).unwrap_or(i64::MAX));
        // Closed groups are decoded one frame at each time of presentation.
        let packets: Vec<(i64, u32)> =
            order.into_iter().zip(&self.sizes).map(|(at, (_, size))| (at, *size)).collect();
        bound.share(&packets, end)
    }

    /// Bits of all packets.
    pub(super) fn bits(&self) -> u64 {
        self.sizes.iter().map(|(_, size)| u64::from(*size) * 8).sum()
    }

    /// The level that the encoder has written into its headers, on its codec's own scale; `None` where it is not known, or in a tier
    /// of HEVC that its rate decides.
    pub(super) fn level(&self) -> Option<u8> {
        let entry = &self.track.as_ref()?.entry;
        let behind = |name: &[u8]| {
            let at = entry.windows(name.len()).position(|word| word == name)?;
            entry.get(at + name.len()..)
        };
        // ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1: HEVC counts thirtieths of a level, H.264 tenths.
        if let Some(avc) = behind(b"avcC") {
            return avc.get(3).copied();
        }
        let hevc = behind(b"hvcC")?;
        let is_main_tier = hevc.get(1)? & 0x20 == 0;
        hevc.get(12).filter(|_| is_main_tier).map(|level| level / 3)
    }

    /// Adds a packet in decoding order; a key frame begins a group that needs nothing of those before.
    pub(super) fn push(&mut self, packet: Packet<'_>) -> Result<(), Failure> {
        let scale = i128::from(self.track.as_ref().map_or(1, |track| track.timescale));
        let pts = (i128::from(packet.pts_ns) * scale + 500_000_000).div_euclid(1_000_000_000);
        let pts = i64::try_from(pts).unwrap_or(i64::MAX);
        if packet.key {
            self.flush(pts)?;
        }
        let size = u32::try_from(packet.data.len()).map_err(|_| too_large())?;
        self.sizes.push((packet.pts_ns, size));
        self.group.push(Piece { size, pts, key: packet.key });
        self.data.extend_from_slice(packet.data);
        if self.data.len() as u64 > fragment::LARGEST {
            return Err(too_large());
        }
        Ok(())
    }

    /// Writes the last group, whose last frame lasts `last_ns`, and what was concealed; of a chunk without frames a file that says so.
    pub(super) fn finish(mut self, last_ns: u64, damage: &Seen) -> Result<(), Failure> {
        if self.track.is_none() {
            let blank = fragment::blank(&self.recipe);
            return self
                .file
                .write_all(&blank)
                .and_then(|()| self.file.flush())
                .map_err(|e| fault::writing(&e));
        }
        let scale = u64::from(self.track.as_ref().map_or(1, |track| track.timescale));
        let lasts = i64::try_from(crate::pace::scaled(last_ns, scale, 1_000_000_000)).unwrap_or(i64::MAX);
        let last = self.group.iter().map(|piece| piece.pts).max().unwrap_or(0);
        self.flush(last.saturating_add(lasts.max(1)))?;
        if damage.count > 0 {
            let told = fragment::damage(damage.count, damage.first.first().map_or("", String::as_str));
            self.file.write_all(&told).map_err(|error| fault::writing(&error))?;
        }
        self.file.flush().map_err(|error| fault::writing(&error))
    }

    fn flush(&mut self, end: i64) -> Result<(), Failure> {
        let (Some(track), false) = (&self.track, self.group.is_empty()) else { return Ok(()) };
        self.sequence += 1;
        let head = fragment::head(track, self.sequence, &self.group, end);
        let wrote = self.file.write_all(&head).and_then(|()| self.file.write_all(&self.data));
        self.group.clear();
        self.data.clear();
        wrote.map_err(|error| fault::writing(&error))
    }
}

fn too_large() -> Failure {
    Failure::new(
        FailureCode::LimitReached,
        "a group of pictures is larger than 4 GiB",
        "set the key frames closer or a lower rate",
    )
}

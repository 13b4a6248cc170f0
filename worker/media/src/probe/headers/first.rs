//! The first packet of a track: whether it repeats the parameter sets that the track is described with.
//!
//! A stream may carry its own, and a parser believes the latest that it has met.

use crate::encode::bitstream;
use crate::probe::source::Source;

/// Most bytes of a first packet that are read; a packet's parameter sets stand before its picture.
pub(super) const LARGEST: usize = 4096;
/// Most units looked at.
const MOST_UNITS: usize = 64;

/// Where a packet lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// The kinds of NAL units that matter here.
#[derive(Debug)]
pub(super) struct Units {
    /// Bytes of a unit's length.
    pub(super) length: usize,
    /// A unit's type out of its first byte.
    pub(super) kind: fn(u8) -> u8,
    /// The sequence parameter set's type.
    pub(super) sequence: u8,
    /// The picture's types: behind one, no set of this picture follows.
    pub(super) pictures: std::ops::RangeInclusive<u8>,
}

impl Units {
    /// Whether no sequence parameter set in the packet differs from `known`. Nothing where it cannot be read to its
    /// picture.
    pub(super) fn repeat(&self, file: &Source, packet: Packet, known: &[u8]) -> Option<bool> {
        let mut at = 0u64;
        for _ in 0..MOST_UNITS {
            if at >= packet.bytes {
                return None;
            }
            let mut head = [0; 5];
            let head = &mut head[..=self.length];
            file.fill(packet.at.checked_add(at)?, head)?;
            let (first, size) = (head[self.length], &head[..self.length]);
            let size = size.iter().fold(0u64, |size, byte| size << 8 | u64::from(*byte));
            at += u64::try_from(self.length).ok()?;
            if size == 0 || at + size > packet.bytes {
                return None;
            }
            let kind = (self.kind)(first);
            if self.pictures.contains(&kind) {
                return Some(true);
            }
            if kind == self.sequence {
                let size = usize::try_from(size).ok().filter(|size| *size <= LARGEST)?;
                let unit = file.bytes(packet.at + at, size)?;
                if unit != known {
                    return Some(false);
                }
            }
            at += size;
        }
        None
    }
}

/// AV1's sequence header with its head, out of a track's first packet.
pub(super) fn sequence_header(file: &Source, packet: Packet) -> Option<Vec<u8>> {
    let bytes = usize::try_from(packet.bytes).unwrap_or(LARGEST).min(LARGEST);
    let start = file.bytes(packet.at, bytes)?;
    let (before, _, _, after) = bitstream::sequence_header(&start)?;
    Some(start[before.len()..start.len() - after.len()].to_vec())
}

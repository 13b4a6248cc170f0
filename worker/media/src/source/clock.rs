//! Transport streams whose clock begins behind their pictures or sound.
//!
//! `tsdemux` counts times from the first clock reference that it meets, and has none to give for what is decoded before that (seen in
//! GStreamer 1.22): of a film whose sound begins three seconds before its picture, which carries the clock, both would begin
//! together. Such a file is read behind packets that carry the clock from where its first picture or sound is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use mpeg2ts_reader::packet::{Packet, Pid};
use mpeg2ts_reader::pes::{PesContents, PesHeader, PtsDts};
use mpeg2ts_reader::psi::pat::{PatSection, ProgramDescriptor};
use mpeg2ts_reader::psi::pmt::PmtSection;

/// Bytes at a file's begin in which each stream has its first packet, or is left out.
const LOOKED_THROUGH: u64 = 16 << 20;
/// Times and the clock count so many units a second.
const SECOND: u64 = 90_000;
/// How far apart references are that are put before the file. ISO/IEC 13818-1 wants a tenth of a second at most.
const APART: u64 = SECOND / 10;
/// What is decoded before the clock by more than this is not meant to be.
const MOST_LATE: u64 = 120 * SECOND;
/// How long before the first picture or sound the clock begins.
const AHEAD: u64 = SECOND / 100;
/// What kinds of stream the packets of pictures and sound name (ISO/IEC 13818-1, table 2-22): sound and pictures, AC-3 and its like, and
/// VC-1.
const HEARD_OR_SEEN: [std::ops::RangeInclusive<u8>; 3] = [0xC0..=0xEF, 0xBD..=0xBD, 0xFD..=0xFD];
/// Sizes of packets, and where in them they begin: plain, with a time of arrival before each, with bytes for correction behind.
const SHAPES: [(usize, usize); 3] = [(188, 0), (192, 4), (204, 0)];
/// Packets that have to begin where they should for a file to be a transport stream.
const SURE: usize = 4;

/// A clock that begins too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    pid: u16,
    /// When what comes first is decoded, and the file's first reference.
    first: u64,
    reference: u64,
    shape: (usize, usize),
}

impl Late {
    /// Packets that carry the clock from a little before the film's begin to the file's first reference.
    pub(super) fn packets(self) -> Vec<u8> {
        let mut packets = Vec::new();
        let mut at = self.first.saturating_sub(AHEAD);
        while at < self.reference {
            packets.extend(self.packet(at));
            at += APART;
        }
        packets
    }

    /// A packet with nothing but a reference.
    fn packet(self, at: u64) -> Vec<u8> {
        let (size, begin) = self.shape;
        let mut packet = vec![0xFF; size];
        packet[..begin].fill(0);
        let [high, low] = self.pid.to_be_bytes();
        // The last of the clock's 33 bits lies in a byte of its own, before six that are reserved.
        let [.., a, b, c, d, e] = (at << 7).to_be_bytes();
        let head = [Packet::SYNC_BYTE, high, low, 0x20, 183, 0x10, a, b, c, d, e | 0x7E, 0];
        packet[begin..begin + head.len()].copy_from_slice(&head);
        packet
    }
}

/// The clock of a file, where that is a transport stream whose clock begins too late.
pub(super) fn late(path: &Path) -> Option<Late> {
    // A pipe would be waited for.
    let mut file = path.is_file().then(|| File::open(path).ok()).flatten()?;
    let mut head = Vec::new();
    file.by_ref().take(LOOKED_THROUGH.min(4096)).read_to_end(&mut head).ok()?;
    let shape = shape(&head)?;
    let mut found = Found::default();
    loop {
        let whole = head.len() - head.len() % shape.0;
        for packet in head[..whole].chunks_exact(shape.0) {
            found.look_at(&packet[shape.1..shape.1 + Packet::SIZE]);
        }
        head.drain(..whole);
        if found.is_complete() {
            break;
        }
        let left = LOOKED_THROUGH.saturating_sub(file_at(&mut file)?);
        if file.by_ref().take(left.min(1 << 20)).read_to_end(&mut head).ok()? == 0 {
            break;
        }
    }
    found.late(shape)
}

fn file_at(file: &mut File) -> Option<u64> {
    std::io::Seek::stream_position(file).ok()
}

fn shape(head: &[u8]) -> Option<(usize, usize)> {
    SHAPES.into_iter().find(|(size, begin)| {
        let mut begins = (0..SURE).map(|n| head.get(n * size + begin));
        begins.all(|byte| byte.is_some_and(|byte| Packet::is_sync_byte(*byte)))
    })
}

/// What is known of a stream.
#[derive(Debug, Default)]
struct Found {
    program: Option<Pid>,
    clock: Option<Pid>,
    /// When each stream's first packet is decoded.
    streams: BTreeMap<u16, Option<u64>>,
    reference: Option<u64>,
}

impl Found {
    fn look_at(&mut self, packet: &[u8]) {
        let Some(packet) = Packet::try_new(packet) else { return };
        let pid = packet.pid();
        if Some(pid) == self.clock && self.reference.is_none() {
            let reference = packet.adaptation_field().and_then(|field| field.pcr().ok());
            self.reference = reference.map(|reference| reference.base());
        }
        let Some(payload) = packet.payload().filter(|_| packet.payload_unit_start_indicator()) else {
            return;
        };
        if pid == Pid::PAT {
            self.program = self.program.or_else(|| program(payload));
        } else if Some(pid) == self.program && self.clock.is_none() {
            self.describe(payload);
        } else if let Some(first) = self.streams.get_mut(&u16::from(pid))
            && first.is_none()
        {
            *first = decoded_at(payload);
        }
    }

    /// Which streams the program has, and which of them carries its clock.
    fn describe(&mut self, payload: &[u8]) {
        let Some(Ok(map)) = section(payload, 2).map(PmtSection::from_bytes) else { return };
        self.clock = Some(map.pcr_pid());
        let pids = map.streams().map(|stream| u16::from(stream.elementary_pid()));
        self.streams.extend(pids.map(|pid| (pid, None)));
    }

    fn is_complete(&self) -> bool {
        self.reference.is_some() && self.streams.values().all(Option::is_some)
    }

    fn late(&self, shape: (usize, usize)) -> Option<Late> {
        let (pid, reference) = (u16::from(self.clock?), self.reference?);
        let early = |first: &u64| *first < reference && reference - first <= MOST_LATE;
        let first = self.streams.values().flatten().copied().filter(early).min()?;
        Some(Late { pid, first, reference, shape })
    }
}

/// What the section of a table says, behind its head, where it begins in this payload and has this number.
fn section(payload: &[u8], table: u8) -> Option<&[u8]> {
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let [number, high, low, ..] = *section else { return None };
    let length = usize::from(u16::from_be_bytes([high & 0x0F, low]));
    let end = (3 + length).saturating_sub(4).min(section.len());
    (number == table).then(|| section.get(8..end)).flatten()
}

fn program(payload: &[u8]) -> Option<Pid> {
    PatSection::new(section(payload, 0)?).programs().find_map(|program| match program {
        ProgramDescriptor::Program { pid, .. } => Some(pid),
        ProgramDescriptor::Network { .. } => None,
    })
}

/// When a packet of pictures or sound is decoded.
fn decoded_at(payload: &[u8]) -> Option<u64> {
    let header = PesHeader::from_bytes(payload)?;
    let kind = *payload.get(3)?;
    if !HEARD_OR_SEEN.iter().any(|kinds| kinds.contains(&kind)) {
        return None;
    }
    let PesContents::Parsed(Some(parsed)) = header.contents() else { return None };
    match parsed.pts_dts().ok()? {
        PtsDts::PtsOnly(at) | PtsDts::Both { dts: at, .. } => Some(at.ok()?.value()),
        PtsDts::None | PtsDts::Invalid => None,
    }
}

//! A file in fragments (ISO/IEC 14496-12, 8.8): the index says what the tracks are, and each fragment where its packets lie
//! and when they are shown.
//!
//! Decoding times are the times of presentation in order. What reordering needs is a delay of all of presentation, which an
//! edit list takes back, as it does with the priming of sound: readers disagree on offsets below zero.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::atom::{Atom, count};
use super::index::{self, About, rescale};
use super::track::{Track, TrackKind};
use super::{Brand, Text};

/// Flags of a sample that decoding can start at: it depends on no other.
const KEY: u32 = 0x0200_0000;
/// And of any other.
const NOT_KEY: u32 = 0x0101_0000;

/// A packet as fragments hold it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FragmentedPacket {
    pub(crate) pts_ns: i64,
    pub(crate) duration_ns: u64,
    pub(crate) key: bool,
    pub(crate) size: u32,
}

/// A track and all of its packets, in decoding order.
#[derive(Debug)]
pub(crate) struct FragmentTrack {
    pub(crate) kind: TrackKind,
    /// What describes the packets where it is not H.264 or AAC: the whole box.
    pub(crate) entry: Option<Vec<u8>>,
    pub(crate) packets: Vec<FragmentedPacket>,
}

/// A packet in its track's units.
#[derive(Debug, Clone, Copy)]
struct Piece {
    index: usize,
    decoded: u64,
    lasts: u32,
    offset: u32,
    key: bool,
    size: u32,
}

/// Writes a file whose fragments begin at key frames, `every_ns` apart at least. `bytes` gives the packet of a number in the
/// track of a number.
pub(crate) fn write_fragmented(
    path: &Path,
    tracks: Vec<FragmentTrack>,
    (texts, created): (&[Text], u64),
    every_ns: u64,
    mut bytes: impl FnMut(usize, usize) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let starts = tracks.iter().filter_map(|track| track.packets.iter().map(|packet| packet.pts_ns).min());
    let origin = starts.min().unwrap_or(0);
    let cuts = cuts(&tracks, every_ns);
    let (mut described, mut rows) = (Vec::new(), Vec::new());
    for FragmentTrack { kind, entry, packets } in tracks {
        let (row, skip) = pieces(&kind, &packets, origin);
        rows.push(row);
        let mut track = Track::new(kind);
        track.entry = entry;
        described.push(((track, skip), packets));
    }
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&index::file_type(Brand::Fragmented))?;
    let (tracks, packets): (Vec<_>, Vec<_>) = described.into_iter().unzip();
    file.write_all(&index::build_fragmented(&tracks, About { texts, created, origin_ns: None }))?;
    let mut begun = vec![0; rows.len()];
    for (number, end) in (1u32..).zip(cuts.iter().skip(1).copied().chain([i64::MAX])) {
        let mut fragment = Vec::new();
        for (track, row) in rows.iter().enumerate() {
            let rest = &packets[track][begun[track]..];
            let held =
                rest.iter().position(|packet| packet.pts_ns >= end && packet.key).unwrap_or(rest.len());
            fragment.push(&row[begun[track]..begun[track] + held]);
            begun[track] += held;
        }
        if fragment.iter().all(|row| row.is_empty()) {
            continue;
        }
        // The places of packets count from the fragment's own begin, whose size does not depend on them.
        let header = header(number, &fragment, 0).len();
        file.write_all(&self::header(number, &fragment, header + 8))?;
        let size: u64 = fragment.iter().flat_map(|row| row.iter()).map(|piece| u64::from(piece.size)).sum();
        let size = u32::try_from(size + 8).map_err(io::Error::other)?;
        file.write_all(&size.to_be_bytes())?;
        file.write_all(b"mdat")?;
        for (track, row) in fragment.iter().enumerate() {
            for piece in *row {
                file.write_all(&bytes(track, piece.index)?)?;
            }
        }
    }
    file.flush()
}

/// Where fragments begin, in nanoseconds.
fn cuts(tracks: &[FragmentTrack], every_ns: u64) -> Vec<i64> {
    let leader = tracks.iter().find(|track| matches!(track.kind, TrackKind::Video(_))).or(tracks.first());
    let mut cuts: Vec<i64> = Vec::new();
    let every = i64::try_from(every_ns).unwrap_or(i64::MAX);
    for packet in leader.iter().flat_map(|track| &track.packets).filter(|packet| packet.key) {
        if cuts.last().is_none_or(|last| packet.pts_ns >= last.saturating_add(every)) {
            cuts.push(packet.pts_ns);
        }
    }
    cuts
}

/// Packets in their track's units, and how many of them at its begin are not presented.
fn pieces(kind: &TrackKind, packets: &[FragmentedPacket], origin: i64) -> (Vec<Piece>, u64) {
    let units = |ns: i64, scale: u32| rescale(u64::try_from(ns - origin).unwrap_or(0), scale);
    let pictures = |timescale: u32| {
        let mut ordered: Vec<u64> = packets.iter().map(|packet| units(packet.pts_ns, timescale)).collect();
        let shown = ordered.clone();
        ordered.sort_unstable();
        let last = packets.iter().max_by_key(|packet| packet.pts_ns).map_or(1, |packet| packet.duration_ns);
        let end = ordered.last().map_or(0, |at| at + rescale(last, timescale).max(1));
        let late = ordered.iter().zip(&shown).map(|(decoded, shown)| decoded.saturating_sub(*shown));
        let skip = late.max().unwrap_or(0);
        let next = ordered.iter().skip(1).copied().chain([end]);
        let times = ordered.iter().copied().zip(next).zip(shown);
        let row = (0..)
            .zip(packets)
            .zip(times)
            .map(|((index, packet), ((decoded, next), shown))| Piece {
                index,
                decoded,
                lasts: u32::try_from(next - decoded).unwrap_or(u32::MAX),
                offset: u32::try_from(shown + skip - decoded).unwrap_or(u32::MAX),
                key: packet.key,
                size: packet.size,
            })
            .collect();
        (row, skip)
    };
    match kind {
        TrackKind::Video(video) => pictures(video.timescale),
        TrackKind::Copied(copied) => {
            let (row, skip) = pictures(copied.timescale);
            (row, skip + copied.skip)
        }
        TrackKind::Audio(audio) => {
            let begin = packets.first().map_or(0, |packet| units(packet.pts_ns, audio.rate));
            let row = (0..)
                .zip(packets)
                .map(|(index, packet)| Piece {
                    index,
                    decoded: begin + u64::try_from(index).unwrap_or(0) * u64::from(audio.packet_samples),
                    lasts: audio.packet_samples,
                    offset: 0,
                    key: true,
                    size: packet.size,
                })
                .collect();
            (row, u64::from(audio.priming))
        }
    }
}

/// The box that stands before a fragment's packets; `data` is where those begin, from the box's own begin.
fn header(number: u32, fragment: &[&[Piece]], data: usize) -> Vec<u8> {
    let mut moof = Atom::new(b"moof").with(Atom::full(b"mfhd", 0, 0).u32(number));
    let mut place = count(data);
    for (track, row) in (1u32..).zip(fragment).filter(|(_, row)| !row.is_empty()) {
        let first = row.first().map_or(0, |piece| piece.decoded);
        let run = Atom::full(b"trun", 0, 0xf01).u32(count(row.len())).u32(place);
        let run = row.iter().fold(run, |run, piece| {
            let flags = if piece.key { KEY } else { NOT_KEY };
            run.u32(piece.lasts).u32(piece.size).u32(flags).u32(piece.offset)
        });
        place += row.iter().map(|piece| piece.size).sum::<u32>();
        moof = moof.with(
            Atom::new(b"traf")
                .with(Atom::full(b"tfhd", 0, 0x02_0000).u32(track))
                .with(Atom::full(b"tfdt", 1, 0).u64(first))
                .with(run),
        );
    }
    moof.done()
}

//! Times of pictures in fragmented MP4 files.
//!
//! Where a fragment shows pictures before they would be decoded, GStreamer 1.22's demuxer moves all times of the stream so far that none
//! is below zero: by what the last fragment that it has looked at asks for, which is another one than that of the segment, and changes in
//! the middle of a fragment. Pictures before a key frame came at the times of others, or twice. Here each gets the file's own time, moved as
//! the first one behind the segment was.

use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::prelude::*;

use crate::mp4::read::{self, Kind, ReadTrack};

/// Has pictures come at the file's times from a demuxer that `parse` puts up, or is.
pub(super) fn keep_times(parse: &gst::Element, path: &Path) {
    let path = PathBuf::from(path);
    match parse.downcast_ref::<gst::Bin>() {
        Some(bin) => {
            bin.connect_element_added(move |_, element| watch(element, &path));
        }
        None => watch(parse, &path),
    }
}

fn watch(element: &gst::Element, path: &Path) {
    if element.factory().is_none_or(|factory| factory.name() != "qtdemux") {
        return;
    }
    // What cannot be read here is told of by who reads it.
    let Ok(tracks) = read::read(path) else { return };
    let videos = tracks.iter().filter(|track| track.kind == Kind::Video);
    let times: Vec<Option<Times>> = videos.map(Times::of).collect();
    if times.iter().all(Option::is_none) {
        return;
    }
    let times = std::sync::Mutex::new(times);
    element.connect_pad_added(move |_, pad| {
        let number = pad.name().strip_prefix("video_").and_then(|number| number.parse::<usize>().ok());
        let mut times = times.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(mut times) = number.and_then(|number| times.get_mut(number)).and_then(Option::take) {
            let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
            let correct = std::sync::Mutex::new(move |info: &mut gst::PadProbeInfo<'_>| times.correct(info));
            pad.add_probe(mask, move |_, info| {
                correct.lock().unwrap_or_else(std::sync::PoisonError::into_inner)(info);
                gst::PadProbeReturn::Ok
            });
        }
    });
}

/// The packets of a track, in the order of decoding, and how far the demuxer moves them.
struct Times {
    timescale: u64,
    packets: Vec<Packet>,
    /// In units of the track, since the last segment.
    moved: Option<i64>,
}

/// When a packet is decoded, by how much later it is shown, in units of the track, and its bytes.
#[derive(Debug, Clone, Copy)]
struct Packet {
    dts: u64,
    delay: i64,
    size: u32,
}

impl Times {
    /// Nothing where no picture is shown before it would be decoded.
    fn of(track: &ReadTrack) -> Option<Self> {
        if !track.samples.iter().any(|sample| sample.delay < 0) {
            return None;
        }
        let packet = |sample: &read::Sample| {
            let dts = u64::try_from(track.decoded(sample)).ok()?;
            Some(Packet { dts, delay: sample.delay, size: sample.size })
        };
        let packets: Option<Vec<Packet>> = track.samples.iter().map(packet).collect();
        let packets = packets.filter(|packets| packets.is_sorted_by(|a, b| a.dts < b.dts))?;
        Some(Self { timescale: u64::from(track.timescale), packets, moved: None })
    }

    fn correct(&mut self, info: &mut gst::PadProbeInfo<'_>) {
        if let Some(event) = info.event() {
            if event.type_() == gst::EventType::Segment {
                self.moved = None;
            }
            return;
        }
        let Some(buffer) = info.buffer_mut() else { return };
        let (Some(dts), Some(pts)) = (buffer.dts(), buffer.pts()) else { return };
        let Some(shown) = self.shown(dts.nseconds(), pts.nseconds(), buffer.size()) else { return };
        if shown != pts.nseconds() {
            buffer.make_mut().set_pts(gst::ClockTime::from_nseconds(shown));
        }
    }

    /// When a packet of that many bytes is shown that the demuxer says is decoded and shown then, in nanoseconds. Nothing where the file
    /// says otherwise.
    fn shown(&mut self, dts_ns: u64, pts_ns: u64, size: usize) -> Option<u64> {
        // The demuxer rounds down.
        let at = self.packets.partition_point(|packet| self.ns(packet.dts) < dts_ns);
        let packet = self.packets.get(at)?;
        if self.ns(packet.dts) != dts_ns || usize::try_from(packet.size).ok() != Some(size) {
            return None;
        }
        let shown = i64::try_from(packet.dts).ok()?.checked_add(packet.delay)?;
        let units = (u128::from(pts_ns) * u128::from(self.timescale) + 500_000_000) / 1_000_000_000;
        let told = i64::try_from(units).ok()?;
        let moved = *self.moved.get_or_insert(told.checked_sub(shown)?);
        Some(self.ns(u64::try_from(shown.checked_add(moved)?).ok()?))
    }

    fn ns(&self, units: u64) -> u64 {
        let ns = u128::from(units) * 1_000_000_000 / u128::from(self.timescale.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use crate::mp4::read::Sample;

    use super::*;

    #[test]
    fn pictures_keep_their_distances_where_the_demuxer_moves_some_of_them() {
        let delays = [0, 512, -512, 0, 0, 1024, -512, -512];
        let samples = delays.iter().enumerate().map(|(n, delay)| {
            let dts = i64::try_from(n).unwrap() * 512;
            Sample { offset: 0, size: 9, pts: dts + delay, delay: *delay, duration: 512, key: n == 0 }
        });
        let track = ReadTrack::for_tests(Kind::Video, 12_800, samples.collect());
        let mut times = Times::of(&track).unwrap();
        let ns = |units: i64| u64::try_from(units).unwrap() * 1_000_000_000 / 12_800;
        for (n, delay) in delays.iter().enumerate() {
            let dts = i64::try_from(n).unwrap() * 512;
            // Moved by 80 ms at first, and later by 40.
            let told = dts + delay + if n < 3 { 1024 } else { 512 };
            assert_eq!(times.shown(ns(dts), ns(told), 9), Some(ns(dts + delay + 1024)), "packet {n}");
        }
        assert_eq!(times.shown(ns(512), ns(1024), 10), None, "another packet");
        assert_eq!(times.shown(ns(512) + 9, ns(1024), 9), None, "another time");
        let forward = Sample { offset: 0, size: 9, pts: 512, delay: 512, duration: 512, key: true };
        assert!(Times::of(&ReadTrack::for_tests(Kind::Video, 12_800, vec![forward])).is_none());
    }
}

//! Video encoders: from settings to an element and its properties, one file for each family.
//!
//! Every family gives the same: an element that is set up, parsers behind it, and the form in which packets leave. What
//! families have in common is decided here: how a peak rate is meant, and that key frames on a grid are asked for frame
//! by frame, so that the encoder's own idea of a distance cannot move them.

mod av1;
mod mezzanine;
mod vp9;
mod x264;
mod x265;

use std::path::{Path, PathBuf};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use rushes_shared::encode::{RateControl, VideoCodec, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ladder::{KeyTimes, RateCap};

use super::hardware;
use super::mastering::Mastering;
use super::plan::Plan;
use crate::linked;
use crate::start::element;

/// Frames from key frame to key frame at most where no distance is asked for: libvpx's and libaom's usual ten seconds at
/// 24 frames; x264 and x265 have 250 of their own.
const KEY_FRAME_DISTANCE: u32 = 240;
/// A distance that no film reaches: three months at 60 frames a second, and within what every encoder takes.
const NEVER: u32 = 1 << 29;
/// Length of the buffer over which a peak rate holds, and a constant one, in milliseconds.
const PEAK_BUFFER_MS: u32 = 2_000;
const CONSTANT_BUFFER_MS: u32 = 1_000;

/// Which time the source is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The only one.
    Single,
    /// The first of two; it leaves its statistics here.
    First(PathBuf),
    /// The second of two, which reads them.
    Second(PathBuf),
}

impl Pass {
    /// The statistics of one of two passes.
    fn statistics(&self) -> Option<&Path> {
        match self {
            Self::Single => None,
            Self::First(path) | Self::Second(path) => Some(path),
        }
    }

    /// Whether nothing of what is encoded is kept.
    pub(crate) fn is_first(&self) -> bool {
        matches!(self, Self::First(_))
    }
}

/// What an encoder is set up from.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) settings: &'a VideoSettings,
    pub(crate) plan: &'a Plan,
    pub(crate) threads: Option<u32>,
    pub(crate) pass: &'a Pass,
    /// The hardware encoder's element; `None` for software.
    pub(crate) hardware: Option<&'a str>,
    /// What the source says of its mastering display.
    pub(crate) mastering: Option<&'a Mastering>,
    /// Of a rung: its closed groups of pictures.
    pub(crate) closed: Option<Closed>,
}

/// Closed groups of so many frames, by count and nowhere else, so that the key frames of all rungs are at the same frames, or where they
/// are [asked for](force_keys_at()); and a bound on the rate in place of the settings' own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Closed {
    pub(crate) frames: u32,
    /// Whether key frames are asked for, groups being of about so many frames.
    pub(crate) asked: bool,
    pub(crate) cap: Option<RateCap>,
    /// Whether only half of the buffer's bits are there to begin with, as in a chunk that follows another one.
    pub(crate) half_full: bool,
    /// The level for the headers, on the codec's own scale; else it follows from picture and bound.
    pub(crate) level: Option<u8>,
    /// Hundredths of a step by which the encode is coarser than the settings' rate factor.
    pub(crate) hundredths: u8,
}

impl Closed {
    /// The bound in kbit/s and its buffer in milliseconds, of settings that are not lossless.
    fn vbv(&self, crf: u8) -> Option<(u32, u32)> {
        let cap = self.cap.filter(|_| crf > 0)?;
        let rate = u32::try_from(cap.max_bps / 1000).unwrap_or(u32::MAX).max(1);
        Some((rate, cap.buffer_ms.clamp(1, 10_000)))
    }

    /// What x264 and x265 are told of how full the buffer is, and of the level, which goes by two names.
    fn options(&self, level: &str) -> String {
        let fill = if self.half_full { ":vbv-init=0.5" } else { "" };
        self.level.map_or_else(|| fill.to_owned(), |number| format!("{fill}:{level}={number}"))
    }
}

pub(super) use av1::keys_beside;

/// An encoder, set up.
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) element: gst::Element,
    /// What its packets pass before they leave.
    pub(crate) parsers: Vec<gst::Element>,
    /// The form in which they leave.
    pub(crate) leaves: gst::Caps,
}

/// The encoder for an order.
pub(crate) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    if let Some(name) = order.hardware {
        let made = hardware::encoder(name, order.settings, order.threads)?;
        // They give byte streams, and frames of which several are shown at once; a file has parameter sets apart, and whole pictures.
        let (parser, leaves) = match order.settings.codec.in_software() {
            VideoCodec::Hevc => ("h265parse", x265::leaves()),
            VideoCodec::Vp9 => ("vp9parse", vp9::leaves()),
            VideoCodec::Av1 => ("av1parse", av1::leaves()),
            _ => ("h264parse", x264::leaves()),
        };
        return Ok(Encoder { element: made, parsers: vec![element(parser)?], leaves });
    }
    match order.settings.codec.in_software() {
        VideoCodec::H264 => x264::encoder(order),
        VideoCodec::Hevc => x265::encoder(order),
        VideoCodec::Vp9 => vp9::encoder(order),
        VideoCodec::Av1 => av1::encoder(order),
        VideoCodec::Ffv1 => mezzanine::ffv1(order),
        VideoCodec::ProRes => mezzanine::prores(order),
        VideoCodec::DnxHd => mezzanine::dnxhr(order),
        other => {
            Err(impossible(&format!("{} has no encoder in software", other.word()), "use another codec"))
        }
    }
}

/// The name of the element that makes a codec at such a rate on this node.
pub(crate) fn element_name(codec: VideoCodec, rate: RateControl) -> &'static str {
    match codec.in_software() {
        VideoCodec::Hevc => "x265enc",
        VideoCodec::Vp9 => linked::VP9,
        VideoCodec::Av1 => av1::element_name(rate),
        VideoCodec::Ffv1 => "avenc_ffv1",
        VideoCodec::ProRes => "avenc_prores_ks",
        VideoCodec::DnxHd => "avenc_dnxhd",
        _ => "x264enc",
    }
}

fn kbps(bps: u32) -> u32 {
    (bps / 1000).max(1)
}

/// A mean rate of libaom and libvpx, and the most of a group of pictures.
fn mean_rate(bitrate_bps: u32, peak_bps: Option<u32>) -> linked::Rate {
    let percent = |peak: u32| u64::from(peak) * 100 / u64::from(bitrate_bps.max(1));
    linked::Rate::Mean(
        kbps(bitrate_bps),
        peak_bps.map(|peak| u32::try_from(percent(peak)).unwrap_or(u32::MAX)),
    )
}

/// A pass, for libaom and libvpx.
fn linked_pass(pass: &Pass) -> linked::Pass {
    match pass {
        Pass::Single => linked::Pass::Single,
        Pass::First(path) => linked::Pass::First(path.clone()),
        Pass::Second(path) => linked::Pass::Second(path.clone()),
    }
}

/// Sets an enumeration by the nick of its value or, where elements have changed it, by its number.
fn set_choice(element: &gst::Element, property: &str, number: i32) {
    let class = element.find_property(property).and_then(|p| glib::EnumClass::with_type(p.value_type()));
    if let Some(value) = class.and_then(|class| class.to_value(number)) {
        element.set_property_from_value(property, &value);
    }
}

/// Sets a number whatever kind of number the property is, within its bounds; one that the element lacks is passed over.
fn set_number(element: &gst::Element, property: &str, value: u32) {
    if element.has_property(property) {
        element.set_property_from_str(property, &value.to_string());
    }
}

fn impossible(message: &str, advice: &str) -> Failure {
    Failure::new(FailureCode::SettingsImpossible, message, advice)
}

/// Has the encoder make a key frame of the first frame at or after each multiple of `every_ns`, counted from the first
/// one. `encoder` takes frames whose times are final.
pub(super) fn force_keys(encoder: &gst::Element, every_ns: u64) {
    let mut grid = Grid { every_ns, first_ns: None, next: 0 };
    force(encoder, move |at| grid.is_due(at));
}

/// The same of the frames of a chunk that are to be key frames.
pub(crate) fn force_keys_at(encoder: &gst::Element, mut times: KeyTimes) {
    force(encoder, move |at| times.is_due(at));
}

/// Has the encoder make key frames of those frames whose running time in nanoseconds is `due`, which is asked of every frame in order.
fn force(encoder: &gst::Element, mut due: impl FnMut(u64) -> bool + Send + 'static) {
    let pad = encoder.static_pad("sink").expect("an encoder has a sink pad");
    begin_late(encoder);
    let source = encoder.static_pad("src").expect("an encoder has a source pad");
    let mut begins = true;
    // The first frame is one without being asked for.
    let wish = std::sync::Mutex::new(move |at: u64| due(at) & !std::mem::replace(&mut begins, false));
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        let shown = info.buffer().and_then(|buffer| {
            let event = pad.sticky_event::<gst::event::Segment>(0)?;
            let segment = event.segment().downcast_ref::<gst::ClockTime>()?.clone();
            segment.to_running_time(buffer.pts()?)
        });
        let mut is_wished = wish.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = shown
            && is_wished(at.saturating_sub(LATE).nseconds())
        {
            let event = gstreamer_video::UpstreamForceKeyUnitEvent::builder()
                .running_time(at)
                .all_headers(true)
                .build();
            source.send_event(event);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Where encoders by x264 and x265 begin their times: they leave room for times of decoding before it.
const LATE: gst::ClockTime = gst::ClockTime::from_seconds(60 * 60 * 1000);

/// Moves frames to where those encoders would move them, and packets back. An encoder that moves frames itself says so with its first
/// packet only, some fifty frames later, and takes a wish for a key frame before it for later than all that follow.
fn begin_late(encoder: &gst::Element) {
    let pad = |name| encoder.static_pad(name).expect("an encoder has both pads");
    pad("sink").add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(frame) = info.buffer_mut() {
            moved(frame.make_mut(), |at| at.checked_add(LATE));
        } else if let Some(gst::EventView::Segment(event)) = info.event().map(|event| event.view())
            && let Some(segment) = event.segment().downcast_ref::<gst::ClockTime>()
        {
            // Its start stays, so that running times are moved with the frames.
            let mut longer = segment.clone();
            longer.set_stop(gst::ClockTime::NONE);
            let longer = gst::event::Segment::builder(&longer).seqnum(event.seqnum()).build();
            info.data = Some(gst::PadProbeData::Event(longer));
        }
        gst::PadProbeReturn::Ok
    });
    pad("src").add_probe(gst::PadProbeType::BUFFER, |_, info| {
        if let Some(packet) = info.buffer_mut() {
            moved(packet.make_mut(), |at| at.checked_sub(LATE));
        }
        gst::PadProbeReturn::Ok
    });
}

fn moved(buffer: &mut gst::BufferRef, to: impl Fn(gst::ClockTime) -> Option<gst::ClockTime>) {
    buffer.set_pts(buffer.pts().and_then(&to));
    buffer.set_dts(buffer.dts().and_then(&to));
}

/// Where key frames are due.
#[derive(Debug)]
struct Grid {
    every_ns: u64,
    first_ns: Option<u64>,
    /// The next multiple.
    next: u64,
}

impl Grid {
    fn is_due(&mut self, at: u64) -> bool {
        let since = at.saturating_sub(*self.first_ns.get_or_insert(at));
        // Half a microsecond before a line is on it: times of frames are rounded.
        let line = (since + 500) / self.every_ns.max(1);
        let due = line >= self.next;
        if due {
            self.next = line + 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_stand_on_a_grid_that_does_not_drift() {
        let mut grid = Grid { every_ns: 2_000_000_000, first_ns: None, next: 0 };
        // 30000/1001 frames a second, from 5 s on.
        let due: Vec<u64> =
            (0..600u64).filter(|n| grid.is_due(5_000_000_000 + n * 1001 * 1_000_000_000 / 30_000)).collect();
        assert_eq!(due, [0, 60, 120, 180, 240, 300, 360, 420, 480, 540]);
        let mut grid = Grid { every_ns: 2_000_000_000, first_ns: None, next: 0 };
        let due: Vec<u64> = [0, 1_990, 3_999, 4_000, 9_500, 9_900, 10_000]
            .into_iter()
            .filter(|ms| grid.is_due(ms * 1_000_000))
            .collect();
        assert_eq!(
            due,
            [0, 3_999, 4_000, 9_500, 10_000],
            "a gap in a variable rate skips lines, not key frames"
        );
    }
}

//! What frames pass between their decoder and their encoder, in an encode of a whole film and in a rung of a chunk.
//!
//! ```text
//! deinterlace ! videoflip ! videocrop ! videoconvertscale ! capsfilter
//! ```
//! What a picture does not need is left out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_video as video;
use gstreamer_video::prelude::*;
use rushes_shared::encode::VideoCodec;
use rushes_shared::failure::Failure;
use rushes_shared::media::{Orientation, VideoFacts};

use super::plan::Plan;
use crate::colour;
use crate::reader::unusable;
use crate::start::element;

/// The decoder's caps with what the source's facts know better: the rate and the colour. Frames that are not upright yet
/// have the pixel aspect of their own orientation.
pub(crate) fn described(
    caps: &gst::CapsRef,
    plan: &Plan,
    codec: VideoCodec,
    is_upright: bool,
) -> Result<gst::Caps, Failure> {
    let info = frame_info(caps)?;
    let mut caps = caps.to_owned();
    let fields = caps.make_mut().structure_mut(0).expect("fixed caps have one structure");
    // x265 does not begin without a rate; frames keep their own times all the same.
    let mean = || {
        let millihertz = crate::pace::scaled(1_000_000_000, 1_000, plan.frame_ns.max(1));
        gst::Fraction::new(i32::try_from(millihertz).unwrap_or(i32::MAX).max(1), 1_000)
    };
    let rate = match plan.fps {
        Some(fps) => gst::Fraction::new(signed(fps.num), signed(fps.den)),
        None if codec.in_software() == VideoCodec::Hevc => mean(),
        None => gst::Fraction::new(0, 1),
    };
    fields.set("framerate", rate);
    // Without a description the decoder's guess stays, on both sides of the converter, and is not written anywhere.
    if info.format_info().is_yuv()
        && let Some(colour) = colour::to_caps(&plan.colour)
    {
        fields.set("colorimetry", colour);
    }
    let (num, den) = (signed(plan.sar.num), signed(plan.sar.den));
    let turned = !is_upright && plan.orientation.swaps_sides();
    let sar = if turned { (den, num) } else { (num, den) };
    fields.set("pixel-aspect-ratio", gst::Fraction::new(sar.0, sar.1));
    Ok(caps)
}

/// What frames of these caps are.
pub(crate) fn frame_info(caps: &gst::CapsRef) -> Result<video::VideoInfo, Failure> {
    video::VideoInfo::from_caps(caps).map_err(|_| unusable("frames of an unknown format"))
}

/// Makes one progressive frame of the two fields of each interlaced one, and lets others pass.
fn deinterlacer() -> Result<gst::Element, Failure> {
    let deinterlace = element("deinterlace")?;
    deinterlace.set_property_from_str("mode", "auto");
    deinterlace.set_property_from_str("fields", "top");
    deinterlace.set_property_from_str("method", "yadif");
    Ok(deinterlace)
}

/// The same with what it needs before it, for a film of this plan; says whether frames were narrowed to eight bits. The deinterlacer
/// comes last. What a file says of its fields is less sure than what the decoder does.
pub(crate) fn progressive(plan: &Plan, is_narrowed: &Arc<AtomicBool>) -> Result<Vec<gst::Element>, Failure> {
    by_fields(plan.fields, is_narrowed)
}

/// The same where there is no plan: for one who compares, as an encode does it.
pub(crate) fn one_of_two_fields(film: &VideoFacts) -> Result<Vec<gst::Element>, Failure> {
    by_fields(super::plan::fields(film), &Arc::default())
}

fn by_fields(
    narrow: Option<video::VideoFormat>,
    is_narrowed: &Arc<AtomicBool>,
) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = Vec::new();
    if let Some(format) = narrow {
        let (convert, filter) = (element("videoconvert")?, element("capsfilter")?);
        let (into, is_narrowed) = (filter.downgrade(), Arc::clone(is_narrowed));
        let pad = convert.static_pad("sink").expect("a converter has a sink pad");
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view())
                && let Ok(info) = video::VideoInfo::from_caps(&caps.caps_owned())
                && let Some(filter) = into.upgrade()
            {
                let caps = gst::Caps::builder("video/x-raw");
                let has_fields = info.interlace_mode() != video::VideoInterlaceMode::Progressive;
                is_narrowed.fetch_or(has_fields, Ordering::Relaxed);
                let caps = if has_fields { caps.field("format", format.to_str()) } else { caps };
                filter.set_property("caps", caps.build());
            }
            gst::PadProbeReturn::Ok
        });
        chain.extend([convert, filter]);
    }
    let deinterlace = deinterlacer()?;
    keep_times(&deinterlace);
    chain.push(deinterlace);
    Ok(chain)
}

/// Gives every frame behind a deinterlacer the time that it had before: it makes one frame of each, in order, but loses
/// count of some times, and may give frames twice at the end, which are dropped. Where frames of two fields are followed by others it
/// would lose one and give another twice, so that all that come after the first of two fields count as such.
fn keep_times(deinterlacer: &gst::Element) {
    let times = Arc::new(Mutex::new(VecDeque::new()));
    let waiting = Arc::clone(&times);
    let pad = |name| deinterlacer.static_pad(name).expect("a filter has both pads");
    let fields = Mutex::new(None);
    pad("sink").add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_FLUSH, move |_, info| {
        let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fields = fields.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = info.buffer_mut() {
            times.push_back((frame.pts(), frame.duration()));
            // After a gap it would begin anew, and give frames twice in the middle.
            if frame.flags().contains(gst::BufferFlags::DISCONT) {
                frame.make_mut().unset_flags(gst::BufferFlags::DISCONT);
            }
            let has = frame.video_flags();
            if has.contains(video::VideoBufferFlags::INTERLACED) {
                *fields = Some(has & (video::VideoBufferFlags::INTERLACED | video::VideoBufferFlags::TFF));
            } else if let Some(fields) = *fields {
                frame.make_mut().set_video_flags(fields);
            }
        } else {
            times.clear();
            *fields = None;
        }
        gst::PadProbeReturn::Ok
    });
    pad("src").add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((at, duration)) = next else { return gst::PadProbeReturn::Drop };
        if let Some(frame) = info.buffer_mut() {
            let frame = frame.make_mut();
            frame.set_pts(at);
            frame.set_duration(duration);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Turns the picture; nothing where it is upright.
pub(crate) fn turn(orientation: Orientation) -> Result<Option<gst::Element>, Failure> {
    if orientation.is_upright() {
        return Ok(None);
    }
    let flip = element("videoflip")?;
    flip.set_property_from_str("video-direction", direction(orientation));
    Ok(Some(flip))
}

/// Brings upright, progressive frames of `shown` width and height into the plan's size and into a format. A frame that is
/// right already passes untouched.
pub(crate) fn shaped(
    plan: &Plan,
    shown: (u32, u32),
    format: &str,
    threads: u32,
) -> Result<Vec<gst::Element>, Failure> {
    let mut chain = Vec::new();
    if !plan.scaled && shown != (plan.width, plan.height) {
        let crop = element("videocrop")?;
        crop.set_property("right", signed(shown.0.saturating_sub(plan.width)).min(1));
        crop.set_property("bottom", signed(shown.1.saturating_sub(plan.height)).min(1));
        chain.push(crop);
    }
    let convert = element("videoconvertscale")?;
    convert.set_property_from_str("method", "lanczos");
    convert.set_property("n-threads", threads);
    let filter = element("capsfilter")?;
    let sar = gst::Fraction::new(signed(plan.sar.num), signed(plan.sar.den));
    let mut wanted = gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field("width", signed(plan.width))
        .field("height", signed(plan.height))
        .field("pixel-aspect-ratio", sar);
    if let Some(colour) = colour::to_caps(&plan.colour) {
        wanted = wanted.field("colorimetry", colour);
    }
    filter.set_property("caps", wanted.build());
    chain.extend([convert, filter]);
    Ok(chain)
}

/// The format that an encoder in software is given of decoded frames: x264 takes both forms of 4:2:0.
pub(crate) fn format_for(plan: &Plan, codec: VideoCodec, decoded: video::VideoFormat) -> &'static str {
    match decoded {
        video::VideoFormat::Nv12
            if plan.format == video::VideoFormat::I420 && codec.in_software() == VideoCodec::H264 =>
        {
            "NV12"
        }
        _ => plan.format.to_str().as_str(),
    }
}

/// `videoflip`'s name for a way to turn. It is a mirroring left to right first, then a turn clockwise.
pub(crate) fn direction(orientation: Orientation) -> &'static str {
    match (orientation.mirrored, orientation.clockwise_degrees % 360) {
        (false, 90) => "90r",
        (false, 180) => "180",
        (false, 270) => "90l",
        (false, _) => "identity",
        (true, 90) => "ur-ll",
        (true, 180) => "vert",
        (true, 270) => "ul-lr",
        (true, _) => "horiz",
    }
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

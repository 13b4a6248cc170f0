//! AV1: by SVT-AV1 where the node's GStreamer has it, else by libaom.
//!
//! libaom's element knows no level of quality; a lowest quantizer that is also the highest is one. It takes eight bits
//! only. A cap beside it is a mean rate that quality may stay below.

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::{RateControl, SpeedPreset};
use rushes_shared::failure::Failure;

use super::{
    CONSTANT_BUFFER_MS, Encoder, KEY_FRAME_DISTANCE, NEVER, Order, PEAK_BUFFER_MS, impossible, kbps,
    set_number, signed,
};
use crate::start::element;

const SVT: &str = "svtav1enc";
const LIBAOM: &str = "av1enc";

/// The element that makes AV1 here.
pub(super) fn element_name() -> &'static str {
    if gst::ElementFactory::find(SVT).is_some() { SVT } else { LIBAOM }
}

/// Whether this node can make AV1 of eight bits only.
pub(in crate::encode) fn is_eight_bit_only() -> bool {
    element_name() == LIBAOM
}

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    if matches!(order.settings.rate, RateControl::TwoPass { .. } | RateControl::OnePass { .. }) {
        return Err(impossible(
            "AV1 cannot be encoded in two passes here",
            "use crf, crf with max_bitrate, or rate = \"cbr\"",
        ));
    }
    let encoder = if element_name() == SVT { svt(order)? } else { libaom(order)? };
    let leaves = gst::Caps::builder("video/x-av1")
        .field("stream-format", "obu-stream")
        .field("alignment", "tu")
        .build();
    Ok(Encoder { element: encoder, parsers: vec![element("av1parse")?], leaves })
}

fn libaom(order: &Order<'_>) -> Result<gst::Element, Failure> {
    let settings = order.settings;
    if settings.keyframe_ms.is_some() && order.closed.is_none() {
        // It takes no wishes for key frames while it looks ahead, and its distance is a limit that cuts stay below.
        return Err(impossible(
            "this node's AV1 encoder, libaom, cannot set key frames at given times",
            "leave keyframe_ms out, use hevc, vp9 or h264, or install the GStreamer element svtav1enc on the workers",
        ));
    }
    let encoder = element(LIBAOM)?;
    // Real time skips what would make a lossless frame so.
    let is_lossless = settings.rate == RateControl::Crf(0);
    let (usage, speed) =
        libaom_speed(if is_lossless { settings.preset.max(SpeedPreset::Medium) } else { settings.preset });
    encoder.set_property_from_str("usage-profile", usage);
    encoder.set_property("cpu-used", speed);
    set_number(&encoder, "lag-in-frames", if usage == REALTIME { 0 } else { 25 });
    encoder.set_property("row-mt", true);
    set_number(&encoder, "threads", order.threads.unwrap_or(0));
    // Two columns from full HD on, which two threads decode side by side.
    set_number(&encoder, "tile-columns", u32::from(order.plan.width >= 1920));
    if let Some(closed) = &order.closed {
        // Without its own choice of key frames the distance is exact. Real time has no choice but the distance.
        let mode = if usage == REALTIME { "auto" } else { "disabled" };
        encoder.set_property_from_str("keyframe-mode", mode);
        encoder.set_property("keyframe-max-dist", signed(closed.frames));
    } else {
        encoder.set_property("keyframe-max-dist", signed(KEY_FRAME_DISTANCE));
    }
    let target = |bps: u32, buffer_ms: u32| {
        set_number(&encoder, "target-bitrate", kbps(bps));
        set_number(&encoder, "buf-sz", buffer_ms);
        set_number(&encoder, "buf-initial-sz", buffer_ms / 2);
        set_number(&encoder, "buf-optimal-sz", buffer_ms * 3 / 4);
        set_number(&encoder, "max-quantizer", 63);
    };
    match settings.rate {
        RateControl::Crf(crf) => {
            encoder.set_property_from_str("end-usage", "q");
            set_number(&encoder, "min-quantizer", u32::from(crf));
            set_number(&encoder, "max-quantizer", u32::from(crf));
        }
        RateControl::CappedCrf { crf, peak_bps } => {
            encoder.set_property_from_str("end-usage", "vbr");
            target(peak_bps, PEAK_BUFFER_MS);
            set_number(&encoder, "min-quantizer", u32::from(crf));
        }
        RateControl::Cbr { bitrate_bps }
        | RateControl::TwoPass { bitrate_bps, .. }
        | RateControl::OnePass { bitrate_bps, .. } => {
            encoder.set_property_from_str("end-usage", "cbr");
            target(bitrate_bps, CONSTANT_BUFFER_MS);
        }
    }
    Ok(encoder)
}

const REALTIME: &str = "realtime";

/// libaom's usage, and its speed within that. What it calls good quality costs from six times of real time's slowest speed on
/// and does not go faster than 6; see the documentation's table.
fn libaom_speed(preset: SpeedPreset) -> (&'static str, i32) {
    const GOOD: &str = "good-quality";
    match preset {
        SpeedPreset::Ultrafast => (REALTIME, 10),
        SpeedPreset::Superfast => (REALTIME, 9),
        SpeedPreset::Veryfast => (REALTIME, 8),
        SpeedPreset::Faster => (REALTIME, 7),
        SpeedPreset::Fast => (REALTIME, 6),
        SpeedPreset::Medium => (GOOD, 6),
        SpeedPreset::Slow => (GOOD, 5),
        SpeedPreset::Slower => (GOOD, 4),
        SpeedPreset::Veryslow => (GOOD, 3),
    }
}

/// SVT-AV1's presets go from 0 to 13; medium is its 7, which is about libaom's speed 6 by time.
fn svt(order: &Order<'_>) -> Result<gst::Element, Failure> {
    let settings = order.settings;
    let encoder = element(SVT)?;
    set_number(&encoder, "preset", u32::from(settings.preset.step()) + 4);
    set_number(&encoder, "logical-processors", order.threads.unwrap_or(0));
    set_number(
        &encoder,
        "intra-period-length",
        match &order.closed {
            Some(closed) => closed.frames,
            None if settings.keyframe_ms.is_some() => NEVER,
            None => KEY_FRAME_DISTANCE,
        },
    );
    match settings.rate {
        RateControl::Crf(crf) => set_number(&encoder, "crf", u32::from(crf)),
        RateControl::CappedCrf { crf, peak_bps } => {
            set_number(&encoder, "crf", u32::from(crf));
            set_number(&encoder, "maximum-bitrate", kbps(peak_bps));
        }
        RateControl::Cbr { bitrate_bps }
        | RateControl::TwoPass { bitrate_bps, .. }
        | RateControl::OnePass { bitrate_bps, .. } => {
            set_number(&encoder, "target-bitrate", kbps(bitrate_bps));
        }
    }
    Ok(encoder)
}

//! AV1: by SVT-AV1 where the node's GStreamer has it, else by libaom in eight bits and by rav1e in ten.
//!
//! libaom's element knows no level of quality; a lowest quantizer that is also the highest is one. It takes eight bits
//! only. A cap beside it is a mean rate that quality may stay below. rav1e is linked in and takes some five times as long.

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
const RAV1E: &str = "rav1enc";

/// The element that makes AV1 of a depth here.
pub(super) fn element_name(depth: u32) -> &'static str {
    match depth {
        _ if gst::ElementFactory::find(SVT).is_some() => SVT,
        0..=8 => LIBAOM,
        _ => RAV1E,
    }
}

/// Whether AV1 of ten bits takes this node several times as long, so that it is made where it is asked for only.
pub(in crate::encode) fn is_slow_in_ten_bits() -> bool {
    element_name(10) == RAV1E
}

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    if matches!(order.settings.rate, RateControl::TwoPass { .. } | RateControl::OnePass { .. }) {
        return Err(impossible(
            "AV1 cannot be encoded in two passes here",
            "use crf, crf with max_bitrate, or rate = \"cbr\"",
        ));
    }
    let encoder = match element_name(order.plan.depth()) {
        SVT => svt(order)?,
        RAV1E => rav1e(order)?,
        _ => libaom(order)?,
    };
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

/// Ten bits only. Its quantizer is AV1's own index of 0 to 255, a bit over four for one of libaom's steps.
fn rav1e(order: &Order<'_>) -> Result<gst::Element, Failure> {
    let settings = order.settings;
    if settings.rate == RateControl::Crf(0) {
        return Err(impossible(
            "AV1 of 10 bits cannot be lossless here",
            "use hevc or ffv1 for a lossless output of 10 bits, or a crf of 1 to 63",
        ));
    }
    let encoder = element(RAV1E)?;
    set_number(&encoder, "speed-preset", (u32::from(settings.preset.step()) + 3).min(10));
    set_number(&encoder, "threads", order.threads.unwrap_or(0));
    // It shares its work among threads by tiles; each costs some bits.
    set_number(&encoder, "tiles", order.threads.unwrap_or(1).min(order.plan.width / 480).max(1));
    let (least, most) = match &order.closed {
        Some(closed) => (closed.frames, closed.frames),
        // Wishes come from outside, and cuts bring none.
        None if settings.keyframe_ms.is_some() => (NEVER, NEVER),
        None => (12, KEY_FRAME_DISTANCE),
    };
    set_number(&encoder, "min-key-frame-interval", least);
    set_number(&encoder, "max-key-frame-interval", most);
    let index = |crf: u8| (u32::from(crf) * 255).div_ceil(63).min(255);
    match settings.rate {
        RateControl::Crf(crf) => set_number(&encoder, "quantizer", index(crf)),
        RateControl::CappedCrf { crf, peak_bps } => {
            set_number(&encoder, "bitrate", peak_bps);
            set_number(&encoder, "min-quantizer", index(crf));
        }
        RateControl::Cbr { bitrate_bps }
        | RateControl::TwoPass { bitrate_bps, .. }
        | RateControl::OnePass { bitrate_bps, .. } => set_number(&encoder, "bitrate", bitrate_bps),
    }
    Ok(encoder)
}

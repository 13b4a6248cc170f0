//! VP9 by libvpx.
//!
//! The element does not offer libvpx's constant quality, and constrained quality spends what its rate allows: libvpx lowers
//! the level while it stays under 45 % of the target. So a rate factor is one quantizer for all frames, and under a cap the
//! best that a frame may have. The element's other defaults are those of a video call; here are those of
//! `ffmpeg -c:v libvpx-vp9`.

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::RateControl;
use rushes_shared::failure::Failure;

use super::{
    CONSTANT_BUFFER_MS, Encoder, KEY_FRAME_DISTANCE, Order, PEAK_BUFFER_MS, Pass, set_number, signed,
};
use crate::start::element;

/// Frames that libvpx looks ahead at, and holds.
pub(in crate::encode) const HELD_FRAMES: u32 = 25;
/// Bits a second that no picture needs.
const UNLIMITED_BPS: u32 = 1_000_000_000;

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    let settings = order.settings;
    let encoder = element("vp9enc")?;
    // One microsecond more than real time: libvpx's "good".
    encoder.set_property("deadline", 1_000_000i64);
    encoder.set_property("cpu-used", i32::from(settings.preset.step()));
    encoder.set_property("lag-in-frames", signed(HELD_FRAMES));
    encoder.set_property("auto-alt-ref", true);
    encoder.set_property("arnr-maxframes", 7i32);
    encoder.set_property("arnr-strength", 5i32);
    encoder.set_property("static-threshold", 0i32);
    encoder.set_property("frame-parallel-decoding", false);
    // As many columns of tiles as the width has room for.
    encoder.set_property("tile-columns", 6i32);
    let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    let threads = order.threads.unwrap_or(cores).clamp(1, 64);
    set_number(&encoder, "threads", threads);
    // Rows side by side cost libvpx a shortcut (what it learns of thresholds from block to block): 5 to 14 % of the time of one thread,
    // which has no use for them.
    encoder.set_property("row-mt", threads > 1);
    if let Some(closed) = &order.closed {
        // In one pass libvpx looks for no cuts: key frames are so many frames apart.
        encoder.set_property("keyframe-max-dist", signed(closed.frames));
    } else if settings.keyframe_ms.is_some() {
        encoder.set_property_from_str("keyframe-mode", "disabled");
        encoder.set_property("keyframe-max-dist", i32::MAX);
    } else {
        encoder.set_property("keyframe-max-dist", signed(KEY_FRAME_DISTANCE));
    }
    rate(&encoder, order);
    let leaves = gst::Caps::builder("video/x-vp9").build();
    Ok(Encoder { element: encoder, parsers: Vec::new(), leaves })
}

fn rate(encoder: &gst::Element, order: &Order<'_>) {
    let target = |bps: u32, buffer_ms: u32| {
        encoder.set_property("target-bitrate", signed(bps));
        encoder.set_property("buffer-size", signed(buffer_ms));
        encoder.set_property("buffer-initial-size", signed(buffer_ms / 2));
        encoder.set_property("buffer-optimal-size", signed(buffer_ms * 3 / 4));
    };
    match order.settings.rate {
        RateControl::Crf(crf) => {
            encoder.set_property_from_str("end-usage", "cq");
            encoder.set_property("cq-level", i32::from(crf));
            encoder.set_property("min-quantizer", i32::from(crf));
            encoder.set_property("max-quantizer", i32::from(crf));
            encoder.set_property("target-bitrate", signed(UNLIMITED_BPS));
        }
        RateControl::CappedCrf { crf, peak_bps } => {
            encoder.set_property_from_str("end-usage", "cq");
            encoder.set_property("cq-level", i32::from(crf));
            encoder.set_property("min-quantizer", i32::from(crf));
            target(peak_bps, PEAK_BUFFER_MS);
        }
        RateControl::Cbr { bitrate_bps } => {
            encoder.set_property_from_str("end-usage", "cbr");
            target(bitrate_bps, CONSTANT_BUFFER_MS);
        }
        // One pass places bits by its buffer alone, so that a peak is kept by it as well.
        RateControl::OnePass { bitrate_bps, .. } => {
            encoder.set_property_from_str("end-usage", "vbr");
            target(bitrate_bps, PEAK_BUFFER_MS);
        }
        RateControl::TwoPass { bitrate_bps, peak_bps } => {
            encoder.set_property_from_str("end-usage", "vbr");
            target(bitrate_bps, PEAK_BUFFER_MS);
            if let Some(path) = order.pass.statistics() {
                encoder.set_property("multipass-cache-file", path.to_string_lossy().as_ref());
                let is_first = *order.pass == Pass::Single || order.pass.is_first();
                let mode = if is_first { "first-pass" } else { "last-pass" };
                encoder.set_property_from_str("multipass-mode", mode);
            }
            if let Some(peak) = peak_bps {
                // Of a group of pictures against the mean, in percent.
                let percent = u64::from(peak) * 100 / u64::from(bitrate_bps.max(1));
                encoder.set_property("twopass-vbr-maxsection", i32::try_from(percent).unwrap_or(i32::MAX));
            }
        }
    }
}

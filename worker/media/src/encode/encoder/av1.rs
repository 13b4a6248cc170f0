//! AV1: by SVT-AV1 where the node's GStreamer has it, else by libaom, which is linked in (`crate::linked`).

use std::num::NonZeroU32;

use gstreamer as gst;
use rushes_shared::encode::{RateControl, SpeedPreset, VideoCodec, VideoSettings};
use rushes_shared::failure::Failure;

use super::{
    CONSTANT_BUFFER_MS, Encoder, KEY_FRAME_DISTANCE, NEVER, Order, kbps, linked_pass, mean_rate, set_number,
};
use crate::colour;
use crate::encode::plan::Plan;
use crate::linked::{self, Keys, Rate, Settings, Usage};
use crate::start::element;

const SVT: &str = "svtav1enc";

/// The element that makes AV1 at such a rate here. GStreamer's of SVT-AV1 has no two passes.
pub(super) fn element_name(rate: RateControl) -> &'static str {
    let passes = matches!(rate, RateControl::TwoPass { .. } | RateControl::OnePass { .. });
    if !passes && gst::ElementFactory::find(SVT).is_some() { SVT } else { linked::AV1 }
}

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    let encoder = match element_name(order.settings.rate) {
        SVT => svt(order)?,
        name => linked::encoder(name, libaom(order))?,
    };
    // A first pass has no packets to parse.
    let parsers = if order.pass.is_first() { Vec::new() } else { vec![element("av1parse")?] };
    Ok(Encoder { element: encoder, parsers, leaves: leaves() })
}

pub(super) fn leaves() -> gst::Caps {
    gst::Caps::builder("video/x-av1").field("stream-format", "obu-stream").field("alignment", "tu").build()
}

fn libaom(order: &Order<'_>) -> Settings {
    let settings = order.settings;
    let (points, is_full_range) = colour::code_points(&order.plan.colour);
    // Real time skips what would make a lossless frame so, and what a second pass plans with.
    let is_planned = matches!(settings.rate, RateControl::Crf(0) | RateControl::TwoPass { .. });
    let (usage, speed) =
        libaom_speed(if is_planned { settings.preset.max(SpeedPreset::Medium) } else { settings.preset });
    Settings {
        usage,
        speed,
        threads: order.threads.and_then(NonZeroU32::new),
        is_part: order.closed.is_some(),
        hundredths: order.closed.map_or(0, |closed| closed.hundredths),
        has_hidden_frames: true,
        // Two columns from full HD on, which two threads decode side by side.
        tile_columns: u32::from(order.plan.width >= 1920),
        keys: keys(order),
        rate: match settings.rate {
            RateControl::Crf(0) => Rate::Lossless,
            RateControl::Crf(crf) => Rate::Quality(crf),
            // Under a bound nothing is lossless.
            RateControl::CappedCrf { crf, peak_bps } => Rate::Capped(crf.max(1), kbps(peak_bps)),
            RateControl::Cbr { bitrate_bps } => Rate::Constant(kbps(bitrate_bps), CONSTANT_BUFFER_MS),
            RateControl::TwoPass { bitrate_bps, peak_bps }
            | RateControl::OnePass { bitrate_bps, peak_bps } => mean_rate(bitrate_bps, peak_bps),
        },
        pass: linked_pass(order.pass),
        frame_ns: order.plan.frame_ns,
        points,
        is_full_range,
        mastering: order.mastering.copied(),
    }
}

/// Where libaom sets key frames. It makes another one behind each that is asked for (3.11: `define_kf_interval` finds the one that is
/// just there), so that it is told their distance, or begins anew at each where that is no whole number of frames. A mean rate is planned
/// over the whole film, and has them at the whole number that is nearest.
fn keys(order: &Order<'_>) -> Keys {
    let Some(ms) = order.settings.keyframe_ms.filter(|_| order.closed.is_none()) else {
        return match &order.closed {
            // It plans over a distance that no group of a constant rate reaches.
            Some(closed) if closed.asked && order.plan.fps.is_some() => {
                Keys::Anew(closed.frames.saturating_add(closed.frames / 2).saturating_add(1))
            }
            Some(closed) if closed.asked => Keys::Anew(0),
            Some(closed) => Keys::Every(closed.frames),
            None => Keys::AtMost(KEY_FRAME_DISTANCE),
        };
    };
    match whole_keys(order.plan, ms) {
        (frames, true) => Keys::Anew(frames),
        (frames, false) if is_mean(order.settings.rate) => Keys::Every(frames),
        (_, false) => Keys::Anew(0),
    }
}

/// Frames from key frame to key frame, and whether they are the distance that is asked for.
fn whole_keys(plan: &Plan, ms: u32) -> (u32, bool) {
    let exact = plan.fps.and_then(|rate| {
        let (frames, part) = (u64::from(ms) * u64::from(rate.num), u64::from(rate.den) * 1000);
        let is_whole = part > 0 && frames.is_multiple_of(part);
        is_whole.then(|| u32::try_from(frames / part).ok()).flatten()
    });
    let ns = u64::from(ms) * 1_000_000;
    let near = || u32::try_from((ns + plan.frame_ns / 2) / plan.frame_ns.max(1)).unwrap_or(u32::MAX).max(1);
    exact.map_or_else(|| (near(), false), |frames| (frames, true))
}

fn is_mean(rate: RateControl) -> bool {
    matches!(rate, RateControl::TwoPass { .. } | RateControl::OnePass { .. })
}

/// What is to be known of the key frames of an encode at a mean rate, where they are not quite where they were asked for.
pub(in crate::encode) fn keys_beside(settings: &VideoSettings, plan: &Plan) -> Option<String> {
    let ms = settings.keyframe_ms.filter(|_| settings.codec == VideoCodec::Av1 && is_mean(settings.rate))?;
    let (frames, is_exact) = whole_keys(plan, ms);
    (!is_exact).then(|| {
        format!(
            "av1 at a mean rate has a key frame every {frames} frames, as {ms} ms are no whole number of them"
        )
    })
}

/// libaom's usage, and its speed within that. What it calls good quality costs from six times of real time's slowest speed on
/// and does not go faster than 6; see the documentation's table.
fn libaom_speed(preset: SpeedPreset) -> (Usage, i32) {
    match preset {
        SpeedPreset::Ultrafast => (Usage::Realtime, 10),
        SpeedPreset::Superfast => (Usage::Realtime, 9),
        SpeedPreset::Veryfast => (Usage::Realtime, 8),
        SpeedPreset::Faster => (Usage::Realtime, 7),
        SpeedPreset::Fast => (Usage::Realtime, 6),
        SpeedPreset::Medium => (Usage::Good, 6),
        SpeedPreset::Slow => (Usage::Good, 5),
        SpeedPreset::Slower => (Usage::Good, 4),
        SpeedPreset::Veryslow => (Usage::Good, 3),
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
            Some(closed) => {
                if closed.asked {
                    NEVER
                } else {
                    closed.frames
                }
            }
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

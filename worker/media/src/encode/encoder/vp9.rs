//! VP9 by libvpx, which is linked in (`crate::linked`).

use std::num::NonZeroU32;

use rushes_shared::encode::RateControl;
use rushes_shared::failure::Failure;

use gstreamer as gst;

use super::{CONSTANT_BUFFER_MS, Encoder, KEY_FRAME_DISTANCE, Order, Pass, kbps, linked_pass, mean_rate};
use crate::colour;
use crate::linked::{self, Keys, Rate, Settings, Usage};

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    let encoder = linked::encoder(linked::VP9, libvpx(order))?;
    Ok(Encoder { element: encoder, parsers: Vec::new(), leaves: gst::Caps::builder("video/x-vp9").build() })
}

/// As hardware's packets leave their parser.
pub(super) fn leaves() -> gst::Caps {
    gst::Caps::builder("video/x-vp9").field("alignment", "super-frame").build()
}

fn libvpx(order: &Order<'_>) -> Settings {
    let settings = order.settings;
    let (points, is_full_range) = colour::code_points(&order.plan.colour);
    Settings {
        usage: Usage::Good,
        speed: i32::from(settings.preset.step()),
        threads: order.threads.and_then(NonZeroU32::new),
        is_part: order.closed.is_some(),
        hundredths: order.closed.map_or(0, |closed| closed.hundredths),
        // A second pass of libvpx makes no key frame of one that is asked for where it has planned a hidden one.
        has_hidden_frames: settings.keyframe_ms.is_none() || *order.pass == Pass::Single,
        // As many columns of tiles as the width has room for.
        tile_columns: 6,
        keys: match &order.closed {
            Some(closed) if closed.asked => Keys::Asked,
            Some(closed) => Keys::Every(closed.frames),
            None if settings.keyframe_ms.is_some() => Keys::Asked,
            None => Keys::AtMost(KEY_FRAME_DISTANCE),
        },
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
        mastering: None,
    }
}

//! HEVC by x265. The element knows no rate factor; x265's own options do, and win over what the element sets before.

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::RateControl;
use rushes_shared::failure::Failure;

use super::{CONSTANT_BUFFER_MS, Encoder, Order, PEAK_BUFFER_MS, Pass, kbps, set_choice};
use crate::colour;
use crate::start::element;

/// The number of "no tuning"; the element would tune for SSIM.
const NO_TUNING: i32 = 0;
/// Key frames where they are asked for alone.
const ASKED_KEYS: &str = "keyint=-1:min-keyint=1";

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    let settings = order.settings;
    let encoder = element("x265enc")?;
    encoder.set_property_from_str("speed-preset", settings.preset.as_str());
    set_choice(&encoder, "tune", NO_TUNING);
    let mut options = vec![colour::to_x265(&order.plan.colour), rate(order)];
    // Closed groups, so that every key frame is a place to begin at.
    options.push("open-gop=0".to_owned());
    if let Some(closed) = &order.closed {
        let more = closed.options("level-idc");
        let keys = if closed.asked {
            ASKED_KEYS.to_owned()
        } else {
            format!("keyint={0}:min-keyint={0}", closed.frames)
        };
        options.push(format!("{keys}:scenecut=0{more}"));
    } else if settings.keyframe_ms.is_some() {
        options.push(format!("{ASKED_KEYS}:scenecut=0"));
    }
    if let Some(threads) = order.threads {
        options.push(format!("pools={threads}"));
    }
    options.extend(order.mastering.map(|mastering| format!("hdr10=1:{}", mastering.to_x265())));
    if let Some(bitrate) = mean_rate(settings.rate) {
        encoder.set_property("bitrate", kbps(bitrate));
    }
    let options: Vec<String> = options.into_iter().filter(|option| !option.is_empty()).collect();
    encoder.set_property("option-string", options.join(":"));
    Ok(Encoder { element: encoder, parsers: vec![element("h265parse")?], leaves: leaves() })
}

pub(super) fn leaves() -> gst::Caps {
    gst::Caps::builder("video/x-h265").field("stream-format", "hvc1").field("alignment", "au").build()
}

fn mean_rate(rate: RateControl) -> Option<u32> {
    match rate {
        RateControl::Crf(_) | RateControl::CappedCrf { .. } => None,
        RateControl::Cbr { bitrate_bps }
        | RateControl::TwoPass { bitrate_bps, .. }
        | RateControl::OnePass { bitrate_bps, .. } => Some(bitrate_bps),
    }
}

fn rate(order: &Order<'_>) -> String {
    let of_kbps = |kbps: u32, buffer_ms: u32| {
        let buffer = u64::from(kbps) * u64::from(buffer_ms) / 1000;
        format!("vbv-maxrate={kbps}:vbv-bufsize={}", buffer.max(1))
    };
    let vbv = |bps: u32, buffer_ms: u32| of_kbps(kbps(bps), buffer_ms);
    match order.settings.rate {
        RateControl::Crf(0) => "lossless=1".to_owned(),
        RateControl::Crf(crf) => match order.closed.and_then(|closed| closed.vbv(crf)) {
            Some((kbps, buffer_ms)) => format!("crf={}:{}", factor(order, crf), of_kbps(kbps, buffer_ms)),
            None => format!("crf={}", factor(order, crf)),
        },
        RateControl::CappedCrf { crf, peak_bps } => format!("crf={crf}:{}", vbv(peak_bps, PEAK_BUFFER_MS)),
        RateControl::Cbr { bitrate_bps } => vbv(bitrate_bps, CONSTANT_BUFFER_MS),
        RateControl::OnePass { peak_bps, .. } => {
            peak_bps.map_or_else(String::new, |peak| vbv(peak, PEAK_BUFFER_MS))
        }
        RateControl::TwoPass { peak_bps, .. } => {
            let mut options: Vec<String> =
                peak_bps.map(|peak| vbv(peak, PEAK_BUFFER_MS)).into_iter().collect();
            if let Some(path) = order.pass.statistics() {
                let number = if *order.pass == Pass::Single || order.pass.is_first() { 1 } else { 2 };
                options.push(format!("pass={number}:stats={}", path.display()));
            }
            options.join(":")
        }
    }
}

/// A rate factor with its part of a step.
fn factor(order: &Order<'_>, crf: u8) -> String {
    let hundredths = order.closed.map_or(0, |closed| closed.hundredths);
    if hundredths == 0 { crf.to_string() } else { format!("{crf}.{hundredths:02}") }
}

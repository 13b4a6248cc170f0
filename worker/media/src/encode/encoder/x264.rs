//! H.264 by x264. With a rate factor it gets exactly what `ffmpeg -c:v libx264 -preset P -crf N` gives it, so that speed,
//! size and quality can be compared.

use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::RateControl;
use rushes_shared::failure::Failure;

use super::{CONSTANT_BUFFER_MS, Encoder, NEVER, Order, PEAK_BUFFER_MS, Pass, kbps};
use crate::colour;
use crate::encode::hardware::KEY_FRAME_DISTANCE;
use crate::start::element;

/// The element's quantizer ends one short of x264's scale.
const QUANTIZER_MAX: u8 = 50;
/// Steps that double x264's quantizer.
const STEPS_TO_DOUBLE: f64 = 6.0;

/// Pixels a thread where a chunk keeps a bound, and the fewest threads. x264 gives a frame its bits before those that are encoded
/// beside it have used theirs, so that with many threads a short chunk has other bits each time, and misses what it is to have.
const BOUNDED_PIXELS_A_THREAD: u32 = 1 << 16;
const BOUNDED_LEAST_THREADS: u32 = 2;

pub(super) fn leaves() -> gst::Caps {
    gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build()
}

pub(super) fn encoder(order: &Order<'_>) -> Result<Encoder, Failure> {
    let settings = order.settings;
    let encoder = element("x264enc")?;
    // The element would write its own guess where the source says nothing; the options say exactly what is known.
    encoder.set_property("insert-vui", false);
    let mut options = colour::to_x264(&order.plan.colour);
    options.push_str(&rate(&encoder, order));
    if let Some(closed) = &order.closed {
        encoder.set_property("key-int-max", if closed.asked { NEVER } else { closed.frames });
        options.push_str(":scenecut=0:open-gop=0:stitchable=1");
        options.push_str(&closed.options("level"));
    } else if settings.keyframe_ms.is_some() {
        encoder.set_property("key-int-max", NEVER);
        options.push_str(":scenecut=0:open-gop=0");
    } else {
        encoder.set_property("key-int-max", KEY_FRAME_DISTANCE);
    }
    encoder.set_property_from_str("speed-preset", settings.preset.as_str());
    encoder.set_property("aud", false);
    encoder.set_property("option-string", options);
    encoder.set_property("threads", threads(order));
    Ok(Encoder { element: encoder, parsers: Vec::new(), leaves: leaves() })
}

/// Threads of the encoder; 0 lets it take three for two cores.
fn threads(order: &Order<'_>) -> u32 {
    let wanted = order.threads.unwrap_or(0);
    if order.closed.is_none_or(|closed| closed.cap.is_none()) {
        return wanted;
    }
    let cores = || thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
    let wanted = if wanted == 0 { cores().saturating_mul(3) / 2 } else { wanted };
    let pixels = order.plan.width.saturating_mul(order.plan.height);
    wanted.clamp(1, (pixels / BOUNDED_PIXELS_A_THREAD).max(BOUNDED_LEAST_THREADS))
}

/// Sets what decides the bits; gives the options that it takes besides.
fn rate(encoder: &gst::Element, order: &Order<'_>) -> String {
    match order.settings.rate {
        RateControl::Crf(crf) => {
            let (vbv, hundredths) =
                order.closed.map_or((None, 0), |closed| (closed.vbv(crf), closed.hundredths));
            constant_quality(encoder, (crf, hundredths), vbv)
        }
        RateControl::CappedCrf { crf, peak_bps } => {
            constant_quality(encoder, (crf, 0), Some((kbps(peak_bps), PEAK_BUFFER_MS)))
        }
        RateControl::Cbr { bitrate_bps } => {
            encoder.set_property_from_str("pass", "cbr");
            encoder.set_property("bitrate", kbps(bitrate_bps));
            encoder.set_property("vbv-buf-capacity", CONSTANT_BUFFER_MS);
            ":nal-hrd=cbr".to_owned()
        }
        RateControl::OnePass { bitrate_bps, peak_bps } => {
            // The element's "cbr" is x264's mean rate; only a buffer would make it constant.
            encoder.set_property_from_str("pass", "cbr");
            mean(encoder, bitrate_bps, peak_bps)
        }
        RateControl::TwoPass { bitrate_bps, peak_bps } => {
            let pass = if *order.pass == Pass::Single || order.pass.is_first() { "pass1" } else { "pass2" };
            encoder.set_property_from_str("pass", pass);
            if let Some(path) = order.pass.statistics() {
                encoder.set_property("multipass-cache-file", path.to_string_lossy().as_ref());
            }
            mean(encoder, bitrate_bps, peak_bps)
        }
    }
}

/// Sets a mean rate; gives the options of its peak.
fn mean(encoder: &gst::Element, bitrate_bps: u32, peak_bps: Option<u32>) -> String {
    encoder.set_property("bitrate", kbps(bitrate_bps));
    encoder.set_property("vbv-buf-capacity", 0u32);
    peak_bps.map_or_else(String::new, |peak| {
        let buffer = u64::from(kbps(peak)) * u64::from(PEAK_BUFFER_MS) / 1000;
        format!(":vbv-maxrate={}:vbv-bufsize={buffer}", kbps(peak))
    })
}

/// `pass=qual` is CRF, but its VBV would cap the rate at 2 Mbit/s; a buffer of no length turns the VBV off.
fn constant_quality(encoder: &gst::Element, (crf, hundredths): (u8, u8), vbv: Option<(u32, u32)>) -> String {
    encoder.set_property_from_str("pass", "qual");
    let whole = crf.min(QUANTIZER_MAX);
    encoder.set_property("quantizer", u32::from(whole));
    encoder.set_property("vbv-buf-capacity", vbv.map_or(0, |(_, buffer_ms)| buffer_ms));
    if let Some((kbps, _)) = vbv {
        encoder.set_property("bitrate", kbps);
    }
    coarser(f64::from(crf - whole) + f64::from(hundredths) / 100.0)
}

/// The steps of a rate factor that the element's whole numbers up to 50 lack. A zone's bit rate factor divides the quantizer, so that a zone
/// over the whole stream with a factor of 2^(-1/6) is a rate factor of one more.
fn coarser(steps: f64) -> String {
    if steps == 0.0 {
        return String::new();
    }
    format!(":zones=0,2147483647,b={:.9}", (-steps / STEPS_TO_DOUBLE).exp2())
}

//! Hardware encoders: any GStreamer element that makes H.264, HEVC, VP9 or AV1 of raw frames, driven by what such elements have in
//! common.
//!
//! Their properties have no common names, so that each is set under every name that is in use, where the element has it:
//! a constant quantizer, which is the nearest that hardware has to a constant rate factor and has the same scale in
//! H.264 and HEVC, and the distance of key frames. In VP9 and AV1 some elements count it as their libraries do, to 63, and some as the
//! codec does, to 255: the property's greatest value says which.
//!
//! rav1e, which is linked in, may be named in hardware's place, so that a farm without cards has an AV1 encoder in Rust beside libaom.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_video as video;
use rushes_shared::encode::{RateControl, VideoSettings};
use rushes_shared::failure::{Failure, FailureCode};

use crate::linked::RAV1E;
use crate::start::element;

/// x264's own default, which its GStreamer element replaces by ten seconds.
pub(super) const KEY_FRAME_DISTANCE: u32 = 250;
/// Where key frames are asked for one by one: a distance that no group of pictures reaches, and every element takes.
const NO_KEY_FRAMES: u32 = 10_000;
/// Names under which elements take a constant quantizer for all frames, or for those of one kind.
const QUANTIZERS: &[&str] = &[
    "qp-const",
    "qp-const-i",
    "qp-const-p",
    "qp-const-b",
    "qp",
    "qpi",
    "qpp",
    "qpb",
    "qp-i",
    "qp-p",
    "qp-b",
    "quantizer",
];
/// Names for the bounds of the quantizer, of which both are set to it where none of the above is there.
const QUANTIZER_BOUNDS: &[&str] = &["qp-min", "qp-max"];
/// The same under the names of VP9's and AV1's libraries, which are levels whatever their greatest value is said to be.
const LEVEL_BOUNDS: &[&str] = &["min-quantizer", "max-quantizer"];
/// Names for the distance of key frames, in frames.
const KEY_DISTANCES: &[&str] = &["gop-size", "key-int-max", "keyframe-max-dist", "max-key-frame-interval"];
/// The codec's own index of quantizers for a level of 0 to 63, in VP9 and AV1: four of them a level, and the end of the scale.
const INDEX_A_LEVEL: i64 = 4;
const INDEX_MAX: i64 = 255;
/// The greatest level.
const LEVEL_MAX: i64 = 63;
/// Ways to name the mode in which the quantizer is constant.
const MODES: &[(&str, &str)] =
    &[("rc-mode", "constqp"), ("rate-control", "cqp"), ("rate-control", "quality")];
/// Frame formats, the better first: what is decoded has them already.
const FORMATS: &[&str] = &["NV12", "I420"];

/// The encoder, set up.
pub(super) fn encoder(
    name: &str,
    settings: &VideoSettings,
    threads: Option<u32>,
) -> Result<gst::Element, Failure> {
    let encoder = element(name).map_err(|missing| failed(name, &missing))?;
    if name == RAV1E {
        // Its speeds go from 0 to 10, with 6 as its own.
        let speed = (settings.preset.step() + 3).min(10);
        encoder.set_property_from_str("speed-preset", &speed.to_string());
        encoder.set_property_from_str("threads", &threads.unwrap_or(0).to_string());
    }
    if let Some((property, mode)) = MODES.iter().find(|(property, mode)| has_mode(&encoder, property, mode)) {
        encoder.set_property_from_str(property, mode);
    }
    let (RateControl::Crf(crf) | RateControl::CappedCrf { crf, .. }) = settings.rate else {
        let message = "hardware encoders take a constant quantizer only";
        return Err(Failure::new(FailureCode::SettingsImpossible, message, "set crf instead of a bit rate"));
    };
    let has_levels = settings.codec.worst_crf().is_some_and(|worst| i64::from(worst) == LEVEL_MAX);
    let quantizer = |greatest: i64| {
        let level = i64::from(crf);
        let index = has_levels && greatest > LEVEL_MAX;
        if !index {
            level.min(greatest)
        } else if level == LEVEL_MAX {
            INDEX_MAX.min(greatest)
        } else {
            level * INDEX_A_LEVEL
        }
    };
    if set_all(&encoder, QUANTIZERS, quantizer) == 0 {
        set_all(&encoder, QUANTIZER_BOUNDS, quantizer);
        set_all(&encoder, LEVEL_BOUNDS, |greatest| i64::from(crf).min(greatest));
    }
    let distance = if settings.keyframe_ms.is_some() { NO_KEY_FRAMES } else { KEY_FRAME_DISTANCE };
    set_all(&encoder, KEY_DISTANCES, |greatest| i64::from(distance).min(greatest));
    Ok(encoder)
}

/// The format that frames of `decoded` are given to the encoder in.
pub(super) fn format(encoder: &gst::Element, decoded: video::VideoFormat) -> &'static str {
    let takes = |format: &&&str| {
        let caps = gst::Caps::builder("video/x-raw").field("format", **format).build();
        encoder.static_pad("sink").is_some_and(|pad| pad.query_caps(None).can_intersect(&caps))
    };
    let is_as_decoded = |format: &&&str| **format == decoded.to_str().as_str();
    let found = FORMATS.iter().find(|format| is_as_decoded(format) && takes(format));
    found.or_else(|| FORMATS.iter().find(takes)).copied().unwrap_or("I420")
}

/// What failed while a hardware encoder was at work. Trouble with the input is the input's; the rest may pass in software.
pub(super) fn blamed(name: &str, failure: Failure) -> Failure {
    if failure.code == FailureCode::PipelineFailed { failed(name, &failure) } else { failure }
}

fn failed(name: &str, failure: &Failure) -> Failure {
    let message = format!("the hardware encoder {name} failed: {}", failure.message);
    Failure::new(FailureCode::EncoderFailed, message, "the task is tried again in software")
        .with_detail(&failure.detail)
}

fn has_mode(encoder: &gst::Element, property: &str, mode: &str) -> bool {
    let class = encoder.find_property(property).and_then(|p| glib::EnumClass::with_type(p.value_type()));
    class.is_some_and(|class| class.value_by_nick(mode).is_some())
}

/// Sets the numbers of these names that the element has to what its greatest value makes of them; how many it has.
fn set_all(encoder: &gst::Element, names: &[&str], value: impl Fn(i64) -> i64) -> usize {
    let known = names.iter().filter_map(|name| Some((name, greatest(&encoder.find_property(name)?)?)));
    known.map(|(name, greatest)| encoder.set_property_from_str(name, &value(greatest).to_string())).count()
}

/// The greatest value of a property that is a number.
fn greatest(property: &glib::ParamSpec) -> Option<i64> {
    let of_int = property.downcast_ref::<glib::ParamSpecInt>().map(|p| i64::from(p.maximum()));
    let of_uint = || property.downcast_ref::<glib::ParamSpecUInt>().map(|p| i64::from(p.maximum()));
    let of_uint64 = || {
        let greatest = property.downcast_ref::<glib::ParamSpecUInt64>()?.maximum();
        Some(i64::try_from(greatest).unwrap_or(i64::MAX))
    };
    of_int.or_else(of_uint).or_else(of_uint64)
}

#[cfg(test)]
mod tests {
    use rushes_shared::encode::VideoCodec;

    use super::*;

    #[test]
    fn an_encoder_is_set_to_a_constant_quantizer_by_the_names_that_it_has() {
        crate::start::init().unwrap();
        let settings = VideoSettings { rate: RateControl::Crf(29), ..VideoSettings::default() };
        let openh264 = encoder("openh264enc", &settings, None).unwrap();
        assert_eq!(openh264.property::<u32>("qp-min"), 29);
        assert_eq!(openh264.property::<u32>("qp-max"), 29);
        assert_eq!(openh264.property::<u32>("gop-size"), KEY_FRAME_DISTANCE);
        assert_eq!(format(&openh264, video::VideoFormat::Nv12), "I420", "it takes no other");
        let av1 = |crf| {
            let settings =
                VideoSettings { rate: RateControl::Crf(crf), ..VideoSettings::of(VideoCodec::Av1) };
            let made = encoder("av1enc", &settings, None).unwrap();
            (made.property::<u32>("min-quantizer"), made.property::<u32>("max-quantizer"))
        };
        assert_eq!((av1(29), av1(63)), ((29, 29), (63, 63)), "levels, whatever it says that it takes");
        let rav1e = |crf| {
            let settings =
                VideoSettings { rate: RateControl::Crf(crf), ..VideoSettings::of(VideoCodec::Av1) };
            let made = encoder(RAV1E, &settings, Some(3)).unwrap();
            assert_eq!(made.property::<u64>("max-key-frame-interval"), u64::from(KEY_FRAME_DISTANCE));
            assert_eq!((made.property::<u32>("speed-preset"), made.property::<u32>("threads")), (6, 3));
            made.property::<u32>("quantizer")
        };
        assert_eq!((rav1e(29), rav1e(63)), (116, 255), "the codec's own index");
        let x264 = encoder("x264enc", &settings, None).unwrap();
        assert_eq!(format(&x264, video::VideoFormat::Nv12), "NV12");
        assert_eq!(encoder("noSuchEncoder", &settings, None).unwrap_err().code, FailureCode::EncoderFailed);
    }

    #[test]
    fn only_what_may_be_the_encoders_fault_is_blamed_on_it() {
        let of = |code| blamed("nvh264enc", Failure::new(code, "it stopped", "")).code;
        assert_eq!(of(FailureCode::PipelineFailed), FailureCode::EncoderFailed);
        assert_eq!(of(FailureCode::InputDamaged), FailureCode::InputDamaged);
        assert_eq!(of(FailureCode::NodeUnfit), FailureCode::NodeUnfit, "such as a full disk");
    }
}

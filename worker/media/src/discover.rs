//! Which encoders of this node really work.
//!
//! An element that is installed may still fail: a graphics card without permission, a driver that does not match, a
//! library that is missing a codec. So each known encoder encodes a few frames.

use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::node::EncoderFact;

use crate::{linked, start};

/// Longest time that one encoder may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Known encoders: element, codec, whether it is hardware.
const KNOWN: &[(&str, &str, bool)] = &[
    ("x264enc", "h264", false),
    ("x265enc", "hevc", false),
    ("vp8enc", "vp8", false),
    (linked::VP9, "vp9", false),
    ("svtav1enc", "av1", false),
    (linked::AV1, "av1", false),
    (linked::RAV1E, "av1", false),
    ("avenc_ffv1", "ffv1", false),
    ("avenc_prores_ks", "prores", false),
    ("avenc_dnxhd", "dnxhd", false),
    ("avenc_aac", "aac", false),
    ("avenc_ac3", "ac3", false),
    ("fdkaacenc", "aac", false),
    ("opusenc", "opus", false),
    ("lamemp3enc", "mp3", false),
    ("vorbisenc", "vorbis", false),
    ("flacenc", "flac", false),
    ("nvh264enc", "h264", true),
    ("nvh265enc", "hevc", true),
    ("nvav1enc", "av1", true),
    ("vah264enc", "h264", true),
    ("vah265enc", "hevc", true),
    ("vavp9enc", "vp9", true),
    ("vaav1enc", "av1", true),
    ("qsvh264enc", "h264", true),
    ("qsvh265enc", "hevc", true),
    ("qsvvp9enc", "vp9", true),
    ("qsvav1enc", "av1", true),
    ("v4l2h264enc", "h264", true),
    ("v4l2h265enc", "hevc", true),
    ("v4l2vp9enc", "vp9", true),
];
/// What an element says that it makes, and the codec's name.
const MADE: &[(&str, &str)] =
    &[("video/x-h264", "h264"), ("video/x-h265", "hevc"), ("video/x-vp9", "vp9"), ("video/x-av1", "av1")];

/// Every known encoder, with whether a tiny encode with it worked and why not. Takes about a second; starts threads.
///
/// `hardware` names elements that are to be used as hardware, the best of each codec first; they stand first in the
/// list, also those that are not known here, for the codec that they make. Other known encoders follow. `on_try` is told each element that is
/// installed before it is tried.
#[must_use]
pub fn discover_encoders(hardware: &[String], on_try: &mut dyn FnMut(&str)) -> Vec<EncoderFact> {
    let ready = start::init();
    let named = hardware.iter().map(|element| (element.as_str(), made_by(element), true));
    let is_named = |element: &str| hardware.iter().any(|name| name == element);
    let others = KNOWN.iter().copied().filter(|(element, _, hardware)| !hardware || !is_named(element));
    named
        .chain(others)
        .map(|(element, codec, hardware)| {
            let tried = match &ready {
                Ok(()) => try_encoder(element, on_try),
                Err(failure) => Err(failure.message.clone()),
            };
            EncoderFact {
                element: element.to_owned(),
                codec: codec.to_owned(),
                hardware,
                works: tried.is_ok(),
                reason: tried.err().unwrap_or_default(),
            }
        })
        .collect()
}

/// The codec that an element makes by its own words; where it is not installed, the one that it is known for.
fn made_by(element: &str) -> &'static str {
    let known = || KNOWN.iter().find(|(name, ..)| *name == element).map(|(_, codec, _)| *codec);
    let said = || {
        let factory = gst::ElementFactory::find(element)?;
        let pads = factory.static_pad_templates();
        let makes = |caps: &gst::Caps| {
            let said = |(name, _): &&(&str, &str)| caps.iter().any(|fields| fields.name() == *name);
            MADE.iter().find(said).map(|(_, codec)| *codec)
        };
        pads.iter().filter(|pad| pad.direction() == gst::PadDirection::Src).find_map(|pad| makes(&pad.caps()))
    };
    said().or_else(known).unwrap_or("h264")
}

fn try_encoder(element: &str, on_try: &mut dyn FnMut(&str)) -> Result<(), String> {
    let factory = gst::ElementFactory::find(element).ok_or("not installed")?;
    on_try(element);
    let sound = factory.metadata("klass").is_some_and(|klass| klass.contains("Audio"));
    let source = if sound {
        "audiotestsrc num-buffers=8 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2 ! audioconvert"
    } else {
        "videotestsrc num-buffers=4 ! video/x-raw,width=320,height=240,framerate=25/1 ! videoconvert"
    };
    let (source, settings) = match element {
        // It takes pictures of two sizes, and of its formats, asked for none, one that the profile has not.
        "avenc_dnxhd" => {
            let source = source.replace("320,height=240", "1280,height=720");
            (format!("{source} ! video/x-raw,format=Y42B"), " profile=dnxhr_sq")
        }
        linked::RAV1E => (source.to_owned(), " speed-preset=10"),
        _ => (source.to_owned(), ""),
    };
    let text = format!("{source} ! {element}{settings} ! fakesink name=end sync=false async=false");
    let pipeline = gst::parse::launch(&text).map_err(|error| error.to_string())?;
    let result = run(&pipeline);
    // A driver that hangs would hang here as well; it is left alone, and the rest of the node goes on.
    if result.as_ref().err().is_none_or(|reason| reason != TOO_SLOW) {
        let _ = pipeline.set_state(gst::State::Null);
    } else {
        std::mem::forget(pipeline);
    }
    result
}

/// The reason of an encoder that was still at work when its time was over: it may do better on a machine less busy.
pub const TOO_SLOW: &str = "did not finish four frames in five seconds";

fn run(pipeline: &gst::Element) -> Result<(), String> {
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    let end = pipeline.downcast_ref::<gst::Bin>().and_then(|bin| bin.by_name("end")).ok_or("no sink")?;
    let produced = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&produced);
    let pad = end.static_pad("sink").ok_or("no pad")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info.buffer().is_some_and(|buffer| buffer.size() > 0) {
            seen.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
    let deadline = Instant::now() + LIMIT;
    let started = pipeline.set_state(gst::State::Playing);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = gst::ClockTime::from_mseconds(crate::pace::millis(left).max(1));
        let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
        match bus.timed_pop_filtered(wait, &kinds).as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => return Err(error.error().to_string()),
            Some(gst::MessageView::Eos(_)) => {
                return if produced.load(std::sync::atomic::Ordering::Relaxed) {
                    Ok(())
                } else {
                    Err("produced nothing".to_owned())
                };
            }
            _ if started.is_err() => return Err("does not start".to_owned()),
            _ if left.is_zero() => return Err(TOO_SLOW.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoders_that_every_node_needs_work_and_missing_ones_say_so() {
        let mut tried = Vec::new();
        let named = ["openh264enc", "noSuchEncoder", "x265enc", "vp9enc", "av1enc"].map(ToOwned::to_owned);
        let facts = discover_encoders(&named, &mut |element| tried.push(element.to_owned()));
        assert!(tried.iter().any(|element| element == "x264enc"), "{tried:?}");
        assert!(!tried.iter().any(|element| element == "noSuchEncoder"), "there is nothing to try");
        // All that jobs may ask for by name.
        for needed in
            ["x264enc", "x265enc", linked::VP9, linked::AV1, linked::RAV1E, "avenc_ffv1", "avenc_prores_ks"]
                .into_iter()
                .chain([
                    "avenc_dnxhd",
                    "avenc_aac",
                    "avenc_ac3",
                    "opusenc",
                    "lamemp3enc",
                    "vorbisenc",
                    "flacenc",
                ])
        {
            let fact = facts.iter().find(|fact| fact.element == needed).unwrap();
            assert!(fact.works, "{needed}: {}", fact.reason);
        }
        assert!(facts.iter().all(|fact| fact.works == fact.reason.is_empty()));
        assert!(facts.iter().take(5).all(|fact| fact.hardware));
        let named: Vec<_> =
            facts.iter().take(5).map(|f| (f.element.as_str(), f.codec.as_str(), f.works)).collect();
        assert_eq!(
            named,
            [
                ("openh264enc", "h264", true),
                ("noSuchEncoder", "h264", false),
                ("x265enc", "hevc", true),
                ("vp9enc", "vp9", true),
                ("av1enc", "av1", true)
            ],
            "as named, in that order, for what they make"
        );
        let software = facts.iter().find(|fact| fact.element == "x265enc" && !fact.hardware);
        assert!(software.is_some_and(|fact| fact.works), "it is there as software as well");
    }
}

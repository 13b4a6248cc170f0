//! Bringing GStreamer up before a sandbox closes around the process.

use std::sync::Once;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::{Failure, FailureCode};

use crate::{damage, linked};

/// Elements that a probe, an encode and a check commonly need; their plugins stay in memory once loaded.
const COMMON: &[&str] = &[
    "filesrc",
    "queue",
    "capsfilter",
    "fakesink",
    "typefind",
    "appsrc",
    "appsink",
    "parsebin",
    "qtdemux",
    "matroskademux",
    "tsdemux",
    "oggdemux",
    "wavparse",
    "flacparse",
    "h264parse",
    "aacparse",
    "mpegaudioparse",
    "avdec_h264",
    "vp9dec",
    "av1dec",
    "opusdec",
    "vorbisdec",
    "opusparse",
    "videoconvertscale",
    "videoflip",
    "videocrop",
    "deinterlace",
    "audioconvert",
    "audioresample",
    "audiorate",
    "x264enc",
    "id3demux",
    "pngdec",
    "jpegdec",
    "avidemux",
    "flvdemux",
    "flacdec",
    "icydemux",
    "pngenc",
    "jpegenc",
    "avdec_mp3float",
];

/// Starts GStreamer. Leaves no thread of its own behind, so that a caller can still put limits on a
/// single-threaded process. Cheap when called again.
///
/// # Errors
/// [`FailureCode::NodeUnfit`] where GStreamer does not start or a core element is missing.
pub fn init() -> Result<(), Failure> {
    gst::init().map_err(|error| {
        Failure::new(
            FailureCode::NodeUnfit,
            "GStreamer does not start on this node",
            "install GStreamer 1.22 or later with its base, good, bad, ugly and libav plugins",
        )
        .with_detail(&error.to_string())
    })?;
    linked::register().map_err(|error| {
        Failure::new(
            FailureCode::NodeUnfit,
            "the AV1 and VP9 encoders that are part of this program do not come up",
            "install GStreamer 1.22 or later",
        )
        .with_detail(&error.to_string())
    })?;
    damage::listen();
    static ALONE: Once = Once::new();
    ALONE.call_once(pass_over_fetchers);
    for needed in ["parsebin", "appsink"] {
        if gst::ElementFactory::find(needed).is_none() {
            return Err(missing(needed));
        }
    }
    Ok(())
}

/// Has nothing that follows an input's words to other files or hosts be chosen to read it: playlists, manifests, descriptions of sessions.
fn pass_over_fetchers() {
    let demuxers = gst::ElementFactoryType::DEMUXER | gst::ElementFactoryType::PARSER;
    for factory in gst::ElementFactory::factories_with_type(demuxers, gst::Rank::MARGINAL) {
        let is_adaptive = factory.metadata("klass").is_some_and(|klass| klass.contains("Adaptive"));
        if is_adaptive || factory.name() == "sdpdemux" {
            factory.set_rank(gst::Rank::NONE);
        }
    }
}

/// Loads the plugins of commonly used elements, so that a process that is kept warm starts its job quickly and needs
/// fewer files later. Elements that this node lacks are passed over. Starts no thread.
pub fn preload() {
    for name in COMMON {
        if let Some(factory) = gst::ElementFactory::find(name) {
            drop(factory.load());
        }
    }
}

/// A new element, or the failure that names what the node lacks.
pub(crate) fn element(factory: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(factory).build().map_err(|_| missing(factory))
}

fn missing(factory: &str) -> Failure {
    Failure::new(
        FailureCode::NodeUnfit,
        format!("this node lacks the GStreamer element {factory}"),
        "install GStreamer's base, good, bad, ugly and libav plugins on the worker",
    )
}

//! Media for the tests, made here.

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;

/// A moving picture of this many frames with a tone, in MP4; long ones take a slow encode many seconds. Made once.
pub(crate) fn clip(frames: u32, width: u32, height: u32) -> Vec<u8> {
    let kept = super::cached(&format!("clip-{frames}-{width}x{height}.mp4"));
    if let Ok(clip) = std::fs::read(&kept) {
        return clip;
    }
    let dir = tempfile::tempdir_in(kept.parent().expect("it has a directory")).expect("a directory");
    let made = dir.path().join("clip.mp4");
    make(&made, frames, width, height);
    let clip = std::fs::read(&made).expect("it was written");
    std::fs::rename(&made, &kept).expect("it can be kept");
    clip
}

fn make(file: &Path, frames: u32, width: u32, height: u32) {
    gst::init().expect("GStreamer starts");
    // As many buffers of sound as are as long as the picture: 30 frames or 44100 samples a second.
    let buffers = frames.div_ceil(30) * 50;
    let description = format!(
        "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,width={width},height={height},framerate=30/1 \
         ! x264enc speed-preset=ultrafast ! h264parse ! mp4mux name=mux ! filesink location={} \
         audiotestsrc num-buffers={buffers} samplesperbuffer=882 ! audio/x-raw,rate=44100 ! avenc_aac ! aacparse ! mux.",
        file.display()
    );
    let pipeline = gst::parse::launch(&description).expect("the elements are there");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("it ends");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).expect("it stops");
}

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
    make(&of(frames, width, height), &made);
    let clip = std::fs::read(&made).expect("it was written");
    std::fs::rename(&made, &kept).expect("it can be kept");
    clip
}

/// What a clip is made of, for an MP4 file.
fn of(frames: u32, width: u32, height: u32) -> String {
    // As many buffers of sound as are as long as the picture: 30 frames or 44100 samples a second.
    let buffers = frames.div_ceil(30) * 50;
    format!(
        "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,width={width},height={height},framerate=30/1 \
         ! x264enc speed-preset=ultrafast ! h264parse ! mp4mux name=mux \
         audiotestsrc num-buffers={buffers} samplesperbuffer=882 ! audio/x-raw,rate=44100 ! avenc_aac ! aacparse ! mux."
    )
}

/// A second of moving picture with a tone in three containers, with three decoders for each of both.
pub(crate) fn small_clips() -> Vec<Vec<u8>> {
    let (picture, tone) = (
        "videotestsrc pattern=ball num-buffers=30 ! video/x-raw,width=160,height=120,framerate=30/1",
        "audiotestsrc num-buffers=50 samplesperbuffer=882 ! audio/x-raw,rate=44100",
    );
    let dir = tempfile::tempdir().expect("a directory");
    let descriptions = [
        of(30, 160, 120),
        format!("{picture} ! vp8enc ! webmmux name=mux {tone} ! audioconvert ! vorbisenc ! mux."),
        format!(
            "{picture} ! x264enc key-int-max=10 ! h264parse ! mpegtsmux name=mux {tone} ! lamemp3enc ! mpegaudioparse ! mux."
        ),
    ];
    let made = descriptions.iter().zip(0..).map(|(description, number)| {
        let file = dir.path().join(number.to_string());
        make(description, &file);
        std::fs::read(&file).expect("it was written")
    });
    made.collect()
}

/// Runs a pipeline whose last element is called `mux`.
fn make(description: &str, file: &Path) {
    gst::init().expect("GStreamer starts");
    let description = format!("{description} mux. ! filesink location={}", file.display());
    let pipeline = gst::parse::launch(&description).expect("the elements are there");
    pipeline.set_state(gst::State::Playing).expect("it starts");
    let bus = pipeline.bus().expect("a pipeline has a bus");
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds).expect("it ends");
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).expect("it stops");
}

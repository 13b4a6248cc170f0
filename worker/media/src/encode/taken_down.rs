//! An encode that is taken down before its first frame: whoever still brings frames is sent away.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::encode::EncodeSettings;

use super::{EncodeJob, Pass, Pipelines, Plan, Way, pipelines};
use crate::encode::output::Output;
use crate::note::{Interrupted, Notes};
use crate::start;

/// More pictures than there is room for between decoder and encoder, more sound than there is, too.
const CLIP: &str = "videotestsrc num-buffers=60 ! video/x-raw,width=64,height=48,framerate=25/1 ! vp8enc ! webmmux name=mux \
                    audiotestsrc num-buffers=200 ! audioconvert ! vorbisenc ! mux. mux. ! filesink location=";

fn clip(path: &Path) {
    start::init().unwrap();
    let pipeline = gst::parse::launch(&format!("{CLIP}{}", path.display())).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
    let ended = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &kinds);
    assert_eq!(ended.map(|message| message.type_()), Some(gst::MessageType::Eos));
    pipeline.set_state(gst::State::Null).unwrap();
}

#[test]
fn frames_that_come_after_the_encoder_was_taken_down_keep_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("clip.webm"), dir.path().join("out.mp4"));
    clip(&input);
    let (source, settings) = (crate::probe(&input).unwrap(), EncodeSettings::default());
    let job =
        EncodeJob { input: &input, source: &source, settings: &settings, output: &output, threads: Some(1) };
    let plan = Some(Plan::new(&source, &settings).unwrap());
    let way = Way {
        hardware: None,
        plan,
        gain: None,
        pass: Pass::Single,
        passes: 1,
        since: Instant::now(),
        warnings: Vec::new(),
    };
    let (notes, waiting) = Notes::new();
    let (tally, file) = (Arc::default(), Arc::new(Output::create(&output, &source, &settings).unwrap()));
    let tally: Arc<Mutex<_>> = tally;
    let Pipelines { reader, encoder, decoder, witness: _witness } =
        pipelines(&job, &way, &notes, (&tally, &Arc::default()), &file).unwrap();
    decoder.play().unwrap();
    encoder.play().unwrap();
    // What happens where the sound fails before the first picture is decoded.
    let still_known = encoder.pipeline.clone();
    drop(decoder);
    drop(encoder);
    reader.play().unwrap();
    let ended = waiting.until(None, || (), |_| false);
    let Err(Interrupted::Failed(failure)) = ended else { panic!("{ended:?}") };
    assert!(failure.message.ends_with("encoder stopped"), "{failure}");
    drop(reader);
    assert_eq!(still_known.iterate_elements().into_iter().count(), 0, "nothing was put up any more");
}

//! One buffer through a few elements.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::failure::{Failure, FailureCode};

use crate::running::Running;

/// Longest wait for what comes out.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// Sends a buffer of a format through elements and gives back the first that leaves them. `what` names the result in a
/// failure.
pub(crate) fn through(
    caps: &gst::Caps,
    mut buffer: gst::Buffer,
    elements: Vec<gst::Element>,
    what: &str,
) -> Result<gst::Sample, Failure> {
    let fails =
        || Failure::new(FailureCode::PipelineFailed, format!("{what} could not be made"), "try again");
    let source = app::AppSrc::builder().caps(caps).format(gst::Format::Time).build();
    let sink = app::AppSink::builder().sync(false).async_(false).build();
    let mut chain = vec![source.clone().upcast::<gst::Element>()];
    chain.extend(elements);
    chain.push(sink.clone().upcast());
    let running = Running::new(gst::Pipeline::new());
    running.pipeline.add_many(&chain).expect("new elements can be added");
    gst::Element::link_many(&chain).map_err(|_| fails())?;
    running.play()?;
    let stamped = buffer.make_mut();
    stamped.set_pts(gst::ClockTime::ZERO);
    stamped.set_dts(gst::ClockTime::NONE);
    source.push_buffer(buffer).map_err(|_| fails())?;
    source.end_of_stream().map_err(|_| fails())?;
    sink.try_pull_sample(PATIENCE).ok_or_else(fails)
}

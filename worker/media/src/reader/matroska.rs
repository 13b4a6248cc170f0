//! One time line for all streams of a Matroska file.

use std::sync::atomic::{AtomicBool, Ordering};

use gstreamer as gst;
use gstreamer::prelude::*;

/// The demuxer counts times from the first block that it meets, and from an earlier one once it meets that: a film whose sound begins a
/// little before its picture would have a first frame that is too early. Has it count from the earliest from the beginning.
pub(super) fn begin_all_at(parse: &gst::Bin, begins_ns: u64) {
    let first = gst::ClockTime::from_nseconds(begins_ns);
    parse.connect_element_added(move |_, element| {
        if element.factory().is_some_and(|factory| factory.name() == "matroskademux") {
            element.connect_pad_added(move |_, pad| count_from(pad, first));
        }
    });
}

fn count_from(pad: &gst::Pad, first: gst::ClockTime) {
    let was_sought = AtomicBool::new(false);
    let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
    pad.add_probe(mask, move |_, info| {
        match info.event().map(|event| event.view()) {
            Some(gst::EventView::FlushStop(_)) => was_sought.store(true, Ordering::Relaxed),
            Some(gst::EventView::Segment(event)) => {
                if let Some(segment) = event.segment().downcast_ref::<gst::ClockTime>() {
                    let mut counted = segment.clone();
                    let start =
                        if was_sought.load(Ordering::Relaxed) { segment.start() } else { Some(first) };
                    counted.set_start(start);
                    // Where the film is at the segment's start; before its first picture or sound there is nothing.
                    counted.set_time(start.map(|start| start.saturating_sub(first)));
                    counted.set_position(start);
                    let counted = gst::event::Segment::builder(&counted).seqnum(event.seqnum()).build();
                    info.data = Some(gst::PadProbeData::Event(counted));
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

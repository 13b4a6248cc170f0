//! A sequence as an element: frames with their times, from an `appsrc` that can be sent to any of them.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as app;
use rushes_shared::failure::Failure;

use super::ahead::Ahead;
use super::picture::Kind;
use super::place::Sequence;
use crate::note::{Note, Notes};
use crate::start;

/// The element. Its frames are decoded by at most so many threads, of which it starts none before data is asked for.
pub(crate) fn source(
    sequence: Sequence,
    threads: Option<u32>,
    notes: &Notes,
) -> Result<app::AppSrc, Failure> {
    start::init()?;
    let kind = Kind::of(sequence.name(0), &sequence.bytes(0)?)?;
    let sequence = Arc::new(sequence);
    let source = app::AppSrc::builder()
        .caps(&caps(&sequence, kind)?)
        .format(gst::Format::Time)
        .stream_type(app::AppStreamType::Seekable)
        .duration(sequence.starts_at(sequence.frames()))
        .build();
    land_on_frames(&source, &sequence);
    let ahead = Arc::new(Ahead::new(Arc::clone(&sequence), kind, threads));
    let sought = (Arc::clone(&ahead), Arc::clone(&sequence));
    let notes = notes.clone();
    source.set_callbacks(
        app::AppSrcCallbacks::builder()
            .need_data(move |source, _| push(source, &ahead, &sequence, &notes))
            .seek_data(move |_, place| {
                let (ahead, sequence) = &sought;
                ahead.seek(sequence.shown_at(place));
                true
            })
            .build(),
    );
    Ok(source)
}

fn caps(sequence: &Sequence, kind: Kind) -> Result<gst::Caps, Failure> {
    let unusable = |_| crate::reader::unusable("pictures of an impossible size");
    let mut caps = kind.layout()?.to_caps().map_err(unusable)?;
    let rate = sequence.rate();
    let signed = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let fields = caps.make_mut().structure_mut(0).expect("caps of a layout have one structure");
    fields.set("framerate", gst::Fraction::new(signed(rate.num), signed(rate.den)));
    fields.set("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    fields.set("colorimetry", "sRGB");
    Ok(caps)
}

fn push(source: &app::AppSrc, ahead: &Ahead, sequence: &Sequence, notes: &Notes) {
    let Some((number, picture)) = ahead.take() else {
        // Where it is stopping already, whoever stops it says why.
        let _ended = source.end_of_stream();
        return;
    };
    let mut frame = match picture {
        Ok(frame) => frame,
        Err(failure) => {
            notes.tell(Note::Failed(failure));
            return;
        }
    };
    let (start, end) = (sequence.starts_at(number), sequence.starts_at(number + 1));
    let about = frame.make_mut();
    about.set_pts(gst::ClockTime::from_nseconds(start));
    about.set_duration(gst::ClockTime::from_nseconds(end - start));
    about.set_offset(number);
    // The same holds here.
    let _pushed = source.push_buffer(frame);
}

/// Has every seek begin where a frame does. A frame that is shown at the place, but begins before it, would lie outside
/// of what is played otherwise.
fn land_on_frames(source: &app::AppSrc, sequence: &Arc<Sequence>) {
    let pad = source.static_pad("src").expect("a source has a pad");
    let sequence = Arc::clone(sequence);
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let Some(event) = info.event() else { return gst::PadProbeReturn::Ok };
        let gst::EventView::Seek(seek) = event.view() else { return gst::PadProbeReturn::Ok };
        let (rate, flags, start_type, start, stop_type, stop) = seek.get();
        let gst::GenericFormattedValue::Time(Some(at)) = start else { return gst::PadProbeReturn::Ok };
        let last = sequence.frames().saturating_sub(1);
        let begins = sequence.starts_at(sequence.shown_at(at.nseconds()).min(last));
        let begins = gst::ClockTime::from_nseconds(begins);
        let stop = match stop {
            gst::GenericFormattedValue::Time(stop) => stop,
            _ => gst::ClockTime::NONE,
        };
        let moved = gst::event::Seek::builder(rate, flags, start_type, begins, stop_type, stop)
            .seqnum(event.seqnum())
            .build();
        info.data = Some(gst::PadProbeData::Event(moved));
        gst::PadProbeReturn::Ok
    });
}

//! What a decoded sample says of itself: when it is shown, how long it is heard, how large it is.

use gstreamer as gst;
use rushes_shared::failure::{Failure, FailureCode};

/// When a sample is shown, on the time line that all streams of the file share; `None` where it is not shown at all
/// (before or after the edit that the container asks for).
pub(crate) fn shown_at(sample: &gst::Sample, buffer: &gst::BufferRef) -> Option<u64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_running_time(buffer.pts()?).map(gst::ClockTime::nseconds)
}

/// How long decoded sound lasts, in nanoseconds: by its samples, as not every decoder says it.
pub(crate) fn heard_for(sample: &gst::Sample, buffer: &gst::BufferRef) -> u64 {
    let said = || buffer.duration().map_or(0, gst::ClockTime::nseconds);
    let number = |name| {
        let fields = sample.caps()?.structure(0).filter(|fields| fields.name() == "audio/x-raw")?;
        fields.get::<i32>(name).ok().and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
    };
    let format = || sample.caps()?.structure(0)?.get::<&str>("format").ok()?.parse().ok();
    let Some(((rate, channels), format)) = number("rate").zip(number("channels")).zip(format()) else {
        return said();
    };
    let bytes = u64::from(gstreamer_audio::AudioFormatInfo::from_format(format).width()) / 8 * channels;
    let moments = u64::try_from(buffer.size()).unwrap_or(0) / bytes.max(1);
    crate::pace::scaled(moments, 1_000_000_000, rate)
}

/// Width and height of a frame, in pixels; zeros where its format does not say.
pub(crate) fn picture_size(sample: &gst::Sample) -> (i32, i32) {
    let side = |name| sample.caps().and_then(|caps| caps.structure(0)?.get::<i32>(name).ok()).unwrap_or(0);
    (side("width"), side("height"))
}

/// The failure for a sample that cannot be used.
pub(crate) fn unusable(what: &str) -> Failure {
    Failure::new(FailureCode::PipelineFailed, format!("a decoder gave {what}"), "try again")
}

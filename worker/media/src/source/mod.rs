//! The bytes of a file as the first element of a pipeline.

mod clock;
mod fragmented;
mod preceded;
mod reordered;

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::Failure;

use crate::edit_list;
use crate::start::element;

/// The element for a file, which need not be there or be of use.
pub(crate) fn of(path: &Path) -> Result<gst::Element, Failure> {
    // A file that cannot be read is told of by the element that all others have.
    if let Some(late) = clock::late(path)
        && let Some(source) = preceded::source(path, late.packets())
    {
        return Ok(source);
    }
    let source = element("filesrc")?;
    source.set_property("location", path);
    edit_list::pass_harmless_duration(&source, path);
    Ok(source)
}

/// Has pictures come at the file's own times from what `parse` puts up, or is, where GStreamer gives them others.
pub(crate) fn keep_times(parse: &gst::Element, path: &Path) {
    fragmented::keep_times(parse, path);
    reordered::keep_times(parse);
}

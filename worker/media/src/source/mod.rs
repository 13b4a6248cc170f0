//! The bytes of a file as the first element of a pipeline.

mod clock;
mod fragmented;
mod preceded;

use std::path::Path;

use gstreamer as gst;
use gstreamer::prelude::*;
use rushes_shared::failure::Failure;

use crate::edit_list;
use crate::start::element;
pub(crate) use fragmented::keep_times;

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

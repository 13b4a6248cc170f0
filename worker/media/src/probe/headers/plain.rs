//! What files with one stream of sound have in common: the stream, its times, its tags.

use gstreamer as gst;
use gstreamer::tags;

use crate::probe::facts::Index;
use crate::probe::parse::{Parsed, Stream};
use crate::probe::timing::Timing;

/// A file of sound by its headers: its one stream, and what its packets would come to.
pub(in crate::probe) struct Sound {
    pub(in crate::probe) parsed: Parsed,
    pub(in crate::probe) index: Index,
}

impl Sound {
    /// A stream that begins at zero.
    pub(super) fn of(caps: gst::Caps, tags: gst::TagList, duration_ns: u64, bytes: u64) -> Self {
        let timing = Timing { packets: 1, duration_ns, bytes, ..Timing::default() };
        let parsed =
            Parsed { streams: vec![Stream::described(caps, tags)], seekable: true, ..Parsed::default() };
        Self { parsed, index: Index { audio: vec![timing], ..Index::default() } }
    }
}

/// Text without controls and blanks at its ends, which readers treat in ways of their own.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let odd = text.is_empty() || text.trim() != text || text.contains(char::is_control);
    (!odd).then_some(text)
}

/// Caps of sound with these fields.
pub(super) fn caps(
    media_type: &str,
    rate: u32,
    channels: u32,
) -> Option<gst::caps::Builder<gst::caps::NoFeature>> {
    let (rate, channels) = (i32::try_from(rate).ok()?, i32::try_from(channels).ok()?);
    Some(gst::Caps::builder(media_type).field("rate", rate).field("channels", channels))
}

/// A list that names the codec.
pub(super) fn tagged(codec: &str) -> gst::TagList {
    let mut list = gst::TagList::new();
    list.make_mut().add::<tags::AudioCodec>(&codec, gst::TagMergeMode::Append);
    list
}

//! What an MP4 or QuickTime file says of itself, as the tags that GStreamer makes of it.

use gstreamer as gst;
use gstreamer::tags;

use crate::mp4::parse::{be32, be64, child, children};

/// Tags of the whole file; nothing where it says anything that is not known here.
pub(super) fn tags(movie: &[u8], brand: [u8; 4]) -> Option<gst::TagList> {
    let mut list = gst::TagList::new();
    let into = list.make_mut();
    into.add::<tags::ContainerFormat>(&format(brand)?, gst::TagMergeMode::Append);
    if let Some(created) = created(child(movie, b"mvhd")?)? {
        into.add::<tags::DateTime>(&created, gst::TagMergeMode::Append);
    }
    for (code, body) in
        children(movie).filter(|(code, _)| code == b"udta").flat_map(|(_, body)| children(body))
    {
        match &code {
            b"meta" => items(body, into)?,
            b"\xa9swr" => into.add::<tags::ApplicationName>(&international(body)?, gst::TagMergeMode::Append),
            b"free" => {}
            _ => return None,
        }
    }
    Some(list)
}

/// GStreamer's name of the container by its brand.
fn format(brand: [u8; 4]) -> Option<&'static str> {
    Some(match &brand {
        b"qt  " => "Quicktime",
        b"isom" | b"iso2" | b"iso3" | b"iso4" | b"iso5" | b"iso6" | b"mp41" | b"mp42" | b"avc1" | b"av01"
        | b"M4V " | b"M4A " => "ISO MP4/M4A",
        _ => return None,
    })
}

/// When the movie was made: `Some(None)` where it does not say.
fn created(header: &[u8]) -> Option<Option<gst::DateTime>> {
    /// From 1904-01-01, from which the field counts, to 1970-01-01, in seconds.
    const EPOCH: u64 = 2_082_844_800;
    let at = if header.first()? == &1 { be64(header, 4)? } else { u64::from(be32(header, 4)?) };
    if at == 0 {
        return Some(None);
    }
    // Before 1970 somebody counted from another day.
    let since = i64::try_from(at.checked_sub(EPOCH)?).ok()?;
    Some(Some(gst::DateTime::from_unix_epoch_utc(since).ok()?))
}

/// The items of a `meta` box in iTunes' form.
fn items(meta: &[u8], into: &mut gst::TagListRef) -> Option<()> {
    let inside = meta.get(4..)?;
    if child(inside, b"hdlr")?.get(8..12)? != b"mdir" {
        return None;
    }
    for (code, item) in children(child(inside, b"ilst")?) {
        let data = child(item, b"data")?;
        const UTF8: u32 = 1;
        if be32(data, 0)? != UTF8 {
            return None;
        }
        let text = plain(data.get(8..)?)?;
        let how = gst::TagMergeMode::Append;
        match &code {
            b"\xa9too" => into.add::<tags::Encoder>(&text, how),
            b"\xa9nam" => into.add::<tags::Title>(&text, how),
            b"\xa9ART" => into.add::<tags::Artist>(&text, how),
            b"\xa9alb" => into.add::<tags::Album>(&text, how),
            b"\xa9wrt" => into.add::<tags::Composer>(&text, how),
            b"\xa9gen" => into.add::<tags::Genre>(&text, how),
            b"\xa9cmt" => into.add::<tags::Comment>(&text, how),
            b"desc" => into.add::<tags::Description>(&text, how),
            b"cprt" => into.add::<tags::Copyright>(&text, how),
            b"keyw" => into.add::<tags::Keywords>(&text, how),
            _ => return None,
        }
    }
    Some(())
}

/// QuickTime's text with its length and language; ASCII, which is the same in every encoding of old.
fn international(body: &[u8]) -> Option<&str> {
    let length = usize::from(u16::from_be_bytes(body.get(..2)?.try_into().ok()?));
    plain(body.get(4..).filter(|text| text.len() == length && text.is_ascii())?)
}

/// Text without controls and blanks at its ends, which readers treat in ways of their own.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let odd = text.is_empty() || text.trim() != text || text.contains(char::is_control);
    (!odd).then_some(text)
}

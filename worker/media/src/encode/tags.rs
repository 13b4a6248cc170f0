//! What a file says of itself and its copy keeps: title, people, dates. Where it was filmed is not among it, nor what
//! made it.

use std::collections::BTreeMap;

use gstreamer::glib;

/// GStreamer's names of tags, and the codes of the same in an MP4 file.
const KEPT: &[(&str, [u8; 4])] = &[
    ("title", *b"\xa9nam"),
    ("artist", *b"\xa9ART"),
    ("album", *b"\xa9alb"),
    ("composer", *b"\xa9wrt"),
    ("genre", *b"\xa9gen"),
    ("comment", *b"\xa9cmt"),
    ("description", *b"desc"),
    ("copyright", *b"cprt"),
    (DATE, *b"\xa9day"),
];

/// The tag with the moment when the media was made.
pub(super) const DATE: &str = "datetime";

/// From 1904-01-01, from which MP4 counts, to 1970-01-01, in seconds.
const EPOCH: i64 = 2_082_844_800;

/// Texts for the file's own tags: code and value.
pub(super) fn texts(tags: &BTreeMap<String, String>) -> Vec<([u8; 4], String)> {
    KEPT.iter().filter_map(|(name, code)| Some((*code, tags.get(*name)?.clone()))).collect()
}

/// The same by GStreamer's names.
pub(super) fn kept(tags: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    KEPT.iter().filter_map(|(name, _)| Some((*name, tags.get(*name)?.clone()))).collect()
}

/// When the media was made, in seconds since 1904 as MP4 counts; 0, which stands for unknown there, where the source
/// does not say it to the second.
pub(super) fn created(tags: &BTreeMap<String, String>) -> u64 {
    let moment = tags.get(DATE).and_then(|text| glib::DateTime::from_iso8601(text, None).ok());
    moment.and_then(|moment| u64::try_from(moment.to_unix() + EPOCH).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_title_is_kept_and_a_place_is_not() {
        let kept =
            texts(&tags(&[("title", "Ein Film"), ("geo-location-latitude", "52.5"), ("encoder", "x")]));
        assert_eq!(kept, [(*b"\xa9nam", "Ein Film".to_owned())]);
    }

    #[test]
    fn a_date_counts_where_it_is_a_moment() {
        assert_eq!(created(&tags(&[(DATE, "1970-01-01T00:00:01Z")])), 2_082_844_801);
        assert_eq!(created(&tags(&[(DATE, "1970-01-01T01:00:00+0100")])), 2_082_844_800);
        for vague in ["2015", "2015-08", "yesterday", "1800-01-01T00:00:00Z", ""] {
            assert_eq!(created(&tags(&[(DATE, vague)])), 0, "{vague}");
        }
    }
}

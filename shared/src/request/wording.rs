//! What serde says of a document, in the words of those who write them.

use super::reading::nearest;

/// Serde's words in those of the documents.
pub(super) fn plain(message: &str) -> String {
    let mut text = without_types(message);
    for (theirs, ours) in [
        ("invalid type: ", "this is "),
        ("invalid value: ", "this is "),
        ("unknown variant ", "there is no "),
        ("floating point ", "the number "),
        (" string \"", " the text \""),
        (" integer ", " the number "),
        (" boolean ", " "),
        (" map,", " a table,"),
        (" sequence,", " a list,"),
        (" null,", " nothing,"),
        ("expected i64", "where a whole number belongs"),
        ("expected a string", "where a text belongs"),
        ("expected a sequence", "where a list belongs"),
        ("expected a map", "where a table belongs"),
        ("expected a boolean", "where true or false belongs"),
        ("expected f64", "where a number belongs"),
        (", expected one of ", "; use one of "),
        ("expected one of ", "use one of "),
        (", expected ", "; use "),
    ] {
        text = text.replace(theirs, ours);
    }
    if let Some(meant) = meant(message) {
        text.push_str(&format!("; did you mean '{meant}'?"));
    }
    text
}

/// Serde's words without the names of this program's types.
fn without_types(message: &str) -> String {
    let kinds = [
        ("expected struct ", "where a table belongs"),
        ("expected tuple struct ", "where a list belongs"),
        ("expected newtype struct ", "where another value belongs"),
        ("expected enum ", "where a word belongs"),
    ];
    let mut text = message.to_owned();
    for (theirs, ours) in kinds {
        while let Some(at) = text.find(theirs) {
            let name = &text[at + theirs.len()..];
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(name.len());
            text.replace_range(at..at + theirs.len() + end, ours);
        }
    }
    for number in ["expected u8", "expected u16", "expected u32", "expected u64", "expected usize"] {
        text = text.replace(number, "where a whole number from 0 on belongs");
    }
    text
}

/// The word that was meant by one that is not known: by the name that others give it, or by its letters.
fn meant(message: &str) -> Option<&str> {
    let (said, known) = message.strip_prefix("unknown variant `")?.split_once("`, expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    if let Some(ours) = codec_of(said).filter(|ours| known.contains(ours)) {
        return known.iter().find(|word| **word == ours).copied();
    }
    nearest(said, known.iter().copied()).filter(|word| strsim::damerau_levenshtein(said, word) <= 2)
}

/// A codec by what its encoders, its parts of file formats or other programs call it.
#[must_use]
pub fn codec_of(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().replace(['-', '.', '_', ' '], "").as_str() {
        "h264" | "x264" | "libx264" | "avc" | "avc1" | "avc3" => "h264",
        "h265" | "hevc" | "x265" | "libx265" | "hvc1" | "hev1" => "hevc",
        "vp9" | "vp09" | "libvpx" | "libvpxvp9" => "vp9",
        "av1" | "av01" | "aom" | "libaom" | "libaomav1" | "svtav1" | "libsvtav1" | "rav1e" => "av1",
        "proresks" | "appleprores" => "prores",
        "dnxhr" | "vc3" => "dnxhd",
        "aaclc" | "mp4a" | "fdkaac" | "libfdkaac" | "heaac" => "aac",
        "libopus" => "opus",
        "lame" | "libmp3lame" => "mp3",
        "libvorbis" => "vorbis",
        "a52" | "dolbydigital" | "ac3" => "ac3",
        "wav" | "lpcm" | "pcms16le" | "pcms24le" => "pcm",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_no_names_and_codecs_those_that_others_give_them() {
        let said = [
            (
                "invalid type: integer `3`, expected struct CodecRequest",
                "this is the number `3`, where a table belongs",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "this is the number `-1`, where a whole number from 0 on belongs",
            ),
            (
                "unknown variant `h265`, expected one of `h264`, `hevc`",
                "there is no `h265`; use one of `h264`, `hevc`; did you mean 'hevc'?",
            ),
            ("unknown variant `mediun`, expected `fast` or `medium`", "did you mean 'medium'?"),
        ];
        for (theirs, ours) in said {
            assert!(plain(theirs).contains(ours), "{}", plain(theirs));
        }
        assert!(!plain("unknown variant `nonsense`, expected `fast` or `medium`").contains("mean"));
        let names = ["x264", "avc", "AVC1", "H.265", "hvc1", "vp09", "av01", "libopus", "prores_ks"];
        let ours = ["h264", "h264", "h264", "hevc", "hevc", "vp9", "av1", "opus", "prores"];
        assert_eq!(names.map(codec_of), ours.map(Some));
    }
}

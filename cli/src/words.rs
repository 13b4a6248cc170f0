//! Quantities as people read them.

use rushes_shared::units::Bytes;

/// A duration: `0.35 s`, `12.3 s`, `4:05`, `1:02:03`.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..10 => format!("{}.{:02} s", s, ms % 1000 / 10),
        10..60 => format!("{}.{} s", s, ms % 1000 / 100),
        60..3600 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

/// A time to come: `0:12`, `1:02:03`.
pub(crate) fn eta(ms: u64) -> String {
    let s = ms.div_ceil(1000);
    if s < 3600 { format!("{}:{:02}", s / 60, s % 60) } else { duration(s * 1000) }
}

/// How long something has run, roughly: `42 s`, `7 min`, `5 h 12 min`, `3 d 4 h`.
pub(crate) fn span(s: u64) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("{n} {what}") } else { format!("{n} {what}s") }
}

/// A bit rate: `950 kbit/s`, `4.21 Mbit/s`.
pub(crate) fn bitrate(bps: u64) -> String {
    if bps < 1_000 {
        format!("{bps} bit/s")
    } else if bps < 1_000_000 {
        format!("{} kbit/s", bps / 1000)
    } else {
        format!("{}.{:02} Mbit/s", bps / 1_000_000, bps % 1_000_000 / 10_000)
    }
}

/// A size: `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// Media time per wall time: `1.85x`, `12.3x`.
pub(crate) fn speed(times: f64) -> String {
    if times < 10.0 { format!("{times:.2}x") } else { format!("{times:.1}x") }
}

/// A time in UTC to the second, as lists show it; the text itself where it is none.
pub(crate) fn time(rfc3339: &str) -> String {
    rfc3339.split_once('.').map_or(rfc3339, |(seconds, _)| seconds).replace('T', " ")
}

/// Names of files and words of programs that read other people's media, which must not steer the terminal: what would is
/// replaced.
pub(crate) fn harmless(text: &str) -> String {
    let replaced = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(replaced).collect()
}

/// `text` made harmless, at most `width` characters wide, with an ellipsis where it was cut.
pub(crate) fn clipped(text: &str, width: usize) -> String {
    let text = harmless(text);
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well_at_every_size() {
        assert_eq!(
            [350, 12_345, 59_999, 245_000, 3_723_000].map(duration),
            ["0.35 s", "12.3 s", "59.9 s", "4:05", "1:02:03"]
        );
        assert_eq!(
            [42, 420, 18_720, 273_600].map(span),
            ["42 s", "7 min", "5 h 12 min", "3 d 4 h"].map(str::to_owned)
        );
        assert_eq!([count(1, "task"), count(0, "task")], ["1 task", "0 tasks"]);
        assert_eq!([0, 11_001, 3_600_000].map(eta), ["0:00", "0:12", "1:00:00"]);
        assert_eq!([950_000, 4_213_000].map(bitrate), ["950 kbit/s", "4.21 Mbit/s"]);
        assert_eq!([speed(1.854), speed(12.34)], ["1.85x", "12.3x"]);
        assert_eq!(time("2026-11-21T01:02:03.456Z"), "2026-11-21 01:02:03");
        assert_eq!(clipped("abcdef", 4), "abc…");
        assert_eq!(clipped("a\x1b[2Jb", 9), "a\u{fffd}[2Jb");
    }
}

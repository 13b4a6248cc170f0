//! Deadlines as people write them: a time with its zone, or a span from now.

use jiff::civil::{Date, DateTime};
use jiff::{SpanRelativeTo, Timestamp};

use super::BadRequest;
use crate::units::WallMs;

/// The largest time that is taken, 9999-12-30T22:00:00Z: the last that everything here can write.
const LATEST_MS: u64 = 253_402_207_200_000;
/// Characters of a day, and of a day with a time to the second.
const DAY: usize = "2026-12-01".len();
const SECOND: usize = "2026-12-01T12:00:00".len();

/// The forms that there are.
const FORMS: &str =
    "write a time with its zone such as 2026-12-01T12:00:00Z, or a span from now such as +2h, +1h 30m or +2d";

/// A time, or a span from now; days have 24 hours.
pub(super) fn deadline(text: &str, now: WallMs) -> Result<WallMs, BadRequest> {
    let bad = |message: &str| {
        let text: String = text.chars().take(60).collect();
        BadRequest::at("deadline", format!("'{text}' {message}"))
    };
    let at_ms = match text.strip_prefix('+') {
        Some(span) => {
            let span: jiff::Span =
                span.trim().parse().map_err(|_| bad(&format!("is no span that is known; {FORMS}")))?;
            let span = span
                .to_duration(SpanRelativeTo::days_are_24_hours())
                .map_err(|_| bad("has months or years, which are of no one length; write days"))?;
            i128::from(now.0) + span.as_millis()
        }
        None => match text.parse::<Timestamp>() {
            Ok(time) => time.as_millisecond().into(),
            Err(_) => return Err(bad(&why_no_time(text))),
        },
    };
    let at_ms = u64::try_from(at_ms).map_err(|_| bad("is in the past"))?;
    if at_ms > LATEST_MS {
        return Err(bad("is too far away; the latest is 9999-12-30T22:00:00Z"));
    }
    if at_ms <= now.0 {
        return Err(bad("is in the past"));
    }
    Ok(WallMs(at_ms))
}

/// What keeps a text from being a time.
fn why_no_time(text: &str) -> String {
    if text.parse::<jiff::Span>().is_ok() {
        return format!("has no '+': a span from now begins with it; {FORMS}");
    }
    let begin = |length: usize| text.get(..length).unwrap_or(text);
    let looks_like_a_day = text.len() >= DAY
        && begin(DAY)
            .char_indices()
            .all(|(i, c)| if [4, 7].contains(&i) { c == '-' } else { c.is_ascii_digit() });
    if !looks_like_a_day {
        return format!("is neither a time nor a span; {FORMS}");
    }
    if begin(DAY).parse::<Date>().is_err() {
        return format!("names a day that is in no calendar; {FORMS}");
    }
    if text.len() == DAY {
        return format!("is a day without a time; {FORMS}");
    }
    match (text.parse::<DateTime>().is_ok(), begin(SECOND).parse::<DateTime>().is_ok()) {
        (true, _) => format!("has no time zone; {FORMS}"),
        (false, true) if text.starts_with("9999-12-3") => {
            "is too far away; the latest is 9999-12-30T22:00:00Z".to_owned()
        }
        _ => format!("is no time that is known; {FORMS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallMs = WallMs(1_700_000_000_000);

    #[test]
    fn times_and_spans_are_read() {
        let after = |text: &str| deadline(text, NOW).map(|at| at.0 - NOW.0).map_err(|bad| bad.to_string());
        for (text, ms) in [
            ("+2h", 7_200_000),
            ("+1h 30m", 5_400_000),
            ("+2d", 172_800_000),
            ("+1w 1d", 691_200_000),
            ("+90s", 90_000),
            ("+PT5M", 300_000),
            ("2023-11-14T22:13:21Z", 1_000),
            ("2023-11-14T23:13:21+01:00", 1_000),
        ] {
            assert_eq!(after(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_deadline_is_told_with_the_forms_that_there_are() {
        let forms = "2026-12-01T12:00:00Z, or a span from now such as +2h, +1h 30m or +2d";
        for (text, says, has_forms) in [
            ("9999-12-31T23:59:59Z", "is too far away; the latest is 9999-12-30", false),
            ("+99999999h", "is too far away", false),
            ("2026-02-30", "a day that is in no calendar", true),
            ("2026-02-30T12:00:00Z", "a day that is in no calendar", true),
            ("2026-12-01", "a day without a time", true),
            ("2026-12-01T12:00:00", "has no time zone", true),
            ("2026-12-01T25:00:00Z", "no time that is known", true),
            ("2h", "has no '+'", true),
            ("tomorrow", "neither a time nor a span", true),
            ("", "neither a time nor a span", true),
            ("+", "no span that is known", true),
            ("+soon", "no span that is known", true),
            ("+1 month", "write days", false),
            ("2020-01-01T00:00:00Z", "is in the past", false),
            ("+-1h", "is in the past", false),
            ("äöüäöüäöü-äöü", "neither a time nor a span", true),
        ] {
            let told = deadline(text, NOW).expect_err(text).to_string();
            assert!(told.contains(says), "{text}: {told}");
            assert_eq!(told.contains(forms), has_forms, "{text}: {told}");
        }
    }
}

//! The frame rate of an image sequence, as people write it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::units::Ratio;

/// The rate of a sequence of which none is said: cinema's, which renderers have as their default.
pub const DEFAULT_RATE: Ratio = Ratio { num: 24, den: 1 };

/// Rates that are a thousandth slower than the number that is said of them, times 1000.
const NTSC: [(u32, u32); 7] =
    [(23_976, 24), (23_980, 24), (29_970, 30), (47_952, 48), (59_940, 60), (95_904, 96), (119_880, 120)];

/// Text that is no frame rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a frame rate: write pictures a second, 0.01 to 1000, as \"24\", \"23.976\" or \"24000/1001\""
)]
pub struct BadRate(String);

/// Pictures a second, from 0.01 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

impl FrameRate {
    /// The rate, if it can be one.
    #[must_use]
    pub fn new(rate: Ratio) -> Option<Self> {
        let (num, den) = (u64::from(rate.num), u64::from(rate.den));
        let whole = num <= 1_000_000 && (1..=1_000_000).contains(&den);
        let Ratio { num: top, den: bottom } = reduced(rate);
        (whole && num * 100 >= den && num <= den * 1000).then_some(Self { num: top, den: bottom })
    }

    /// As a fraction.
    #[must_use]
    pub fn ratio(self) -> Ratio {
        Ratio { num: self.num, den: self.den }
    }
}

impl Default for FrameRate {
    /// [`DEFAULT_RATE`].
    fn default() -> Self {
        Self { num: DEFAULT_RATE.num, den: DEFAULT_RATE.den }
    }
}

fn reduced(rate: Ratio) -> Ratio {
    let (mut a, mut b) = (rate.num, rate.den);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    let common = a.max(1);
    Ratio { num: rate.num / common, den: rate.den / common }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

impl std::str::FromStr for FrameRate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.chars().filter(|c| !c.is_control()).take(40).collect());
        let whole = |text: &str| text.trim().parse::<u32>().ok();
        let fraction = || {
            if let Some((num, den)) = text.split_once('/') {
                return Ratio::new(whole(num)?, whole(den)?);
            }
            let (before, after) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
            if after.len() > 3 || !after.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let thousandths = whole(&format!("{after:0<3}"))?;
            let thousandths = whole(before)?.checked_mul(1000)?.checked_add(thousandths)?;
            let ntsc = NTSC.iter().find(|(said, _)| *said == thousandths);
            let exact = Ratio { num: thousandths, den: 1000 };
            Some(ntsc.map_or(exact, |(_, whole)| Ratio { num: whole * 1000, den: 1001 }))
        };
        fraction().and_then(Self::new).ok_or_else(bad)
    }
}

impl Serialize for FrameRate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FrameRate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Rate;
        impl Visitor<'_> for Rate {
            type Value = FrameRate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("pictures a second, such as 24 or \"24000/1001\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FrameRate, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, rate: i64) -> Result<FrameRate, E> {
                self.visit_str(&rate.to_string())
            }

            fn visit_u64<E: Error>(self, rate: u64) -> Result<FrameRate, E> {
                self.visit_str(&rate.to_string())
            }

            fn visit_f64<E: Error>(self, rate: f64) -> Result<FrameRate, E> {
                self.visit_str(&rate.to_string())
            }
        }
        // Forms that do not say what comes hold the text.
        if d.is_human_readable() { d.deserialize_any(Rate) } else { d.deserialize_str(Rate) }
    }
}

impl PartialSchema for FrameRate {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Number]));
        let text = text.description(Some("Pictures a second, 0.01 to 1000: 24, 23.976 or \"24000/1001\"."));
        text.into()
    }
}

impl ToSchema for FrameRate {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("FrameRate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, num, den) in [
            ("24", 24, 1),
            ("24000/1001", 24_000, 1001),
            ("23.976", 24_000, 1001),
            ("23.98", 24_000, 1001),
            ("29.97", 30_000, 1001),
            ("12.5", 25, 2),
            ("50/2", 25, 1),
            ("0.5", 1, 2),
        ] {
            let rate: FrameRate = text.parse().expect(text);
            assert_eq!(rate.ratio(), Ratio { num, den }, "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate), "{text}");
        }
        for bad in ["", "0", "-24", "24/0", "1001", "0.001", "24fps", "1e9", "23.9760001", "99999999999"] {
            assert!(bad.parse::<FrameRate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_may_say_a_number_or_a_text() {
        for text in ["24", "24.0", "\"24\""] {
            let rate: FrameRate = serde_json::from_str(text).expect(text);
            assert_eq!(rate.ratio(), DEFAULT_RATE, "{text}");
        }
        assert!(serde_json::from_str::<FrameRate>("true").is_err());
    }
}

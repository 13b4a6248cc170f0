//! Quantities that carry their unit in the type.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time by the wall clock: milliseconds since 1970-01-01 UTC. May jump when the clock is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WallMs(pub u64);

impl WallMs {
    /// RFC 3339 text in UTC with milliseconds, as every API prints times.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(ms)
            .map_or_else(|_| format!("{ms} ms since 1970"), |t| format!("{t:.3}"))
    }
}

/// A point in time by a monotonic clock of this process: milliseconds since its start. Never jumps; leases run on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MonoMs(pub u64);

impl MonoMs {
    /// This time plus `ms` milliseconds.
    #[must_use]
    pub fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time, 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read together by the shell for each event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// For leases, timeouts, durations.
    pub mono: MonoMs,
    /// For deadlines and for people.
    pub wall: WallMs,
}

/// A thousandth of a CPU core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicores(pub u32);

/// A number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEP: u64 = 1024;
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < STEP {
            return write!(f, "{} B", self.0);
        }
        let mut whole = self.0;
        let mut rest = 0;
        let mut unit = 0;
        while whole >= STEP && unit < units.len() {
            rest = whole % STEP;
            whole /= STEP;
            unit += 1;
        }
        write!(f, "{whole}.{} {}", rest * 10 / STEP, units[unit - 1])
    }
}

/// A span or point of media time in nanoseconds, as GStreamer counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaNs(pub u64);

impl MediaNs {
    /// In seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds for people; exact below 104 days")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// A fraction such as a frame rate or a pixel aspect ratio. The denominator is never 0 in a value made by [`Ratio::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ratio {
    /// Numerator.
    pub num: u32,
    /// Denominator.
    pub den: u32,
}

impl Ratio {
    /// One to one.
    pub const ONE: Self = Self { num: 1, den: 1 };

    /// A fraction, or `None` where the denominator is 0.
    #[must_use]
    pub fn new(num: u32, den: u32) -> Option<Self> {
        (den != 0).then_some(Self { num, den })
    }

    /// As a decimal number; 0 for a denominator of 0.
    #[must_use]
    pub fn value(self) -> f64 {
        if self.den == 0 { 0.0 } else { f64::from(self.num) / f64::from(self.den) }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_write_them() {
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes(1536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "16383.9 PiB");
    }

    #[test]
    fn wall_time_prints_in_utc() {
        assert_eq!(WallMs(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(WallMs(1_700_000_000_123).to_rfc3339(), "2023-11-14T22:13:20.123Z");
    }
}

//! How large the numbers of a scenario may be. What no farm has is told, with the range, instead of being run: a run costs
//! time and memory by what happens in it.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use super::ScenarioError;

/// Longest arrivals, and any other span, in hours: a leap year.
pub(super) const MAX_HOURS: f64 = 24.0 * 366.0;
/// The same in seconds.
pub(super) const MAX_S: f64 = MAX_HOURS * 3600.0;
/// Most that happens of one kind in an hour, on average.
pub(super) const MAX_RATE: f64 = 3_600.0;
/// Largest weight beside others.
pub(super) const MAX_WEIGHT: f64 = 1e6;
/// Most uploads of one run.
pub(super) const MAX_UPLOADS: u32 = 10_000_000;
/// Most cores of a node or a task.
pub(super) const MAX_CORES: f64 = 4_000.0;

/// A number within a range, both ends included.
pub(super) fn within<T: Copy + PartialOrd + Debug>(
    field: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ScenarioError> {
    if range.contains(&value) {
        return Ok(());
    }
    let reason = format!("{value:?} should be {:?} to {:?}", range.start(), range.end());
    Err(ScenarioError::field(field, reason))
}

/// A number above 0 and at most `most`.
pub(super) fn positive(field: &str, value: f64, most: f64) -> Result<(), ScenarioError> {
    if value > 0.0 && value <= most {
        return Ok(());
    }
    Err(ScenarioError::field(field, format!("{value:?} should be above 0 and at most {most:?}")))
}

/// A share of a whole.
pub(super) fn share(field: &str, value: f64) -> Result<(), ScenarioError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(ScenarioError::field(field, format!("{value:?} is a share and should be 0 to 1")))
}

/// A range of numbers that rises, from 0 and up to `most`.
pub(super) fn rises(field: &str, [low, high]: [f64; 2], most: f64) -> Result<(), ScenarioError> {
    if low >= 0.0 && high >= low && high <= most {
        return Ok(());
    }
    Err(ScenarioError::field(field, format!("[{low:?}, {high:?}] should rise and lie within 0 to {most:?}")))
}

pub(super) fn not_empty(field: &str, count: usize) -> Result<(), ScenarioError> {
    if count == 0 { Err(ScenarioError::field(field, "at least one is needed")) } else { Ok(()) }
}

//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long something may take that should happen at once, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(20);
/// How long an encode of a test clip may take, queue and retries included.
pub const ENCODE: Duration = Duration::from_secs(240);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` finds something.
///
/// # Panics
/// When `limit` is over; `what` says what was waited for.
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    within(limit, look).unwrap_or_else(|| panic!("waited {} s in vain until {what}", limit.as_secs_f32()))
}

/// Looks until `look` finds something or `limit` is over.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

//! The process' two clocks: monotonic time for leases, wall time for people.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rushes_shared::units::{MonoMs, Now, WallMs};

/// Reads both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Both times.
    #[must_use]
    pub fn now(self) -> Now {
        let mono = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: MonoMs(mono), wall: WallMs(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
    }
}

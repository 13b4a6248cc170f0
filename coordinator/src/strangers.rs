//! What strangers cause is logged, and yet cannot fill a disk: so many lines a minute, then only a count of the rest.
//! Metrics count all of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in one minute about those who are not let in.
const LINES: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

static BUDGET: Mutex<Option<Budget>> = Mutex::new(None);

#[derive(Debug, Clone, Copy)]
struct Budget {
    since: Instant,
    spent: u32,
    untold: u64,
}

/// Whether a stranger may cause one more line now; with the number of those that were left out before it.
pub(crate) fn may_cause_a_line() -> Option<u64> {
    let mut budget = BUDGET.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    budget.get_or_insert(Budget { since: now, spent: 0, untold: 0 }).spend(now)
}

impl Budget {
    fn spend(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= MINUTE {
            (self.since, self.spent) = (now, 0);
        }
        if self.spent >= LINES {
            self.untold += 1;
            return None;
        }
        self.spent += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_of_in_the_next_minute() {
        let start = Instant::now();
        let mut budget = Budget { since: start, spent: 0, untold: 0 };
        let told = (0..1_000).filter(|_| budget.spend(start).is_some()).count();
        assert_eq!(told, LINES as usize);
        assert_eq!(budget.spend(start + MINUTE), Some(1_000 - u64::from(LINES)));
        assert_eq!(budget.spend(start + MINUTE), Some(0), "told once");
    }
}

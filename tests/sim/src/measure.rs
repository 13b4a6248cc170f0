//! Measures what events cost the engine on this machine: the only place of the simulator that reads a clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::scenario::{Cost, EventKind};

/// Times events by kind.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    spent: BTreeMap<EventKind, (u32, Duration)>,
}

impl Stopwatch {
    pub(crate) fn time<T>(&mut self, kind: EventKind, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        let spent = self.spent.entry(kind).or_default();
        spent.0 += 1;
        spent.1 += began.elapsed();
        result
    }

    /// The table with the means that were measured; kinds that did not occur stay as they are.
    pub(crate) fn cost(&self, mut table: Cost) -> Cost {
        for kind in EventKind::ALL {
            if let Some((count, spent)) = self.spent.get(&kind) {
                table.set(kind, u64::try_from((*spent / *count).as_nanos()).unwrap_or(u64::MAX).max(1));
            }
        }
        table
    }
}

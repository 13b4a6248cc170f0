//! Virtual time and what is to happen in it. Things of the same moment happen in the order in which they were entered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A moment of virtual time in nanoseconds since the scenario began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub u64);

const MS: u64 = 1_000_000;

impl At {
    /// The moment after so many milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(MS))
    }

    /// The moment after so many seconds; 0 for negative ones.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 saturates, and virtual time is never negative"
    )]
    pub fn from_s(s: f64) -> Self {
        Self((s * 1e9) as u64)
    }

    /// Whole milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        self.0 / MS
    }

    /// Seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for reports; exact to the microsecond over years")]
    pub fn s(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The time since `earlier`; 0 if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// What is to happen: a heap of small entries, O(log n) in and out, beside the things themselves.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    /// When, in which order of entry, where in `things`.
    heap: BinaryHeap<Reverse<(At, u64, u32)>>,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    entered: u64,
    now: At,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), entered: 0, now: At(0) }
    }
}

impl<T> Agenda<T> {
    /// The present.
    #[must_use]
    pub(crate) fn now(&self) -> At {
        self.now
    }

    /// Enters something; what should have been before now happens now.
    ///
    /// # Panics
    /// With more than 2^32 things at once.
    pub(crate) fn enter(&mut self, at: At, what: T) {
        self.entered += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            u32::try_from(self.things.len() - 1).expect("memory ends before 2^32 things are entered")
        });
        self.things[place as usize] = Some(what);
        self.heap.push(Reverse((at.max(self.now), self.entered, place)));
    }

    /// Goes on to the next thing.
    ///
    /// # Panics
    /// Never: each entry of the heap has its thing.
    pub(crate) fn next(&mut self) -> Option<T> {
        let Reverse((at, _, place)) = self.heap.pop()?;
        self.now = at;
        self.free.push(place);
        Some(self.things[place as usize].take().expect("each entry has its thing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_the_same_moment_keeps_its_order() {
        let mut agenda = Agenda::default();
        for (ms, name) in [(5, "c"), (1, "a"), (5, "d"), (2, "b")] {
            agenda.enter(At::from_ms(ms), name);
        }
        let mut seen = Vec::new();
        while let Some(name) = agenda.next() {
            if name == "c" {
                agenda.enter(At::from_ms(1), "late");
            }
            seen.push((agenda.now().ms(), name));
        }
        assert_eq!(seen, [(1, "a"), (2, "b"), (5, "c"), (5, "d"), (5, "late")]);
    }
}

//! The work that is booked and not done: core time and light-slot time, by class, and of promises by deadline.
//!
//! Deadlines fall into windows of half a minute, so that a look at all of them costs as much as there are windows in
//! use, whatever the number of jobs.

use std::collections::BTreeMap;

use rushes_shared::job::Class;
use rushes_shared::units::WallMs;

/// Milliseconds of cores and of light slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Core time in milliseconds on cores of speed 1.
    pub cores_ms: u64,
    /// Light-slot time in milliseconds.
    pub light_ms: u64,
}

impl Load {
    /// Both together with another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cores_ms: self.cores_ms.saturating_add(other.cores_ms),
            light_ms: self.light_ms.saturating_add(other.light_ms),
        }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        let count = u64::from(count);
        Self { cores_ms: self.cores_ms.saturating_mul(count), light_ms: self.light_ms.saturating_mul(count) }
    }

    /// Without another, which is part of it.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            cores_ms: self.cores_ms.saturating_sub(other.cores_ms),
            light_ms: self.light_ms.saturating_sub(other.light_ms),
        }
    }
}

/// What a farm gets done in a millisecond, in thousandths of a millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Power {
    /// Cores times speed, in thousandths of a core.
    pub cores: u64,
    /// Light slots times speed, in thousandths of a slot.
    pub light: u64,
}

impl Power {
    /// How long this takes if the farm does nothing else, in milliseconds. `None`: for ever.
    #[must_use]
    pub fn time_for(self, load: Load) -> Option<u64> {
        let of = |ms: u64, power: u64| match (ms, power) {
            (0, _) => Some(0),
            (_, 0) => None,
            (ms, power) => Some(ms.saturating_mul(1_000) / power),
        };
        Some(of(load.cores_ms, self.cores)?.max(of(load.light_ms, self.light)?))
    }

    /// A share of it, in thousandths.
    #[must_use]
    pub fn share(self, permille: u32) -> Self {
        let of = |power: u64| power.saturating_mul(u64::from(permille)) / 1_000;
        Self { cores: of(self.cores), light: of(self.light) }
    }
}

/// What a job has booked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Booking {
    /// The class under which it stands.
    pub class: Class,
    /// The deadline of a promise that can still be kept.
    pub deadline: Option<WallMs>,
    /// How much.
    pub load: Load,
}

const WINDOW_MS: u64 = 30_000;

/// All bookings.
#[derive(Debug, Default)]
pub struct Ledger {
    classes: [Load; 4],
    windows: BTreeMap<u64, Load>,
}

impl Ledger {
    /// Adds a booking.
    pub fn book(&mut self, booking: &Booking) {
        let class = &mut self.classes[booking.class as usize];
        *class = class.plus(booking.load);
        if let Some(deadline) = booking.deadline.filter(|_| booking.load != Load::default()) {
            let window = self.windows.entry(deadline.0 / WINDOW_MS).or_default();
            *window = window.plus(booking.load);
        }
    }

    /// Takes a booking, or a part of one, off.
    pub fn unbook(&mut self, booking: &Booking) {
        let class = &mut self.classes[booking.class as usize];
        *class = class.minus(booking.load);
        if let Some(deadline) = booking.deadline {
            let at = deadline.0 / WINDOW_MS;
            if let Some(window) = self.windows.get_mut(&at) {
                *window = window.minus(booking.load);
                if *window == Load::default() {
                    self.windows.remove(&at);
                }
            }
        }
    }

    /// What stands ahead of a new job of a class: everything of higher classes and of its own.
    #[must_use]
    pub fn ahead_of(&self, class: Class) -> Load {
        self.classes[class as usize..].iter().copied().fold(Load::default(), Load::plus)
    }

    /// Emergencies.
    #[must_use]
    pub fn emergencies(&self) -> Load {
        self.classes[Class::Emergency as usize]
    }

    /// Promises that are due in the window of this deadline or before.
    #[must_use]
    pub fn due_by(&self, deadline: WallMs) -> Load {
        let windows = self.windows.range(..=deadline.0 / WINDOW_MS);
        windows.map(|(_, load)| *load).fold(Load::default(), Load::plus)
    }

    /// Whether, with `more` due at `deadline`, every promise that is due then or later can still be kept by a farm of
    /// this power which does the earliest deadline first (the demand-bound test of Baruah, Rosier, Howell 1990, on
    /// windows).
    #[must_use]
    pub fn can_take(&self, now: WallMs, deadline: WallMs, more: Load, power: Power) -> bool {
        let at = deadline.0 / WINDOW_MS;
        let mut sum = self.due_by(deadline).plus(more).plus(self.emergencies());
        let fits =
            |sum: Load, end: u64| power.time_for(sum).is_some_and(|ms| now.0.saturating_add(ms) <= end);
        if !fits(sum, deadline.0) {
            return false;
        }
        for (window, load) in self.windows.range(at + 1..) {
            sum = sum.plus(*load);
            // What was late by itself before is not this job's fault.
            let end = (window + 1) * WINDOW_MS;
            if !fits(sum, end) && fits(sum.minus(more), end) {
                return false;
            }
        }
        true
    }
}

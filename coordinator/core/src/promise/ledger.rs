//! The work that is booked and not started: core time and light-slot time, by class, and of promises by deadline.
//!
//! Deadlines are summed up in windows of half a minute, so that a look at all of them costs as much as there are windows
//! in use, whatever the number of jobs.

use std::collections::BTreeMap;
use std::ops::Bound;

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

/// Work of a promise, and by when it has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// By when.
    pub deadline: WallMs,
    /// How much.
    pub load: Load,
}

const WINDOW_MS: u64 = 30_000;
/// Up to so many different deadlines each is looked at by itself, so that a small farm fills its time to the millisecond.
const FEW_DEADLINES: usize = 64;

/// How much time promises have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tightness {
    /// Promises that are due before this have none to spare: whatever else is started may break one.
    pub until: WallMs,
    /// For so long nothing else becomes tight by itself, in milliseconds.
    pub holds_ms: u64,
}

/// All bookings.
#[derive(Debug, Default)]
pub struct Ledger {
    classes: [Load; 4],
    windows: BTreeMap<u64, Load>,
    deadlines: BTreeMap<WallMs, Load>,
    /// Wall times of tasks of stages that are not complete, and how many stages have each.
    walls: BTreeMap<u64, u32>,
}

impl Ledger {
    /// Adds a booking.
    pub fn book(&mut self, booking: &Booking) {
        let class = &mut self.classes[booking.class as usize];
        *class = class.plus(booking.load);
        if let Some(deadline) = booking.deadline.filter(|_| booking.load != Load::default()) {
            let window = self.windows.entry(deadline.0 / WINDOW_MS).or_default();
            *window = window.plus(booking.load);
            let due = self.deadlines.entry(deadline).or_default();
            *due = due.plus(booking.load);
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
            if let Some(due) = self.deadlines.get_mut(&deadline) {
                *due = due.minus(booking.load);
                if *due == Load::default() {
                    self.deadlines.remove(&deadline);
                }
            }
        }
    }

    /// Everything.
    #[must_use]
    pub fn all(&self) -> Load {
        self.ahead_of(Class::Bulk)
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

    /// Promises that are due at this deadline or before.
    #[must_use]
    pub fn due_by(&self, deadline: WallMs) -> Load {
        let own = deadline.0 / WINDOW_MS;
        let before = self.windows.range(..own).map(|(_, load)| *load);
        let within = self.deadlines.range(WallMs(own * WINDOW_MS)..=deadline).map(|(_, load)| *load);
        before.chain(within).fold(Load::default(), Load::plus)
    }

    /// Counts a stage in or out whose tasks take so long.
    pub fn count_stage(&mut self, wall_ms: u64, more: bool) {
        let count = self.walls.entry(wall_ms).or_default();
        *count = if more { *count + 1 } else { *count - 1 };
        if *count == 0 {
            self.walls.remove(&wall_ms);
        }
    }

    /// How long the longest task takes that may be started, in milliseconds.
    #[must_use]
    pub fn longest_ms(&self) -> u64 {
        self.walls.last_key_value().map_or(0, |(wall, _)| *wall)
    }

    /// Which promises have no time to spare together, if anything else may take up `blocked_ms` first. Windows count from
    /// their beginning.
    #[must_use]
    pub fn tightness(&self, now: WallMs, running: Load, power: Power, blocked_ms: u64) -> Tightness {
        let mut tight = Tightness { until: WallMs(0), holds_ms: u64::MAX };
        let mut sum = self.emergencies().plus(running);
        for (window, load) in &self.windows {
            sum = sum.plus(*load);
            let taken = power.time_for(sum).unwrap_or(u64::MAX / 2).saturating_add(blocked_ms);
            match (window * WINDOW_MS).checked_sub(now.0.saturating_add(taken)) {
                Some(spare) => tight.holds_ms = tight.holds_ms.min(spare),
                None => tight.until = WallMs((window + 1) * WINDOW_MS),
            }
        }
        tight
    }

    /// Whether, with `more` due at `deadline`, every promise that is due then or later can still be kept by a farm of
    /// this power which does the earliest deadline first (the demand-bound test of Baruah, Rosier, Howell 1990; on
    /// windows where there are many deadlines).
    #[must_use]
    pub fn can_take(&self, now: WallMs, deadline: WallMs, more: Load, power: Power, without: &[Due]) -> bool {
        let sum = self.due_by(deadline).plus(self.emergencies());
        self.fit(now, Due { deadline, load: more }, sum, power, without)
    }

    /// The same for a promise that is booked already, while `running` goes on.
    #[must_use]
    pub fn can_keep(&self, now: WallMs, own: Due, running: Load, power: Power, without: &[Due]) -> bool {
        let sum = self.due_by(own.deadline).minus(own.load).plus(self.emergencies()).plus(running);
        self.fit(now, own, sum, power, without)
    }

    /// Whether `sum` and `own` can be done by the deadline, and what is due later after them, if all of `without` were
    /// not promised.
    fn fit(&self, now: WallMs, own: Due, mut sum: Load, power: Power, without: &[Due]) -> bool {
        let fits =
            |sum: Load, end: u64| power.time_for(sum).is_some_and(|ms| now.0.saturating_add(ms) <= end);
        let gone = |end: u64| {
            let gone = without.iter().filter(|due| due.deadline.0 <= end);
            gone.fold(Load::default(), |sum, due| sum.plus(due.load))
        };
        let (load, deadline) = (own.load, own.deadline);
        if !fits(sum.minus(gone(deadline.0)).plus(load), deadline.0) {
            return false;
        }
        // What would be late without this job is not its fault.
        let mut bears = |more: Load, end: u64| {
            sum = sum.plus(more);
            fits(sum.minus(gone(end)).plus(load), end) || !fits(sum, end)
        };
        if self.deadlines.len() <= FEW_DEADLINES {
            let mut later = self.deadlines.range((Bound::Excluded(deadline), Bound::Unbounded));
            return later.all(|(due, load)| bears(*load, due.0));
        }
        let at = deadline.0 / WINDOW_MS;
        let rest = self.deadlines.range((Bound::Excluded(deadline), Bound::Unbounded));
        let rest = rest.take_while(|(due, _)| due.0 / WINDOW_MS == at).map(|(_, load)| *load);
        let rest = rest.fold(Load::default(), Load::plus);
        bears(rest, u64::MAX)
            && self.windows.range(at + 1..).all(|(w, load)| bears(*load, (w + 1) * WINDOW_MS))
    }
}

//! The work that is booked and not started: core time and light-slot time, by class, and of promises by deadline.
//!
//! Deadlines are summed up in windows of half a minute, so that a look at all of them costs as much as there are windows
//! in use, whatever the number of jobs.

use std::collections::BTreeMap;
use std::ops::Bound;

use rushes_shared::job::Class;
use rushes_shared::units::WallMs;

pub use super::load::{Load, Power, Running};

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

/// A promise that cannot be kept beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miss {
    /// Its deadline; where many are tested together, the end of their window.
    pub deadline: WallMs,
    /// How much later what is due then would be done, in milliseconds.
    pub by_ms: u64,
}

const WINDOW_MS: u64 = 30_000;
/// Windows of a span, about an hour: where a whole span has time to spare its windows are not looked at.
const SPAN: u64 = 128;
const SPAN_MS: u64 = SPAN * WINDOW_MS;
/// Time to spare from which on a span is not looked into, in milliseconds.
const PLENTY_MS: u64 = 60_000;
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
    /// Sums over spans of windows.
    spans: BTreeMap<u64, Load>,
    deadlines: BTreeMap<WallMs, Load>,
    /// Wall times of tasks of stages that are not complete, and how many stages have each.
    walls: BTreeMap<u64, u32>,
    /// How often jobs have booked something else.
    changes: u64,
}

impl Ledger {
    /// How often jobs have booked more or less, other than by starting what they had booked.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Enters a task of a job's booking as it is to be started again, or takes it off as it is started.
    pub fn shift(&mut self, task: &Booking, more: bool) {
        let changes = self.changes;
        if more {
            self.book(task)
        } else {
            self.unbook(task)
        }
        self.changes = changes;
    }

    /// Whether exactly these bookings are in the books.
    #[must_use]
    pub fn holds(&self, bookings: impl Iterator<Item = Booking>) -> bool {
        let mut recount = Self::default();
        bookings.for_each(|booking| recount.book(&booking));
        let Self { classes, windows, spans, deadlines, .. } = &recount;
        (classes, windows, spans, deadlines) == (&self.classes, &self.windows, &self.spans, &self.deadlines)
    }

    /// Adds a booking.
    pub fn book(&mut self, booking: &Booking) {
        self.changes += 1;
        let class = &mut self.classes[booking.class as usize];
        *class = class.plus(booking.load);
        if let Some(deadline) = booking.deadline.filter(|_| booking.load != Load::default()) {
            add(&mut self.spans, deadline.0 / SPAN_MS, booking.load);
            add(&mut self.windows, deadline.0 / WINDOW_MS, booking.load);
            add(&mut self.deadlines, deadline, booking.load);
        }
    }

    /// Takes a booking, or a part of one, off.
    pub fn unbook(&mut self, booking: &Booking) {
        self.changes += 1;
        let class = &mut self.classes[booking.class as usize];
        *class = class.minus(booking.load);
        if let Some(deadline) = booking.deadline {
            take(&mut self.spans, deadline.0 / SPAN_MS, booking.load);
            take(&mut self.windows, deadline.0 / WINDOW_MS, booking.load);
            take(&mut self.deadlines, deadline, booking.load);
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
        let span = deadline.0 / SPAN_MS;
        let before = self.spans.range(..span).chain(self.windows.range(span * SPAN..own));
        let before = before.map(|(_, load)| *load);
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
    pub fn tightness(&self, now: WallMs, running: Running, power: Power, blocked_ms: u64) -> Tightness {
        let mut tight = Tightness { until: WallMs(0), holds_ms: u64::MAX };
        let mut sum = self.emergencies();
        let spare = |sum: Load, begin: u64| {
            let taken = power
                .time_for(sum.plus(running.by(now, begin)))
                .unwrap_or(u64::MAX / 2)
                .saturating_add(blocked_ms);
            begin.checked_sub(now.0.saturating_add(taken))
        };
        for (span, load) in &self.spans {
            let all = sum.plus(*load);
            if let Some(spare) = spare(all, span * SPAN_MS).filter(|ms| *ms >= PLENTY_MS) {
                tight.holds_ms = tight.holds_ms.min(spare);
                sum = all;
                continue;
            }
            for (window, load) in self.windows.range(span * SPAN..(span + 1) * SPAN) {
                sum = sum.plus(*load);
                match spare(sum, window * WINDOW_MS) {
                    Some(spare) => tight.holds_ms = tight.holds_ms.min(spare),
                    None => tight.until = WallMs((window + 1) * WINDOW_MS),
                }
            }
        }
        tight
    }

    /// The first deadline, up to `until`, by which a farm of this power cannot do what is due then, if all of `without` were
    /// not promised and `running` goes on. Where there are many deadlines, to the end of the window.
    #[must_use]
    pub fn first_overload(
        &self,
        now: WallMs,
        running: Running,
        power: Power,
        without: &[Due],
        until: WallMs,
    ) -> Option<Miss> {
        let mut sum = self.emergencies();
        let is_late = |(end, more): (u64, Load)| {
            sum = sum.plus(more);
            let gone = without.iter().filter(|due| due.deadline.0 <= end);
            let left = gone.fold(sum, |sum, due| sum.minus(due.load)).plus(running.by(now, end));
            late_by(now, power, left, end).map(|by_ms| Miss { deadline: WallMs(end), by_ms })
        };
        if self.deadlines.len() <= FEW_DEADLINES {
            let due = self.deadlines.range(..=until);
            return due.map(|(due, load)| (due.0, *load)).find_map(is_late);
        }
        self.windows.iter().map(window_end).take_while(|(end, _)| *end <= until.0).find_map(is_late)
    }

    /// Which promise cannot be kept any more with `more`, of those that are due with it or later, by a farm of this power
    /// which does the earliest deadline first (the demand-bound test of Baruah, Rosier, Howell 1990; on windows where there
    /// are many deadlines): its deadline. `None`: all can.
    #[must_use]
    pub fn miss_with(
        &self,
        now: WallMs,
        more: Due,
        running: Running,
        power: Power,
        without: &[Due],
    ) -> Option<Miss> {
        let sum = self.due_by(more.deadline).plus(self.emergencies());
        self.first_miss((now, running), more, sum, power, without)
    }

    /// The same for a promise that is booked already.
    #[must_use]
    pub fn miss_of(
        &self,
        now: WallMs,
        own: Due,
        running: Running,
        power: Power,
        without: &[Due],
    ) -> Option<Miss> {
        let sum = self.due_by(own.deadline).minus(own.load).plus(self.emergencies());
        self.first_miss((now, running), own, sum, power, without)
    }

    /// Whether all emergencies but for what is `saved` of them, and `more` of them, cannot be done by a deadline while
    /// `running` goes on: nothing that is promised stands before them.
    #[must_use]
    pub fn miss_of_emergency(
        &self,
        now: WallMs,
        more: Due,
        running: Running,
        power: Power,
        saved: Load,
    ) -> Option<Miss> {
        let deadline = more.deadline;
        let sum = self.emergencies().plus(more.load).minus(saved).plus(running.by(now, deadline.0));
        late_by(now, power, sum, deadline.0).map(|by_ms| Miss { deadline, by_ms })
    }

    /// The first deadline, from that of `own` on, by which it and what is due then cannot be done, if all of `without` were
    /// not promised; where many are tested together, the end of their window.
    fn first_miss(
        &self,
        (now, running): (WallMs, Running),
        own: Due,
        mut sum: Load,
        power: Power,
        without: &[Due],
    ) -> Option<Miss> {
        let late = |sum: Load, end: u64| late_by(now, power, sum.plus(running.by(now, end)), end);
        let gone = |end: u64| {
            let gone = without.iter().filter(|due| due.deadline.0 <= end);
            gone.fold(Load::default(), |sum, due| sum.plus(due.load))
        };
        let (load, deadline) = (own.load, own.deadline);
        // What is gone may be part of the own work: it is counted before anything is taken off.
        let left = |sum: Load, end: u64| sum.plus(load).minus(gone(end));
        if let Some(by_ms) = late(left(sum, deadline.0), deadline.0) {
            return Some(Miss { deadline, by_ms });
        }
        // What would be late without this job is not its fault.
        let misses = |sum: &mut Load, (end, more): (u64, Load)| {
            *sum = sum.plus(more);
            let by_ms = late(left(*sum, end), end).filter(|_| late(*sum, end).is_none())?;
            Some(Miss { deadline: WallMs(end), by_ms })
        };
        let mut later = self.deadlines.range((Bound::Excluded(deadline), Bound::Unbounded));
        // Counted as it is once this one is booked as well, so that a look before says what one after says.
        let many = self.deadlines.len() + usize::from(!self.deadlines.contains_key(&deadline));
        if many <= FEW_DEADLINES {
            return later.find_map(|(due, load)| misses(&mut sum, (due.0, *load)));
        }
        let (window, span) = (deadline.0 / WINDOW_MS, deadline.0 / SPAN_MS);
        let rest = later.take_while(|(due, _)| due.0 / WINDOW_MS == window).map(|(_, load)| *load);
        let rest = (u64::MAX, rest.fold(Load::default(), Load::plus));
        let own_span = self.windows.range(window + 1..(span + 1) * SPAN).map(window_end);
        if let Some(end) = std::iter::once(rest).chain(own_span).find_map(|item| misses(&mut sum, item)) {
            return Some(end);
        }
        self.spans.range(span + 1..).find_map(|(span, more)| {
            let (all, begin) = (sum.plus(*more), span * SPAN_MS);
            if late(left(all, begin), begin).is_none() {
                sum = all;
                return None;
            }
            let mut windows = self.windows.range(span * SPAN..(span + 1) * SPAN).map(window_end);
            windows.find_map(|item| misses(&mut sum, item))
        })
    }
}

/// How much later than at a time so much is done, in milliseconds. `None`: it is done by then.
fn late_by(now: WallMs, power: Power, load: Load, end: u64) -> Option<u64> {
    let done = power.time_for(load).map_or(u64::MAX, |ms| now.0.saturating_add(ms));
    done.checked_sub(end).filter(|ms| *ms > 0)
}

fn window_end((window, load): (&u64, &Load)) -> (u64, Load) {
    ((window + 1) * WINDOW_MS, *load)
}

fn add<K: Ord + Copy>(sums: &mut BTreeMap<K, Load>, at: K, load: Load) {
    let sum = sums.entry(at).or_default();
    *sum = sum.plus(load);
}

fn take<K: Ord + Copy>(sums: &mut BTreeMap<K, Load>, at: K, load: Load) {
    if let Some(sum) = sums.get_mut(&at) {
        *sum = sum.minus(load);
        if *sum == Load::default() {
            sums.remove(&at);
        }
    }
}

#[cfg(test)]
mod tests;

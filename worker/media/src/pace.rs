//! Progress in media time and frames, with speed and time to go.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rushes_shared::task::{Phase, Progress};

use crate::course::Course;

/// Share of an encode and its check that is over when the encode is done, in thousandths: most of what the check needs
/// is decoded beside the encode.
const ENCODED: u64 = 980;

/// The part of the time so far, at its end, whose pace counts as much as that of all of it: a film's parts differ, and what comes next
/// is more like what came last.
const RECENT: f64 = 0.2;
/// By how much a mark in time lies behind the one before.
const MARKS: f64 = 1.02;

/// Measures one phase.
#[derive(Debug)]
pub(crate) struct Pace {
    phase: Phase,
    started: Instant,
    media_total_ns: u64,
    frames_total: u64,
    /// Which part of how many the phase is of its span.
    part: (u64, u64),
    /// How long the whole phase should take, in milliseconds, for as long as its own pace does not tell.
    expected_ms: Option<u64>,
    /// How the work is spread over the frames; evenly without.
    course: Option<Course>,
    marks: Mutex<Marks>,
}

/// When which share of the work was over, in milliseconds.
#[derive(Debug, Default)]
struct Marks(Vec<(f64, f64)>);

impl Marks {
    /// Time that is left in milliseconds, when this share is over after so long.
    fn left(&mut self, at: f64, over: f64) -> f64 {
        let of_all = at / over * (1.0 - over);
        let recent = self.0.iter().rev().find(|(before, _)| *before <= at * (1.0 - RECENT)).copied();
        if self.0.last().is_none_or(|(before, _)| at >= before * MARKS) {
            self.0.push((at, over));
        }
        match recent {
            Some((before, was_over)) if over > was_over => {
                f64::midpoint(of_all, (at - before) / (over - was_over) * (1.0 - over))
            }
            _ => of_all,
        }
    }
}

impl Pace {
    pub(crate) fn new(phase: Phase, media_total_ns: u64, frames_total: u64) -> Self {
        let (started, marks) = (Instant::now(), Mutex::default());
        let (part, expected_ms, course) = ((0, 1), None, None);
        Self { phase, started, media_total_ns, frames_total, part, expected_ms, course, marks }
    }

    /// The same for one of several passes, from 0.
    pub(crate) fn part(self, number: u64, of: u64) -> Self {
        Self { part: (number, of.max(1)), ..self }
    }

    /// The same for a check of what an encode took so long for.
    pub(crate) fn after_encode(self, encode_ms: u64) -> Self {
        Self { expected_ms: Some(scaled(encode_ms, 1000 - ENCODED, ENCODED)), ..self }
    }

    /// The same for frames that take longer here and shorter there.
    pub(crate) fn along(self, course: Option<Course>) -> Self {
        Self { course, ..self }
    }

    /// Wall time since the phase began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the phase stands; the share counts encode and check together.
    pub(crate) fn at(&self, media_ns: u64, frames: u64) -> Progress {
        // Frames tell best; a file of unknown length only has its time, or nothing.
        let (done, total) = match self.frames_total {
            0 => (media_ns.min(self.media_total_ns), self.media_total_ns),
            total => (frames.min(total), total),
        };
        let (from, to) = self.span();
        let share = if total == 0 { 0 } else { scaled(to - from, done, total) };
        let elapsed = self.elapsed();
        Progress {
            phase: self.phase,
            media_ns,
            media_total_ns: self.media_total_ns,
            frames,
            frames_total: self.frames_total,
            permille: u16::try_from(from + share).unwrap_or(1000),
            speed_permille: speed_permille(media_ns, elapsed),
            eta_ms: self.eta_ms(done, total, elapsed),
        }
    }

    /// Where the phase begins and ends, in thousandths of encode and check.
    fn span(&self) -> (u64, u64) {
        match self.phase {
            Phase::Checking => (ENCODED, 1000),
            Phase::Fetching | Phase::Running | Phase::Storing => {
                let (number, of) = self.part;
                (ENCODED * number / of, ENCODED * (number + 1) / of)
            }
        }
    }

    /// Time to the end of the check, from the time that this phase's share has taken so far.
    fn eta_ms(&self, done: u64, total: u64, elapsed: Duration) -> Option<u64> {
        let elapsed_ms = millis(elapsed);
        if total == 0 || done == 0 || elapsed < Duration::from_millis(300) {
            return self.expected_ms.map(|expected_ms| expected_ms.saturating_sub(elapsed_ms));
        }
        let over = self.course.as_ref().map_or_else(|| share(done, total), |course| course.over(done, total));
        if over <= 0.0 {
            return None;
        }
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let left_ms = rounded(marks.left(float(elapsed_ms), over.min(1.0)));
        let (from, to) = self.span();
        Some(left_ms.saturating_add(scaled(elapsed_ms.saturating_add(left_ms), 1000 - to, to - from)))
    }
}

fn share(done: u64, total: u64) -> f64 {
    float(done) / float(total.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and an estimate")]
fn rounded(ms: f64) -> u64 {
    ms.min(1e15) as u64
}

/// Media time per wall time in thousandths.
pub(crate) fn speed_permille(media_ns: u64, elapsed: Duration) -> u32 {
    let wall = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    if wall == 0 { 0 } else { u32::try_from(scaled(media_ns, 1000, wall)).unwrap_or(u32::MAX) }
}

/// Whole milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `value * num / den` without overflow in between, rounded down.
pub(crate) fn scaled(value: u64, num: u64, den: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(num) / u128::from(den.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encode_and_its_check_fill_the_scale_without_a_step_back() {
        let encode = Pace::new(Phase::Running, 1000, 10);
        let check = Pace::new(Phase::Checking, 1000, 10);
        let shares = [encode.at(0, 0), encode.at(1000, 10), check.at(0, 0), check.at(5000, 50)];
        let shares = shares.map(|progress| progress.permille);
        assert!(shares.is_sorted(), "{shares:?}");
        assert_eq!((shares[0], shares[1], shares[3]), (0, shares[2], 1000));
    }

    #[test]
    fn without_a_number_of_frames_the_media_time_counts() {
        let half = Pace::new(Phase::Running, 1000, 0).at(500, 3).permille;
        assert_eq!(half, Pace::new(Phase::Running, 1000, 10).at(1, 5).permille);
    }

    #[test]
    fn the_time_to_go_follows_what_came_last() {
        let mut marks = Marks::default();
        // A tenth a second for four seconds, then a twentieth.
        let mut left = 0.0;
        for tenths in 1..=40_u32 {
            left = marks.left(f64::from(tenths) * 100.0, f64::from(tenths) / 100.0);
        }
        assert!((left - 6000.0).abs() < 1.0, "{left}");
        for tenths in 1..=20_u32 {
            left = marks.left(4000.0 + f64::from(tenths) * 100.0, 0.4 + f64::from(tenths) / 200.0);
        }
        // Half are over in six seconds: by all of them six are left, by the last fifth of them ten.
        assert!((left - 8000.0).abs() < 100.0, "{left}");
        for tenths in 1..=360_000_u32 {
            marks.left(6000.0 + f64::from(tenths) * 100.0, 0.5 + f64::from(tenths) / 1e6);
        }
        assert!(marks.0.len() < 1000, "{} marks in ten hours", marks.0.len());
    }

    #[test]
    fn a_check_has_an_estimate_before_its_own_pace_tells() {
        let check = Pace::new(Phase::Checking, 1000, 10).after_encode(98_000);
        let eta_ms = check.at(0, 0).eta_ms.unwrap();
        assert!((1_700..=2_000).contains(&eta_ms), "{eta_ms}");
    }

    #[test]
    fn an_unknown_length_gives_no_estimate() {
        let progress = Pace::new(Phase::Running, 0, 0).at(5, 1);
        assert_eq!((progress.permille, progress.eta_ms), (0, None));
    }
}

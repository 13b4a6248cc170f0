//! Progress in media time and frames, with speed and time to go.

use std::time::{Duration, Instant};

use rushes_shared::task::{Phase, Progress};

/// Share of an attempt that is over when the input is there, in thousandths.
const FETCHED: u64 = 20;
/// The same when the encode is done: a whole decode costs about a tenth of an encode.
const ENCODED: u64 = 900;
/// The same when the check is done.
const CHECKED: u64 = 980;

/// Measures one phase.
#[derive(Debug)]
pub(crate) struct Pace {
    phase: Phase,
    started: Instant,
    media_total_ns: u64,
    frames_total: u64,
}

impl Pace {
    pub(crate) fn new(phase: Phase, media_total_ns: u64, frames_total: u64) -> Self {
        Self { phase, started: Instant::now(), media_total_ns, frames_total }
    }

    /// Wall time since the phase began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the phase stands.
    pub(crate) fn at(&self, media_ns: u64, frames: u64) -> Progress {
        let total = self.media_total_ns.max(1);
        let done = media_ns.min(total);
        let (from, to) = match self.phase {
            Phase::Fetching | Phase::Storing => (0, FETCHED),
            Phase::Running => (FETCHED, ENCODED),
            Phase::Checking => (ENCODED, CHECKED),
        };
        let share = if self.media_total_ns == 0 { 0 } else { scaled(to - from, done, total) };
        let elapsed = self.elapsed();
        Progress {
            phase: self.phase,
            media_ns,
            media_total_ns: self.media_total_ns,
            frames,
            frames_total: self.frames_total,
            permille: u16::try_from(from + share).unwrap_or(1000),
            speed_permille: speed_permille(media_ns, elapsed),
            eta_ms: self.eta_ms(done, elapsed, to - from),
        }
    }

    /// Time to the attempt's end, from the time that this phase's share has taken so far.
    fn eta_ms(&self, done: u64, elapsed: Duration, span: u64) -> Option<u64> {
        if self.media_total_ns == 0 || done == 0 || elapsed < Duration::from_millis(300) {
            return None;
        }
        let elapsed_ms = millis(elapsed);
        let phase_ms = scaled(elapsed_ms, self.media_total_ns, done);
        let rest_of_phase = phase_ms.saturating_sub(elapsed_ms);
        let after = match self.phase {
            Phase::Running => scaled(phase_ms, 1000 - ENCODED, span.max(1)),
            Phase::Checking => scaled(phase_ms, 1000 - CHECKED, span.max(1)),
            Phase::Fetching | Phase::Storing => 0,
        };
        Some(rest_of_phase + after)
    }
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
        assert_eq!(encode.at(0, 0).permille, 20);
        assert_eq!(encode.at(1000, 10).permille, 900);
        assert_eq!(check.at(0, 0).permille, 900);
        assert_eq!(check.at(5000, 50).permille, 980);
    }

    #[test]
    fn an_unknown_length_gives_no_estimate() {
        let pace = Pace::new(Phase::Running, 0, 0);
        let progress = pace.at(5, 1);
        assert_eq!((progress.permille, progress.eta_ms), (20, None));
    }
}

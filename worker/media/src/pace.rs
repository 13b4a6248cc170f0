//! Progress in media time and frames, with speed and time to go.

use std::time::{Duration, Instant};

use rushes_shared::task::{Phase, Progress};

/// Share of an encode and its check that is over when the encode is done, in thousandths: most of what the check needs
/// is decoded beside the encode.
const ENCODED: u64 = 980;

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
}

impl Pace {
    pub(crate) fn new(phase: Phase, media_total_ns: u64, frames_total: u64) -> Self {
        Self { phase, started: Instant::now(), media_total_ns, frames_total, part: (0, 1), expected_ms: None }
    }

    /// The same for one of several passes, from 0.
    pub(crate) fn part(self, number: u64, of: u64) -> Self {
        Self { part: (number, of.max(1)), ..self }
    }

    /// The same for a check of what an encode took so long for.
    pub(crate) fn after_encode(self, encode_ms: u64) -> Self {
        Self { expected_ms: Some(scaled(encode_ms, 1000 - ENCODED, ENCODED)), ..self }
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
        let phase_ms = scaled(elapsed_ms, total, done);
        let (from, to) = self.span();
        Some(phase_ms.saturating_sub(elapsed_ms) + scaled(phase_ms, 1000 - to, to - from))
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

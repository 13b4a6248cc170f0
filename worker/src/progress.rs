//! How far a whole attempt is: what its phases say, weighed by what they usually cost.

use rushes_shared::task::{Phase, Progress, TaskKind};

/// Measures one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    kind: TaskKind,
}

impl Meter {
    /// For an attempt of this kind.
    #[must_use]
    pub fn new(kind: TaskKind) -> Self {
        Self { kind }
    }

    /// Bytes on their way.
    #[must_use]
    pub fn transfer(&self, phase: Phase, done: u64, all: u64) -> Progress {
        Progress { phase, permille: whole_share(self.kind, phase, share(done, all)), ..Progress::default() }
    }

    /// The task process has its job.
    #[must_use]
    pub fn start(&self) -> Progress {
        let phase = Phase::Running;
        Progress { phase, permille: whole_share(self.kind, phase, 0), ..Progress::default() }
    }

    /// What the task process says, with the share of the whole attempt filled in.
    #[must_use]
    pub fn work(&self, said: Progress) -> Progress {
        // Frames tell best; a file of unknown length only has its time, or nothing.
        let done = if said.frames_total > 0 {
            share(said.frames, said.frames_total)
        } else {
            share(said.media_ns, said.media_total_ns)
        };
        Progress { permille: whole_share(self.kind, said.phase, done), ..said }
    }
}

/// `done` of `all` in thousandths; 0 where the whole is unknown.
fn share(done: u64, all: u64) -> u16 {
    if all == 0 {
        return 0;
    }
    let permille = u128::from(done.min(all)) * 1000 / u128::from(all);
    u16::try_from(permille).unwrap_or(1000)
}

/// Thousandths of the whole attempt, given those of a phase.
#[must_use]
pub fn whole_share(kind: TaskKind, phase: Phase, within: u16) -> u16 {
    // A whole decode of a result costs about a tenth of its encode.
    let borders: [u16; 5] = match kind {
        TaskKind::Encode => [0, 30, 890, 970, 1000],
        TaskKind::Noop | TaskKind::Probe => [0, 700, 1000, 1000, 1000],
    };
    let index = phase as usize;
    let (from, to) = (borders[index], borders[index + 1]);
    let part = u32::from(to - from) * u32::from(within.min(1000)) / 1000;
    from + u16::try_from(part).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_through_the_phases_and_ends_at_the_whole() {
        let meter = Meter::new(TaskKind::Encode);
        let at = |phase, frames| {
            meter.work(Progress { phase, frames, frames_total: 100, ..Progress::default() }).permille
        };
        let seen = [
            meter.transfer(Phase::Fetching, 0, 0).permille,
            meter.transfer(Phase::Fetching, 50, 100).permille,
            at(Phase::Running, 0),
            at(Phase::Running, 50),
            at(Phase::Checking, 0),
            at(Phase::Checking, 100),
            meter.transfer(Phase::Storing, u64::MAX, u64::MAX).permille,
        ];
        assert!(seen.is_sorted(), "{seen:?}");
        assert_eq!((seen[0], seen[6]), (0, 1000));
    }

    #[test]
    fn without_frames_the_media_time_counts() {
        let said = Progress { phase: Phase::Running, media_ns: 5, media_total_ns: 10, ..Progress::default() };
        assert_eq!(Meter::new(TaskKind::Encode).work(said).permille, 460);
    }
}

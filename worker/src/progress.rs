//! How far a whole attempt is: transfers and work, weighed by what they usually cost. How the work's own phases weigh
//! against each other is the media library's to say.

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
        let (before, after) = self.work_span();
        let within = if phase == Phase::Storing { (after, 1000) } else { (0, before) };
        Progress { phase, permille: placed(within, share(done, all)), ..Progress::default() }
    }

    /// The task process has its job.
    #[must_use]
    pub fn start(&self) -> Progress {
        self.work(Progress { phase: Phase::Running, ..Progress::default() })
    }

    /// What the task process says, with its share of the work made one of the whole attempt.
    #[must_use]
    pub fn work(&self, said: Progress) -> Progress {
        Progress { permille: placed(self.work_span(), said.permille), ..said }
    }

    /// Where the work begins and ends, in thousandths of the attempt.
    fn work_span(&self) -> (u16, u16) {
        match self.kind {
            TaskKind::Encode | TaskKind::Sound | TaskKind::Stills | TaskKind::Chunk => (30, 970),
            TaskKind::Join => (100, 950),
            // Its files are fetched and stored whole; in between they are copied.
            TaskKind::Package => (200, 900),
            // Reading a file's facts takes less than fetching it, and nothing is stored.
            TaskKind::Noop | TaskKind::Trial | TaskKind::Probe => (700, 1000),
            TaskKind::Scan => (30, 1000),
            // Files are fetched and read in turn.
            TaskKind::Probes => (0, 990),
        }
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

/// Thousandths of the whole, given those of a part of it.
fn placed((from, to): (u16, u16), within: u16) -> u16 {
    let part = u32::from(to - from) * u32::from(within.min(1000)) / 1000;
    from + u16::try_from(part).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_through_the_phases_and_ends_at_the_whole() {
        let meter = Meter::new(TaskKind::Encode);
        let at = |phase, permille| meter.work(Progress { phase, permille, ..Progress::default() }).permille;
        let seen = [
            meter.transfer(Phase::Fetching, 0, 0).permille,
            meter.transfer(Phase::Fetching, 50, 100).permille,
            meter.start().permille,
            at(Phase::Running, 450),
            at(Phase::Checking, 900),
            at(Phase::Checking, u16::MAX),
            meter.transfer(Phase::Storing, u64::MAX, u64::MAX).permille,
        ];
        assert!(seen.is_sorted(), "{seen:?}");
        assert_eq!((seen[0], seen[6]), (0, 1000));
    }
}

//! What is out of the ordinary on a farm: tasks that stand still, failures that pile up, nodes that are slower than their
//! peers, a queue that outgrows the farm. Pure windows over what the engine sees; it decides what follows.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use rushes_shared::failure::FailureCode;
use rushes_shared::id::{JobId, WorkerId};
use rushes_shared::units::MonoMs;

/// Where most failures of a burst come from: three in four, or more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Source {
    /// The node on which they happened, if it is one.
    pub worker: Option<WorkerId>,
    /// The job whose they are, if it is one's.
    pub job: Option<JobId>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.worker, self.job) {
            (None, None) => Ok(()),
            (Some(worker), None) => write!(f, ", most on worker {worker}"),
            (None, Some(job)) => write!(f, ", most of {job}"),
            (Some(worker), Some(job)) => write!(f, ", most of {job} and on worker {worker}"),
        }
    }
}

/// Something out of the ordinary that lasts, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anomaly {
    /// Running tasks have stopped coming further.
    TasksStalled {
        /// How many.
        tasks: u32,
    },
    /// Failures of one kind pile up.
    ErrorBurst {
        /// Which kind.
        code: FailureCode,
        /// How many there were within the window.
        failures: u32,
        /// Where most of them come from.
        source: Source,
    },
    /// The latest attempts of a job have all failed: it is held back.
    JobFailing {
        /// Which.
        job: JobId,
    },
    /// A node is much slower than its peers.
    NodeSlow {
        /// Which.
        worker: WorkerId,
        /// What is known of its speed, in thousandths.
        speed_permille: u32,
        /// The median over the connected nodes, in thousandths.
        median_permille: u32,
    },
    /// More work comes than the farm gets done.
    QueueGrowing {
        /// By how much, in thousandths of what the farm gets done.
        permille: u32,
    },
}

impl Anomaly {
    /// Every name.
    pub const NAMES: [&str; 5] =
        ["tasks_stalled", "error_burst", "job_failing", "node_slow", "queue_growing"];

    /// The name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TasksStalled { .. } => "tasks_stalled",
            Self::ErrorBurst { .. } => "error_burst",
            Self::JobFailing { .. } => "job_failing",
            Self::NodeSlow { .. } => "node_slow",
            Self::QueueGrowing { .. } => "queue_growing",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TasksStalled { tasks: 1 } => f.write_str("a running task has stopped coming further"),
            Self::TasksStalled { tasks } => write!(f, "{tasks} running tasks have stopped coming further"),
            Self::ErrorBurst { code, failures, source } => {
                write!(f, "{failures} failures '{}' lately{source}", code.as_str())
            }
            Self::JobFailing { job } => {
                write!(f, "the latest attempts of {job} have all failed: one task of it is tried at a time")
            }
            Self::NodeSlow { worker, speed_permille, median_permille } => {
                let percent = u64::from(*speed_permille) * 100 / u64::from((*median_permille).max(1));
                write!(f, "{worker} has {percent} % of the usual speed")
            }
            Self::QueueGrowing { permille } => {
                write!(f, "{} % more work comes than the farm gets done", permille.div_ceil(10))
            }
        }
    }
}

/// Failures of each kind within a window.
#[derive(Debug, Default)]
pub struct Bursts {
    kinds: BTreeMap<FailureCode, Burst>,
}

#[derive(Debug, Default)]
struct Burst {
    /// The latest failures, oldest first; no more than make a burst.
    latest: VecDeque<(MonoMs, WorkerId, JobId)>,
    lasts: bool,
}

impl Bursts {
    /// Takes in a failure. Whether a burst begins with it, of `most` failures within `window_ms`.
    pub fn note(
        &mut self,
        (now, code): (MonoMs, FailureCode),
        (worker, job): (WorkerId, JobId),
        most: usize,
        window_ms: u64,
    ) -> bool {
        let burst = self.kinds.entry(code).or_default();
        burst.latest.push_back((now, worker, job));
        while burst.latest.len() > most.max(1) {
            burst.latest.pop_front();
        }
        let is_burst = burst.latest.len() >= most.max(1)
            && burst.latest.front().is_some_and(|(at, ..)| now.since(*at) <= window_ms);
        is_burst && !std::mem::replace(&mut burst.lasts, true)
    }

    /// Forgets what is older than the window; a burst ends when fewer than half as many failures are left.
    pub fn pass(&mut self, now: MonoMs, most: usize, window_ms: u64) {
        self.kinds.retain(|_, burst| {
            while burst.latest.front().is_some_and(|(at, ..)| now.since(*at) > window_ms) {
                burst.latest.pop_front();
            }
            burst.lasts &= burst.latest.len() * 2 >= most;
            !burst.latest.is_empty()
        });
    }

    /// Where most of the failures of a kind come from.
    #[must_use]
    pub fn source_of(&self, code: FailureCode) -> Source {
        self.kinds.get(&code).map_or_else(Source::default, Burst::source)
    }

    /// Bursts that last.
    pub fn lasting(&self) -> impl Iterator<Item = Anomaly> + '_ {
        self.kinds.iter().filter(|(_, burst)| burst.lasts).map(|(code, burst)| Anomaly::ErrorBurst {
            code: *code,
            failures: u32::try_from(burst.latest.len()).unwrap_or(u32::MAX),
            source: burst.source(),
        })
    }
}

impl Burst {
    fn source(&self) -> Source {
        let all = self.latest.len();
        let is_most = |count: &usize| count * 4 >= all * 3;
        let workers = most_frequent(self.latest.iter().map(|(_, worker, _)| *worker));
        let jobs = most_frequent(self.latest.iter().map(|(.., job)| *job));
        Source {
            worker: workers.filter(|(_, count)| is_most(count)).map(|(worker, _)| worker),
            job: jobs.filter(|(_, count)| is_most(count)).map(|(job, _)| job),
        }
    }
}

/// What comes most often, and how often.
fn most_frequent<T: Ord + Copy>(all: impl Iterator<Item = T>) -> Option<(T, usize)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    all.for_each(|item| *counts.entry(item).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count)
}

/// How the time that the farm needs for all that waits has grown over a window.
#[derive(Debug, Default)]
pub struct Growth {
    samples: VecDeque<(MonoMs, u64)>,
    /// By how much it grows, in thousandths of the time that passes, while it does.
    pub growing: Option<u32>,
}

impl Growth {
    /// Samples are kept this many to a window, or fewer: what comes more often takes the place of the one before.
    const APART: u64 = 500;

    /// Takes in how long the farm needs for all that waits. `Some` when that begins to grow by `permille` of the time
    /// that passes, or stops: it has to have grown over the whole window and over its second half, so that one large batch is none.
    pub fn note(&mut self, now: MonoMs, backlog_ms: u64, window_ms: u64, permille: u32) -> Option<bool> {
        let latest = [2, 1].map(|back| self.samples.len().checked_sub(back).map(|at| self.samples[at].0));
        if let [Some(before), Some(last)] = latest
            && last.since(before) < window_ms / Self::APART
        {
            self.samples.pop_back();
        }
        self.samples.push_back((now, backlog_ms));
        while self.samples.get(1).is_some_and(|(at, _)| now.since(*at) >= window_ms) {
            self.samples.pop_front();
        }
        let since = |at: usize| {
            let (then, before) = self.samples.get(at)?;
            let grown = u128::from(backlog_ms.saturating_sub(*before)) * 1_000;
            u32::try_from(grown / u128::from(now.since(*then).max(1))).ok()
        };
        let covers = self.samples.front().is_some_and(|(at, _)| now.since(*at) >= window_ms);
        let by = since(0)?.min(since(self.samples.len() / 2)?);
        let was = self.growing.is_some();
        self.growing = if covers && by >= permille.max(1) { Some(by) } else { None };
        (was != self.growing.is_some()).then_some(!was)
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_begins_once_and_ends_when_it_is_quiet() {
        let mut bursts = Bursts::default();
        let code = FailureCode::TransferFailed;
        let of = |n: u64| (WorkerId(u128::from(n % 2)), JobId(1));
        let begins: Vec<bool> =
            (0..5).map(|n| bursts.note((MonoMs(n * 100), code), of(n), 3, 1_000)).collect();
        assert_eq!(begins, [false, false, true, false, false]);
        let source = Source { worker: None, job: Some(JobId(1)) };
        assert_eq!(bursts.lasting().collect::<Vec<_>>(), [Anomaly::ErrorBurst { code, failures: 3, source }]);
        bursts.pass(MonoMs(1_200), 3, 1_000);
        assert_eq!(bursts.lasting().count(), 1);
        bursts.pass(MonoMs(2_000), 3, 1_000);
        assert_eq!(bursts.lasting().count(), 0);
        for n in 0..10 {
            assert!(
                !bursts.note((MonoMs(10_000 + n * 600), code), of(n), 3, 1_000),
                "too seldom for a burst"
            );
        }
    }

    #[test]
    fn growth_is_what_lasts_and_not_one_batch() {
        let growth = |backlog: &dyn Fn(u64) -> u64| {
            let mut growth = Growth::default();
            (0..40_u64).filter_map(|n| growth.note(MonoMs(n * 10), backlog(n), 100, 50)).collect::<Vec<_>>()
        };
        assert_eq!(growth(&|n| n * 2), [true], "a fifth more comes than is done");
        assert_eq!(growth(&|n| if n < 20 { n * 2 } else { 80 - n * 2 }), [true, false]);
        assert_eq!(
            growth(&|n| if n < 3 { 0 } else { 5_000 - n * 10 }),
            [false; 0],
            "one batch that is worked off"
        );
        assert_eq!(growth(&|_| 70), [false; 0]);
    }

    #[test]
    fn a_queue_that_is_measured_often_is_seen_to_grow_over_a_long_window() {
        let (mut growth, window_ms, every_ms) = (Growth::default(), 600_000, 100);
        let told: Vec<bool> = (0..12_000_u64)
            .filter_map(|n| growth.note(MonoMs(n * every_ms), n * every_ms / 5, window_ms, 50))
            .collect();
        assert_eq!((told, growth.growing), (vec![true], Some(200)));
        assert!(growth.samples.len() < 1_000, "{}", growth.samples.len());
    }
}

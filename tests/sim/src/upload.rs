//! An upload as the world knows it: what its owner asks for, and how long each of its tasks truly takes, which nobody
//! in the farm knows before.

use rushes_shared::id::{AttemptId, JobId};
use rushes_shared::job::JobState;

use crate::agenda::At;
use crate::chance::{Chance, fixed, fixed_share, log_normal};
use crate::scenario::{Content, Scenario, Truth};
use rushes_shared::job::Class;

/// A stage as this upload has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    /// Tasks.
    pub(crate) count: u32,
    /// Predicted duration of each on a node of speed 1.
    pub(crate) ms: f64,
    /// Index of the first task in the job's plan.
    pub(crate) first: u32,
    /// Whether it takes light places instead of cores.
    pub(crate) is_light: bool,
    /// Tasks that have not succeeded, on the disk.
    pub(crate) left: u32,
    /// Whether it is left out for the deadline's sake.
    pub(crate) is_dropped: bool,
}

/// What its owner knows about its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fate {
    /// Not submitted, or no answer yet.
    Asked,
    /// Accepted.
    Accepted,
    /// Refused.
    Refused,
    /// It ended.
    Ended(JobState, At),
}

/// One job of one owner.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) content: usize,
    pub(crate) tenant: usize,
    pub(crate) class: Class,
    pub(crate) at: At,
    pub(crate) deadline: Option<At>,
    pub(crate) stretches: Vec<Stretch>,
    /// Twins have the same seed: the same work, to the millisecond.
    pub(crate) truth_seed: u64,
    /// When its owner stops it, if it has not ended.
    pub(crate) canceled_at: Option<At>,
    /// Whether its owner has asked for that.
    pub(crate) is_canceled: bool,
    /// How often it was submitted.
    pub(crate) tries: u32,
    /// The job that the latest try asked for, or the accepted one.
    pub(crate) job: JobId,
    pub(crate) fate: Fate,
    /// Whether its deadline was promised to be kept.
    pub(crate) is_promised: bool,
    /// Published so far, a bit for each output.
    pub(crate) published: u32,
    /// Tasks that have succeeded, on the disk, a bit for each.
    pub(crate) done: Vec<u64>,
    /// Whether its first task has been started.
    pub(crate) first_start: Option<At>,
}

impl Upload {
    pub(crate) fn tasks(&self) -> u32 {
        self.stretches.iter().map(|s| s.count).sum()
    }

    /// Tasks, light and heavy, that have not succeeded and wait for no others.
    pub(crate) fn runnable(&self, content: &Content) -> [u64; 2] {
        let mut counts = [0, 0];
        for (stage, stretch) in content.stage.iter().zip(&self.stretches) {
            let is_done = |name: &String| {
                let at = content.stage.iter().position(|s| s.name == *name);
                at.is_some_and(|at| self.stretches[at].left == 0 || self.stretches[at].is_dropped)
            };
            if !stretch.is_dropped && stage.after.iter().all(is_done) {
                counts[usize::from(!stretch.is_light)] += u64::from(stretch.left);
            }
        }
        counts
    }

    /// Notes a success; `false` where the task had succeeded before.
    pub(crate) fn succeeded(&mut self, index: u32) -> bool {
        let (word, bit) = ((index / 64) as usize, 1_u64 << (index % 64));
        if self.done.len() <= word {
            self.done.resize(word + 1, 0);
        }
        let is_new = self.done[word] & bit == 0;
        self.done[word] |= bit;
        let of = self.stretches.iter().rposition(|s| s.first <= index);
        let stretch = &mut self.stretches[of.expect("the first stage begins with task 0")];
        stretch.left -= u32::from(is_new);
        is_new
    }

    fn stretch(&self, index: u32) -> &Stretch {
        let of = self.stretches.iter().rev().find(|s| s.first <= index);
        of.expect("the first stage begins with task 0")
    }

    /// The predicted duration of a task on a node of speed 1, in milliseconds.
    pub(crate) fn predicted_ms(&self, index: u32) -> f64 {
        self.stretch(index).ms
    }

    /// How long an attempt at a task truly takes on a node of speed 1, in milliseconds.
    pub(crate) fn true_ms(&self, truth: &Truth, index: u32, attempt: Option<AttemptId>) -> f64 {
        let by =
            if truth.outliers_by_attempt { attempt.map_or(0, |a| a.counter ^ a.epoch.0 << 48) } else { 0 };
        self.predicted_ms(index) * error_of(self.truth_seed, truth, index, by)
    }

    /// Length of its longest path on nodes of this speed with room for all of it, in seconds.
    pub(crate) fn true_path_s(&self, scenario: &Scenario, speed: f64) -> f64 {
        longest_path(scenario, self.content, &self.stretches, Some(self.truth_seed)) / speed / 1000.0
    }

    /// Whether a task fails wherever it runs.
    pub(crate) fn is_doomed(&self, index: u32, share: f64) -> bool {
        share > 0.0 && fixed_share(self.truth_seed, 3, u64::from(index)) < share
    }
}

/// Makes uploads. Twins come right behind one another.
#[derive(Debug)]
pub(crate) struct Owners {
    chance: Chance,
    seed: u64,
    made: u64,
}

impl Owners {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed, "content"), seed, made: 0 }
    }

    /// What arrives at a moment: one upload, or two that are paired.
    pub(crate) fn arrive(&mut self, scenario: &Scenario, at: At) -> Vec<Upload> {
        self.made += 1;
        let chance = &mut self.chance;
        let content = pick(chance, scenario.content.iter().map(|c| c.share));
        let tenant = pick(chance, scenario.tenant.iter().map(|t| t.share));
        let kind = &scenario.content[content];
        let mut first = 0;
        let mut stretches: Vec<Stretch> = Vec::with_capacity(kind.stage.len());
        for stage in &kind.stage {
            let [fewest, most] = stage.count;
            let more = u32::try_from(chance.below(u64::from(most - fewest) + 1)).expect("it is small");
            let count = fewest + more;
            let ms = (chance.between(stage.seconds) * 1000.0).max(1.0);
            stretches.push(Stretch {
                count,
                ms,
                first,
                is_light: stage.slot.is_light(),
                left: count,
                is_dropped: false,
            });
            first += count;
        }
        let truth_seed = fixed(self.seed, 4, self.made);
        let path_ms =
            longest_path(scenario, content, &stretches, kind.deadline_from_truth.then_some(truth_seed));
        let factor = kind.deadline.map(|range| chance.between(range));
        let deadline = factor.map(|f| at.plus(At::from_s(path_ms * f / 1000.0)));
        let canceled = chance.happens(kind.canceled);
        let canceled_at = canceled.then(|| at.plus(At::from_s(chance.wait(path_ms / 1000.0))));
        let upload = Upload {
            content,
            tenant,
            class: kind.class,
            at,
            deadline,
            stretches,
            truth_seed,
            canceled_at,
            is_canceled: false,
            tries: 0,
            job: JobId(0),
            fate: Fate::Asked,
            is_promised: false,
            published: 0,
            done: Vec::new(),
            first_start: None,
        };
        let twin = kind.paired_with.map(|class| Upload { class, ..upload.clone() });
        // Who of the two comes first must not always be the same one.
        let mut both: Vec<Upload> = std::iter::once(upload).chain(twin).collect();
        if chance.happens(0.5) {
            both.reverse();
        }
        both
    }
}

fn pick(chance: &mut Chance, shares: impl Iterator<Item = f64> + Clone) -> usize {
    let mut left = chance.share() * shares.clone().sum::<f64>();
    let mut last = 0;
    for (n, share) in shares.enumerate() {
        last = n;
        left -= share;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// How many times as long as predicted a task truly takes.
fn error_of(seed: u64, truth: &Truth, index: u32, attempt: u64) -> f64 {
    let which = u64::from(index);
    let is_outlier = fixed_share(seed ^ attempt, 2, which) < truth.outliers;
    log_normal(seed, 1, which, truth.sigma) * if is_outlier { truth.outlier_factor } else { 1.0 }
}

/// The longest path through the stages, in milliseconds: as predicted, or with a seed of the truth as it truly is.
fn longest_path(scenario: &Scenario, content: usize, stretches: &[Stretch], truth: Option<u64>) -> f64 {
    let stages = &scenario.content[content].stage;
    let longest = |s: &Stretch| match truth {
        None => s.ms,
        Some(seed) => {
            let errors = (s.first..s.first + s.count).map(|index| error_of(seed, &scenario.truth, index, 0));
            s.ms * errors.fold(0.0, f64::max)
        }
    };
    let mut ends = vec![0.0_f64; stages.len()];
    for (n, stage) in stages.iter().enumerate() {
        let before = stages[..n].iter().zip(&ends).filter(|(s, _)| stage.after.contains(&s.name));
        ends[n] = before.map(|(_, end)| *end).fold(0.0, f64::max) + longest(&stretches[n]);
    }
    ends.into_iter().fold(0.0, f64::max)
}

/// The upload that a job is of; its number is part of the id.
pub(crate) fn number(job: JobId) -> u32 {
    u32::try_from(job.0 & 0xffff_ffff).expect("it was masked")
}

/// The id of an upload's job; each try has one of its own.
pub(crate) fn job_id(wall_ms: u64, number: u32, tries: u32) -> JobId {
    JobId::from_parts(wall_ms, u128::from(tries) << 32 | u128::from(number))
}

//! An admission that knows everything: what each task will truly take and that no node will be lost. It takes an upload
//! exactly if every promise made so far, and this one, is then kept by the earliest-deadline-first list schedule. What
//! a farm admits is compared with it; nothing that runs could do as well.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::agenda::At;
use crate::chance::Chance;
use crate::scenario::{Moments, Scenario};
use crate::upload::{Owners, Upload};

/// What it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clairvoyance {
    /// Uploads with a deadline that came.
    pub promised: u64,
    /// Of them, those that it takes.
    pub admitted: u64,
    /// Of them, those that an empty farm could not have kept either.
    pub hopeless: u64,
}

/// Admits the uploads of a scenario and seed: the same ones that [`crate::run`] submits.
#[must_use]
pub fn clairvoyant(scenario: &Scenario, seed: u64) -> Clairvoyance {
    let arrivals = Chance::new(seed, "arrivals");
    let mut moments = Moments::new(&scenario.arrivals, scenario.uploads_per_hour(), scenario.hours, arrivals);
    let mut owners = Owners::new(seed);
    let mut plan = Plan::new(scenario);
    let mut result = Clairvoyance::default();
    let fastest = scenario.node.iter().map(|g| g.speed).fold(0.0, f64::max);
    while let Some(at) = moments.next() {
        for upload in owners.arrive(scenario, at) {
            plan.advance(at);
            let job = Job::new(scenario, &upload);
            let mut trial = plan.clone();
            trial.add(job.clone());
            trial.advance(At(u64::MAX));
            let keeps = !trial.is_late;
            if upload.deadline.is_some() {
                result.promised += 1;
                let best = at.plus(At::from_s(upload.true_path_s(scenario, fastest)));
                result.hopeless += u64::from(upload.deadline.is_some_and(|deadline| best > deadline));
                result.admitted += u64::from(keeps);
            }
            if keeps {
                plan.add(job);
            }
        }
    }
    result
}

#[derive(Debug, Clone)]
struct Stage {
    /// True durations of the tasks that have not started, the longest last.
    waiting: Vec<At>,
    open: u32,
    after: Vec<usize>,
    is_light: bool,
    is_released: bool,
}

#[derive(Debug, Clone)]
struct Job {
    deadline: At,
    stages: Vec<Stage>,
}

impl Job {
    fn new(scenario: &Scenario, upload: &Upload) -> Self {
        let content = &scenario.content[upload.content];
        let stages = content.stage.iter().zip(&upload.stretches).map(|(stage, stretch)| {
            let tasks = stretch.first..stretch.first + stretch.count;
            let ms = tasks.map(|index| upload.true_ms(&scenario.truth, index, None));
            let mut waiting: Vec<At> = ms.map(|ms| At::from_s(ms / 1000.0)).collect();
            waiting.sort_unstable();
            let place = |name: &String| content.stage.iter().position(|s| s.name == *name);
            Stage {
                waiting,
                open: stretch.count,
                after: stage.after.iter().filter_map(place).collect(),
                is_light: stretch.is_light,
                is_released: false,
            }
        });
        Self { deadline: upload.deadline.unwrap_or(At(u64::MAX)), stages: stages.collect() }
    }
}

/// A running task: when it ends, whose it is, where. Light tasks have no slot: places for them are plenty.
type Running = Reverse<(At, u64, usize, Option<usize>)>;

/// The farm as it will be.
#[derive(Debug, Clone)]
struct Plan {
    now: At,
    speeds: Vec<f64>,
    /// Free slots, slow ones first, so that the fastest is taken from the end.
    free: Vec<usize>,
    jobs: BTreeMap<u64, Job>,
    ready: BTreeMap<(At, u64, usize), ()>,
    running: BinaryHeap<Running>,
    count: u64,
    is_late: bool,
}

impl Plan {
    fn new(scenario: &Scenario) -> Self {
        let mut speeds = Vec::new();
        for group in &scenario.node {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4,000 cores")]
            let slots = group.count as usize * group.cores as usize;
            speeds.extend(std::iter::repeat_n(group.speed, slots));
        }
        let mut free: Vec<usize> = (0..speeds.len()).collect();
        free.sort_by(|a, b| speeds[*a].total_cmp(&speeds[*b]));
        Self {
            now: At(0),
            free,
            speeds,
            jobs: BTreeMap::new(),
            ready: BTreeMap::new(),
            running: BinaryHeap::new(),
            count: 0,
            is_late: false,
        }
    }

    fn add(&mut self, job: Job) {
        self.count += 1;
        self.jobs.insert(self.count, job);
        self.release(self.count);
        self.start();
    }

    /// Makes the stages of a job ready that wait for nothing more.
    fn release(&mut self, id: u64) {
        let job = self.jobs.get_mut(&id).expect("a job is released while it lives");
        for at in 0..job.stages.len() {
            let complete = job.stages[at].after.iter().all(|before| job.stages[*before].open == 0);
            let stage = &mut job.stages[at];
            if !complete || stage.is_released {
                continue;
            }
            stage.is_released = true;
            if stage.is_light {
                for takes in std::mem::take(&mut stage.waiting) {
                    self.running.push(Reverse((self.now.plus(takes), id, at, None)));
                }
            } else {
                self.ready.insert((job.deadline, id, at), ());
            }
        }
    }

    /// Fills free slots, the earliest deadline first, and of a stage the longest task first.
    fn start(&mut self) {
        while let Some(slot) = self.free.last().copied() {
            let Some(entry) = self.ready.first_entry() else { return };
            let (_, id, at) = *entry.key();
            let stage = &mut self.jobs.get_mut(&id).expect("a ready stage's job lives").stages[at];
            let Some(takes) = stage.waiting.pop() else {
                entry.remove();
                continue;
            };
            self.free.pop();
            let takes = At::from_s(takes.s() / self.speeds[slot]);
            self.running.push(Reverse((self.now.plus(takes), id, at, Some(slot))));
        }
    }

    fn advance(&mut self, to: At) {
        while let Some(Reverse((end, id, at, slot))) = self.running.peek().copied() {
            if end > to || self.is_late {
                break;
            }
            self.running.pop();
            self.now = end;
            if let Some(slot) = slot {
                let speed = self.speeds[slot];
                let place = self.free.partition_point(|other| self.speeds[*other] <= speed);
                self.free.insert(place, slot);
            }
            let job = self.jobs.get_mut(&id).expect("a running task's job lives");
            job.stages[at].open -= 1;
            if job.stages.iter().all(|stage| stage.open == 0) {
                self.is_late |= end > job.deadline;
                self.jobs.remove(&id);
            } else if job.stages[at].open == 0 {
                self.release(id);
            }
            self.start();
        }
        self.now = self.now.max(to.min(At(u64::MAX - 1)));
    }
}

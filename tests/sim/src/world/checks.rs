//! Invariants of the farm as a whole: what is cheap after each event, everything anew now and then, and at rest.

use std::collections::{BTreeMap, BTreeSet};

use rushes_core::job::Job;
use rushes_shared::id::TaskId;

use super::{Step, World};
use crate::agenda::At;
use crate::laws::broken;
use crate::upload::Fate;
use rushes_shared::job::Class;

/// A recount also compares the whole state with the fold over its records; where there is more of it than this many tasks
/// and keys, only every so many recounts.
const SMALL: usize = 1_000;
const SELDOM: u64 = 100;
/// How long a task that could run may stay unseen while there is room for it: the longest backoff, the windows after
/// a crash or a mass loss, and as much again.
const UNSEEN: At = At(300_000_000_000);

/// Ready tasks that no node held at the last recount, and since when.
#[derive(Debug, Default)]
pub(super) struct Idle {
    tasks: BTreeMap<TaskId, At>,
    /// When there was last no room at all, of either kind, or the farm was disturbed.
    full_at: At,
}

impl World<'_> {
    pub(super) fn check_wait(&self, class: Class, waited_ms: u64, task: TaskId) -> Step {
        let Some(bound) = self.scenario.waiting_bound_s.get(&class) else { return Ok(()) };
        let waited = At::from_ms(waited_ms);
        if waited > At::from_s(*bound) {
            return Err(broken!(
                WaitingIsBounded,
                "{task} of class {} waited {:.1} s for its start; its bound is {bound} s",
                class.as_str(),
                waited.s()
            ));
        }
        Ok(())
    }

    /// Looks at the farm's backlog and room.
    pub(super) fn look(&mut self) {
        let now = self.agenda.now();
        let (mut cpu, mut light, mut used_cpu, mut used_light) = (0_u64, 0_u64, 0_u64, 0_u64);
        for node in self.nodes.iter().filter(|n| n.alive) {
            cpu += u64::from(node.room.cpu);
            light += u64::from(node.room.light);
            used_cpu += u64::from(node.used.cpu);
            used_light += u64::from(node.used.light);
        }
        self.ledger.look(now, [cpu, light]);
        if self.engine.is_none() || used_cpu >= cpu || used_light >= light {
            self.free_since.full_at = now;
        }
    }

    /// Counts everything anew.
    pub(super) fn recount(&mut self) -> Step {
        for node in &self.nodes {
            let counted = node.recount();
            if counted != node.used || !counted.fits_in(node.room) {
                return Err(broken!(
                    CapacityIsKept,
                    "{} uses {counted:?} of {:?}, by its books {:?}",
                    node.facts.name,
                    node.room,
                    node.used
                ));
            }
        }
        let Some(engine) = &self.engine else { return Ok(()) };
        let state = engine.state();
        let size = state.jobs.values().map(|j| j.tasks.len()).sum::<usize>() + state.keys.len();
        self.recounts += 1;
        self.compare_due |= size <= SMALL || self.recounts.is_multiple_of(SELDOM);
        for index in &self.accepted {
            let job = self.uploads[*index as usize].job;
            // Its end may be made and not on the disk yet.
            if !state.jobs.contains_key(&job) && !self.disk.durable().jobs.contains_key(&job) {
                return Err(broken!(NoTaskLost, "{job} was accepted, has not ended and is gone"));
            }
        }
        self.check_starts()?;
        self.find_lost()
    }

    /// A task that is ready and that no node has seen for long, while there was room all the time, is lost.
    fn find_lost(&mut self) -> Step {
        let now = self.agenda.now();
        let calm_since = self.free_since.full_at.max(self.calm_since());
        let Some(engine) = self.engine.as_ref().filter(|_| now.since(calm_since) > UNSEEN) else {
            self.free_since.tasks.clear();
            return Ok(());
        };
        let attempts = self.nodes.iter().flat_map(|node| node.held.values());
        let held: BTreeSet<TaskId> = attempts.map(|h| h.order.task).collect();
        let mut tasks = BTreeMap::new();
        for job in engine.state().jobs.values() {
            for task in ready_of(job).filter(|task| !held.contains(task)) {
                let since = self.free_since.tasks.get(&task).copied().unwrap_or(now);
                let waited = now.since(since);
                if waited > UNSEEN {
                    return Err(broken!(
                        NoTaskLost,
                        "{task} could run for {:.0} s, there was room, and nobody ran it",
                        waited.s()
                    ));
                }
                tasks.insert(task, since);
            }
        }
        self.free_since.tasks = tasks;
        Ok(())
    }

    /// Since when no fault has struck.
    pub(super) fn calm_since(&self) -> At {
        let now = self.agenda.now();
        match (self.scenario.faults.strike_at_all(), self.is_disturbed()) {
            (false, _) => At(0),
            (true, true) => now,
            (true, false) => self.disturbed_until(),
        }
    }

    pub(super) fn check_at_rest(&mut self) -> Step {
        self.recount()?;
        let Some(engine) = &self.engine else { return Ok(()) };
        self.disk.is_folded_to(engine.state())?;
        if let Some(job) = engine.state().jobs.keys().next() {
            return Err(broken!(AcceptedEnds, "{job} is live at rest"));
        }
        for upload in &self.uploads {
            if !matches!(upload.fate, Fate::Ended(..) | Fate::Refused) {
                return Err(broken!(AcceptedEnds, "{} has no end at rest", upload.job));
            }
        }
        if let Some(node) = self.nodes.iter().find(|n| !n.held.is_empty()) {
            return Err(broken!(RestIsClean, "{} holds {:?} at rest", node.facts.name, node.held.keys()));
        }
        for doc in engine.workers() {
            if !doc.running.is_empty() {
                return Err(broken!(RestIsClean, "{} is booked for {:?} at rest", doc.name, doc.running));
            }
        }
        let left: Vec<String> = self.depot.staged().iter().map(ToString::to_string).collect();
        if !left.is_empty() {
            return Err(broken!(RestIsClean, "staged files are left of {}", left.join(", ")));
        }
        Ok(())
    }
}

/// Tasks of a job that are not over and wait for no others.
fn ready_of(job: &Job) -> impl Iterator<Item = TaskId> + '_ {
    let mut first = 0;
    let mut ends = Vec::with_capacity(job.stages.len());
    for stage in job.stages.iter() {
        ends.push((first, first + stage.count));
        first += stage.count;
    }
    let complete: Vec<bool> = ends
        .iter()
        .map(|(first, end)| job.tasks[*first as usize..*end as usize].iter().all(|t| t.success.is_some()))
        .collect();
    let open = job.stages.iter().zip(ends).filter(move |(stage, _)| {
        !stage.dropped
            && stage.after.iter().all(|before| complete.get(*before as usize).copied().unwrap_or(false))
    });
    open.flat_map(|(_, (first, end))| first..end)
        .filter(|index| !job.tasks[*index as usize].is_over())
        .map(|index| job.task_id(index))
}

//! What is known of a live job only in memory: its place in the queue, its ready tasks, its live attempts.

mod stage;

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::failure::Failure;
use rushes_shared::id::WorkerId;
use rushes_shared::job::Class;
use rushes_shared::task::TaskKind;
use rushes_shared::units::{MonoMs, WallMs};

use super::conflicts::Worth;
use super::gates::Gated;
use super::live::{Live, any_runs};
use super::losses::LostAlone;
use super::publishing::Tries;
use crate::event::ReplyTo;
use crate::job::Stopped;
use crate::list::Row;
use crate::order::Spot;
use crate::order::fair::TenantIx;
use crate::order::signature::SigIx;
use crate::promise::ledger::{Booking, Load, Power};

pub(super) use stage::StageRun;

/// Nodes that are remembered to have a job's input.
const MOST_INPUT_NODES: usize = 8;

/// How a job stands to its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Promise {
    /// It has none, or it is given up.
    #[default]
    None,
    /// There is time to spare.
    Fine,
    /// There is little: it goes ahead.
    AtRisk,
}

/// A live job.
#[derive(Debug)]
pub(super) struct JobRun {
    pub(super) tenant: TenantIx,
    /// Its priority, computed where its content's value decides.
    pub(super) priority: u8,
    /// Where it stands in the queue; `None` while nothing of it may start.
    pub(super) spot: Option<Spot>,
    pub(super) promise: Promise,
    /// Whether it was judged if the promise can be kept.
    pub(super) is_judged: bool,
    /// The class under which it has booked, and how much; see [`JobRun::booked`].
    booked_class: Class,
    pub(super) load: Load,
    pub(super) stages: Row<StageRun>,
    /// Tasks that have not succeeded.
    pub(super) open: u32,
    /// Whether a task has succeeded or failed.
    pub(super) touched: bool,
    /// Whether it is among [`super::Engine::jobs_started`].
    pub(super) is_started: bool,
    /// Whether it counts as one whose input is yet to be probed.
    pub(super) is_unplanned: bool,
    /// Live attempts by task index.
    pub(super) live: Live,
    rare: Option<Box<Rare>>,
}

/// What a job without deadline, files and owners who change their mind does not have: there may be a million that only
/// wait.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// The deadline under which it is among the promises that are fine.
    pub(super) fine_until: WallMs,
    /// The deadline under which it has booked.
    booked_until: Option<WallMs>,
    /// When its promise is looked at next.
    pub(super) looks_at: Option<MonoMs>,
    /// Its place among the promises that may yield, or that wait to be given again.
    pub(super) worth: Option<Worth>,
    /// The state of the books, and what may be promised of the farm, when quality was last given up in vain for it.
    pub(super) eased_in_vain: Option<(u64, Power)>,
    /// What it has to pass beside the farm as a whole.
    pub(super) gated: Option<Box<Gated>>,
    /// Publishes under way or waiting: tries so far, by output.
    pub(super) publishing: BTreeMap<u32, Tries>,
    /// Why the last of them did not come about, in words that name the output; nothing once one has.
    pub(super) held_up: Option<Box<Failure>>,
    /// Nodes that were lost while a task was all that ran there, by task.
    pub(super) lost_alone: BTreeMap<u32, LostAlone>,
    /// Outputs that the depot has been asked to publish and has not answered for.
    pub(super) publishes_in_flight: BTreeSet<u32>,
    /// Those who want the job canceled and wait until the depot has answered: what it publishes now is published.
    pub(super) cancels: Vec<ReplyTo>,
    /// Whether one task at a time is tried, because its attempts all fail.
    pub(super) is_held_back: bool,
    /// Workers that have read the input and may still have it, latest last.
    pub(super) input_on: Vec<WorkerId>,
    /// What was stopped of it for emergencies.
    pub(super) stopped: Option<Box<Stopped>>,
}

static NOTHING: Rare = Rare {
    fine_until: WallMs(0),
    booked_until: None,
    looks_at: None,
    worth: None,
    eased_in_vain: None,
    gated: None,
    publishing: BTreeMap::new(),
    held_up: None,
    lost_alone: BTreeMap::new(),
    publishes_in_flight: BTreeSet::new(),
    cancels: Vec::new(),
    is_held_back: false,
    input_on: Vec::new(),
    stopped: None,
};

impl JobRun {
    pub(super) fn new(tenant: TenantIx, priority: u8) -> Self {
        Self {
            tenant,
            priority,
            spot: None,
            promise: Promise::None,
            is_judged: false,
            booked_class: Class::default(),
            load: Load::default(),
            stages: Row::default(),
            open: 0,
            touched: false,
            is_started: false,
            is_unplanned: false,
            live: Live::default(),
            rare: None,
        }
    }

    /// What few jobs have.
    pub(super) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    /// The same to change it.
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// What it has booked.
    pub(super) fn booked(&self) -> Booking {
        Booking { class: self.booked_class, deadline: self.rare().booked_until, load: self.load }
    }

    /// Books something else; what it had booked before.
    pub(super) fn rebook(&mut self, booking: Booking) -> Booking {
        let before = self.booked();
        (self.booked_class, self.load) = (booking.class, booking.load);
        if before.deadline != booking.deadline {
            self.rare_mut().booked_until = booking.deadline;
        }
        before
    }

    /// The stage of a task.
    pub(super) fn stage_of(&mut self, task: u32) -> &mut StageRun {
        let stage = self.stages.iter_mut().find(|s| task < s.first + s.count);
        stage.expect("a known task has a stage")
    }

    /// Whether an attempt at a task runs, and does not only wait on its worker for room.
    pub(super) fn has_running(&self, task: u32) -> bool {
        self.live.get(&task).is_some_and(|live| any_runs(live))
    }

    /// Keeps the count of jobs of which a task has been started.
    pub(super) fn count_started(&mut self, jobs: &mut u64) {
        let is_started = self.touched || self.stages.iter().any(|s| s.running > 0);
        match (self.is_started, is_started) {
            (false, true) => *jobs += 1,
            (true, false) => *jobs -= 1,
            (true, true) | (false, false) => {}
        }
        self.is_started = is_started;
    }

    /// Whether a task is among the ready ones.
    pub(super) fn has_ready(&self, sig: SigIx) -> bool {
        self.stages.iter().any(|s| s.sig == sig && s.ready > 0)
    }

    /// Signatures of its ready tasks, some more than once.
    pub(super) fn ready_sigs(&self) -> impl Iterator<Item = SigIx> + '_ {
        self.stages.iter().filter(|s| s.ready > 0).map(|s| s.sig)
    }

    /// Notes that a worker has read the input.
    pub(super) fn note_input_on(&mut self, worker: WorkerId) {
        let input_on = &mut self.rare_mut().input_on;
        if !input_on.contains(&worker) {
            if input_on.len() == MOST_INPUT_NODES {
                input_on.remove(0);
            }
            input_on.push(worker);
        }
    }
}

/// Ready tasks by kind.
#[derive(Debug, Default)]
pub(super) struct ReadyCounts(BTreeMap<TaskKind, u64>);

impl ReadyCounts {
    pub(super) fn add(&mut self, kind: TaskKind, count: u32) {
        *self.0.entry(kind).or_default() += u64::from(count);
    }

    pub(super) fn sub(&mut self, kind: TaskKind, count: u32) {
        *self.0.entry(kind).or_default() -= u64::from(count);
    }

    pub(super) fn get(&self, kind: TaskKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be a million that only wait: what is added here is paid for by each.
    #[test]
    fn a_waiting_job_is_small() {
        assert!(size_of::<JobRun>() <= 136, "{}", size_of::<JobRun>());
        assert!(size_of::<crate::job::Job>() <= 128, "{}", size_of::<crate::job::Job>());
    }
}

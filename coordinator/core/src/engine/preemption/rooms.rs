//! Room that is being made for emergencies: for which of their tasks, where, and what still takes it.

use std::collections::{BTreeMap, BTreeSet};

use rushes_shared::id::{AttemptId, JobId, TaskId, WorkerId};
use rushes_shared::task::Demand;

use crate::order::fair::TenantIx;
use crate::order::signature::SigIx;

/// Room for one task.
#[derive(Debug)]
pub(super) struct Room {
    /// The emergency.
    pub(super) by: JobId,
    /// What its task needs.
    pub(super) sig: SigIx,
    /// The task, where not every one of the job may go there.
    pub(super) task: Option<TaskId>,
    pub(super) tenant: TenantIx,
    /// Named limits that the task will hold.
    pub(super) limits: Vec<String>,
    pub(super) worker: WorkerId,
    /// What the task takes there.
    pub(super) wanted: Demand,
    /// Stopped attempts that still take it.
    pub(super) left: BTreeSet<AttemptId>,
}

/// All of it.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rooms {
    /// The kind up to which the lane was looked through where a turn had to end before its end.
    pub(super) looked_to: Option<SigIx>,
    made: u64,
    rooms: BTreeMap<u64, Room>,
    attempts: BTreeMap<AttemptId, BTreeSet<u64>>,
    workers: BTreeMap<WorkerId, BTreeSet<u64>>,
    /// By job and need, and whether the tasks were set aside.
    of_jobs: BTreeMap<(JobId, SigIx, bool), u32>,
    for_tasks: BTreeSet<TaskId>,
    of_tenants: BTreeMap<TenantIx, u32>,
    of_limits: BTreeMap<String, u32>,
}

impl Rooms {
    /// What the tasks need for which it is being made.
    pub(super) fn sigs(&self) -> impl Iterator<Item = SigIx> + '_ {
        self.rooms.values().map(|room| room.sig)
    }

    /// Whether any is being made on a worker.
    pub(in crate::engine) fn is_on(&self, worker: WorkerId) -> bool {
        self.workers.contains_key(&worker)
    }

    /// Room is being made.
    pub(super) fn enter(&mut self, room: Room) {
        self.made += 1;
        let number = self.made;
        for attempt in &room.left {
            self.attempts.entry(*attempt).or_default().insert(number);
        }
        self.workers.entry(room.worker).or_default().insert(number);
        *self.of_jobs.entry((room.by, room.sig, room.task.is_some())).or_default() += 1;
        self.for_tasks.extend(room.task);
        *self.of_tenants.entry(room.tenant).or_default() += 1;
        for name in &room.limits {
            *self.of_limits.entry(name.clone()).or_default() += 1;
        }
        self.rooms.insert(number, room);
    }

    /// A stopped attempt takes no room any more. Whether it took any that is being made.
    pub(in crate::engine) fn gone(&mut self, attempt: AttemptId) -> bool {
        let Some(numbers) = self.attempts.remove(&attempt) else { return false };
        for number in numbers {
            let Some(room) = self.rooms.get_mut(&number) else { continue };
            room.left.remove(&attempt);
            if room.left.is_empty() {
                self.leave(number);
            }
        }
        true
    }

    fn leave(&mut self, number: u64) {
        let Some(room) = self.rooms.remove(&number) else { return };
        if let Some(of_worker) = self.workers.get_mut(&room.worker) {
            of_worker.remove(&number);
            if of_worker.is_empty() {
                self.workers.remove(&room.worker);
            }
        }
        one_less(&mut self.of_jobs, &(room.by, room.sig, room.task.is_some()));
        one_less(&mut self.of_tenants, &room.tenant);
        for name in &room.limits {
            one_less(&mut self.of_limits, name);
        }
        if let Some(task) = room.task {
            self.for_tasks.remove(&task);
        }
    }

    /// For how many tasks of a job with this need, beside those that were set aside.
    pub(super) fn of(&self, job: JobId, sig: SigIx) -> u32 {
        self.of_jobs.get(&(job, sig, false)).copied().unwrap_or(0)
    }

    /// For how many tasks of a job.
    pub(super) fn of_job(&self, job: JobId) -> u32 {
        let all = (job, SigIx(0), false)..=(job, SigIx(u32::MAX), true);
        self.of_jobs.range(all).map(|(_, count)| count).sum()
    }

    /// For how many tasks of a tenant.
    pub(super) fn of_tenant(&self, tenant: TenantIx) -> u32 {
        self.of_tenants.get(&tenant).copied().unwrap_or(0)
    }

    /// For how many tasks that will hold a named limit.
    pub(super) fn of_limit(&self, name: &str) -> u32 {
        self.of_limits.get(name).copied().unwrap_or(0)
    }

    /// Whether for this task.
    pub(super) fn is_for(&self, task: TaskId) -> bool {
        self.for_tasks.contains(&task)
    }

    /// What is being made on a worker.
    pub(super) fn on(&self, worker: WorkerId) -> impl Iterator<Item = &Room> + '_ {
        let numbers = self.workers.get(&worker).into_iter().flatten();
        numbers.filter_map(|number| self.rooms.get(number))
    }

    /// Where it is being made.
    pub(super) fn workers(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.keys().copied()
    }
}

fn one_less<K: Ord>(counts: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

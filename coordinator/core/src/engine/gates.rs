//! The books of what all tasks of some jobs have to pass: named limits, capped tenants, nodes with tags or of a pool. They
//! are kept like those of the whole farm, and are asked the same questions.
//!
//! ```text
//! flow    what a gate lets through, and what runs behind it
//! settle  which promises are given up where not all fit through
//! barred  why nothing of a job can start at all
//! ```

mod barred;
mod flow;
mod settle;

pub(super) use flow::AtOnce;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rushes_shared::id::{JobId, TenantId};
use rushes_shared::units::WallMs;

use super::Engine;
use super::run::JobRun;
use crate::job::{Job, Stage};
use crate::order::fair::TenantIx;
use crate::promise::gate::{Gate, Passing, Work};
use crate::promise::ledger::Ledger;
use crate::promise::path;
use crate::state::TenantLimits;

/// A gate of a job, and what each of its tasks holds of it.
pub(super) type Hold = (Arc<Gate>, u32);

/// What a job that has gates has booked at them.
#[derive(Debug, Default)]
pub(super) struct Gated {
    pub(super) gates: Vec<Hold>,
    pub(super) booked: Passing,
    /// How long the longest of its tasks takes that has not been started, when it last booked, in milliseconds.
    pub(super) longest_ms: u64,
}

/// The books of one gate.
#[derive(Debug, Default)]
pub(super) struct Flow {
    jobs: u64,
    /// How much of it each task of a job holds, and how many jobs there are of each.
    units: BTreeMap<u32, u32>,
    /// The longest tasks of jobs, and how many jobs have each.
    longest: BTreeMap<u64, u32>,
    pub(super) ledger: Ledger,
    /// Promises that are booked, by deadline.
    pub(super) promises: BTreeSet<(WallMs, JobId)>,
}

impl Flow {
    /// What all that its jobs hold at once is a multiple of, if others hold so many units each; 0 where nobody does.
    pub(super) fn step(&self, units: u32) -> u32 {
        self.units.keys().fold(units, |step, units| greatest_common_divisor(step, *units))
    }

    /// The most of it that each task of a job holds.
    pub(super) fn most_units(&self) -> u32 {
        self.units.last_key_value().map_or(0, |(units, _)| *units)
    }

    /// How long the longest task takes that is to pass, in milliseconds.
    fn longest_ms(&self) -> u64 {
        self.longest.last_key_value().map_or(0, |(ms, _)| *ms)
    }

    /// The same but for one job's, whose longest is `own_ms`.
    pub(super) fn longest_beside_ms(&self, own_ms: u64) -> u64 {
        let others = self.longest.iter().rev().find(|(ms, jobs)| **ms != own_ms || **jobs > 1);
        others.map_or(0, |(ms, _)| *ms)
    }

    /// Notes another longest task of a job; whether a longer one may be in the way now than before.
    fn count_longest(&mut self, before_ms: u64, after_ms: u64) -> bool {
        let longest_ms = self.longest_ms();
        count_one(&mut self.longest, before_ms, false);
        count_one(&mut self.longest, after_ms, true);
        after_ms > longest_ms
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Counts one in or out; what is counted no more is forgotten.
fn count_one<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K, more: bool) {
    if more {
        *counts.entry(key).or_default() += 1;
    } else if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// All of them. Those that no live job has are forgotten.
#[derive(Debug, Default)]
pub(super) struct Gates {
    flows: BTreeMap<Arc<Gate>, Flow>,
    /// Those of which less may be let through than before, or more is to be.
    crowded: BTreeSet<Arc<Gate>>,
    /// Those behind which longer tasks wait than before.
    slower: BTreeSet<Arc<Gate>>,
}

impl Gates {
    pub(super) fn flow(&self, gate: &Gate) -> Option<&Flow> {
        self.flows.get(gate)
    }

    /// Looks at a gate before anything else is started.
    pub(super) fn look_at(&mut self, gate: &Gate) {
        if let Some((known, _)) = self.flows.get_key_value(gate) {
            self.crowded.insert(Arc::clone(known));
        }
    }

    /// Looks at all of a kind.
    pub(super) fn look_at_all(&mut self, is_meant: impl Fn(&Gate) -> bool) {
        self.crowded.extend(self.flows.keys().filter(|gate| is_meant(gate)).cloned());
    }

    fn enter(&mut self, gate: Gate, units: u32) -> Arc<Gate> {
        let known = self.flows.get_key_value(&gate).map(|(known, _)| Arc::clone(known));
        let gate = known.unwrap_or_else(|| Arc::new(gate));
        let flow = self.flows.entry(Arc::clone(&gate)).or_default();
        flow.jobs += 1;
        count_one(&mut flow.units, units, true);
        count_one(&mut flow.longest, 0, true);
        gate
    }

    fn leave(&mut self, (gate, units): &Hold) {
        let Some(flow) = self.flows.get_mut(gate) else { return };
        flow.jobs -= 1;
        count_one(&mut flow.units, *units, false);
        count_one(&mut flow.longest, 0, false);
        if flow.jobs == 0 {
            self.flows.remove(gate);
            self.crowded.remove(gate);
            self.slower.remove(gate);
        }
    }

    /// Books something else for a job in place of what it had booked, and the longest of its tasks.
    fn rebook(&mut self, id: JobId, gated: &mut Gated, (after, longest_ms): (Passing, u64)) {
        let before = std::mem::replace(&mut gated.booked, after);
        let before_ms = std::mem::replace(&mut gated.longest_ms, longest_ms);
        for (gate, units) in &gated.gates {
            let flow = self.flows.get_mut(gate).expect("a gate of a live job is known");
            flow.ledger.unbook(&before.at(gate, *units));
            flow.ledger.book(&after.at(gate, *units));
            if before_ms != longest_ms && flow.count_longest(before_ms, longest_ms) {
                self.slower.insert(Arc::clone(gate));
            }
            if before.deadline != after.deadline {
                before.deadline.map(|at| flow.promises.remove(&(at, id)));
                flow.promises.extend(after.deadline.map(|at| (at, id)));
            }
        }
    }

    /// Enters a task of a job that is to be started again, or takes one off that was started.
    pub(super) fn shift(&mut self, gated: &mut Gated, one: Work, more: bool) {
        let one = if more { one } else { gated.booked.work.part(one) };
        let task = Passing { work: one, ..gated.booked };
        for (gate, units) in &gated.gates {
            let flow = self.flows.get_mut(gate).expect("a gate of a live job is known");
            flow.ledger.shift(&task.at(gate, *units), more);
        }
        let work = &mut gated.booked.work;
        *work = if more { work.plus(one) } else { work.minus(one) };
        if one.wall_ms > gated.longest_ms {
            let before_ms = std::mem::replace(&mut gated.longest_ms, one.wall_ms);
            for (gate, _) in &gated.gates {
                let flow = self.flows.get_mut(gate).expect("a gate of a live job is known");
                if flow.count_longest(before_ms, one.wall_ms) {
                    self.slower.insert(Arc::clone(gate));
                }
            }
        }
    }
}

/// What one task of a stage takes of gates.
pub(super) fn work_of(stage: &Stage) -> Work {
    Work { load: path::load_of(stage), wall_ms: stage.prediction.wall_ms }
}

/// Whether a tenant's cap is one that holds anybody back.
fn is_cap(limits: &TenantLimits) -> bool {
    limits.max_running < TenantLimits::default().max_running
}

impl Engine {
    /// The gates of a job, and what each of its tasks holds of them.
    pub(super) fn gates_of(&self, job: &Job, tenant: Option<TenantIx>) -> Vec<(Gate, u32)> {
        let mut gates = Vec::new();
        if let Some(needs) = &job.spec.needs {
            gates.extend(needs.limits.iter().map(|(name, units)| (Gate::Limit(name.clone()), *units)));
            if !(needs.tags.is_empty() && needs.pool.is_empty()) {
                gates.push((Gate::Nodes { pool: needs.pool.clone(), tags: needs.tags.clone() }, 1));
            }
        }
        let capped = tenant.filter(|ix| is_cap(&self.tenants.at(*ix).limits));
        gates.extend(capped.map(|ix| (Gate::Tenant(ix), 1)));
        gates
    }

    /// Has the cap of a tenant known before the first of its jobs passes it.
    pub(super) fn know_cap(&mut self, tenant: &TenantId) {
        if is_cap(&self.limits_of(tenant)) {
            self.tenant_ix(tenant);
        }
    }

    /// Gives a live job its gates. It books with [`Engine::rebook`].
    pub(super) fn enter_gates(&mut self, id: JobId) {
        let (job, tenant) = (&self.state.jobs[&id], self.runs[&id].tenant);
        let gates = self.gates_of(job, Some(tenant));
        if gates.is_empty() {
            return;
        }
        let gates = gates.into_iter().map(|(gate, units)| (self.gates.enter(gate, units), units)).collect();
        let run = self.runs.get_mut(&id).expect("a live job has a run");
        run.rare_mut().gated = Some(Box::new(Gated { gates, ..Gated::default() }));
    }

    /// Books at its gates what a job has booked of the farm.
    pub(super) fn rebook_gates(&mut self, id: JobId) {
        let Some((job, run)) = self.state.jobs.get(&id).zip(self.runs.get_mut(&id)) else { return };
        if run.rare().gated.is_none() {
            return;
        }
        let booked = run.booked();
        let (work, longest_ms) = waiting(job, run);
        let after = Passing { class: booked.class, deadline: booked.deadline, work };
        let mut gated = run.rare_mut().gated.take().expect("just seen");
        self.gates.rebook(id, &mut gated, (after, longest_ms));
        run.rare_mut().gated = Some(gated);
    }

    /// Takes a job that ends off the books of its gates.
    pub(super) fn leave_gates(&mut self, id: JobId, run: &mut JobRun) {
        if run.rare().gated.is_none() {
            return;
        }
        let mut gated = run.rare_mut().gated.take().expect("just seen");
        self.gates.rebook(id, &mut gated, (Passing::default(), 0));
        gated.gates.iter().for_each(|hold| self.gates.leave(hold));
    }

    /// A tenant got a cap, or has none any more: its jobs pass it from now on, or not.
    pub(super) fn regate_tenant(&mut self, ix: TenantIx, before: TenantLimits) {
        if is_cap(&before) != is_cap(&self.tenants.at(ix).limits) {
            let jobs: Vec<JobId> =
                self.runs.iter().filter(|(_, run)| run.tenant == ix).map(|(id, _)| *id).collect();
            for id in jobs {
                let mut run = self.runs.remove(&id).expect("just seen");
                self.leave_gates(id, &mut run);
                self.runs.insert(id, run);
                self.enter_gates(id);
                self.rebook_gates(id);
            }
        }
        self.gates.look_at(&Gate::Tenant(ix));
        self.note_room();
    }

    /// Whether the books of gates are what jobs have booked at them.
    ///
    /// # Errors
    /// What differs, in words for a developer.
    pub(super) fn recount_gates(&self) -> Result<(), String> {
        let mut bookings: BTreeMap<Arc<Gate>, Vec<_>> = BTreeMap::new();
        for (id, run) in self.runs.iter() {
            let job = &self.state.jobs[id];
            let booked = run.booked();
            let (work, longest_ms) = waiting(job, run);
            let due = Passing { class: booked.class, deadline: booked.deadline, work };
            let wanted = self.gates_of(job, Some(run.tenant));
            let gated = run.rare().gated.as_deref();
            let has = gated.map_or(&[][..], |gated| &gated.gates);
            if !has.iter().map(|(gate, units)| (&**gate, *units)).eq(wanted.iter().map(|(g, u)| (g, *u))) {
                return Err(format!("{id} passes {has:?}, not {wanted:?}"));
            }
            let Some(gated) = gated else { continue };
            if gated.booked != due {
                return Err(format!("{id} has booked {:?} at its gates, not {due:?}", gated.booked));
            }
            // What has been started since stays until the job books anew.
            if gated.longest_ms < longest_ms {
                return Err(format!("{id} has a task of {longest_ms} ms to pass, not {}", gated.longest_ms));
            }
            for (gate, units) in has {
                let told = (due.at(gate, *units), *units, gated.longest_ms, *id);
                bookings.entry(Arc::clone(gate)).or_default().push(told);
            }
        }
        let is_whole = |(gate, flow): (&Arc<Gate>, &Flow)| {
            let booked = bookings.get(gate).map_or(&[][..], Vec::as_slice);
            let promises = booked.iter().filter_map(|(due, .., id)| Some((due.deadline?, *id)));
            let (mut units, mut longest) = (BTreeMap::new(), BTreeMap::new());
            for (_, held, longest_ms, _) in booked {
                count_one(&mut units, *held, true);
                count_one(&mut longest, *longest_ms, true);
            }
            flow.jobs == booked.len() as u64
                && flow.ledger.holds(booked.iter().map(|(due, ..)| *due))
                && flow.promises == promises.collect()
                && (&flow.units, &flow.longest) == (&units, &longest)
        };
        let all = self.gates.flows.len() == bookings.len() && self.gates.flows.iter().all(is_whole);
        all.then_some(()).ok_or_else(|| "the books of gates are not what jobs have booked".to_owned())
    }
}

/// What a job has to pass that has not been started, and how long the longest task of that takes, in milliseconds.
fn waiting(job: &Job, run: &JobRun) -> (Work, u64) {
    let none = (Work::default(), 0);
    if job.spec.paused {
        return none;
    }
    let stages = job.stages.iter().zip(&run.stages).filter(|(stage, _)| !stage.dropped);
    stages.fold(none, |(sum, longest_ms), (stage, entered)| {
        let count = entered.open.saturating_sub(entered.running);
        let wall_ms = if count > 0 { stage.prediction.wall_ms } else { 0 };
        (sum.plus(work_of(stage).times(count)), longest_ms.max(wall_ms))
    })
}

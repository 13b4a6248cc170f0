//! What a gate lets through, what runs behind it, and how long its work takes.

use std::sync::Arc;

use rushes_shared::id::JobId;
use rushes_shared::job::Class;
use rushes_shared::units::{Now, WallMs};

use super::super::Engine;
use super::super::run::JobRun;
use super::{Gated, work_of};
use crate::job::{Job, Stage};
use crate::promise::gate::{Gate, Work};
use crate::promise::late::LateBy;
use crate::promise::ledger::{Load, Power, Running};

/// How many tasks of a job run at once, and what keeps more from it.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct AtOnce {
    pub(in super::super) tasks: u64,
    pub(in super::super) by: Option<LateBy>,
}

impl AtOnce {
    /// As many as there is room for.
    pub(in super::super) const ANY: Self = Self { tasks: u64::MAX, by: None };
}

impl Engine {
    /// What a gate lets through where tasks pass that hold so many units of it each, beside those that are booked.
    /// `None`: it lets everything through.
    pub(super) fn gate_power(&self, gate: &Gate, units: u32) -> Option<Power> {
        let speed = u64::from(self.fleet.usual_speed());
        match gate {
            Gate::Limit(name) => {
                let most = self.state.limits.get(name).copied()?;
                // What all of them hold together is a multiple of this, so that the rest is held by nobody.
                let step = self.gates.flow(gate).map_or(units, |flow| flow.step(units));
                let rest = most.checked_rem(step).unwrap_or(0);
                Some(Power { cores: u64::from(most - rest) * speed, light: 0 })
            }
            Gate::Tenant(ix) => {
                let most = self.tenants.at(*ix).limits.max_running;
                Some(Power { cores: u64::from(most) * speed, light: 0 })
            }
            Gate::Nodes { pool, tags } => Some(self.fleet.counted_on_of(pool, tags)),
        }
    }

    /// A named limit, where it is one that is set.
    pub(super) fn limit_of(&self, gate: &Gate) -> Option<u32> {
        let Gate::Limit(name) = gate else { return None };
        self.state.limits.get(name).copied()
    }

    /// What runs behind a gate that lets so much through.
    pub(super) fn gate_running(&self, now: Now, gate: &Gate, power: Power) -> Running {
        match gate {
            Gate::Limit(name) => self.fleet.held_left(now.mono, |passing| passing.limits.get(name)),
            Gate::Tenant(ix) => self.fleet.held_left(now.mono, |passing| passing.tenants.get(ix.0 as usize)),
            Gate::Nodes { pool, tags } => return self.fleet.running_left_on(now.mono, pool, tags),
        }
        .at_most(power)
    }

    /// How many tasks of a job run at once at most, whatever room the farm has: at its narrowest limit or cap.
    pub(super) fn passes_at_once<'a>(&self, gates: impl IntoIterator<Item = (&'a Gate, u32)>) -> AtOnce {
        let of = |(gate, units): (&'a Gate, u32)| match gate {
            Gate::Limit(name) => self
                .state
                .limits
                .get(name)
                .map(|most| AtOnce { tasks: u64::from(most / units.max(1)), by: Some(gate.late_by()) }),
            Gate::Tenant(ix) => {
                let tasks = u64::from(self.tenants.at(*ix).limits.max_running);
                Some(AtOnce { tasks, by: Some(gate.late_by()) })
            }
            Gate::Nodes { .. } => None,
        };
        gates.into_iter().filter_map(of).min_by_key(|gate| gate.tasks).unwrap_or(AtOnce::ANY)
    }

    /// The same of a live job.
    pub(in super::super) fn runs_at_once(&self, run: &JobRun) -> AtOnce {
        let Some(gated) = run.rare().gated.as_deref() else { return AtOnce::ANY };
        self.passes_at_once(gated.gates.iter().map(|(gate, units)| (&**gate, *units)))
    }

    /// The same of a job that would be submitted.
    pub(in super::super) fn would_run_at_once(&self, job: &Job) -> AtOnce {
        let gates = self.gates_of(job, self.tenants.ix(&job.tenant));
        self.passes_at_once(gates.iter().map(|(gate, units)| (gate, *units)))
    }

    /// How long something else may keep a live job's next task from passing one of its gates, in milliseconds: the longest
    /// task there, where each takes its turn.
    pub(in super::super) fn gates_block_ms(&self, run: &JobRun) -> u64 {
        let Some(gated) = run.rare().gated.as_deref() else { return 0 };
        let of = |(gate, units): &super::Hold| {
            let tasks = self.passes_at_once([(&**gate, *units)]);
            let longest_ms = self.gates.flow(gate)?.longest_beside_ms(gated.longest_ms);
            tasks.by.map(|_| longest_ms / tasks.tasks.max(1))
        };
        gated.gates.iter().filter_map(of).max().unwrap_or(0)
    }

    /// How long a job's gates need for what stands there before it and for its own work, in milliseconds: the longest of
    /// them. Of a live job that is what it has booked.
    pub(in super::super) fn gates_ms(
        &self,
        now: Now,
        job: &Job,
        run: Option<&JobRun>,
        stages: &[Stage],
    ) -> u64 {
        let tenant = run.map(|run| run.tenant).or_else(|| self.tenants.ix(&job.tenant));
        let all = stages.iter().filter(|stage| !stage.dropped);
        let own = all.fold(Work::default(), |sum, stage| sum.plus(work_of(stage).times(stage.count)));
        let own = run.map_or(own, |_| Work::default());
        let gates = self.gates_of(job, tenant).into_iter().filter_map(|(gate, units)| {
            let power = self.gate_power(&gate, units)?;
            let ahead = self
                .gates
                .flow(&gate)
                .map_or_else(Load::default, |flow| flow.ledger.ahead_of(job.spec.class));
            let left = self.gate_running(now, &gate, power).left;
            power.time_for(ahead.plus(left).plus(gate.load(units, own)))
        });
        gates.max().unwrap_or(0)
    }

    /// How long a live job's gates need for what is promised there by a deadline, in milliseconds: the longest of them.
    pub(in super::super) fn gates_due_ms(&self, now: Now, run: &JobRun, deadline: WallMs) -> u64 {
        let Some(Gated { gates, .. }) = run.rare().gated.as_deref() else { return 0 };
        let of = |gate: &Arc<Gate>| {
            let (flow, power) = (self.gates.flow(gate)?, self.gate_power(gate, 0)?);
            let running = self.gate_running(now, gate, power).within(deadline.0.saturating_sub(now.wall.0));
            power.time_for(flow.ledger.due_by(deadline).plus(flow.ledger.emergencies()).plus(running))
        };
        gates.iter().filter_map(|(gate, _)| of(gate)).max().unwrap_or(0)
    }

    /// How long one gate of a job needs until its next task gets through, in milliseconds: what stands before it is done
    /// first.
    pub(in super::super) fn limit_opens_ms(&self, now: Now, id: JobId, name: &str) -> Option<u64> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        let gated = run.rare().gated.as_deref()?;
        let is_it = |(gate, _): &&super::Hold| matches!(&**gate, Gate::Limit(limit) if limit == name);
        let (gate, units) = gated.gates.iter().find(is_it)?;
        self.gate_opens_ms(now, (job, gated), gate, *units)
    }

    /// The same for its tenant's cap.
    pub(in super::super) fn cap_opens_ms(&self, now: Now, id: JobId) -> Option<u64> {
        let (job, run) = (self.state.jobs.get(&id)?, self.runs.get(&id)?);
        let gated = run.rare().gated.as_deref()?;
        let (gate, units) = gated.gates.iter().find(|(gate, _)| matches!(**gate, Gate::Tenant(_)))?;
        self.gate_opens_ms(now, (job, gated), gate, *units)
    }

    fn gate_opens_ms(&self, now: Now, (job, gated): (&Job, &Gated), gate: &Gate, units: u32) -> Option<u64> {
        let (flow, power) = (self.gates.flow(gate)?, self.gate_power(gate, 0)?);
        if power == Power::default() || self.limit_of(gate).is_some_and(|most| units > most) {
            return None;
        }
        let before = match job.spec.class {
            Class::Emergency => Load::default(),
            class => flow.ledger.ahead_of(class).minus(gated.booked.at(gate, units).load),
        };
        power.time_for(before.plus(self.gate_running(now, gate, power).left))
    }
}

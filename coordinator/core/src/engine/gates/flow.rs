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
use crate::promise::ledger::{Load, Power, Running};

impl Engine {
    /// What a gate lets through. `None`: it lets everything through.
    pub(super) fn gate_power(&self, gate: &Gate) -> Option<Power> {
        let speed = u64::from(self.fleet.usual_speed());
        match gate {
            Gate::Limit(name) => {
                let most = self.state.limits.get(name).copied()?;
                Some(Power { cores: u64::from(most) * speed, light: 0 })
            }
            Gate::Tenant(ix) => {
                let most = self.tenants.at(*ix).limits.max_running;
                Some(Power { cores: u64::from(most) * speed, light: 0 })
            }
            Gate::Nodes { pool, tags } => Some(self.fleet.counted_on_of(pool, tags)),
        }
    }

    /// What runs behind a gate. Of the nodes that a gate is made of, as large a part of what runs on the farm as they are
    /// of it.
    pub(super) fn gate_running(&self, now: Now, gate: &Gate, power: Power) -> Running {
        match gate {
            Gate::Limit(name) => self.fleet.held_left(now.mono, |passing| passing.limits.get(name)),
            Gate::Tenant(ix) => self.fleet.held_left(now.mono, |passing| passing.tenants.get(ix.0 as usize)),
            Gate::Nodes { .. } => {
                let (all, farm) = (self.fleet.running_left(now.mono), self.fleet.counted_on());
                let part = |ms: u64, power: u64, of: u64| {
                    let part = u128::from(ms) * u128::from(power) / u128::from(of.max(1));
                    u64::try_from(part).unwrap_or(u64::MAX)
                };
                Running {
                    left: Load {
                        cores_ms: part(all.left.cores_ms, power.cores, farm.cores),
                        light_ms: part(all.left.light_ms, power.light, farm.light),
                    },
                    takes: Power {
                        cores: part(all.takes.cores, power.cores, farm.cores),
                        light: part(all.takes.light, power.light, farm.light),
                    },
                }
            }
        }
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
            let power = self.gate_power(&gate)?;
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
            let (flow, power) = (self.gates.flow(gate)?, self.gate_power(gate)?);
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
        let (flow, power) = (self.gates.flow(gate)?, self.gate_power(gate)?);
        if power == Power::default() {
            return None;
        }
        let before = match job.spec.class {
            Class::Emergency => Load::default(),
            class => flow.ledger.ahead_of(class).minus(gated.booked.at(gate, units).load),
        };
        power.time_for(before.plus(self.gate_running(now, gate, power).left))
    }
}

//! The sums that the engine keeps, counted anew from what they are sums of. For tests and simulations: it costs a look at
//! every job and every attempt.

use std::collections::BTreeMap;

use rushes_shared::id::JobId;

use super::Engine;
use crate::job::Job;
use crate::placement::node::Holding;
use crate::planner;

/// What holdings of one job take.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    light: u32,
    cpu: u64,
}

impl Engine {
    /// Whether the books, and all that is counted of what runs, are what a recount gives.
    ///
    /// # Errors
    /// The first sum that differs, in words for a developer.
    pub fn recount(&self) -> Result<(), String> {
        self.fleet.recount()?;
        self.recount_books()?;
        self.recount_gates()?;
        self.recount_holdings()?;
        self.recount_places()?;
        self.recount_stoppable()
    }

    /// What may be stopped for an emergency is live, and of no emergency.
    fn recount_stoppable(&self) -> Result<(), String> {
        for (id, node) in self.fleet.iter() {
            for (attempt, holding) in [false, true].into_iter().flat_map(|light| node.stoppable(light)) {
                let live = self.runs.get(&holding.task.job).and_then(|run| run.live.get(&holding.task.index));
                let is_live =
                    live.is_some_and(|live| live.iter().any(|l| l.attempt == attempt && l.worker == *id));
                if !is_live || self.is_emergency(holding.task.job) {
                    return Err(format!("{attempt} at {} may be stopped on {id}", holding.task));
                }
            }
        }
        Ok(())
    }

    /// How often it was looked for what could be given up for promises that did not fit any more.
    #[must_use]
    pub fn looks_for_trades(&self) -> u64 {
        self.conflicts.eased
    }

    fn recount_books(&self) -> Result<(), String> {
        for (id, run) in self.runs.iter() {
            let (booked, due) = (run.booked(), self.booking_of(*id));
            if due != Some(booked) {
                return Err(format!("{id} has booked {booked:?}, not {due:?}"));
            }
        }
        let is_unplanned = |job: &Job| !job.spec.paused && planner::is_unplanned(job);
        let (counted, found) =
            (self.usual.unplanned().0, self.state.jobs.values().filter(|job| is_unplanned(job)).count());
        if counted != found as u64 {
            return Err(format!("{found} jobs wait for the probe of their input, not {counted}"));
        }
        let is_whole = self.ledger.holds(self.runs.values().map(|run| run.booked()));
        is_whole.then_some(()).ok_or_else(|| "the books are not what jobs have booked".to_owned())
    }

    fn recount_holdings(&self) -> Result<(), String> {
        let mut taken: BTreeMap<JobId, Taken> = BTreeMap::new();
        let mut limits: BTreeMap<&str, u32> = BTreeMap::new();
        let mut running: BTreeMap<_, u32> = BTreeMap::new();
        let waiting = self.fleet.iter().flat_map(|(id, _)| self.ahead.on(*id).map(|entry| &entry.holding));
        let held = self.fleet.values().flat_map(|node| node.holdings.values().map(|holding| &**holding));
        for holding in held.chain(waiting) {
            let Holding { task, slot, demand, tenant, limits: named, .. } = holding;
            *running.entry(*tenant).or_default() += 1;
            for (name, count) in named.iter().flat_map(|named| named.iter()) {
                *limits.entry(name).or_default() += count;
            }
            let of_job = taken.entry(task.job).or_default();
            of_job.light += u32::from(slot.is_light());
            of_job.cpu += if slot.is_light() { 0 } else { u64::from(demand.cpu.0) };
        }
        let counted: BTreeMap<&str, u32> = self.limits_held.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        if limits != counted {
            return Err(format!("limits held are {limits:?}, not {counted:?}"));
        }
        for (id, run) in self.runs.iter() {
            let counted = Taken { light: run.live.light(), cpu: run.live.cpu() };
            let found = taken.remove(id).unwrap_or_default();
            if found != counted {
                return Err(format!("{id} takes {found:?}, not {counted:?}"));
            }
            let tenant = running.get(&run.tenant).copied().unwrap_or(0);
            if self.tenants.at(run.tenant).running != tenant {
                return Err(format!("the tenant of {id} runs {tenant} tasks"));
            }
        }
        Ok(())
    }
}

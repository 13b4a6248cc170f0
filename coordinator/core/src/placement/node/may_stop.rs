//! What may be stopped on a node for an emergency, kept as it changes: what could be had there, and what began last.

use std::collections::BTreeSet;

use rushes_shared::id::AttemptId;
use rushes_shared::units::MonoMs;

use super::{Holding, Node};

/// When an attempt began to take its room, and which it is. One that waited on its worker may begin after others that
/// were sent later.
pub(in crate::placement) type Begun = (MonoMs, AttemptId);

/// What may be stopped on a node for emergencies, of those that take cores, or light slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MayStop {
    /// Which.
    begun: BTreeSet<Begun>,
    /// What they take of the cores, in millicores.
    cpu: u32,
    /// What they take of the memory, in bytes.
    memory: u64,
}

impl MayStop {
    fn add(&mut self, attempt: AttemptId, holding: &Holding) {
        self.begun.insert((holding.since, attempt));
        self.cpu += holding.demand.cpu.0;
        self.memory += holding.demand.memory.0;
    }
}

impl Node {
    /// Changes what is known of a holding, and with it whether it may be stopped.
    pub(in crate::placement) fn change_holding(
        &mut self,
        attempt: AttemptId,
        with: impl FnOnce(&mut Holding),
    ) {
        let Some(mut holding) = self.holdings.remove(&attempt) else { return };
        let before = holding.is_stoppable();
        with(&mut holding);
        match (before, holding.is_stoppable()) {
            (true, false) => self.uncount_stoppable(attempt, &holding),
            (false, true) => self.count_stoppable(attempt, &holding),
            (true, true) | (false, false) => {}
        }
        self.holdings.insert(attempt, holding);
    }

    pub(super) fn count_stoppable(&mut self, attempt: AttemptId, holding: &Holding) {
        self.may_stop[usize::from(holding.slot.is_light())].add(attempt, holding);
    }

    pub(super) fn uncount_stoppable(&mut self, attempt: AttemptId, holding: &Holding) {
        let those = &mut self.may_stop[usize::from(holding.slot.is_light())];
        those.begun.remove(&(holding.since, attempt));
        those.cpu -= holding.demand.cpu.0;
        those.memory -= holding.demand.memory.0;
    }

    /// The attempt that began last of those that take cores, or light slots, and may be stopped for an emergency.
    pub(in crate::placement) fn latest_stoppable(&self, light: bool) -> Option<Begun> {
        self.may_stop[usize::from(light)].begun.last().copied()
    }

    /// CPU and memory that an emergency could have here, if all were stopped for it that may be.
    pub(in crate::placement) fn yields(&self) -> (u32, u64) {
        let of_cores = &self.may_stop[0];
        (self.cpu_free() + of_cores.cpu, self.memory_free() + of_cores.memory)
    }

    /// Attempts that take cores, or light slots, and may be stopped for an emergency: those that began last first.
    pub fn stoppable(&self, light: bool) -> impl Iterator<Item = (AttemptId, &Holding)> + '_ {
        let begun = self.may_stop[usize::from(light)].begun.iter().rev();
        begun.filter_map(|(_, attempt)| Some((*attempt, &**self.holdings.get(attempt)?)))
    }

    /// What of all that may be stopped here is counted differently than it is; for tests.
    pub(in crate::placement) fn recount_stoppable(&self) -> Result<(), String> {
        let mut found = <[MayStop; 2]>::default();
        for (attempt, holding) in self.holdings.iter().filter(|(_, holding)| holding.is_stoppable()) {
            found[usize::from(holding.slot.is_light())].add(*attempt, holding);
        }
        (found == self.may_stop)
            .then_some(())
            .ok_or_else(|| format!("{} may stop {found:?} and counts {:?}", self.name, self.may_stop))
    }
}

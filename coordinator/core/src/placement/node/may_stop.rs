//! What may be stopped on a node for an emergency, kept as it changes: what could be had there, and what began last.

use rushes_shared::id::AttemptId;

use super::{Holding, Node};

/// What may be stopped on a node for emergencies, of those that take cores, or light slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MayStop {
    /// How many there are.
    count: u32,
    /// What they take of the cores, in millicores.
    cpu: u32,
    /// What they take of the memory, in bytes.
    memory: u64,
    /// The one that was sent last.
    latest: Option<AttemptId>,
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
        let those = &mut self.may_stop[usize::from(holding.slot.is_light())];
        those.count += 1;
        those.cpu += holding.demand.cpu.0;
        those.memory += holding.demand.memory.0;
        those.latest = those.latest.max(Some(attempt));
    }

    /// The holding is out of the node's when this is called.
    pub(super) fn uncount_stoppable(&mut self, attempt: AttemptId, holding: &Holding) {
        let light = holding.slot.is_light();
        let those = &mut self.may_stop[usize::from(light)];
        those.count -= 1;
        those.cpu -= holding.demand.cpu.0;
        those.memory -= holding.demand.memory.0;
        if those.latest == Some(attempt) {
            those.latest = None;
            // Nodes of a thousand slots have one kind at a time, and nothing is looked through for the other.
            if those.count > 0 {
                let before = self.holdings.range(..attempt).rev();
                let next = before
                    .map(|(id, h)| (*id, h))
                    .find(|(_, h)| h.is_stoppable() && h.slot.is_light() == light);
                self.may_stop[usize::from(light)].latest = next.map(|(id, _)| id);
            }
        }
    }

    /// The attempt that was sent last of those that take cores, or light slots, and may be stopped for an emergency.
    pub(in crate::placement) fn latest_stoppable(&self, light: bool) -> Option<AttemptId> {
        self.may_stop[usize::from(light)].latest
    }

    /// CPU and memory that an emergency could have here, if all were stopped for it that may be.
    pub(in crate::placement) fn yields(&self) -> (u32, u64) {
        let of_cores = &self.may_stop[0];
        (self.cpu_free() + of_cores.cpu, self.memory_free() + of_cores.memory)
    }

    /// Attempts that take cores, or light slots, and may be stopped for an emergency: those that were sent last first.
    pub fn stoppable(&self, light: bool) -> impl Iterator<Item = (AttemptId, &Holding)> + '_ {
        let latest = self.latest_stoppable(light);
        let all = latest.into_iter().flat_map(|latest| self.holdings.range(..=latest).rev());
        let is_meant = move |holding: &Holding| holding.is_stoppable() && holding.slot.is_light() == light;
        all.map(|(attempt, holding)| (*attempt, &**holding)).filter(move |(_, holding)| is_meant(holding))
    }

    /// What of all that may be stopped here is counted differently than it is; for tests.
    pub(in crate::placement) fn recount_stoppable(&self) -> Result<(), String> {
        let mut found = [MayStop::default(); 2];
        for (attempt, holding) in self.holdings.iter().filter(|(_, holding)| holding.is_stoppable()) {
            let those = &mut found[usize::from(holding.slot.is_light())];
            those.count += 1;
            those.cpu += holding.demand.cpu.0;
            those.memory += holding.demand.memory.0;
            those.latest = Some(*attempt);
        }
        (found == self.may_stop)
            .then_some(())
            .ok_or_else(|| format!("{} may stop {found:?} and counts {:?}", self.name, self.may_stop))
    }
}

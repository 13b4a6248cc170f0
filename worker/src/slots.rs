//! What may run at once. The coordinator places within these bounds; the worker refuses what lies beyond them, so that
//! a wrong or late count elsewhere never overloads a node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{Demand, SlotKind};
use rushes_shared::units::{Bytes, Millicores};

/// What is in use, or may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    cpu: u32,
    memory: u64,
    light: u32,
    tasks: u32,
}

/// The worker's capacity.
#[derive(Debug, Clone)]
pub struct Slots {
    total: Amount,
    used: Arc<Mutex<Amount>>,
}

/// A share of the capacity; given back when dropped.
#[derive(Debug)]
pub struct Share {
    amount: Amount,
    used: Arc<Mutex<Amount>>,
}

fn lock(used: &Mutex<Amount>) -> MutexGuard<'_, Amount> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = lock(&self.used);
        used.cpu -= self.amount.cpu;
        used.memory -= self.amount.memory;
        used.light -= self.amount.light;
        used.tasks -= self.amount.tasks;
    }
}

impl Slots {
    /// The capacity that these facts advertise.
    #[must_use]
    pub fn new(facts: &NodeFacts) -> Self {
        let (Millicores(cpu), Bytes(memory)) = (facts.cpu, facts.memory);
        let total = Amount { cpu, memory, light: facts.light_slots, tasks: u32::MAX };
        Self { total, used: Arc::default() }
    }

    /// Takes a share for a task: of the cores by its demand, of light slots by count.
    ///
    /// # Errors
    /// A failure that another node, or this one later, can mend.
    pub fn take(&self, slot: SlotKind, demand: Demand) -> Result<Share, Failure> {
        let light = slot.is_light();
        let amount = Amount {
            cpu: if light { 0 } else { demand.cpu.0 },
            memory: if light { 0 } else { demand.memory.0 },
            light: u32::from(light),
            tasks: 1,
        };
        let mut used = lock(&self.used);
        let after = Amount {
            cpu: used.cpu.saturating_add(amount.cpu),
            memory: used.memory.saturating_add(amount.memory),
            light: used.light + amount.light,
            tasks: used.tasks + 1,
        };
        let lacking = if after.cpu > self.total.cpu {
            format!(
                "{} of {} millicores are in use, {} more are wanted",
                used.cpu, self.total.cpu, amount.cpu
            )
        } else if after.memory > self.total.memory {
            let (used, total, more) = (Bytes(used.memory), Bytes(self.total.memory), Bytes(amount.memory));
            format!("{used} of {total} of memory are in use, {more} more are wanted")
        } else if after.light > self.total.light {
            format!("all {} places for light tasks are in use", self.total.light)
        } else {
            *used = after;
            return Ok(Share { amount, used: Arc::clone(&self.used) });
        };
        let message = format!("the worker has no room for the task: {lacking}");
        Err(Failure::new(FailureCode::NodeUnfit, message, "it is tried again")
            .with_class(FailureClass::NodeFault))
    }

    /// How many tasks hold a share.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        lock(&self.used).tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_facts_is_refused_until_a_share_is_given_back() {
        let facts =
            NodeFacts { cpu: Millicores(2000), memory: Bytes(100), light_slots: 1, ..NodeFacts::default() };
        let slots = Slots::new(&facts);
        let demand = |cpu, memory| Demand { cpu: Millicores(cpu), memory: Bytes(memory) };
        let first = slots.take(SlotKind::Encode, demand(1500, 50)).expect("there is room");
        assert!(slots.take(SlotKind::Encode, demand(600, 0)).is_err(), "no CPU");
        assert!(slots.take(SlotKind::Encode, demand(100, 60)).is_err(), "no memory");
        let light = slots.take(SlotKind::Light, demand(2000, 100)).expect("light tasks count apart");
        assert!(slots.take(SlotKind::Light, demand(0, 0)).is_err(), "no light place");
        drop((first, light));
        assert_eq!(slots.in_use(), 0);
        assert!(slots.take(SlotKind::Encode, demand(2000, 100)).is_ok());
    }
}

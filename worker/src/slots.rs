//! What may run at once. The coordinator places within these bounds; the worker refuses what lies beyond them, so that
//! a wrong or late count elsewhere never overloads a node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::id::AttemptId;
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
    /// Orders that may wait for room.
    most_waiting: usize,
    desk: Arc<Mutex<Desk>>,
}

/// Told once there is room; it has the share from then on.
pub type Grant = Box<dyn FnOnce(Share) + Send>;

#[derive(Default)]
struct Desk {
    used: Amount,
    total: Amount,
    /// What waits for light slots, and for cores, by attempt: that is the order in which it was sent.
    light: BTreeMap<AttemptId, (Amount, Grant)>,
    cores: BTreeMap<AttemptId, (Amount, Grant)>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.light.len() + self.cores.len();
        f.debug_struct("Desk").field("used", &self.used).field("waiting", &waiting).finish_non_exhaustive()
    }
}

impl Desk {
    fn fits(&self, amount: Amount) -> bool {
        self.used.cpu.saturating_add(amount.cpu) <= self.total.cpu
            && self.used.memory.saturating_add(amount.memory) <= self.total.memory
            && self.used.light + amount.light <= self.total.light
    }

    fn add(&mut self, amount: Amount) {
        self.used.cpu += amount.cpu;
        self.used.memory += amount.memory;
        self.used.light += amount.light;
        self.used.tasks += amount.tasks;
    }

    /// The first of those that wait for light slots, or else for cores, if there is room for it.
    fn next(&mut self) -> Option<(Amount, Grant)> {
        let first = |line: &BTreeMap<AttemptId, (Amount, Grant)>| {
            line.first_key_value().map(|(_, (amount, _))| *amount)
        };
        let next = if first(&self.light).is_some_and(|a| self.fits(a)) {
            self.light.pop_first()
        } else if first(&self.cores).is_some_and(|a| self.fits(a)) {
            self.cores.pop_first()
        } else {
            None
        };
        let (_, (amount, grant)) = next?;
        self.add(amount);
        Some((amount, grant))
    }
}

/// A share of the capacity; given back when dropped.
#[derive(Debug)]
pub struct Share {
    amount: Amount,
    desk: Arc<Mutex<Desk>>,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets those begin that wait and have room now.
fn serve_waiting(desk: &Arc<Mutex<Desk>>) {
    loop {
        let next = lock(desk).next();
        let Some((amount, grant)) = next else { return };
        grant(Share { amount, desk: Arc::clone(desk) });
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut desk = lock(&self.desk);
        desk.used.cpu -= self.amount.cpu;
        desk.used.memory -= self.amount.memory;
        desk.used.light -= self.amount.light;
        desk.used.tasks -= self.amount.tasks;
        let waits = !desk.light.is_empty() || !desk.cores.is_empty();
        drop(desk);
        if waits {
            serve_waiting(&self.desk);
        }
    }
}

impl Slots {
    /// The capacity that these facts advertise, and how many orders may wait for it.
    #[must_use]
    pub fn new(facts: &NodeFacts, most_waiting: usize) -> Self {
        let (Millicores(cpu), Bytes(memory)) = (facts.cpu, facts.memory);
        let total = Amount { cpu, memory, light: facts.light_slots, tasks: u32::MAX };
        Self { total, most_waiting, desk: Arc::new(Mutex::new(Desk { total, ..Desk::default() })) }
    }

    /// Takes a share for a task: of the cores by its demand, of light slots by count. Where there is no room, the task
    /// waits, and `grant` is made and told later.
    ///
    /// # Errors
    /// Where too many wait: a failure that another node, or this one later, can mend.
    pub fn enter(
        &self,
        attempt: AttemptId,
        slot: SlotKind,
        demand: Demand,
        grant: impl FnOnce() -> Grant,
    ) -> Result<Option<Share>, Failure> {
        let light = slot.is_light();
        let amount = Amount {
            cpu: if light { 0 } else { demand.cpu.0 },
            memory: if light { 0 } else { demand.memory.0 },
            light: u32::from(light),
            tasks: 1,
        };
        let mut desk = lock(&self.desk);
        if desk.fits(amount) && (if light { &desk.light } else { &desk.cores }).is_empty() {
            desk.add(amount);
            return Ok(Some(Share { amount, desk: Arc::clone(&self.desk) }));
        }
        let used = desk.used;
        let never = amount.cpu > self.total.cpu
            || amount.memory > self.total.memory
            || amount.light > self.total.light;
        if never || desk.light.len() + desk.cores.len() >= self.most_waiting {
            return Err(self.no_room(used, amount));
        }
        let line = if light { &mut desk.light } else { &mut desk.cores };
        line.insert(attempt, (amount, grant()));
        Ok(None)
    }

    fn no_room(&self, used: Amount, amount: Amount) -> Failure {
        let lacking = if used.cpu.saturating_add(amount.cpu) > self.total.cpu {
            format!(
                "{} of {} millicores are in use, {} more are wanted",
                used.cpu, self.total.cpu, amount.cpu
            )
        } else if used.memory.saturating_add(amount.memory) > self.total.memory {
            let (used, total, more) = (Bytes(used.memory), Bytes(self.total.memory), Bytes(amount.memory));
            format!("{used} of {total} of memory are in use, {more} more are wanted")
        } else {
            format!("all {} places for light tasks are in use", self.total.light)
        };
        let message = format!("the worker has no room for the task: {lacking}");
        Failure::new(FailureCode::NodeUnfit, message, "it is tried again").with_class(FailureClass::NodeFault)
    }

    /// Takes an order out that waits. Whether it did: else it has a share, or is unknown.
    pub fn leave(&self, attempt: AttemptId) -> bool {
        let mut desk = lock(&self.desk);
        let gone = desk.light.remove(&attempt).or_else(|| desk.cores.remove(&attempt));
        drop(desk);
        // What waited behind it may be small enough.
        if gone.is_some() {
            serve_waiting(&self.desk);
        }
        gone.is_some()
    }

    /// A place in line that is left for good when this is dropped, if the order still waits then.
    #[must_use]
    pub fn place(&self, attempt: AttemptId) -> Place {
        Place { slots: self.clone(), attempt }
    }

    /// How many tasks hold a share.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        lock(&self.desk).used.tasks
    }
}

/// An order's place in line.
#[derive(Debug)]
pub struct Place {
    slots: Slots,
    attempt: AttemptId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slots.leave(self.attempt);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rushes_shared::id::Epoch;

    use super::*;

    fn attempt(counter: u64) -> AttemptId {
        AttemptId { epoch: Epoch(1), counter }
    }

    fn demand(cpu: u32, memory: u64) -> Demand {
        Demand { cpu: Millicores(cpu), memory: Bytes(memory) }
    }

    fn slots(most_waiting: usize) -> Slots {
        let facts =
            NodeFacts { cpu: Millicores(2000), memory: Bytes(100), light_slots: 1, ..NodeFacts::default() };
        Slots::new(&facts, most_waiting)
    }

    fn take(slots: &Slots, n: u64, slot: SlotKind, demand: Demand) -> Result<Option<Share>, Failure> {
        slots.enter(attempt(n), slot, demand, || Box::new(drop))
    }

    #[test]
    fn what_is_beyond_the_facts_is_refused_until_a_share_is_given_back() {
        let slots = slots(0);
        let first = take(&slots, 1, SlotKind::Encode, demand(1500, 50)).expect("there is room");
        assert!(take(&slots, 2, SlotKind::Encode, demand(600, 0)).is_err(), "no CPU");
        assert!(take(&slots, 3, SlotKind::Encode, demand(100, 60)).is_err(), "no memory");
        let light = take(&slots, 4, SlotKind::Light, demand(2000, 100)).expect("light tasks count apart");
        assert!(take(&slots, 5, SlotKind::Light, demand(0, 0)).is_err(), "no light place");
        drop((first, light));
        assert_eq!(slots.in_use(), 0);
        assert!(take(&slots, 6, SlotKind::Encode, demand(2000, 100)).is_ok());
    }

    #[test]
    fn what_waits_begins_in_the_order_in_which_it_was_sent_unless_it_has_left() {
        let slots = slots(3);
        let (granted, begins) = channel();
        let enter = |n: u64| {
            let granted = granted.clone();
            let grant = move || -> Grant {
                Box::new(move |share| granted.send((n, share)).expect("the test listens"))
            };
            slots.enter(attempt(n), SlotKind::Light, Demand::default(), grant)
        };
        let first = enter(1).expect("it is taken").expect("there is room");
        for n in [4, 2, 3] {
            assert!(enter(n).expect("it may wait").is_none());
        }
        assert!(enter(5).is_err(), "too many wait");
        assert!(slots.leave(attempt(2)) && !slots.leave(attempt(2)) && !slots.leave(attempt(1)));
        drop(first);
        let (n, share) = begins.try_recv().expect("the next begins");
        assert_eq!(n, 3);
        assert!(begins.try_recv().is_err(), "one at a time");
        drop(share);
        assert_eq!(begins.try_recv().expect("the last begins").0, 4);
        assert_eq!(slots.in_use(), 0);
    }
}

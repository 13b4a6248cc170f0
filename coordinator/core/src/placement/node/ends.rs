//! When what runs on a node should end, sorted; worked out when it is asked for and kept until something begins or ends
//! there. A node may hold a thousand attempts, and is asked for each task that could wait there.

use rushes_shared::task::Demand;
use rushes_shared::units::MonoMs;

use super::Holding;

/// The ends on one node.
#[derive(Debug)]
pub struct Ends {
    /// Of what takes light slots.
    light: Vec<MonoMs>,
    /// Of what takes cores, with what it takes.
    pub(in crate::placement) cores: Vec<(MonoMs, Demand)>,
    /// The least of CPU, and of memory, that any of those takes.
    pub(in crate::placement) least: Option<Demand>,
}

impl Ends {
    pub(super) fn of<'a>(holdings: impl Iterator<Item = &'a Holding>) -> Self {
        let (mut light, mut cores) = (Vec::new(), Vec::new());
        for holding in holdings {
            if holding.slot.is_light() {
                light.push(holding.until);
            } else {
                cores.push((holding.until, holding.demand));
            }
        }
        light.sort_unstable();
        cores.sort_by_key(|(until, _)| *until);
        let demands = cores.iter().map(|(_, demand)| *demand);
        let least = demands.reduce(|a, b| Demand { cpu: a.cpu.min(b.cpu), memory: a.memory.min(b.memory) });
        Self { light, cores, least }
    }

    /// How many there are of what takes light slots, or cores.
    #[must_use]
    pub fn count(&self, light: bool) -> usize {
        if light { self.light.len() } else { self.cores.len() }
    }

    /// One of them, by its place in their order.
    #[must_use]
    pub fn nth(&self, light: bool, at: usize) -> Option<MonoMs> {
        if light { self.light.get(at).copied() } else { self.cores.get(at).map(|(until, _)| *until) }
    }

    /// The first that is not before this.
    #[must_use]
    pub fn first_from(&self, light: bool, from: MonoMs) -> Option<MonoMs> {
        let before = match light {
            true => self.light.partition_point(|until| *until < from),
            false => self.cores.partition_point(|(until, _)| *until < from),
        };
        self.nth(light, before)
    }
}

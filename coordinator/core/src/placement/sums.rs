//! Sums over what runs: how much of it is left, by prediction, without a look at each attempt.

use std::collections::BTreeMap;

use rushes_shared::units::MonoMs;

use super::node::Holding;
use crate::promise::ledger::{Load, Power, Running};

/// A sum for cores, in millicores, and one for light slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Weighted {
    cores: u128,
    light: u128,
}

/// Of what runs: the sum of the times at which it should end, each times what it takes, and the sum of what it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    ends: Weighted,
    takes: Weighted,
}

impl Sums {
    /// Counts an attempt in or out.
    pub(super) fn count(&mut self, holding: &Holding, more: bool) {
        let (ends, takes) = (&mut self.ends, &mut self.takes);
        let until = u128::from(holding.until.0);
        let (end, take, part) = match holding.slot.is_light() {
            true => (&mut ends.light, &mut takes.light, 1),
            false => (&mut ends.cores, &mut takes.cores, u128::from(holding.demand.cpu.0)),
        };
        *end = if more { *end + until * part } else { *end - until * part };
        *take = if more { *take + part } else { *take - part };
    }

    /// What is left to do, in time at speed 1 of nodes that are so fast, in thousandths. What runs for longer than
    /// expected is set off against the rest.
    pub(super) fn left(&self, now: MonoMs, speed_permille: u32) -> Running {
        let Self { ends, takes } = *self;
        let left = |ends: u128, takes: u128| ends.saturating_sub(u128::from(now.0) * takes);
        let at_speed = |ms: u128| u64::try_from(ms * u128::from(speed_permille) / 1_000).unwrap_or(u64::MAX);
        let left = Load {
            cores_ms: at_speed(left(ends.cores, takes.cores) / 1_000),
            light_ms: at_speed(left(ends.light, takes.light)),
        };
        Running { left, takes: Power { cores: at_speed(takes.cores), light: at_speed(takes.light * 1_000) } }
    }
}

/// Of what runs behind a limit or a cap: the sum of the times at which it should end, times what each holds, and the sum of
/// what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    ends: u128,
    units: u64,
}

impl Held {
    fn count(&mut self, until: MonoMs, units: u32, more: bool) {
        let end = u128::from(until.0) * u128::from(units);
        self.ends = if more { self.ends + end } else { self.ends - end };
        self.units = if more { self.units + u64::from(units) } else { self.units - u64::from(units) };
    }

    /// What is left of it, in wall time times what is held, against thousandths of that.
    pub(super) fn left(&self, now: MonoMs, speed_permille: u32) -> Running {
        let speed = u64::from(speed_permille);
        let left = self.ends.saturating_sub(u128::from(now.0) * u128::from(self.units));
        let cores_ms = u64::try_from(left * u128::from(speed) / 1_000).unwrap_or(u64::MAX);
        let takes = Power { cores: self.units.saturating_mul(speed), light: 0 };
        Running { left: Load { cores_ms, light_ms: 0 }, takes }
    }
}

/// What runs, by what it has to pass.
#[derive(Debug, Default)]
pub struct Passing {
    /// Named limits.
    pub limits: BTreeMap<String, Held>,
    /// Tenants by number.
    pub tenants: Vec<Held>,
}

impl Passing {
    pub(super) fn count(&mut self, holding: &Holding, more: bool) {
        for (name, units) in holding.limits.iter().flat_map(|limits| limits.iter()) {
            let held = self.limits.entry(name.clone()).or_default();
            held.count(holding.until, *units, more);
            if *held == Held::default() {
                self.limits.remove(name);
            }
        }
        let tenant = holding.tenant.0 as usize;
        if self.tenants.len() <= tenant {
            self.tenants.resize_with(tenant + 1, Held::default);
        }
        self.tenants[tenant].count(holding.until, 1, more);
    }
}

//! Work in time of the farm, and what a farm gets done.

use rushes_shared::units::WallMs;

/// Milliseconds of cores and of light slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Core time in milliseconds on cores of speed 1.
    pub cores_ms: u64,
    /// Light-slot time in milliseconds.
    pub light_ms: u64,
}

impl Load {
    /// Both together with another.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cores_ms: self.cores_ms.saturating_add(other.cores_ms),
            light_ms: self.light_ms.saturating_add(other.light_ms),
        }
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        let count = u64::from(count);
        Self { cores_ms: self.cores_ms.saturating_mul(count), light_ms: self.light_ms.saturating_mul(count) }
    }

    /// Without another, which is part of it.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            cores_ms: self.cores_ms.saturating_sub(other.cores_ms),
            light_ms: self.light_ms.saturating_sub(other.light_ms),
        }
    }
}

/// What a farm gets done in a millisecond, in thousandths of a millisecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Power {
    /// Cores times speed, in thousandths of a core.
    pub cores: u64,
    /// Light slots times speed, in thousandths of a slot.
    pub light: u64,
}

impl Power {
    /// How long this takes if the farm does nothing else, in milliseconds. `None`: for ever.
    #[must_use]
    pub fn time_for(self, load: Load) -> Option<u64> {
        let of = |ms: u64, power: u64| match (ms, power) {
            (0, _) => Some(0),
            (_, 0) => None,
            (ms, power) => Some(ms.saturating_mul(1_000) / power),
        };
        Some(of(load.cores_ms, self.cores)?.max(of(load.light_ms, self.light)?))
    }

    /// A share of it, in thousandths.
    #[must_use]
    pub fn share(self, permille: u32) -> Self {
        let of = |power: u64| power.saturating_mul(u64::from(permille)) / 1_000;
        Self { cores: of(self.cores), light: of(self.light) }
    }
}

/// What is left to do of what runs. It takes time of the farm only as fast as it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Running {
    /// All of it.
    pub left: Load,
    /// What of the farm's power it takes.
    pub takes: Power,
}

impl Running {
    /// Both together with what runs elsewhere.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let takes = Power {
            cores: self.takes.cores.saturating_add(other.takes.cores),
            light: self.takes.light.saturating_add(other.takes.light),
        };
        Self { left: self.left.plus(other.left), takes }
    }

    /// The same where no more than so much goes through at once: what is above that goes on all the same, beside the rest.
    #[must_use]
    pub fn at_most(self, power: Power) -> Self {
        let part = |ms: u64, most: u64, takes: u64| match takes > most {
            true => u64::try_from(u128::from(ms) * u128::from(most) / u128::from(takes)).unwrap_or(ms),
            false => ms,
        };
        let (left, takes) = (self.left, self.takes);
        Self {
            left: Load {
                cores_ms: part(left.cores_ms, power.cores, takes.cores),
                light_ms: part(left.light_ms, power.light, takes.light),
            },
            takes: Power { cores: takes.cores.min(power.cores), light: takes.light.min(power.light) },
        }
    }

    /// What of it is done within so long, in milliseconds.
    #[must_use]
    pub fn within(self, ms: u64) -> Load {
        let of = |left: u64, takes: u64| left.min(takes.saturating_mul(ms) / 1_000);
        Load {
            cores_ms: of(self.left.cores_ms, self.takes.cores),
            light_ms: of(self.left.light_ms, self.takes.light),
        }
    }

    /// What of it is done by a time.
    pub(super) fn by(self, now: WallMs, end: u64) -> Load {
        self.within(end.saturating_sub(now.0))
    }
}

//! Guaranteed shares of the classes: a bound on waiting for everyone below the emergency lane.
//!
//! A class that has jobs waiting earns its share of everything that is started and pays for what it starts itself. While
//! its account is above zero it is owed a start and goes ahead of strict precedence. So a class with a share of s waits,
//! between two starts of its own, for others' starts of at most c/s + 3w of CPU time, where c is the cost of its last
//! start and w that of the largest task.

/// Accounts of bulk, standard and premium, in that order.
#[derive(Debug)]
pub struct Shares {
    permille: [u32; 3],
    /// Most that may be saved up, in thousandths of a millisecond of CPU time.
    most: i64,
    credit: [i64; 3],
}

impl Shares {
    /// Empty accounts.
    #[must_use]
    pub fn new(permille: [u32; 3], credit_ms: u64) -> Self {
        let most = i64::try_from(credit_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        Self { permille, most, credit: [0; 3] }
    }

    /// Accounts for a start by one class while these have jobs waiting.
    pub fn started(&mut self, class: usize, cost_ms: u64, backlog: [bool; 3]) {
        let cost = i64::try_from(cost_ms.clamp(1, 1 << 40)).unwrap_or(i64::MAX);
        for (at, waits) in backlog.into_iter().enumerate() {
            let earned = if waits || at == class { cost * i64::from(self.permille[at]) } else { 0 };
            let paid = if at == class { cost * 1_000 } else { 0 };
            let after = (self.credit[at] + earned - paid).min(self.most);
            // What was started while nobody else wanted it is not held against the class for long.
            self.credit[at] = if at == class { after.max(-paid) } else { after };
            if !waits {
                self.credit[at] = self.credit[at].min(0);
            }
        }
    }

    /// Takes an account of a start back: nothing was done.
    pub fn taken_back(&mut self, class: usize, cost_ms: u64, backlog: [bool; 3]) {
        let cost = i64::try_from(cost_ms.clamp(1, 1 << 40)).unwrap_or(i64::MAX);
        for (at, waits) in backlog.into_iter().enumerate() {
            let earned = if waits || at == class { cost * i64::from(self.permille[at]) } else { 0 };
            let paid = if at == class { cost * 1_000 } else { 0 };
            self.credit[at] = (self.credit[at] - earned + paid).min(self.most);
            if !waits {
                self.credit[at] = self.credit[at].min(0);
            }
        }
    }

    /// Whether a class is owed a start before those above it.
    #[must_use]
    pub fn is_owed(&self, class: usize) -> bool {
        self.credit[class] > 0
    }

    /// The classes in the order in which they are to be looked at: those that are owed a start first.
    #[must_use]
    pub fn order(&self) -> [usize; 3] {
        let mut order = [2, 1, 0];
        order.sort_by_key(|c| std::cmp::Reverse(self.credit[*c].max(0)));
        order
    }
}

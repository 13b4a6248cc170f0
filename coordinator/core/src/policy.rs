//! The engine's limits and times, as the operator set them.

use rushes_shared::job::{Class, Priority};
use rushes_shared::request::FILES_OF_A_TASK;
use rushes_shared::task::{TaskKind, TaskLimits};
use rushes_shared::units::Bytes;
use serde::{Deserialize, Serialize};

use crate::order::OrderRule;
use crate::order::value::ValueWeights;
use crate::splitmix::splitmix;
use crate::state::TenantLimits;

/// Settings of the engine. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Most jobs that have not ended, over all tenants.
    pub max_jobs: u64,
    /// Attempts at a task before it is given up, the first one included.
    pub max_attempts: u32,
    /// A task whose process died on this many different nodes is poison: it is given up at once. So is one that was alone
    /// on twice as many nodes that were lost, where no others were.
    pub poison_nodes: u32,
    /// Attempts at a task that may be lost with their nodes before it is given up. They are none of its attempts.
    pub max_lost: u32,
    /// Delay before the second attempt; doubles with each further one.
    pub retry_base_ms: u64,
    /// Longest delay between attempts.
    pub retry_max_ms: u64,
    /// How often a worker sends a heartbeat.
    pub heartbeat_ms: u64,
    /// How long a worker's attempts stay its own without a heartbeat.
    pub lease_ms: u64,
    /// How long leases are held when most workers fell silent at once.
    pub mass_loss_hold_ms: u64,
    /// After a start, how long workers of the reign before have to re-attach.
    pub reattach_ms: u64,
    /// How long an idempotency key is remembered,
    pub idempotency_ms: u64,
    /// unless so many newer ones were used since.
    pub max_keys: usize,
    /// How long a worker that is gone stays known, with its speed, its drain and its quarantine.
    pub forget_workers_ms: u64,
    /// Delay before a failed publish is tried again; doubles up to `retry_max_ms`.
    pub publish_retry_ms: u64,
    /// How long it is tried again before its job fails.
    pub publish_hold_ms: u64,
    /// Length of the pieces that an output is made in where there is more than one node, in seconds; 0 makes every output
    /// whole.
    pub piece_s: u32,
    /// Bounds on a probe.
    pub probe: StepLimits,
    /// Bounds on an encode.
    pub encode: StepLimits,
    /// What a tenant may have unless it was set otherwise.
    pub tenant: TenantLimits,
    /// Who is next.
    pub order: OrderPolicy,
    /// Deadlines.
    pub promise: PromisePolicy,
    /// Nodes and tasks that do not do as their peers.
    pub health: HealthPolicy,
    /// Up to how many jobs each class is taken.
    pub room: RoomPolicy,
}

/// Up to how many jobs each class is taken, in thousandths of [`Policy::max_jobs`]. The rest is kept for higher classes:
/// emergencies have all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomPolicy {
    /// Bulk.
    pub bulk_permille: u32,
    /// Bulk while the queue grows.
    pub growing_bulk_permille: u32,
    /// Standard.
    pub standard_permille: u32,
    /// Premium.
    pub premium_permille: u32,
}

impl Default for RoomPolicy {
    fn default() -> Self {
        Self { bulk_permille: 800, growing_bulk_permille: 500, standard_permille: 900, premium_permille: 950 }
    }
}

impl RoomPolicy {
    /// How many jobs there may be, rounded up, before another one of this class is refused. No class has less room than
    /// a lower one.
    #[must_use]
    pub fn jobs_of(&self, class: Class, max_jobs: u64, is_growing: bool) -> u64 {
        let bulk =
            if is_growing { self.growing_bulk_permille.min(self.bulk_permille) } else { self.bulk_permille };
        let standard = self.standard_permille.max(bulk);
        let permille = match class {
            Class::Bulk => bulk,
            Class::Standard => standard,
            Class::Premium => self.premium_permille.max(standard),
            Class::Emergency => 1_000,
        };
        let jobs = (u128::from(max_jobs) * u128::from(permille.min(1_000))).div_ceil(1_000);
        u64::try_from(jobs).unwrap_or(max_jobs)
    }
}

/// Nodes and tasks that do not do as their peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthPolicy {
    /// Latest tasks by which a node is judged.
    pub window: usize,
    /// Failed ones among them that make it suspect.
    pub failed: usize,
    /// How long it gets nothing at first, in milliseconds; doubles each time that its probe fails,
    pub quarantine_ms: u64,
    /// up to this.
    pub max_quarantine_ms: u64,
    /// A hardware encoder that fails so many tasks in a row gets none for as long, doubling in the same way.
    pub encoder_failures: u32,
    /// A task at its job's tail that has taken this much of what was expected, in thousandths, gets a second attempt.
    pub straggler_permille: u32,
    /// A task that has told how far it is and has not come further for so long, in milliseconds, is stalled and is tried
    /// elsewhere as well. 0: none is.
    pub stalled_ms: u64,
    /// So many failures of one kind are a burst, at most 10,000; 0: none are,
    pub burst_failures: usize,
    /// within so long, in milliseconds.
    pub burst_window_ms: u64,
    /// A job of which so many attempts in a row have failed, with what may pass, is held back: one task of it is tried at a
    /// time until one succeeds. 0: none is.
    pub job_failures: u32,
    /// A node whose learned speed is below this share of the connected nodes' median, in thousandths, is slow. 0: none is.
    pub slow_permille: u32,
    /// The queue is growing when the time that the farm needs for all that waits has grown over so long, in milliseconds,
    pub growth_window_ms: u64,
    /// by more than this share of that time, in thousandths.
    pub growth_permille: u32,
    /// How often nodes are compared and the queue is measured, in milliseconds, at least 100.
    pub watch_ms: u64,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        Self {
            window: 10,
            failed: 5,
            quarantine_ms: 60_000,
            max_quarantine_ms: 3_600_000,
            encoder_failures: 3,
            straggler_permille: 2_000,
            stalled_ms: 60_000,
            burst_failures: 20,
            burst_window_ms: 60_000,
            job_failures: 10,
            slow_permille: 500,
            growth_window_ms: 600_000,
            growth_permille: 50,
            watch_ms: 10_000,
        }
    }
}

/// What becomes of a job whose deadline cannot be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It is taken, and the answer says so.
    #[default]
    Advise,
    /// It is refused.
    Refuse,
}

/// Deadlines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromisePolicy {
    /// What becomes of a job whose deadline cannot be kept.
    pub admission: Admission,
    /// Share of the farm that promises may fill, in thousandths.
    pub load_permille: u32,
    /// The ninth decile of what a task takes against the median, in thousandths.
    pub p90_permille: u32,
    /// A job is at risk when it has less time to spare than this share of its critical path, in thousandths,
    pub margin_permille: u32,
    /// and this much, in milliseconds. Quality is traded when this much is missing.
    pub margin_ms: u64,
    /// How often a promise at risk is looked at, in milliseconds; others at most sixty times as long.
    pub look_ms: u64,
}

impl Default for PromisePolicy {
    fn default() -> Self {
        Self {
            admission: Admission::Advise,
            load_permille: 900,
            p90_permille: 1_400,
            margin_permille: 500,
            margin_ms: 2_000,
            look_ms: 5_000,
        }
    }
}

/// Who is next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderPolicy {
    /// What decides.
    pub rule: OrderRule,
    /// Share of what is started that the standard class is owed while it has jobs waiting, in thousandths.
    pub standard_share_permille: u32,
    /// The same for the bulk class.
    pub bulk_share_permille: u32,
    /// Most CPU time that a class may be owed, in milliseconds.
    pub class_credit_ms: u64,
    /// How much earlier, in milliseconds, a job counts as submitted for each point of its priority.
    pub age_ms_per_point: u64,
    /// Share of the farm's slots that one job may take while others want them, in thousandths at priority 50: bulk.
    pub bulk_width_permille: u32,
    /// The same for the standard class.
    pub standard_width_permille: u32,
    /// The same for the premium class.
    pub premium_width_permille: u32,
    /// Tasks that a job may always run at once.
    pub min_width: u32,
    /// Most different combinations of tags, pool and named limits over all jobs that have not ended.
    pub max_needs: usize,
    /// Most different combinations of slot, codec, CPU, memory and needs that are kept apart over all jobs that have not
    /// ended. Beyond it a graph that asks for a new one is refused, and what other jobs need is rounded up to a power of
    /// two.
    pub max_signatures: usize,
    /// Most nodes that are kept free for tasks that fit nowhere yet.
    pub max_reservations: usize,
    /// What content is worth.
    pub value: ValueWeights,
}

impl Default for OrderPolicy {
    fn default() -> Self {
        Self {
            rule: OrderRule::Value,
            standard_share_permille: 300,
            bulk_share_permille: 50,
            class_credit_ms: 600_000,
            age_ms_per_point: 30_000,
            bulk_width_permille: 250,
            standard_width_permille: 500,
            premium_width_permille: 1_000,
            min_width: 4,
            max_needs: 256,
            max_signatures: 4_096,
            max_reservations: 8,
            value: ValueWeights::default(),
        }
    }
}

impl OrderPolicy {
    /// Tasks that a job of this class and priority may run at once while others wait, of so many slots. Emergencies have
    /// no bound.
    #[must_use]
    pub fn width(&self, class: Class, priority: Priority, slots: u64) -> u32 {
        let permille = match class {
            Class::Bulk => self.bulk_width_permille,
            Class::Standard => self.standard_width_permille,
            Class::Premium => self.premium_width_permille,
            Class::Emergency => return u32::MAX,
        };
        // From half at priority 0 to one and a half at 100.
        let scaled = slots * u64::from(permille) * (50 + u64::from(priority.value())) / 100_000;
        u32::try_from(scaled).unwrap_or(u32::MAX).max(self.min_width.max(1))
    }
}

/// Bounds on one attempt of one kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepLimits {
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// CPU time in seconds, over all threads.
    pub cpu_s: u64,
    /// Address space of the task process in bytes.
    pub address_space_bytes: u64,
    /// Largest file that it may write, in bytes.
    pub file_size_bytes: u64,
    /// Longest time without progress, in milliseconds.
    pub stall_ms: u64,
}

impl From<StepLimits> for TaskLimits {
    fn from(s: StepLimits) -> Self {
        Self {
            wall_ms: s.wall_ms,
            cpu_s: s.cpu_s,
            address_space: Bytes(s.address_space_bytes),
            file_size: Bytes(s.file_size_bytes),
            stall_ms: s.stall_ms,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            max_jobs: 1_000_000,
            max_attempts: 5,
            poison_nodes: 3,
            max_lost: 30,
            retry_base_ms: 1_000,
            retry_max_ms: 60_000,
            heartbeat_ms: 2_000,
            lease_ms: 10_000,
            mass_loss_hold_ms: 60_000,
            reattach_ms: 20_000,
            idempotency_ms: 24 * 3_600_000,
            max_keys: 2_000_000,
            forget_workers_ms: 30 * 24 * 3_600_000,
            publish_retry_ms: 500,
            publish_hold_ms: 24 * 3_600_000,
            piece_s: 10,
            probe: StepLimits {
                wall_ms: 120_000,
                cpu_s: 120,
                address_space_bytes: 8 * GIB,
                file_size_bytes: 1 << 20,
                stall_ms: 60_000,
            },
            encode: StepLimits {
                wall_ms: 12 * 3_600_000,
                cpu_s: 96 * 3_600,
                address_space_bytes: 32 * GIB,
                file_size_bytes: 512 * GIB,
                stall_ms: 120_000,
            },
            tenant: TenantLimits::default(),
            order: OrderPolicy::default(),
            promise: PromisePolicy::default(),
            health: HealthPolicy::default(),
            room: RoomPolicy::default(),
        }
    }
}

impl Policy {
    /// The bounds of a kind of task. A no-op and a trial have none of their own and get a probe's, the steps of a
    /// streaming set an encode's. A task that probes many files has a probe's time for each, so that files that take long do not
    /// keep it from its end.
    #[must_use]
    pub fn limits_of(&self, kind: TaskKind) -> TaskLimits {
        match kind {
            TaskKind::Probes => {
                let one = TaskLimits::from(self.probe);
                let files = u64::from(FILES_OF_A_TASK);
                TaskLimits {
                    wall_ms: one.wall_ms.saturating_mul(files),
                    cpu_s: one.cpu_s.saturating_mul(files),
                    ..one
                }
            }
            TaskKind::Noop | TaskKind::Trial | TaskKind::Probe => self.probe.into(),
            TaskKind::Encode
            | TaskKind::Sound
            | TaskKind::Stills
            | TaskKind::Chunk
            | TaskKind::Package
            | TaskKind::Join
            | TaskKind::Scan => self.encode.into(),
        }
    }

    /// The delay before the attempt after `failures` failed ones: exponential, with a jitter of up to a quarter that
    /// depends on `salt` alone, so that the same history gives the same delay.
    #[must_use]
    pub fn retry_delay_ms(&self, failures: u32, salt: u64) -> u64 {
        let exponent = failures.saturating_sub(1).min(20);
        let delay = self.retry_base_ms.saturating_mul(1 << exponent).min(self.retry_max_ms);
        let spread = (delay / 4).max(1);
        delay - spread / 2 + splitmix(salt) % spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_bounds() {
        let policy = Policy::default();
        for salt in 0..200 {
            let first = policy.retry_delay_ms(1, salt);
            assert!((875..1_125).contains(&first), "{first}");
            assert!(policy.retry_delay_ms(4, salt) > policy.retry_delay_ms(2, salt));
            assert!(policy.retry_delay_ms(u32::MAX, salt) <= policy.retry_max_ms * 9 / 8);
        }
    }
}

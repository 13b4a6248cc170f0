//! The network and what breaks.

use serde::Deserialize;

use super::ScenarioError;
use super::bounds::{MAX_RATE, MAX_S, rises, share, within};

/// Longest way of a word over a link, in milliseconds.
const MAX_DELAY_MS: f64 = 60_000.0;
/// Most of the words that a link may lose: with more, hardly anything would ever arrive.
const MAX_LOSS: f64 = 0.9;

/// The network between the coordinator and its nodes. Streams keep their order; streams overtake one another.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// One way, in milliseconds.
    pub delay_ms: f64,
    /// Up to so much more, in milliseconds.
    pub jitter_ms: f64,
    /// Share of messages that are lost and sent again after `resend_ms`.
    pub loss: f64,
    /// How long until a lost message is sent again, in milliseconds.
    pub resend_ms: f64,
    /// Share of messages about attempts that arrive twice.
    pub duplicates: f64,
    /// After how long without a word either side gives a connection up, in seconds.
    pub idle_timeout_s: f64,
    /// Pause before a node connects again: the first and the longest, in seconds.
    pub reconnect_s: [f64; 2],
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay_ms: 1.0,
            jitter_ms: 0.0,
            loss: 0.0,
            resend_ms: 50.0,
            duplicates: 0.0,
            idle_timeout_s: 10.0,
            reconnect_s: [0.2, 5.0],
        }
    }
}

impl Link {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        within("link.delay_ms", self.delay_ms, 0.0..=MAX_DELAY_MS)?;
        within("link.jitter_ms", self.jitter_ms, 0.0..=MAX_DELAY_MS)?;
        within("link.resend_ms", self.resend_ms, 0.0..=MAX_DELAY_MS)?;
        within("link.loss", self.loss, 0.0..=MAX_LOSS)?;
        share("link.duplicates", self.duplicates)?;
        within("link.idle_timeout_s", self.idle_timeout_s, 0.1..=86_400.0)?;
        rises("link.reconnect_s", self.reconnect_s, 86_400.0)
    }
}

/// What breaks while uploads arrive. Rates are means of Poisson processes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Share of the nodes that die an hour, with all that they hold.
    pub node_deaths: f64,
    /// How long a dead node stays away, in seconds.
    pub repair_s: [f64; 2],
    /// Connections that break an hour, per node.
    pub link_breaks: f64,
    /// Partitions an hour, over the farm.
    pub partitions: f64,
    /// Share of the nodes that a partition cuts off.
    pub partition_share: f64,
    /// How long a partition lasts, in seconds.
    pub partition_s: [f64; 2],
    /// Deaths of the coordinator's process an hour, at any point between deciding, writing and sending.
    pub crashes: f64,
    /// How long until it is up again, in seconds.
    pub restart_s: [f64; 2],
    /// Steps of the coordinator's wall clock an hour.
    pub clock_steps: f64,
    /// How far such a step goes at most, in seconds, either way.
    pub clock_step_s: f64,
    /// Share of attempts that fail with an error that may pass.
    pub transient_failures: f64,
    /// Share of attempts whose process dies.
    pub process_deaths: f64,
    /// Share of attempts with a hardware encoder in which that fails.
    pub encoder_failures: f64,
    /// Share of tasks that fail wherever they run.
    pub permanent_failures: f64,
    /// Share of publishes that fail and are tried again.
    pub publish_failures: f64,
    /// Drains an hour, over the farm; each ends after `repair_s`.
    pub drains: f64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            node_deaths: 0.0,
            repair_s: [60.0, 300.0],
            link_breaks: 0.0,
            partitions: 0.0,
            partition_share: 0.3,
            partition_s: [1.0, 60.0],
            crashes: 0.0,
            restart_s: [0.5, 5.0],
            clock_steps: 0.0,
            clock_step_s: 60.0,
            transient_failures: 0.0,
            process_deaths: 0.0,
            encoder_failures: 0.0,
            permanent_failures: 0.0,
            publish_failures: 0.0,
            drains: 0.0,
        }
    }
}

impl Faults {
    /// Whether anything breaks.
    pub(crate) fn strike_at_all(&self) -> bool {
        let rates = [self.node_deaths, self.link_breaks, self.partitions, self.crashes, self.drains];
        rates.iter().any(|rate| *rate > 0.0)
    }

    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        for (field, rate) in [
            ("faults.node_deaths", self.node_deaths),
            ("faults.link_breaks", self.link_breaks),
            ("faults.partitions", self.partitions),
            ("faults.crashes", self.crashes),
            ("faults.clock_steps", self.clock_steps),
            ("faults.drains", self.drains),
        ] {
            within(field, rate, 0.0..=MAX_RATE)?;
        }
        within("faults.clock_step_s", self.clock_step_s, 0.0..=MAX_S)?;
        for (field, value) in [
            ("faults.partition_share", self.partition_share),
            ("faults.transient_failures", self.transient_failures),
            ("faults.process_deaths", self.process_deaths),
            ("faults.encoder_failures", self.encoder_failures),
            ("faults.permanent_failures", self.permanent_failures),
            ("faults.publish_failures", self.publish_failures),
        ] {
            share(field, value)?;
        }
        rises("faults.repair_s", self.repair_s, MAX_S)?;
        rises("faults.partition_s", self.partition_s, MAX_S)?;
        rises("faults.restart_s", self.restart_s, MAX_S)
    }
}

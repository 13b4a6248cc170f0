//! A scenario: who submits what and when, on which farm, under which faults. Read from TOML; `docs/simulation.md`
//! explains each table for people who plan a farm.

mod arrivals;
mod bounds;
mod content;
mod cost;
mod faults;
mod fleet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rushes_core::policy::Policy;
use serde::Deserialize;

pub(crate) use arrivals::Moments;
pub use arrivals::{Arrivals, Flash};
pub use content::{Content, Stage, Tenant, Truth, WorkShape};
pub use cost::Cost;
pub(crate) use cost::EventKind;
pub use faults::{Faults, Link};
pub use fleet::Group;

use bounds::{MAX_HOURS, MAX_S, MAX_UPLOADS, not_empty, positive, within};
use rushes_shared::job::Class;

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("cannot read the scenario {path}: {error}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What is wrong in a file.
    #[error("{path}: {error}")]
    In {
        /// Which.
        path: PathBuf,
        /// What.
        error: Box<Self>,
    },
    /// It is not TOML, or a field is unknown, missing or of the wrong type.
    #[error("the scenario is not valid: {0}")]
    Syntax(#[from] toml::de::Error),
    /// Its `[policy]` table has a field that the engine does not know.
    #[error("the scenario's [policy] does not fit the engine's settings: {0}")]
    Policy(String),
    /// A value is impossible.
    #[error("{field}: {reason}")]
    Field {
        /// Where.
        field: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

impl ScenarioError {
    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { field: field.into(), reason: reason.into() }
    }
}

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A short name.
    pub name: String,
    /// What it shows, for people.
    pub about: String,
    /// How long uploads arrive and faults strike, in hours.
    pub hours: f64,
    /// How long the farm then has to end every accepted job, in hours.
    #[serde(default = "settle_hours")]
    pub settle_hours: f64,
    /// How often a running task reports its progress, in seconds. A real worker does each second; a longer time makes
    /// a simulated day faster and changes nothing but how soon a stall is seen.
    #[serde(default = "progress_s")]
    pub progress_s: f64,
    /// When uploads come.
    pub arrivals: Arrivals,
    /// What is uploaded.
    pub content: Vec<Content>,
    /// Whose uploads they are.
    #[serde(default = "Tenant::only")]
    pub tenant: Vec<Tenant>,
    /// The farm.
    pub node: Vec<Group>,
    /// How far true durations lie from the predicted ones.
    #[serde(default)]
    pub truth: Truth,
    /// The network between coordinator and nodes.
    #[serde(default)]
    pub link: Link,
    /// What breaks.
    #[serde(default)]
    pub faults: Faults,
    /// What each event costs the engine.
    #[serde(default)]
    pub cost: Cost,
    /// Per class, the longest time that a ready task may wait for its start, in seconds; none where it is not named.
    #[serde(default)]
    pub waiting_bound_s: BTreeMap<Class, f64>,
    /// Settings of the engine that differ from its defaults.
    #[serde(default)]
    pub policy: toml::Table,
}

fn settle_hours() -> f64 {
    24.0
}

fn progress_s() -> f64 {
    10.0
}

impl Scenario {
    /// Reads a scenario file; a trace that it names lies beside it.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|error| ScenarioError::Unreadable { path: path.to_owned(), error })
        };
        let within = |path: &Path| {
            let path = path.to_owned();
            move |error: ScenarioError| ScenarioError::In { path, error: Box::new(error) }
        };
        let text = read(path)?;
        let mut scenario: Self = toml::from_str(&text).map_err(|error| within(path)(error.into()))?;
        if let Some(file) = &scenario.arrivals.trace {
            let trace = path.parent().unwrap_or(Path::new("")).join(file);
            scenario.arrivals.at_s = arrivals::read_trace(&read(&trace)?).map_err(within(&trace))?;
        }
        scenario.check().map_err(within(path))?;
        Ok(scenario)
    }

    /// A scenario from its text, without a trace file.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        positive("hours", self.hours, MAX_HOURS)?;
        positive("settle_hours", self.settle_hours, MAX_HOURS)?;
        within("progress_s", self.progress_s, 0.1..=86_400.0)?;
        self.arrivals.check()?;
        not_empty("content", self.content.len())?;
        not_empty("node", self.node.len())?;
        not_empty("tenant", self.tenant.len())?;
        self.content.iter().try_for_each(Content::check)?;
        self.node.iter().try_for_each(Group::check)?;
        self.tenant.iter().try_for_each(Tenant::check)?;
        self.truth.check()?;
        self.link.check()?;
        self.faults.check()?;
        self.cost.check()?;
        for (class, seconds) in &self.waiting_bound_s {
            positive(&format!("waiting_bound_s.{}", class.as_str()), *seconds, MAX_S)?;
        }
        self.uploads_can_be_run()?;
        self.engine_policy().map(|_| ())
    }

    /// Whether the rate comes to a number of uploads that a run can hold.
    fn uploads_can_be_run(&self) -> Result<(), ScenarioError> {
        let rate = self.uploads_per_hour();
        let work = self.content.iter().map(Content::mean_core_s).sum::<f64>();
        if self.arrivals.load.is_some() && work <= 0.0 {
            let reason = "no stage takes cores (slot analyse or encode) for any time, so nothing is a load; say per_hour";
            return Err(ScenarioError::field("arrivals.load", reason));
        }
        let uploads = rate * self.hours * self.arrivals.highest_factor() + f64::from(self.arrivals.at_once);
        if uploads <= f64::from(MAX_UPLOADS) {
            return Ok(());
        }
        let reason = format!(
            "{rate:.0} uploads an hour for {} h, with crowds, may be {uploads:.0}; a run takes at most {MAX_UPLOADS}",
            self.hours
        );
        Err(ScenarioError::field("arrivals", reason))
    }

    /// The engine's settings: its defaults, changed by `[policy]`.
    ///
    /// # Errors
    /// [`ScenarioError::Policy`] for a field that the engine does not have.
    pub fn engine_policy(&self) -> Result<Policy, ScenarioError> {
        let error = |e: &dyn std::fmt::Display| ScenarioError::Policy(e.to_string());
        let mut table = toml::Table::try_from(Policy::default()).map_err(|e| error(&e))?;
        merge(&mut table, &self.policy);
        table.try_into().map_err(|e: toml::de::Error| error(&e))
    }

    /// Uploads an hour on average: as given, or as the load makes it.
    #[must_use]
    pub fn uploads_per_hour(&self) -> f64 {
        let Some(load) = self.arrivals.load else { return self.arrivals.per_hour.unwrap_or(0.0) };
        let share: f64 = self.content.iter().map(|c| c.share).sum();
        let work = self.content.iter().map(|c| c.share / share * c.mean_core_s()).sum::<f64>();
        load * self.core_speed() * 3600.0 / (work * self.truth.mean_factor()).max(f64::MIN_POSITIVE)
    }

    /// Cores of the farm.
    #[must_use]
    pub fn cores(&self) -> f64 {
        self.node.iter().map(|g| f64::from(g.count) * g.cores).sum()
    }

    /// Cores of the farm, each weighed by its speed.
    #[must_use]
    pub fn core_speed(&self) -> f64 {
        self.node.iter().map(|g| f64::from(g.count) * g.cores * g.speed).sum()
    }
}

fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

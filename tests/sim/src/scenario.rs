//! A scenario: who submits what and when, on which farm, under which faults. Read from TOML; `docs/simulation.md`
//! explains each table for people who plan a farm.

mod arrivals;
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

use rushes_shared::job::Class;

/// Longest arrivals that a scenario may ask for, in hours.
const MAX_HOURS: f64 = 24.0 * 366.0;

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
        let mut scenario: Self = toml::from_str(&read(path)?)?;
        if let Some(file) = &scenario.arrivals.trace {
            let trace = path.parent().unwrap_or(Path::new("")).join(file);
            scenario.arrivals.at_s = arrivals::read_trace(&read(&trace)?)?;
        }
        scenario.check()?;
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
        if !(self.hours > 0.0 && self.hours <= MAX_HOURS) {
            return Err(ScenarioError::field("hours", format!("should be above 0 and at most {MAX_HOURS}")));
        }
        positive("settle_hours", self.settle_hours)?;
        positive("progress_s", self.progress_s)?;
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
        self.engine_policy().map(|_| ())
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

fn not_empty(field: &str, count: usize) -> Result<(), ScenarioError> {
    if count == 0 { Err(ScenarioError::field(field, "at least one is needed")) } else { Ok(()) }
}

fn positive(field: &str, value: f64) -> Result<(), ScenarioError> {
    if value > 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(ScenarioError::field(field, format!("{value} should be above 0")))
    }
}

fn not_negative(field: &str, value: f64) -> Result<(), ScenarioError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(ScenarioError::field(field, format!("{value} should not be negative")))
    }
}

fn share(field: &str, value: f64) -> Result<(), ScenarioError> {
    if (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(ScenarioError::field(field, format!("{value} is a share and should be 0 to 1")))
    }
}

fn range(field: &str, [low, high]: [f64; 2]) -> Result<(), ScenarioError> {
    if low >= 0.0 && high >= low && high.is_finite() {
        Ok(())
    } else {
        Err(ScenarioError::field(field, format!("[{low}, {high}] should rise and not be negative")))
    }
}

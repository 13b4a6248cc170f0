//! Why a run gives no report.

use crate::laws::Violation;
use crate::scenario::ScenarioError;

/// Why a run gives no report.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The scenario is not valid.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// An invariant did not hold: the engine has a fault, or the scenario's own bound is too tight.
    #[error(transparent)]
    Violation(Box<Violation>),
}

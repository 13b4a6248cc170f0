//! The classes of jobs, as scenarios and reports name them.

use serde::{Deserialize, Serialize};

/// A class of jobs, lowest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Whenever there is room.
    Bulk,
    /// The usual.
    #[default]
    Standard,
    /// Before standard.
    Premium,
    /// Before everything.
    Emergency,
}

impl Class {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Standard => "standard",
            Self::Premium => "premium",
            Self::Emergency => "emergency",
        }
    }
}

//! What cannot be used of a configuration, and where it stands.

use std::fmt;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded file.
    Default,
    /// A line of the configuration file.
    File {
        /// The file's path, as the user gave it.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by name.
    Env(String),
    /// A command-line flag, as it is written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A configuration that cannot be used. The text says where and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The file is not TOML.
    #[error("{path}:{line}: not valid TOML: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// No such setting.
    #[error("{origin}: there is no setting '{key}'; did you mean '{nearest}'?")]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// What was written.
        key: String,
        /// The known key that is most like it.
        nearest: String,
    },
    /// A value of another type than the default's.
    #[error("{origin}: {key} should be {expected}, not {got}")]
    Type {
        /// Where it stands.
        origin: Origin,
        /// The setting.
        key: String,
        /// Type and unit.
        expected: String,
        /// The type or text that was written.
        got: String,
    },
    /// A value of the right type that the program refuses.
    #[error("{origin}: {key}: {message}")]
    Value {
        /// Where it stands.
        origin: Origin,
        /// The setting.
        key: String,
        /// Why, and what to write.
        message: String,
    },
    /// A `--set` argument without `=`.
    #[error("--set {0}: write it as section.key=value")]
    Assignment(String),
}

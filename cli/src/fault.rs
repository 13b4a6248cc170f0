//! What went wrong, and the exit code that it has.

use std::process::ExitCode;

use rushes_shared::view::ProblemView;

/// How the program ends. The codes are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Done.
    Ok,
    /// A job failed.
    JobFailed,
    /// Wrong usage, or a job that is not valid.
    Usage,
    /// The farm refused: no token, no right, no such thing, a conflict, a limit.
    Refused,
    /// The farm cannot be reached, or is not ready.
    Unreachable,
    /// A job was canceled.
    Canceled,
    /// Something failed on this machine: a file, a child process.
    Local,
    /// Interrupted by the user.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Ok => 0,
            Ending::JobFailed => 1,
            Ending::Usage => 2,
            Ending::Refused => 3,
            Ending::Unreachable => 4,
            Ending::Canceled => 5,
            Ending::Local => 6,
            Ending::Interrupted => 130,
        })
    }
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The command line or a file that it names asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// The farm answered with a problem.
    #[error("{}", .0.detail)]
    Refused(Box<ProblemView>),
    /// No answer.
    #[error("cannot reach the farm at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// This machine.
    #[error("{0}")]
    Local(String),
    /// The user pressed Ctrl-C, or the process was told to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Fault {
    /// A file or process of this machine that failed.
    pub(crate) fn local(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Local(format!("{what}: {error}"))
    }

    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Usage(_) => Ending::Usage,
            Self::Refused(problem) => match problem.status {
                422 | 400 | 415 => Ending::Usage,
                502..=504 => Ending::Unreachable,
                _ => Ending::Refused,
            },
            Self::Unreachable { .. } => Ending::Unreachable,
            Self::Local(_) => Ending::Local,
            Self::Interrupted => Ending::Interrupted,
        }
    }

    /// What the user can do, where the message does not say it.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::Refused(problem) if problem.status == 401 => Some(
                "set RUSHES_TOKEN, or use --token-file; 'rushes-coordinator token api' makes a token"
                    .to_owned(),
            ),
            Self::Refused(problem) => problem
                .advice
                .clone()
                .or_else(|| problem.retry_after.map(|s| format!("it may work again in {s} s"))),
            Self::Unreachable { .. } => {
                Some("is the coordinator running, and is --url or RUSHES_URL right?".to_owned())
            }
            Self::Usage(_) | Self::Local(_) | Self::Interrupted => None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => matches!(problem.status, 502..=504),
            Self::Usage(_) | Self::Local(_) | Self::Interrupted => false,
        }
    }
}

//! What went wrong, and the exit code that it has.

use std::process::ExitCode;

use rushes_shared::failure::Failure;
use rushes_shared::view::{FailureView, ProblemView};
use serde::Serialize;

use crate::args::Output;
use crate::words;

/// How the program ends. The codes are part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Done.
    Ok,
    /// A job or a media operation failed.
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

impl Ending {
    fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::JobFailed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::Canceled => 5,
            Self::Local => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
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
    /// A media operation on this machine.
    #[error("{}", .0.message)]
    Media(Failure),
    /// This machine.
    #[error("{0}")]
    Local(String),
    /// The user pressed Ctrl-C, or the process was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// The same, or the patience given was over, while jobs were waited for that go on.
    #[error("{0}")]
    NoLongerWaiting(String),
}

/// What `--output json` prints of an error on standard error: one object on one line.
#[derive(Serialize)]
struct ErrorView<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    /// `usage`, `refused`, `unreachable`, `job`, `media`, `local` or `interrupted`.
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    exit_code: u8,
    /// What failed, for `media` and `job`: the stable code, and whether a retry can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    /// The farm's own words, for `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a ProblemView>,
}

/// Why a job did not succeed, as [`Fault::tell`] prints errors with `--output json`.
pub(crate) fn job_as_json(message: String, failure: Option<&FailureView>, ending: Ending) -> String {
    let advice = failure.map(|why| why.advice.clone()).filter(|advice| !advice.is_empty());
    let failure = failure.cloned();
    let body = ErrorBody { kind: "job", message, advice, exit_code: ending.code(), failure, problem: None };
    serde_json::to_string(&ErrorView { error: body }).expect("an error consists of plain values")
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
            Self::Media(_) => Ending::JobFailed,
            Self::Local(_) => Ending::Local,
            Self::Interrupted | Self::NoLongerWaiting(_) => Ending::Interrupted,
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
            Self::Media(failure) => Some(failure.advice.clone()).filter(|advice| !advice.is_empty()),
            Self::Usage(_) | Self::Local(_) | Self::Interrupted | Self::NoLongerWaiting(_) => None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => matches!(problem.status, 502..=504),
            Self::Media(_)
            | Self::Usage(_)
            | Self::Local(_)
            | Self::Interrupted
            | Self::NoLongerWaiting(_) => false,
        }
    }

    /// Tells it on standard error, in the form of the results. `about` names what it concerns, where there are several.
    pub(crate) fn tell(&self, form: Output, about: Option<&str>) {
        let message = about.map_or_else(|| self.to_string(), |about| format!("{about}: {self}"));
        if form == Output::Json {
            say!("{}", self.as_json(message));
            return;
        }
        say!("rushes: {}", words::harmless(&message));
        if let Some(advice) = self.advice() {
            say!("        {}", words::harmless(&advice));
        }
    }

    fn as_json(&self, message: String) -> String {
        let (kind, problem) = match self {
            Self::Usage(_) => ("usage", None),
            Self::Refused(problem) => ("refused", Some(&**problem)),
            Self::Unreachable { .. } => ("unreachable", None),
            Self::Media(_) => ("media", None),
            Self::Local(_) => ("local", None),
            Self::Interrupted | Self::NoLongerWaiting(_) => ("interrupted", None),
        };
        let failure = if let Self::Media(failure) = self { Some(FailureView::from(failure)) } else { None };
        let body = ErrorBody {
            kind,
            message,
            advice: self.advice(),
            exit_code: self.ending().code(),
            failure,
            problem,
        };
        serde_json::to_string(&ErrorView { error: body }).expect("an error consists of plain values")
    }
}

#[cfg(test)]
mod tests {
    use rushes_shared::failure::FailureCode;

    use super::*;

    #[test]
    fn a_failed_job_is_told_in_one_line_of_json() {
        let why = FailureView::from(&Failure::new(FailureCode::InputDamaged, "it ends", "get another"));
        let line = job_as_json("film.mkv: it ends".to_owned(), Some(&why), Ending::JobFailed);
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(!line.contains('\n') && told["error"]["kind"] == "job", "{line}");
        assert_eq!(
            (&told["error"]["exit_code"], &told["error"]["advice"], &told["error"]["failure"]["code"]),
            (&1.into(), &"get another".into(), &"input_damaged".into())
        );
    }
}

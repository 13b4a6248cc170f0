//! Why a task or job failed: what, where, whether a retry can help, and what the user can do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether trying again can help, and where.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The same input and settings will fail again anywhere; never retried.
    Permanent,
    /// May pass by itself; retried with backoff, anywhere.
    Transient,
    /// This node cannot do it; retried elsewhere first.
    NodeFault,
}

/// What failed, as a stable code for scripts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The input does not exist.
    InputNotFound,
    /// The input may not be read by the farm's depot.
    InputForbidden,
    /// The path lies outside the depot's allowed roots.
    OutsideRoots,
    /// The input is a directory, device or socket.
    InputNotAFile,
    /// The input has no bytes.
    InputEmpty,
    /// No known media format, or its index is missing.
    InputUnreadable,
    /// The input ends before its own index says, or its data is damaged.
    InputDamaged,
    /// The input has no stream of the kind that the output needs.
    StreamMissing,
    /// A codec or pixel format that this farm cannot decode.
    Unsupported,
    /// The settings ask for something that is impossible for this input.
    SettingsImpossible,
    /// The encoder or pipeline reported an error.
    PipelineFailed,
    /// The finished file did not pass its check.
    CheckFailed,
    /// The task process crashed or was killed from outside.
    ProcessDied,
    /// The task process made no progress for too long.
    ProcessStalled,
    /// A limit on wall time, CPU time, memory or file size was reached.
    LimitReached,
    /// The node lacks something that the task needs: an element, disk space, the sandbox.
    NodeUnfit,
    /// Bytes could not be fetched or stored over the farm's transfer.
    TransferFailed,
    /// The output's place already holds a different file.
    OutputExists,
    /// The output's place cannot be written.
    OutputForbidden,
    /// The worker was lost while it ran the task.
    WorkerLost,
    /// A hardware encoder failed; the task is tried again in software.
    EncoderFailed,
}

impl FailureCode {
    /// The code's text, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InputNotFound => "input_not_found",
            Self::InputForbidden => "input_forbidden",
            Self::OutsideRoots => "outside_roots",
            Self::InputNotAFile => "input_not_a_file",
            Self::InputEmpty => "input_empty",
            Self::InputUnreadable => "input_unreadable",
            Self::InputDamaged => "input_damaged",
            Self::StreamMissing => "stream_missing",
            Self::Unsupported => "unsupported",
            Self::SettingsImpossible => "settings_impossible",
            Self::PipelineFailed => "pipeline_failed",
            Self::CheckFailed => "check_failed",
            Self::ProcessDied => "process_died",
            Self::ProcessStalled => "process_stalled",
            Self::LimitReached => "limit_reached",
            Self::NodeUnfit => "node_unfit",
            Self::TransferFailed => "transfer_failed",
            Self::OutputExists => "output_exists",
            Self::OutputForbidden => "output_forbidden",
            Self::WorkerLost => "worker_lost",
            Self::EncoderFailed => "encoder_failed",
        }
    }

    /// The class that this code has unless the place that found it knows better.
    #[must_use]
    pub fn class(self) -> FailureClass {
        match self {
            Self::InputNotFound
            | Self::InputForbidden
            | Self::OutsideRoots
            | Self::InputNotAFile
            | Self::InputEmpty
            | Self::InputUnreadable
            | Self::InputDamaged
            | Self::StreamMissing
            | Self::Unsupported
            | Self::SettingsImpossible
            | Self::OutputExists
            | Self::OutputForbidden => FailureClass::Permanent,
            Self::NodeUnfit => FailureClass::NodeFault,
            Self::PipelineFailed
            | Self::CheckFailed
            | Self::ProcessDied
            | Self::ProcessStalled
            | Self::LimitReached
            | Self::TransferFailed
            | Self::WorkerLost
            | Self::EncoderFailed => FailureClass::Transient,
        }
    }
}

/// A failure as people and scripts see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// Whether a retry can help.
    pub class: FailureClass,
    /// What failed, for scripts.
    pub code: FailureCode,
    /// What failed and where, one line: lower case, no full stop.
    pub message: String,
    /// What the user can do about it, one line; empty where nothing useful can be said.
    pub advice: String,
    /// The bus error's debug text or the tail of the process's standard error; at most 4 KiB.
    pub detail: String,
}

impl Failure {
    /// Longest text kept in each field, in bytes.
    pub const TEXT_LIMIT: usize = 4096;

    /// A failure with its code's own class.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            class: code.class(),
            code,
            message: clipped(message.into()),
            advice: clipped(advice.into()),
            detail: String::new(),
        }
    }

    /// The same failure with the technical detail behind it; only the last 4 KiB are kept.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        let mut start = detail.len().saturating_sub(Self::TEXT_LIMIT);
        while !detail.is_char_boundary(start) {
            start += 1;
        }
        detail[start..].clone_into(&mut self.detail);
        self
    }

    /// Cuts texts that are longer than allowed: for failures that came from elsewhere.
    pub fn clip(&mut self) {
        for text in [&mut self.message, &mut self.advice, &mut self.detail] {
            *text = clipped(std::mem::take(text));
        }
    }

    /// The same failure in another class.
    #[must_use]
    pub fn with_class(mut self, class: FailureClass) -> Self {
        self.class = class;
        self
    }
}

fn clipped(mut text: String) -> String {
    if text.len() > Failure::TEXT_LIMIT {
        let mut end = Failure::TEXT_LIMIT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_detail_keeps_its_tail_on_a_character_boundary() {
        let failure = Failure::new(FailureCode::ProcessDied, "x", "").with_detail(&"ü".repeat(4000));
        assert!(failure.detail.len() <= Failure::TEXT_LIMIT && failure.detail.ends_with('ü'));
    }

    #[test]
    fn the_code_in_json_is_the_code_in_text() {
        let json = serde_json::to_string(&FailureCode::InputNotAFile).expect("a unit variant serializes");
        assert_eq!(json.trim_matches('"'), FailureCode::InputNotAFile.as_str());
    }
}

//! How results become bytes.
//!
//! The first results of an encode said of its checks no more than problems and warnings. Bytes of those stay what they were,
//! and programs of that time read them; results with checks as values stand behind a number of their own.

use serde::{Deserialize, Serialize};

use super::{EncodedOutput, PartMade, ProbedFiles, SetMade, TaskValue};
use crate::artifact::Artifact;
use crate::check::Check;
use crate::ladder::Scan;
use crate::media::{CheckReport, MediaFacts};

/// [`TaskValue`] in the order of its numbers.
#[derive(Serialize, Deserialize)]
pub(super) enum CodedValue {
    Nothing,
    Probed { input: Artifact, facts: MediaFacts },
    Encoded(FirstEncoded),
    Part(PartMade),
    Set(Box<SetMade>),
    Checked(FirstEncoded, Vec<Check>),
    Scanned(Scan),
    ProbedFiles(ProbedFiles),
}

#[derive(Serialize, Deserialize)]
pub(super) struct FirstEncoded {
    artifact: Artifact,
    facts: MediaFacts,
    check: FirstReport,
    encode_ms: u64,
    speed_permille: u32,
    encoder: String,
}

#[derive(Serialize, Deserialize)]
struct FirstReport {
    frames_decoded: u64,
    frames_expected: u64,
    video_duration_ns: u64,
    audio_duration_ns: u64,
    av_start_offset_ns: i64,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl FirstEncoded {
    fn of(made: EncodedOutput) -> (Self, Vec<Check>) {
        let EncodedOutput { artifact, facts, check, encode_ms, speed_permille, encoder } = made;
        let report = FirstReport {
            frames_decoded: check.frames_decoded,
            frames_expected: check.frames_expected,
            video_duration_ns: check.video_duration_ns,
            audio_duration_ns: check.audio_duration_ns,
            av_start_offset_ns: check.av_start_offset_ns,
            problems: check.problems,
            warnings: check.warnings,
        };
        (Self { artifact, facts, check: report, encode_ms, speed_permille, encoder }, check.checks)
    }

    fn with(self, checks: Vec<Check>) -> EncodedOutput {
        let Self { artifact, facts, check, encode_ms, speed_permille, encoder } = self;
        let check = CheckReport {
            frames_decoded: check.frames_decoded,
            frames_expected: check.frames_expected,
            video_duration_ns: check.video_duration_ns,
            audio_duration_ns: check.audio_duration_ns,
            av_start_offset_ns: check.av_start_offset_ns,
            problems: check.problems,
            warnings: check.warnings,
            checks,
        };
        EncodedOutput { artifact, facts, check, encode_ms, speed_permille, encoder }
    }
}

impl From<TaskValue> for CodedValue {
    fn from(value: TaskValue) -> Self {
        match value {
            TaskValue::Nothing => Self::Nothing,
            TaskValue::Probed { input, facts } => Self::Probed { input, facts },
            TaskValue::Encoded(made) => match FirstEncoded::of(made) {
                (first, checks) if checks.is_empty() => Self::Encoded(first),
                (first, checks) => Self::Checked(first, checks),
            },
            TaskValue::Part(part) => Self::Part(part),
            TaskValue::Set(set) => Self::Set(set),
            TaskValue::Scanned(scan) => Self::Scanned(scan),
            TaskValue::ProbedFiles(found) => Self::ProbedFiles(found),
        }
    }
}

impl From<CodedValue> for TaskValue {
    fn from(coded: CodedValue) -> Self {
        match coded {
            CodedValue::Nothing => Self::Nothing,
            CodedValue::Probed { input, facts } => Self::Probed { input, facts },
            CodedValue::Encoded(first) => Self::Encoded(first.with(Vec::new())),
            CodedValue::Part(part) => Self::Part(part),
            CodedValue::Set(set) => Self::Set(set),
            CodedValue::Scanned(scan) => Self::Scanned(scan),
            CodedValue::Checked(first, checks) => Self::Encoded(first.with(checks)),
            CodedValue::ProbedFiles(found) => Self::ProbedFiles(found),
        }
    }
}

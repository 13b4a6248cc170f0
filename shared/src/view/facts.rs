//! What is known of the files of a job that probes many.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FailureView;
use crate::media::MediaFacts;

/// A file and what was found of it: a line of a probe job's `facts-NNNNN.ndjson`. It has `facts` or `failure`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FileFacts {
    /// The file, as the job names it.
    pub input: String,
    /// Size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// BLAKE3 hash in hexadecimal digits; left out where the headers said all, as no more of the file was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// What a probe found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<MediaFacts>,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
}

/// How far a job has come that probes many files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilesView {
    /// Files in all.
    pub all: u32,
    /// Files whose facts are known.
    pub read: u32,
    /// Files that could not be read.
    pub failed: u32,
}

//! How stored bytes are shown in a backup, and back.

use serde_json::Value;

use super::LineProblem;
use super::hex::{from_hex, to_hex};

/// Why bytes could not become JSON or come back.
pub type CodecProblem = Box<dyn std::error::Error + Send + Sync>;

/// How stored bytes are shown in a backup. What a `to_json` gives, its `from_json` must turn into the same bytes.
pub trait BackupCodec {
    /// A record.
    ///
    /// # Errors
    /// For bytes that are no record.
    fn record_to_json(&self, bytes: &[u8]) -> Result<Value, CodecProblem>;
    /// A record, back.
    ///
    /// # Errors
    /// For JSON that is no record.
    fn record_from_json(&self, json: &Value) -> Result<Vec<u8>, CodecProblem>;
    /// An archived document.
    ///
    /// # Errors
    /// For bytes that are no document.
    fn doc_to_json(&self, bytes: &[u8]) -> Result<Value, CodecProblem>;
    /// An archived document, back.
    ///
    /// # Errors
    /// For JSON that is no document.
    fn doc_from_json(&self, json: &Value) -> Result<Vec<u8>, CodecProblem>;
}

/// Shows bytes as hexadecimal digits.
#[derive(Debug, Clone, Copy, Default)]
pub struct HexCodec;

impl BackupCodec for HexCodec {
    fn record_to_json(&self, bytes: &[u8]) -> Result<Value, CodecProblem> {
        Ok(Value::String(to_hex(bytes)))
    }
    fn record_from_json(&self, json: &Value) -> Result<Vec<u8>, CodecProblem> {
        json.as_str().and_then(from_hex).ok_or_else(|| LineProblem::Hex.into())
    }
    fn doc_to_json(&self, bytes: &[u8]) -> Result<Value, CodecProblem> {
        self.record_to_json(bytes)
    }
    fn doc_from_json(&self, json: &Value) -> Result<Vec<u8>, CodecProblem> {
        self.record_from_json(json)
    }
}

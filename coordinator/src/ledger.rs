//! Records and jobs as JSON, for exports and backups, and back to the very same bytes.

use std::io::{self, Write};

use rushes_core::job::Job;
use rushes_core::record::{self, Record};
use serde_json::Value;

use crate::api::Archivist;
use crate::store::{self, BackupCodec, StoreReader};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Shows records and jobs by their field names.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonCodec;

impl BackupCodec for JsonCodec {
    fn record_to_json(&self, bytes: &[u8]) -> Result<Value, Problem> {
        Ok(serde_json::to_value(record::from_bytes::<Record>(bytes)?)?)
    }

    fn record_from_json(&self, json: &Value) -> Result<Vec<u8>, Problem> {
        let record: Record = serde::Deserialize::deserialize(json)?;
        Ok(record::to_bytes(&record)?)
    }

    fn doc_to_json(&self, bytes: &[u8]) -> Result<Value, Problem> {
        Ok(serde_json::to_value(record::from_bytes::<Job>(bytes)?)?)
    }

    fn doc_from_json(&self, json: &Value) -> Result<Vec<u8>, Problem> {
        let job: Job = serde::Deserialize::deserialize(json)?;
        Ok(record::to_bytes(&job)?)
    }
}

/// Exports the running store.
#[derive(Debug, Clone)]
pub struct Exporter(pub StoreReader);

impl Archivist for Exporter {
    fn export(&self, out: &mut dyn Write) -> io::Result<()> {
        let summary = store::export(&self.0, out, &JsonCodec).map_err(io::Error::other)?;
        tracing::info!(
            records = summary.folded + summary.records,
            archive = summary.archive,
            keys = summary.keys,
            "export finished"
        );
        Ok(())
    }
}

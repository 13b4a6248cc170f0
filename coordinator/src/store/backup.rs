//! Backups: a consistent copy of a store, while it runs, as lines of JSON that check themselves.
//!
//! ```text
//! {"rushes_backup":1,"epoch":7,"covers":400,"seq":523}      what it holds: folded up to `covers`, then up to `seq`
//! {"folded":{..},"crc":123}                                  records of the snapshot
//! {"seq":401,"record":{..},"crc":456}                        records of the journal
//! {"archive":"01a2…","seq":380,"doc":{..},"crc":789}         ended jobs up to `seq`
//! {"key":"farm/ca","value":"00ff…","crc":12}                 secrets: keep the file as safe as the farm
//! {"end":{"folded":9,"records":123,"archive":40,"keys":3},"blake3":"…"}
//! ```
//!
//! The CRC-32 is of the stored bytes, so it also proves that JSON and back lost nothing; the hash is of all lines
//! before the last.

mod codec;
mod export;
mod hex;
mod import;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::StoreError;

pub use codec::{BackupCodec, CodecProblem, HexCodec};
pub use export::export;
pub use import::import;

const VERSION: u32 = 1;

/// What was exported or imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// Folded records.
    pub folded: u64,
    /// Records of the journal.
    pub records: u64,
    /// Archived documents.
    pub archive: u64,
    /// Keys.
    pub keys: u64,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineProblem {
    /// Not JSON, or not one of the known lines.
    #[error("it is not a line of a backup: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Longer than any line can be.
    #[error("it is too long")]
    TooLong,
    /// Not a header.
    #[error("it should be the header of a backup of version {VERSION}")]
    Header,
    /// The bytes are not those that were exported.
    #[error("its checksum does not match")]
    Checksum,
    /// A line of a kind that does not belong here, or a number that does not follow.
    #[error("it is out of order: lines are missing, doubled or moved")]
    Order,
    /// The hash or the counts of the last line do not match what came before.
    #[error("the counts or the hash of the whole do not match: lines were changed or lost")]
    Hash,
    /// The file ends without its last line.
    #[error("the backup ends here, without its last line: it was cut off")]
    CutOff,
    /// Something follows the last line.
    #[error("it follows the last line of the backup")]
    Trailing,
    /// Not hexadecimal digits.
    #[error("it holds something else than hexadecimal digits")]
    Hex,
    /// The codec refused it.
    #[error("its content cannot be read: {0}")]
    Content(#[source] CodecProblem),
}

/// Why an export or an import failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading or writing the backup.
    #[error("the backup could not be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// A stored value could not be shown.
    #[error("{what} cannot be exported: {source}")]
    Content {
        /// Which.
        what: String,
        /// Why not.
        source: CodecProblem,
    },
    /// A bad line; nothing was imported.
    #[error("line {line} of the backup: {problem}; nothing was imported")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        problem: LineProblem,
    },
    /// The directory is in use.
    #[error("{} is not empty: import into a new directory", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Header { rushes_backup: u32, epoch: u64, covers: u64, seq: u64 },
    Folded { folded: Value, crc: u32 },
    Record { seq: u64, record: Value, crc: u32 },
    Archive { archive: String, seq: u64, doc: Value, crc: u32 },
    Key { key: String, value: String, crc: u32 },
    End { end: BackupSummary, blake3: String },
}

//! Writes a backup.

use std::io::Write;

use super::codec::BackupCodec;
use super::hex::to_hex;
use super::{BackupError, BackupSummary, Line, VERSION};
use crate::store::archive::{self, ArchiveDoc};
use crate::store::keys;
use crate::store::reader::StoreReader;
use crate::store::recovery::{Origin, records};

/// Documents read at a time.
const PAGE: usize = 64;

struct Lines<W> {
    to: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Lines<W> {
    fn put(&mut self, line: &Line) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        text.push(b'\n');
        self.hasher.update(&text);
        Ok(self.to.write_all(&text)?)
    }
}

/// Writes everything that is confirmed now. Appends may go on; nothing that is needed is removed meanwhile.
///
/// # Errors
/// [`BackupError`].
pub fn export(
    reader: &StoreReader,
    to: impl Write,
    codec: &dyn BackupCodec,
) -> Result<BackupSummary, BackupError> {
    let (_pin, manifest, mark) = reader.shared.pin();
    let (disk, seq) = (&reader.shared.disk, mark.seq);
    let mut lines = Lines { to, hasher: blake3::Hasher::new() };
    let mut summary = BackupSummary::default();
    let (epoch, covers) = (reader.shared.epoch().0, manifest.covers.seq.0);
    lines.put(&Line::Header { rushes_backup: VERSION, epoch, covers, seq: seq.0 })?;
    for record in records(disk, manifest, seq) {
        let record = record?;
        let what = || format!("record {}", record.seq.0);
        let json = codec.record_to_json(&record.bytes);
        let json = json.map_err(|source| BackupError::Content { what: what(), source })?;
        let crc = crc32fast::hash(&record.bytes);
        if record.origin == Origin::Snapshot {
            summary.folded += 1;
            lines.put(&Line::Folded { folded: json, crc })?;
        } else {
            summary.records += 1;
            lines.put(&Line::Record { seq: record.seq.0, record: json, crc })?;
        }
    }
    let mut from = Some(0);
    while let Some(at) = from {
        let docs = archive::oldest(disk, at, PAGE)?;
        from = docs.last().filter(|_| docs.len() == PAGE).and_then(|(_, doc)| doc.key.checked_add(1));
        for (of, ArchiveDoc { key, doc }) in docs.into_iter().filter(|(of, _)| *of <= seq) {
            let archive = format!("{key:032x}");
            let json = codec.doc_to_json(&doc);
            let json =
                json.map_err(|source| BackupError::Content { what: format!("document {archive}"), source })?;
            summary.archive += 1;
            lines.put(&Line::Archive { archive, seq: of.0, doc: json, crc: crc32fast::hash(&doc) })?;
        }
    }
    for (key, value) in keys::list(disk)? {
        summary.keys += 1;
        let crc = crc32fast::hash(&value);
        lines.put(&Line::Key { key, value: to_hex(&value), crc })?;
    }
    let blake3 = lines.hasher.finalize().to_hex().to_string();
    lines.put(&Line::End { end: summary, blake3 })?;
    lines.to.flush()?;
    Ok(summary)
}

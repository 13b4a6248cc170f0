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

use std::fmt;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use rushes_shared::id::{Epoch, Seq};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::archive::{self, ArchiveDoc};
use super::commit::write_epoch;
use super::disk::sync;
use super::error::StoreError;
use super::group::Mark;
use super::handle::StoreReader;
use super::keys;
use super::recovery::{Origin, records};
use super::snapshot::Maker;
use super::{Store, StoreOptions};

const VERSION: u32 = 1;
const LINE_LIMIT: u64 = 128 << 20;
/// Records and their bytes in one group of an import.
const GROUP: (usize, usize) = (512, 64 * 1024);
/// Documents read at a time.
const PAGE: usize = 64;

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

/// How far an import moves the epoch on: more starts than a farm can have had since its backup.
const EPOCH_GAP: u64 = 1 << 20;

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

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _done = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

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

/// Makes a store of a backup, in a directory that is absent or empty. It is there whole or not at all.
///
/// # Errors
/// [`BackupError::Line`] with the first bad line; [`BackupError::NotEmpty`].
pub fn import(from: impl BufRead, dir: &Path, codec: &dyn BackupCodec) -> Result<BackupSummary, BackupError> {
    let there = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    let Some(name) = dir.file_name().filter(|_| !there) else {
        return Err(BackupError::NotEmpty { dir: dir.to_path_buf() });
    };
    let mut making = name.to_os_string();
    making.push(".importing");
    let making = dir.with_file_name(making);
    let clear = || match std::fs::remove_dir_all(&making) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", &making, e)),
        _ => Ok(()),
    };
    clear()?;
    let imported = Importer { lines: 0, hasher: blake3::Hasher::new(), from, codec }.run(&making);
    if imported.is_err() {
        clear()?;
    }
    let summary = imported?;
    std::fs::rename(&making, dir).map_err(|e| StoreError::io("rename", &making, e))?;
    if let Some(parent) = dir.canonicalize()?.parent() {
        sync(parent)?;
    }
    Ok(summary)
}

struct Importer<'a, R> {
    lines: u64,
    hasher: blake3::Hasher,
    from: R,
    codec: &'a dyn BackupCodec,
}

impl<R: BufRead> Importer<'_, R> {
    fn bad(&self, problem: impl Into<LineProblem>) -> BackupError {
        BackupError::Line { line: self.lines, problem: problem.into() }
    }

    /// The next line and the hash of those before it.
    fn next(&mut self) -> Result<(Line, blake3::Hash), BackupError> {
        self.lines += 1;
        let mut text = Vec::new();
        let read = self.from.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut text)?;
        if read == 0 {
            return Err(self.bad(LineProblem::CutOff));
        }
        if text.last() != Some(&b'\n') {
            let too_long = read as u64 == LINE_LIMIT;
            return Err(self.bad(if too_long { LineProblem::TooLong } else { LineProblem::CutOff }));
        }
        let before = self.hasher.finalize();
        self.hasher.update(&text);
        let line = serde_json::from_slice(&text).map_err(|e| self.bad(e))?;
        Ok((line, before))
    }

    fn check(&self, decoded: Result<Vec<u8>, CodecProblem>, crc: u32) -> Result<Vec<u8>, BackupError> {
        let bytes = decoded.map_err(|e| self.bad(LineProblem::Content(e)))?;
        if crc32fast::hash(&bytes) == crc { Ok(bytes) } else { Err(self.bad(LineProblem::Checksum)) }
    }

    fn run(mut self, dir: &Path) -> Result<BackupSummary, BackupError> {
        let (header, _) = self.next().map_err(|error| match error {
            BackupError::Line { line, problem: LineProblem::Unreadable(_) } => {
                BackupError::Line { line, problem: LineProblem::Header }
            }
            other => other,
        })?;
        let Line::Header { rushes_backup: VERSION, epoch, covers, seq } = header else {
            return Err(self.bad(LineProblem::Header));
        };
        if covers > seq {
            return Err(self.bad(LineProblem::Order));
        }
        let mut seen = BackupSummary::default();
        let (store, _) = Store::open(dir, StoreOptions::default())?;
        // Reigns after the backup are unknown here and known to the workers; none of their numbers may come again.
        write_epoch(&store.shared.disk, Epoch(epoch.saturating_add(EPOCH_GAP)))?;
        let covered = Mark { seq: Seq(covers), ..Mark::default() };
        let mut maker = Maker::begin(&store.shared.disk, store.shared.manifest(), covered)?;
        let mut line = self.next()?;
        while let (Line::Folded { folded, crc }, _) = &line {
            maker.push(self.check(self.codec.record_from_json(folded), *crc)?)?;
            seen.folded += 1;
            line = self.next()?;
        }
        maker.finish()?;
        drop(store);

        let (mut store, _) = Store::open(dir, StoreOptions::default())?;
        line = self.journal(&mut store, line, &mut seen)?;
        if store.tail() != Seq(seq) {
            return Err(self.bad(LineProblem::Order));
        }
        while let (Line::Archive { archive: key, seq: of, doc, crc }, _) = &line {
            let key = u128::from_str_radix(key, 16).map_err(|_| self.bad(LineProblem::Hex))?;
            let doc = self.check(self.codec.doc_from_json(doc), *crc)?;
            if *of > seq {
                return Err(self.bad(LineProblem::Order));
            }
            let mut archive = store.shared.archive()?;
            let mut writer = store.shared.disk.writer()?;
            archive.put(&store.shared.disk, &mut writer, Seq(*of), &[ArchiveDoc { key, doc }])?;
            seen.archive += 1;
            line = self.next()?;
        }
        while let (Line::Key { key, value, crc }, _) = &line {
            let value = self.check(from_hex(value).ok_or_else(|| LineProblem::Hex.into()), *crc)?;
            keys::set(&store.shared.disk, key, Some(&value))?;
            seen.keys += 1;
            line = self.next()?;
        }
        let (Line::End { end, blake3 }, hash) = line else {
            return Err(self.bad(LineProblem::Order));
        };
        if end != seen || blake3 != hash.to_hex().as_str() {
            return Err(self.bad(LineProblem::Hash));
        }
        self.lines += 1;
        if !self.from.fill_buf()?.is_empty() {
            return Err(self.bad(LineProblem::Trailing));
        }
        store.shared.disk.writer()?.sync()?;
        Ok(seen)
    }

    /// Appends the journal's lines in groups; the first line behind them.
    fn journal(
        &mut self,
        store: &mut Store,
        mut line: (Line, blake3::Hash),
        seen: &mut BackupSummary,
    ) -> Result<(Line, blake3::Hash), BackupError> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        loop {
            let flush = match &line {
                (Line::Record { seq, record, crc }, _) => {
                    if *seq != store.tail().0 + group.len() as u64 + 1 {
                        return Err(self.bad(LineProblem::Order));
                    }
                    let record = self.check(self.codec.record_from_json(record), *crc)?;
                    bytes += record.len();
                    group.push(record);
                    seen.records += 1;
                    group.len() >= GROUP.0 || bytes >= GROUP.1
                }
                _ => true,
            };
            let ended = !matches!(line.0, Line::Record { .. });
            if flush && !group.is_empty() {
                store.append(store.epoch(), store.tail(), std::mem::take(&mut group), Vec::new())?;
                bytes = 0;
            }
            if ended {
                return Ok(line);
            }
            line = self.next()?;
        }
    }
}

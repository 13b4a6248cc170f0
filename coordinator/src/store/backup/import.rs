//! Reads a backup into a store of its own.

use std::io::{BufRead, Read};
use std::path::Path;

use rushes_shared::id::{Epoch, Seq};

use super::codec::{BackupCodec, CodecProblem};
use super::hex::from_hex;
use super::{BackupError, BackupSummary, Line, LineProblem, VERSION};
use crate::store::archive::ArchiveDoc;
use crate::store::commit::write_epoch;
use crate::store::disk::sync;
use crate::store::error::StoreError;
use crate::store::group::Mark;
use crate::store::keys;
use crate::store::snapshot::Maker;
use crate::store::{Store, StoreOptions};

/// Longest line that is read.
const LINE_LIMIT: u64 = 128 << 20;
/// Records and their bytes in one group of an import.
const GROUP: (usize, usize) = (512, 64 * 1024);
/// How far an import moves the epoch on: more starts than a farm can have had since its backup.
const EPOCH_GAP: u64 = 1 << 20;

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

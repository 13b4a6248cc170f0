//! The store's directory: one owner, a known format, and nothing half-made.
//!
//! ```text
//! lock        held by the process that has the store open; its process id
//! format      written last when a store is made: without it nothing was ever confirmed
//! confirmed   up to where was confirmed (see `side`)
//! db/         sled
//! losses.log  a line for each start that missed something confirmed
//! ```

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::disk::{SEGMENT, sync};
use super::error::StoreError;
use super::recovery::Report;

/// Version of the directory's layout.
const FORMAT: u32 = 1;
const FORMAT_WORD: &str = "rushes-store ";

/// Makes the directory if need be and takes it for this process until the file is dropped.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    if !dir.exists() {
        // Jobs and hashes of tokens are nobody else's business.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|e| StoreError::io("make", dir, e))?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
    }
    let path = dir.join("lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|e| StoreError::io("open", &path, e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::Locked { dir: dir.to_path_buf(), holder });
        }
        Err(e) => return Err(StoreError::io("lock", &path, e.into())),
    }
    // The process id is for people; where it cannot be written, the lock holds all the same.
    let noted =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = noted {
        tracing::debug!(%error, "could not note the process id in the lock file");
    }
    Ok(file)
}

/// Whether the store was made completely. Clears away one that was not and never held anything.
pub(super) fn is_made(dir: &Path, confirmed_something: bool) -> Result<bool, StoreError> {
    let path = dir.join("format");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let found = text.trim().trim_start_matches(FORMAT_WORD);
            if found == FORMAT.to_string() {
                return Ok(true);
            }
            let found = found.chars().take(40).collect();
            return Err(StoreError::Format { dir: dir.to_path_buf(), found, known: FORMAT });
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(StoreError::io("read", &path, e)),
    }
    let db = dir.join("db");
    if db.exists() {
        let size = std::fs::metadata(db.join("db")).map_or(0, |m| m.len());
        // A log that was just made is at most one segment long.
        if confirmed_something || size > u64::from(SEGMENT) {
            return Err(StoreError::Unfinished { dir: dir.to_path_buf() });
        }
        std::fs::remove_dir_all(&db).map_err(|e| StoreError::io("remove", &db, e))?;
        sync(dir)?;
    }
    Ok(false)
}

/// Says that the store is complete, durably.
pub(super) fn mark_made(dir: &Path) -> Result<(), StoreError> {
    let (path, making) = (dir.join("format"), dir.join("format.new"));
    std::fs::write(&making, format!("{FORMAT_WORD}{FORMAT}\n"))
        .map_err(|e| StoreError::io("write", &making, e))?;
    sync(&making)?;
    std::fs::rename(&making, &path).map_err(|e| StoreError::io("rename", &making, e))?;
    sync(dir)
}

/// Keeps a report of lost records where the next operator looks.
pub(super) fn note_loss(dir: &Path, report: &Report) -> Result<(), StoreError> {
    let path = dir.join("losses.log");
    let opened = OpenOptions::new().append(true).create(true).open(&path);
    let mut file = opened.map_err(|e| StoreError::io("open", &path, e))?;
    writeln!(file, "{report}").and_then(|()| file.sync_all()).map_err(|e| StoreError::io("write", &path, e))
}

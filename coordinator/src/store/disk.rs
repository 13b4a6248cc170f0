//! sled, with the guarantees that it lacks.
//!
//! What sled 0.34 does, from its source: all trees share one log in `db`, cut into segments; a `flush` ends in
//! `sync_file_range`, which is no barrier against a power cut; `conf`, `snap.*` and the directory are never synced;
//! recovery finds a torn end only within the last segment or two, and a freed segment is written over once the log has
//! gone two segments further. From that follow the rules that this file keeps:
//!
//! - A sync is `flush` and an `fdatasync` of `db`. While it has not succeeded, nothing is durable.
//! - **Far less than a segment between two syncs** (a sixth of one, as the tests see it), so that a hole cannot lie
//!   deeper than recovery looks, and no segment is reused before what replaced it is on disk. [`Writer`] counts and
//!   syncs on its own.
//! - **One writer at a time**, and it holds the lock over its flush: page numbers then rise in log order (recovery
//!   panics at a gap), and a failed write always wakes the flush that waits for it.
//! - No batches, no flusher thread: order in the log is the order of the calls, and a power cut leaves a prefix of it.
//! - An error is final. After a failed `fdatasync` the kernel may drop what it could not write, so trying again proves
//!   nothing.
//! - What sled leaves half-made in its directory is put in order before it looks (see [`tidy`]).

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::blobs::Blobs;
use super::contained::contained;
use super::error::StoreError;

/// Size of sled's segments, in bytes. Four times sled's own choice, so that four times as much may be unsynced. Part of
/// the format: sled refuses a database of another size.
pub(super) const SEGMENT: u32 = 2 * 1024 * 1024;
/// Most bytes of values between two syncs. sled writes several times as much: links, whole leaves, moved pages.
const UNSYNCED_BYTES: usize = 96 * 1024;
/// Most changes between two syncs.
const UNSYNCED_CHANGES: usize = 96;

/// The trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Groups of records behind the last snapshot.
    Journal,
    /// Generations of folded records.
    Snapshot,
    /// Jobs that have ended.
    Archive,
    /// Named secrets.
    Keys,
    /// Epoch, manifests, intents.
    Meta,
}

impl Room {
    const ALL: [Self; 5] = [Self::Journal, Self::Snapshot, Self::Archive, Self::Keys, Self::Meta];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Snapshot => "snapshot",
            Self::Archive => "archive",
            Self::Keys => "keys",
            Self::Meta => "meta",
        }
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|room| *room == self).expect("all rooms are listed")
    }
}

/// An open sled database.
#[derive(Debug)]
pub(super) struct Disk {
    /// The store's directory.
    pub(super) dir: PathBuf,
    trees: [sled::Tree; 5],
    db: sled::Db,
    file: File,
    blobs: Blobs,
    /// Held while waiting for `writer`, so that who has just written cannot write again before who waits.
    turn: Mutex<()>,
    writer: Mutex<Unsynced>,
    stopped: AtomicBool,
    /// The first error of a write, for whoever reports it.
    cause: Mutex<Option<StoreError>>,
}

#[derive(Debug, Default)]
struct Unsynced {
    changes: usize,
    bytes: usize,
}

/// Opens sled, and waits where a store of this process was closed just now: sled's threads may hold its lock for a
/// moment longer. No other process can, because the directory's own lock is ours.
fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match config.open() {
            Err(sled::Error::Io(e))
                if e.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

/// A pair as sled returns it.
pub(super) type Pair = (sled::IVec, sled::IVec);

impl Disk {
    /// Opens the database in `dir/db`, and syncs what opening wrote.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let path = dir.join("db");
        tidy(&path)?;
        let config = sled::Config::new()
            .path(&path)
            .segment_size(SEGMENT as usize)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None);
        let (db, trees) = contained(dir, "log", || {
            let open = || {
                let db = open_patiently(&config)?;
                let trees: Result<Vec<_>, _> =
                    Room::ALL.iter().map(|room| db.open_tree(room.name())).collect();
                db.flush()?;
                Ok((db, trees?))
            };
            open().map_err(|e| StoreError::sled(dir, "log", e))
        })?;
        let trees = <[sled::Tree; 5]>::try_from(trees).expect("one tree a room");
        for name in ["conf", "blobs", "."] {
            sync(&path.join(name))?;
        }
        let log = path.join("db");
        let file = File::open(&log).map_err(|e| StoreError::io("open", &log, e))?;
        file.sync_all().map_err(|e| StoreError::io("sync", &log, e))?;
        sync(dir)?;
        let disk = Self {
            dir: dir.to_path_buf(),
            trees,
            db,
            file,
            blobs: Blobs::open(path.join("blobs"))?,
            turn: Mutex::new(()),
            writer: Mutex::default(),
            stopped: AtomicBool::new(false),
            cause: Mutex::new(None),
        };
        disk.blobs.assert_none(dir)?;
        Ok(disk)
    }

    fn tree(&self, room: Room) -> &sled::Tree {
        &self.trees[room.index()]
    }

    pub(super) fn get(&self, room: Room, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.tree(room).get(key).map_err(|e| StoreError::sled(&self.dir, room.name(), e))
    }

    /// Pairs in key order, from `from` up to, not including, `to`.
    pub(super) fn range(
        &self,
        room: Room,
        from: &[u8],
        to: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Pair, StoreError>> + Send + use<> {
        let tree = self.tree(room);
        let pairs = match to {
            Some(to) if to < from => tree.range(from..from),
            Some(to) => tree.range(from..to),
            None => tree.range(from..),
        };
        let dir = self.dir.clone();
        pairs.map(move |pair| pair.map_err(|e| StoreError::sled(&dir, room.name(), e)))
    }

    pub(super) fn last(&self, room: Room) -> Result<Option<Pair>, StoreError> {
        self.tree(room).last().map_err(|e| StoreError::sled(&self.dir, room.name(), e))
    }

    /// The pair with the highest key below `key`.
    pub(super) fn below(&self, room: Room, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        self.tree(room).get_lt(key).map_err(|e| StoreError::sled(&self.dir, room.name(), e))
    }

    /// Waits for its turn to write.
    pub(super) fn writer(&self) -> Result<Writer<'_>, StoreError> {
        let _turn = self.turn.lock().map_err(|_| StoreError::Stopped)?;
        let unsynced = self.writer.lock().map_err(|_| StoreError::Stopped)?;
        if self.stopped.load(Ordering::Acquire) {
            return Err(StoreError::Stopped);
        }
        Ok(Writer { disk: self, unsynced })
    }

    /// Refuses every later write.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether an error has stopped the store.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) || self.writer.is_poisoned()
    }

    /// What an error really was: behind [`StoreError::Stopped`] may be the first error, which is told once.
    pub(super) fn cause(&self, error: StoreError) -> StoreError {
        let first = |cause: &Mutex<Option<StoreError>>| cause.lock().ok().and_then(|mut cause| cause.take());
        match error {
            StoreError::Stopped => first(&self.cause).unwrap_or(StoreError::Stopped),
            other => other,
        }
    }

    /// Bytes of the log file.
    pub(super) fn size(&self) -> Result<u64, StoreError> {
        self.file
            .metadata()
            .map(|m| m.len())
            .map_err(|e| StoreError::io("look at", &self.dir.join("db/db"), e))
    }
}

/// The right to write. Changes are durable after [`Writer::sync`].
#[derive(Debug)]
pub(super) struct Writer<'a> {
    disk: &'a Disk,
    unsynced: MutexGuard<'a, Unsynced>,
}

impl Writer<'_> {
    pub(super) fn insert(&mut self, room: Room, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let done = self.disk.tree(room).insert(key, value);
        self.count(room, key.len() + value.len(), done.map(drop))
    }

    pub(super) fn remove(&mut self, room: Room, key: &[u8]) -> Result<(), StoreError> {
        // A leaf may be rewritten for a removal, whatever the key's size.
        let done = self.disk.tree(room).remove(key);
        self.count(room, key.len(), done.map(drop))
    }

    fn count(&mut self, room: Room, bytes: usize, done: sled::Result<()>) -> Result<(), StoreError> {
        done.map_err(|e| self.fail(StoreError::sled(&self.disk.dir, room.name(), e)))?;
        self.unsynced.changes += 1;
        self.unsynced.bytes += bytes;
        if self.unsynced.changes >= UNSYNCED_CHANGES || self.unsynced.bytes >= UNSYNCED_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes every change so far durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        let disk = self.disk;
        disk.db.flush().map_err(|e| self.fail(StoreError::sled(&disk.dir, "log", e)))?;
        disk.file.sync_data().map_err(|e| self.fail(StoreError::io("sync", &disk.dir.join("db/db"), e)))?;
        *self.unsynced = Unsynced::default();
        disk.blobs.assert_none(&disk.dir).map_err(|e| self.fail(e))
    }

    /// Keeps the first error, before anybody can see that there was one.
    fn fail(&self, error: StoreError) -> StoreError {
        if let Ok(mut cause) = self.disk.cause.lock()
            && !self.disk.stopped.load(Ordering::Acquire)
        {
            *cause = Some(error);
        }
        self.disk.stop();
        StoreError::Stopped
    }
}

/// Syncs a file or a directory.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    let opened = OpenOptions::new().read(true).open(path).map_err(|e| StoreError::io("open", path, e))?;
    opened.sync_all().map_err(|e| StoreError::io("sync", path, e))
}

/// Removes what sled would stumble over: its list of pages (`snap.*`) is only a shortcut for a start, but a half-written
/// one, which a death at the wrong moment leaves behind, would make sled refuse the whole database.
fn tidy(path: &Path) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(StoreError::io("list", path, e)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", path, e))?;
        let name = entry.file_name();
        let file = entry.path();
        if name.to_string_lossy().starts_with("snap.") && !is_whole(&file)? {
            tracing::warn!(file = %file.display(), "removing a half-written list of pages; the start takes longer");
            std::fs::remove_file(&file).map_err(|e| StoreError::io("remove", &file, e))?;
        }
    }
    Ok(())
}

/// Whether a list of pages was finished: body, length (8 bytes), CRC-32 of the body.
fn is_whole(file: &Path) -> Result<bool, StoreError> {
    if file.extension().is_some_and(|e| e == "generating") {
        return Ok(false);
    }
    let bytes = std::fs::read(file).map_err(|e| StoreError::io("read", file, e))?;
    let Some(body) = bytes.len().checked_sub(12).filter(|body| *body > 0) else { return Ok(false) };
    Ok(bytes[body + 8..] == crc32fast::hash(&bytes[..body]).to_le_bytes())
}

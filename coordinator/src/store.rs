//! The store: what the coordinator must not forget. The only part that knows sled.
//!
//! ```text
//!            submit(batch)            one commit: everything that is queued
//!  engine ---------------> queue ---> commit thread: group -> sled -> flush, fdatasync db
//!     ^                                  |      \--> `confirmed`, fdatasync, at the same time
//!     +------- Confirmed(seq) -----------+
//!     |                                  | enough since the last one
//!     +------- Snapshot(facts) --- snapshot thread: fold(snapshot + journal) -> new generation, trim
//! ```
//!
//! Records are bytes here; what they mean, and their versions, are the engine's. A record is *confirmed* once its group
//! and the note beside it are on disk, in the sense of a power cut. After the first error of the disk nothing is
//! confirmed any more: [`StoreEvent::Fatal`] is sent once, the process ends, and a restart finds everything that was
//! confirmed. [`Recovery::report`] says what a start had to cut off and whether anything confirmed is missing.
//!
//! Usage: [`Store::open`], read [`Recovery::records`], [`Store::begin_epoch`], [`Store::start`], then the
//! [`StoreHandle`] from any thread. Nothing here needs an executor.

mod archive;
mod backup;
mod blobs;
mod commit;
mod contained;
mod directory;
mod disk;
mod error;
mod group;
mod handle;
mod journal;
mod keys;
mod parcel;
mod reader;
mod recovery;
mod shared;
mod side;
mod snapshot;
mod snapshotter;
mod space;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rushes_shared::id::{Epoch, Seq};
use rushes_shared::units::Bytes;

pub use archive::ArchiveDoc;
pub use backup::{
    BackupCodec, BackupError, BackupSummary, CodecProblem, HexCodec, LineProblem, export, import,
};
pub use commit::{Batch, EventSink, StoreEvent};
pub use error::StoreError;
pub use group::Mark;
pub use handle::{Running, StoreHandle, SubmitError};
pub use keys::{KEY_NAME_LIMIT, KEY_VALUE_LIMIT, Swap};
pub use reader::{StoreReader, StoreStats};
pub use recovery::{Missing, Origin, Recovery, Replayed, Report};
pub use snapshotter::{Fold, FoldError, Folded, SnapshotFacts};
pub use space::{Space, free_space};

use commit::Committer;
use contained::contained;
use shared::Shared;

/// Limits and policies.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Most batches that wait for a commit; more are refused.
    pub queue_batches: usize,
    /// Most bytes that wait for a commit; more are refused.
    pub queue_bytes: usize,
    /// Most bytes of records in one commit; what is queued beyond makes the next.
    pub commit_bytes: usize,
    /// A snapshot is made when this many records lie behind the last ...
    pub snapshot_records: u64,
    /// ... or this many bytes of them.
    pub snapshot_bytes: u64,
    /// Memory for sled's pages.
    pub cache_bytes: u64,
    /// Free space below which [`Space::is_enough`] says no.
    pub free_space_watermark: Bytes,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            queue_batches: 4096,
            queue_bytes: 64 << 20,
            commit_bytes: 1 << 20,
            snapshot_records: 100_000,
            snapshot_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            free_space_watermark: Bytes(256 << 20),
        }
    }
}

/// An open store that no thread works on yet.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    committer: Committer,
    options: StoreOptions,
}

impl Store {
    /// Opens the store in a directory, or makes one there, and reads it through once.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Damaged`] when more than the end of the
    /// journal is broken, and what the operating system refuses.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Recovery), StoreError> {
        let lock = directory::lock(dir)?;
        let dir: PathBuf = dir.canonicalize().map_err(|e| StoreError::io("find", dir, e))?;
        let note = side::read(&dir)?;
        let made = directory::is_made(&dir, note.is_some_and(|note| note.confirmed.seq != Seq(0)))?;
        let disk = Arc::new(disk::Disk::open(&dir, options.cache_bytes)?);
        let note = if made { note } else { Some(note.unwrap_or_default()) };
        let mut recovery = recovery::inspect(&dir, &disk, note)?;
        let (archive, taken_back) =
            contained(&dir, "archive", || archive::Archive::open(&disk, recovery.tail.seq))?;
        recovery.report.documents_taken_back = taken_back;
        let epoch = contained(&dir, "log", || commit::read_epoch(&disk))?;
        if let Missing::Confirmed { .. } = recovery.report.missing {
            // Said once by the report, and kept: from here on the store counts from its new end.
            directory::note_loss(&dir, &recovery.report)?;
        }
        let side = side::Side::open(&dir, recovery.tail)?;
        if !made {
            // Everything else has its name before the file that says so.
            disk::sync(&dir)?;
            directory::mark_made(&dir)?;
        }
        let shared = Arc::new(Shared::new(disk, archive, epoch, &recovery, &options, lock));
        let committer = Committer::new(Arc::clone(&shared), side, recovery.tail);
        Ok((Self { shared, committer, options }, recovery))
    }

    /// The epoch that was begun last; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch()
    }

    /// The last record.
    #[must_use]
    pub fn tail(&self) -> Seq {
        self.committer.tail().seq
    }

    /// Begins a new epoch, durably. Writers of lower ones are refused from now on.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn begin_epoch(&mut self) -> Result<Epoch, StoreError> {
        self.committer.begin_epoch().map_err(|error| self.shared.disk.cause(error))
    }

    /// Appends records behind `expected` and archives documents with them; returns when all of it is durable.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] for another epoch than the current, [`StoreError::OutOfSequence`] when `expected` is not
    /// the tail, and what the disk refuses.
    pub fn append(
        &mut self,
        epoch: Epoch,
        expected: Seq,
        records: Vec<Vec<u8>>,
        archive: Vec<ArchiveDoc>,
    ) -> Result<Seq, StoreError> {
        let (batch, mut done) = (Batch { epoch, expected, records, archive }, None);
        let committed = self.committer.commit(vec![batch], &mut |seq| done = Some(seq));
        committed.map_err(|error| self.shared.disk.cause(error))?;
        Ok(done.unwrap_or(expected))
    }

    /// Reads of archive and keys, for any thread.
    #[must_use]
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.shared))
    }

    /// Starts the commit and snapshot threads. `events` is called from them and must not block; `fold` makes few
    /// records of many, on the snapshot thread.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self, events: EventSink, fold: Fold) -> Result<Running, StoreError> {
        handle::start(&self.shared, self.committer, &self.options, events, fold)
    }
}

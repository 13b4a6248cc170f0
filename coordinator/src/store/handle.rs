//! The store from other threads: submit, read, keys, space; and its threads' beginning and end.

use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use rushes_shared::id::{Epoch, Seq};

use super::StoreOptions;
use super::archive::{self, Archive, ArchiveDoc};
use super::commit::{self, Batch, Committer, EventSink, Message, StoreEvent};
use super::disk::Disk;
use super::error::StoreError;
use super::group::Mark;
use super::keys::{self, Swap};
use super::parcel;
use super::recovery::Recovery;
use super::snapshot::Manifest;
use super::snapshotter::{self, Fold, Task};
use super::space::{Gauge, Space};

/// What the store's threads and handles have in common.
pub(super) struct Shared {
    pub(super) disk: Arc<Disk>,
    archive: Mutex<Archive>,
    epoch: AtomicU64,
    confirmed: Mutex<Mark>,
    manifest: Mutex<Manifest>,
    /// Exports that read the journal and the snapshot; nothing is removed meanwhile.
    pins: Mutex<usize>,
    gauge: Gauge,
    events: OnceLock<EventSink>,
    failed: AtomicBool,
    closing: AtomicBool,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    snapshots: OnceLock<SyncSender<Task>>,
    /// The mark at which the last snapshot was asked for, whatever became of it.
    asked: Mutex<Mark>,
    snapshot_records: u64,
    snapshot_bytes: u64,
    _lock: File,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("dir", &self.disk.dir).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The values behind these locks are replaced as a whole, so a panic elsewhere leaves them sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        disk: Arc<Disk>,
        archive: Archive,
        epoch: Epoch,
        recovery: &Recovery,
        options: &StoreOptions,
        lock: File,
    ) -> Self {
        Self {
            gauge: Gauge::new(&disk.dir, options.free_space_watermark),
            disk,
            archive: Mutex::new(archive),
            epoch: AtomicU64::new(epoch.0),
            confirmed: Mutex::new(recovery.tail),
            manifest: Mutex::new(recovery.manifest),
            pins: Mutex::new(0),
            events: OnceLock::new(),
            failed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            snapshots: OnceLock::new(),
            asked: Mutex::new(recovery.manifest.covers),
            snapshot_records: options.snapshot_records,
            snapshot_bytes: options.snapshot_bytes,
            _lock: lock,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    pub(super) fn set_epoch(&self, epoch: Epoch) {
        self.epoch.store(epoch.0, Ordering::Release);
    }

    pub(super) fn archive(&self) -> Result<MutexGuard<'_, Archive>, StoreError> {
        self.archive.lock().map_err(|_| StoreError::Stopped)
    }

    pub(super) fn confirmed(&self) -> Mark {
        *locked(&self.confirmed)
    }

    pub(super) fn set_confirmed(&self, mark: Mark) {
        *locked(&self.confirmed) = mark;
    }

    pub(super) fn manifest(&self) -> Manifest {
        *locked(&self.manifest)
    }

    pub(super) fn set_manifest(&self, manifest: Manifest) {
        *locked(&self.manifest) = manifest;
    }

    pub(super) fn send(&self, event: StoreEvent) {
        if let Some(events) = self.events.get() {
            events(event);
        }
    }

    /// Stops the store and says why, once.
    pub(super) fn fail(&self, error: StoreError) {
        let first = !self.failed.swap(true, Ordering::AcqRel);
        // Only now may other threads run into it, so that none of them reports less than is known here.
        self.disk.stop();
        if first {
            self.send(StoreEvent::Fatal(self.disk.cause(error)));
        }
    }

    /// Passes a result on; an error of the disk also stops the store, and is told there.
    fn watch<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match result {
            Err(error) if self.disk.has_stopped() && self.events.get().is_some() => {
                self.fail(error);
                Err(StoreError::Stopped)
            }
            other => other,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.failed.load(Ordering::Acquire)
    }

    pub(super) fn leave_queue(&self, batches: usize, bytes: usize) {
        self.queued.fetch_sub(batches, Ordering::AcqRel);
        self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Asks for a snapshot when enough lies behind the last.
    pub(super) fn consider_snapshot(&self) {
        let (tail, mut asked) = (self.confirmed(), locked(&self.asked));
        let records = tail.seq.0.saturating_sub(asked.seq.0);
        let bytes = tail.bytes.saturating_sub(asked.bytes);
        if records >= self.snapshot_records || bytes >= self.snapshot_bytes {
            // A snapshotter that is still at work is asked again after the next commit.
            if self.snapshots.get().is_some_and(|tasks| tasks.try_send(Task::Snapshot).is_ok()) {
                *asked = tail;
            }
        }
    }

    /// Keeps journal and snapshot from being removed; with the generation and the mark to read.
    pub(super) fn pin(self: &Arc<Self>) -> (Pin, Manifest, Mark) {
        // Under the lock, so that a trim that runs has either ended a batch or not begun it.
        let mut pins = locked(&self.pins);
        *pins += 1;
        (Pin(Arc::clone(self)), self.manifest(), self.confirmed())
    }

    pub(super) fn is_pinned(&self) -> bool {
        *locked(&self.pins) > 0
    }
}

/// Holds the journal and the snapshot where they are.
pub(super) struct Pin(Arc<Shared>);

impl Drop for Pin {
    fn drop(&mut self) {
        *locked(&self.0.pins) -= 1;
        if let Some(tasks) = self.0.snapshots.get() {
            // When it is busy it trims anyway.
            let _busy = tasks.try_send(Task::Trim);
        }
    }
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full: try again when something was confirmed, or refuse what caused it.
    #[error("the store's queue is full: try again shortly")]
    Full(Batch),
    /// It is larger than a commit can be.
    #[error("a batch of {size} bytes was refused, the limit is {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The store has stopped or is closing.
    #[error("the store has stopped")]
    Stopped,
}

/// Figures of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// The last confirmed record.
    pub confirmed: Seq,
    /// Commits since the store was made.
    pub commits: u64,
    /// The last record that the current snapshot covers.
    pub snapshot_covers: Seq,
    /// Batches that wait.
    pub queued_batches: usize,
    /// Documents in the archive.
    pub archived: u64,
    /// Bytes of sled's log file.
    pub disk_bytes: u64,
}

/// Writes and reads, for any thread.
#[derive(Debug, Clone)]
pub struct StoreHandle {
    shared: Arc<Shared>,
    inbox: SyncSender<Message>,
    tasks: SyncSender<Task>,
    queue_bytes: usize,
}

impl StoreHandle {
    /// Queues a batch for the next commit. Its end is told by [`StoreEvent::Confirmed`]; a batch that is refused for
    /// its epoch or its place is [`StoreEvent::Fatal`], because nothing can follow it.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn submit(&self, batch: Batch) -> Result<(), SubmitError> {
        let bytes = batch.bytes();
        let limit = parcel::LIMIT - 64;
        if bytes > limit {
            return Err(SubmitError::TooLarge { size: bytes, limit });
        }
        if self.shared.is_closing() {
            return Err(SubmitError::Stopped);
        }
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.shared.queued.fetch_add(1, Ordering::AcqRel);
        if before > 0 && before + bytes > self.queue_bytes {
            self.shared.leave_queue(1, bytes);
            return Err(SubmitError::Full(batch));
        }
        self.inbox.try_send(Message::Batch(batch)).map_err(|error| {
            self.shared.leave_queue(1, bytes);
            match error {
                TrySendError::Full(Message::Batch(batch)) => SubmitError::Full(batch),
                TrySendError::Full(Message::Close) | TrySendError::Disconnected(_) => SubmitError::Stopped,
            }
        })
    }

    /// The last confirmed record.
    #[must_use]
    pub fn confirmed(&self) -> Seq {
        self.shared.confirmed().seq
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch()
    }

    /// Free space against its watermark, at most a second old.
    #[must_use]
    pub fn space(&self) -> Space {
        self.shared.gauge.read()
    }

    /// Asks for a snapshot now; false when the snapshotter is busy.
    #[must_use]
    pub fn snapshot_now(&self) -> bool {
        self.tasks.try_send(Task::Snapshot).is_ok()
    }

    /// Asks to remove archived documents with keys below this one, in the background; false when it is busy.
    #[must_use]
    pub fn retire_archive(&self, before: u128) -> bool {
        self.tasks.try_send(Task::Retire(before)).is_ok()
    }

    /// Sets a key, durably.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or what the disk refuses.
    pub fn put_key(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.shared.watch(keys::set(&self.shared.disk, name, Some(value)))
    }

    /// Removes a key, durably.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn delete_key(&self, name: &str) -> Result<(), StoreError> {
        self.shared.watch(keys::set(&self.shared.disk, name, None))
    }

    /// Sets or removes a key if it still is what the caller has read (`None`: absent), durably.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], or what the disk refuses.
    pub fn swap_key(&self, name: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<Swap, StoreError> {
        self.shared.watch(keys::swap(&self.shared.disk, name, old, new))
    }

    /// Reads of archive and keys.
    #[must_use]
    pub fn reader(&self) -> StoreReader {
        StoreReader::new(Arc::clone(&self.shared))
    }
}

/// Reads of archive and keys, for any thread; the only handle that an export needs.
#[derive(Debug, Clone)]
pub struct StoreReader {
    pub(super) shared: Arc<Shared>,
}

impl StoreReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// An archived document.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn archived(&self, key: u128) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(archive::get(&self.shared.disk, key)?.map(|(_, doc)| doc))
    }

    /// Archived documents with keys below `before` (all, when `None`), newest first, at most `limit`.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn archived_before(&self, before: Option<u128>, limit: usize) -> Result<Vec<ArchiveDoc>, StoreError> {
        archive::newest(&self.shared.disk, before, limit)
    }

    /// Number of archived documents.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub fn archived_count(&self) -> Result<u64, StoreError> {
        Ok(self.shared.archive()?.count())
    }

    /// A key's value.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what the disk refuses.
    pub fn key(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        keys::get(&self.shared.disk, name)
    }

    /// All keys in order of their names.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what the disk refuses.
    pub fn keys(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        keys::list(&self.shared.disk)
    }

    /// Figures of the store.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let confirmed = self.shared.confirmed();
        Ok(StoreStats {
            confirmed: confirmed.seq,
            commits: confirmed.groups,
            snapshot_covers: self.shared.manifest().covers.seq,
            queued_batches: self.shared.queued.load(Ordering::Relaxed),
            archived: self.archived_count()?,
            disk_bytes: self.shared.disk.size()?,
        })
    }
}

/// A store whose threads run. Dropping it closes it.
#[derive(Debug)]
pub struct Running {
    handle: StoreHandle,
    commits: Option<JoinHandle<()>>,
    snapshots: Option<JoinHandle<()>>,
}

impl Running {
    /// A handle for another thread.
    #[must_use]
    pub fn handle(&self) -> StoreHandle {
        self.handle.clone()
    }

    /// Commits what is queued and ends the threads. The directory is free for another process once every handle and
    /// reader is gone.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.handle.shared.closing.store(true, Ordering::Release);
        // Fails only when the threads have ended.
        let _ended = self.handle.inbox.send(Message::Close);
        let _ended = self.handle.tasks.send(Task::Close);
        for thread in [self.commits.take(), self.snapshots.take()].into_iter().flatten() {
            // A panic in there was reported as an event.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

pub(super) fn start(
    shared: &Arc<Shared>,
    committer: Committer,
    options: &StoreOptions,
    events: EventSink,
    fold: Fold,
) -> Result<Running, StoreError> {
    let (inbox, messages) = sync_channel(options.queue_batches.max(1));
    let (tasks, work) = sync_channel(4);
    let _first = shared.events.set(events);
    let _first = shared.snapshots.set(tasks.clone());
    let commit_bytes = options.commit_bytes.clamp(1, parcel::LIMIT / 2);
    let handle = StoreHandle { shared: Arc::clone(shared), inbox, tasks, queue_bytes: options.queue_bytes };
    // What an earlier run left to remove.
    let _room = handle.tasks.try_send(Task::Trim);
    let mut running = Running { handle, commits: None, snapshots: None };
    let on = Arc::clone(shared);
    running.snapshots = Some(spawn(shared, "store-snapshot", move || {
        let work: Receiver<Task> = work;
        snapshotter::run(&on, &work, &fold);
    })?);
    running.commits =
        Some(spawn(shared, "store-commit", move || commit::run(committer, &messages, commit_bytes))?);
    Ok(running)
}

fn spawn(
    shared: &Shared,
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(|e| StoreError::io("start a thread for", &shared.disk.dir, e))
}

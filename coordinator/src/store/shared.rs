//! What the store's threads and handles have in common: how far it is, whether it still works, who reads what.

use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rushes_shared::id::Epoch;

use super::StoreOptions;
use super::archive::Archive;
use super::commit::{EventSink, StoreEvent};
use super::disk::Disk;
use super::error::StoreError;
use super::group::Mark;
use super::recovery::Recovery;
use super::snapshot::Manifest;
use super::snapshotter::Task;
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
    pub(super) fn watch<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match result {
            Err(error) if self.disk.has_stopped() && self.events.get().is_some() => {
                self.fail(error);
                Err(StoreError::Stopped)
            }
            other => other,
        }
    }

    /// From here on events are told and snapshots asked for.
    pub(super) fn begin(&self, events: EventSink, snapshots: SyncSender<Task>) {
        let _first = self.events.set(events);
        let _first = self.snapshots.set(snapshots);
    }

    /// From here on nothing more is taken in.
    pub(super) fn begin_close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.failed.load(Ordering::Acquire)
    }

    /// Counts a batch in, unless more than `most` bytes would wait then.
    pub(super) fn enter_queue(&self, bytes: usize, most: usize) -> bool {
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.queued.fetch_add(1, Ordering::AcqRel);
        if before > 0 && before + bytes > most {
            self.leave_queue(1, bytes);
            return false;
        }
        true
    }

    /// Batches that wait.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Free space against its watermark.
    pub(super) fn space(&self) -> Space {
        self.gauge.read()
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

//! The store from other threads: submit, keys, space; and its threads' beginning and end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rushes_shared::id::{Epoch, Seq};

use super::StoreOptions;
use super::commit::{self, Batch, Committer, EventSink, Message};
use super::error::StoreError;
use super::keys::{self, Swap};
use super::parcel;
use super::reader::StoreReader;
use super::shared::Shared;
use super::snapshotter::{self, Fold, Task};
use super::space::Space;

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
        if !self.shared.enter_queue(bytes, self.queue_bytes) {
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
        self.shared.space()
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
        self.handle.shared.begin_close();
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
    shared.begin(events, tasks.clone());
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

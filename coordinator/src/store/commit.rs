//! Commits: what is queued becomes one group, is made durable, and is confirmed. No timer: a commit begins as soon as
//! the one before has ended, and takes everything that came meanwhile.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rushes_shared::id::{Epoch, Seq};

use super::archive::ArchiveDoc;
use super::disk::{Disk, Room};
use super::error::StoreError;
use super::group::Mark;
use super::journal;
use super::shared::Shared;
use super::side::Side;
use super::snapshotter::SnapshotFacts;

const EPOCH: &[u8] = b"epoch";

/// Records to append together, with what goes to the archive when they count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The writer's epoch; must be the store's.
    pub epoch: Epoch,
    /// The record that the first one follows.
    pub expected: Seq,
    /// The records; at least one where there are documents.
    pub records: Vec<Vec<u8>>,
    /// Jobs that these records end.
    pub archive: Vec<ArchiveDoc>,
}

impl Batch {
    /// Its weight in the queue.
    pub(super) fn bytes(&self) -> usize {
        let records: usize = self.records.iter().map(|r| r.len() + 4).sum();
        records + self.archive.iter().map(|a| a.doc.len() + 24).sum::<usize>()
    }
}

/// What the store tells its owner.
#[derive(Debug)]
pub enum StoreEvent {
    /// Every record up to this one is on disk. Once for each commit, in order.
    Confirmed(Seq),
    /// A snapshot was made.
    Snapshot(SnapshotFacts),
    /// Archived documents with keys below this one are gone.
    Retired {
        /// The key.
        before: u128,
        /// How many there were.
        documents: u64,
    },
    /// A snapshot could not be made, for a reason that is not the disk's; the journal stays as long as it is.
    SnapshotFailed(StoreError),
    /// The store has stopped. Sent once; nothing is confirmed after it. End the process.
    Fatal(StoreError),
}

/// Takes the store's events; called from its threads, must not block.
pub type EventSink = Box<dyn Fn(StoreEvent) + Send + Sync>;

/// The epoch that was begun last.
pub(super) fn read_epoch(disk: &Disk) -> Result<Epoch, StoreError> {
    let Some(value) = disk.get(Room::Meta, EPOCH)? else { return Ok(Epoch(0)) };
    let bytes = <[u8; 8]>::try_from(&*value).map_err(|_| StoreError::Damaged {
        dir: disk.dir.clone(),
        part: "meta",
        detail: "the epoch is unreadable".to_owned(),
    })?;
    Ok(Epoch(u64::from_be_bytes(bytes)))
}

/// Writes an epoch, durably.
pub(super) fn write_epoch(disk: &Disk, epoch: Epoch) -> Result<(), StoreError> {
    let mut writer = disk.writer()?;
    writer.insert(Room::Meta, EPOCH, &epoch.0.to_be_bytes())?;
    writer.sync()
}

/// The one that appends.
pub(super) struct Committer {
    shared: Arc<Shared>,
    side: Side,
    tail: Mark,
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, side: Side, tail: Mark) -> Self {
        Self { shared, side, tail }
    }

    pub(super) fn tail(&self) -> Mark {
        self.tail
    }

    pub(super) fn begin_epoch(&mut self) -> Result<Epoch, StoreError> {
        let epoch = Epoch(self.shared.epoch().0 + 1);
        write_epoch(&self.shared.disk, epoch)?;
        self.shared.set_epoch(epoch);
        Ok(epoch)
    }

    /// Commits batches as one group and calls `confirmed` when it is durable. Of batches of which one is refused, those
    /// before it are committed.
    pub(super) fn commit(
        &mut self,
        batches: Vec<Batch>,
        confirmed: &mut dyn FnMut(Seq),
    ) -> Result<(), StoreError> {
        let mut refused = None;
        let (mut records, mut docs) = (Vec::new(), Vec::new());
        for batch in batches {
            let at = Seq(self.tail.seq.0 + records.len() as u64);
            match self.check(&batch, at) {
                Ok(()) => {
                    records.extend(batch.records);
                    docs.extend(batch.archive);
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        if !records.is_empty() {
            self.write(records, &docs)?;
            confirmed(self.tail.seq);
        }
        refused.map_or(Ok(()), Err)
    }

    fn check(&self, batch: &Batch, tail: Seq) -> Result<(), StoreError> {
        let current = self.shared.epoch();
        if batch.epoch != current {
            return Err(StoreError::Fenced { given: batch.epoch, current });
        }
        if batch.expected != tail {
            return Err(StoreError::OutOfSequence { expected: batch.expected, tail });
        }
        if batch.records.is_empty() && !batch.archive.is_empty() { Err(StoreError::NoRecord) } else { Ok(()) }
    }

    fn write(&mut self, records: Vec<Vec<u8>>, docs: &[ArchiveDoc]) -> Result<(), StoreError> {
        let sealed = journal::seal(self.shared.epoch(), self.tail, records)?;
        self.side.begin(sealed.mark)?;
        {
            let mut archive = self.shared.archive()?;
            let mut writer = self.shared.disk.writer()?;
            archive.put(&self.shared.disk, &mut writer, sealed.mark.seq, docs)?;
            journal::append(&mut writer, &sealed)?;
            writer.sync()?;
        }
        self.side.wait()?;
        self.side.confirmed()?;
        self.tail = sealed.mark;
        self.shared.set_confirmed(self.tail);
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.side.close()
    }
}

/// What the commit thread is sent.
pub(super) enum Message {
    /// Commit this.
    Batch(Batch),
    /// Commit what came before, and end.
    Close,
}

/// The commit thread.
pub(super) fn run(mut committer: Committer, inbox: &Receiver<Message>, commit_bytes: usize) {
    let shared = Arc::clone(&committer.shared);
    let _reported = PanicReport(&shared);
    // What was taken from the queue, and how much it is; the last of it may have to wait for the next commit.
    let (mut waiting, mut weight) = (VecDeque::<Batch>::new(), 0);
    let mut closing = false;
    loop {
        while !closing && weight <= commit_bytes {
            // Waits for the first one only.
            let message = if waiting.is_empty() { inbox.recv().ok() } else { inbox.try_recv().ok() };
            match message {
                Some(Message::Batch(batch)) => {
                    weight += batch.bytes();
                    waiting.push_back(batch);
                }
                None if !waiting.is_empty() => break,
                Some(Message::Close) | None => closing = true,
            }
        }
        if waiting.is_empty() {
            break;
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(batch) =
            waiting.pop_front_if(|batch| taken.is_empty() || bytes + batch.bytes() <= commit_bytes)
        {
            bytes += batch.bytes();
            taken.push(batch);
        }
        weight -= bytes;
        shared.leave_queue(taken.len(), bytes);
        let events = |seq| shared.send(StoreEvent::Confirmed(seq));
        if let Err(error) = committer.commit(taken, &mut { events }) {
            shared.fail(error);
            return;
        }
        shared.consider_snapshot();
    }
    if let Err(error) = committer.close() {
        shared.fail(error);
    }
}

/// Reports a panic of a store thread as the end of the store.
pub(super) struct PanicReport<'a>(pub(super) &'a Shared);

impl Drop for PanicReport<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(StoreError::Stopped);
        }
    }
}

//! The snapshot thread: folds the past into few records, beside the engine and without any state of its own.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rushes_shared::id::Seq;

use super::commit::{PanicReport, StoreEvent};
use super::error::StoreError;
use super::recovery::records;
use super::shared::Shared;
use super::snapshot::{self, Maker};

/// Why a fold failed.
pub type FoldError = Box<dyn std::error::Error + Send + Sync>;

/// Makes few records of many: those of the last snapshot and of the journal behind it, in order. Replaying its result
/// must give the same state. Called on the snapshot thread.
pub type Fold = Box<dyn Fn(&mut dyn Iterator<Item = Vec<u8>>) -> Result<Folded, FoldError> + Send>;

/// The few records, each made when it is asked for, so that they are never all in memory.
pub struct Folded(Box<dyn Iterator<Item = Result<Vec<u8>, FoldError>>>);

impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folded").finish_non_exhaustive()
    }
}

impl Folded {
    /// Records that are made one by one.
    pub fn new(records: impl Iterator<Item = Result<Vec<u8>, FoldError>> + 'static) -> Self {
        Self(Box::new(records))
    }
}

impl From<Vec<Vec<u8>>> for Folded {
    fn from(records: Vec<Vec<u8>>) -> Self {
        Self::new(records.into_iter().map(Ok))
    }
}

impl FromIterator<Vec<u8>> for Folded {
    fn from_iter<I: IntoIterator<Item = Vec<u8>>>(records: I) -> Self {
        records.into_iter().collect::<Vec<_>>().into()
    }
}

/// A snapshot that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The last record that it covers.
    pub covers: Seq,
    /// Its own records.
    pub records: u64,
    /// How long it took, removals included.
    pub took: Duration,
}

/// What the snapshot thread is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Make a snapshot of everything that is confirmed.
    Snapshot,
    /// Remove what the current snapshot has made superfluous.
    Trim,
    /// Remove archived documents with lower keys.
    Retire(u128),
    /// End.
    Close,
}

/// Documents removed under one hold of the writer, for which a commit may have to wait.
const RETIRE: usize = 16;

pub(super) fn run(shared: &Arc<Shared>, work: &Receiver<Task>, fold: &Fold) {
    let _reported = PanicReport(shared);
    while let Ok(task) = work.recv() {
        if shared.is_closing() {
            return;
        }
        let done = match task {
            Task::Close => return,
            Task::Snapshot => make(shared, fold),
            Task::Trim => trim(shared),
            Task::Retire(before) => retire(shared, before),
        };
        match done {
            Ok(()) => {}
            Err(_) if shared.is_closing() => return,
            Err(error @ (StoreError::Fold(_) | StoreError::TooLarge { .. })) => {
                shared.send(StoreEvent::SnapshotFailed(error));
            }
            Err(error) => {
                shared.fail(error);
                return;
            }
        }
    }
}

fn make(shared: &Arc<Shared>, fold: &Fold) -> Result<(), StoreError> {
    let (started, old, covers) = (Instant::now(), shared.manifest(), shared.confirmed());
    if covers.seq <= old.covers.seq {
        return Ok(());
    }
    let (mut failed, closing) = (None, AtomicBool::new(false));
    let mut past = records(&shared.disk, old, covers.seq).map_while(|record| {
        if shared.is_closing() {
            closing.store(true, Ordering::Relaxed);
            return None;
        }
        match record {
            Ok(record) => Some(record.bytes),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    let folded = fold(&mut past);
    drop(past);
    if let Some(error) = failed {
        return Err(error);
    }
    if closing.into_inner() {
        return Ok(());
    }
    let mut maker = Maker::begin(&shared.disk, old, covers)?;
    for record in folded.map_err(StoreError::Fold)?.0 {
        if shared.is_closing() {
            return Ok(());
        }
        maker.push(record.map_err(StoreError::Fold)?)?;
    }
    let manifest = maker.finish()?;
    shared.set_manifest(manifest);
    trim(shared)?;
    let facts = SnapshotFacts { covers: covers.seq, records: manifest.records, took: started.elapsed() };
    shared.send(StoreEvent::Snapshot(facts));
    Ok(())
}

fn trim(shared: &Arc<Shared>) -> Result<(), StoreError> {
    snapshot::trim(&shared.disk, shared.manifest(), &|| shared.is_pinned() || shared.is_closing())
}

fn retire(shared: &Arc<Shared>, before: u128) -> Result<(), StoreError> {
    let mut documents = 0;
    while !shared.is_closing() {
        match shared.archive()?.remove_oldest(&shared.disk, before, RETIRE)? {
            0 => {
                shared.send(StoreEvent::Retired { before, documents });
                break;
            }
            batch => documents += batch,
        }
    }
    Ok(())
}

//! Puts the load on a store until it has so many records, and says what it acknowledges.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rushes_coordinator::store::{ArchiveDoc, Batch, Store, StoreEvent, StoreHandle, SubmitError};
use rushes_shared::id::{Epoch, Seq};

use crate::load::{document, fold, options, record};
use crate::oplog::Note;
use crate::random::Random;

/// Most records that wait for their confirmation.
const AHEAD: u64 = 40;
const KEYS: u64 = 4;

/// Why a drive ended early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Opens the store in `root`, appends `records` records with all that belongs to them, and closes it.
///
/// # Errors
/// What the store says, its fatal event included.
pub fn drive(root: &Path, seed: u64, records: u64, note: fn(Note)) -> Result<(), Failure> {
    let (mut store, recovery) = Store::open(root, options())?;
    drop(recovery);
    let first = store.tail().0 + 1;
    let epoch = store.begin_epoch()?;
    note(Note::Epoch(epoch.0));
    let confirmed = Arc::new(AtomicU64::new(first - 1));
    let failed = Arc::new(AtomicBool::new(false));
    let (told, broken) = (Arc::clone(&confirmed), Arc::clone(&failed));
    let events = move |event| match event {
        StoreEvent::Confirmed(seq) => {
            assert!(!broken.load(Ordering::Acquire), "nothing is confirmed after a fatal error");
            note(Note::Confirmed(seq.0));
            told.store(seq.0, Ordering::Release);
        }
        StoreEvent::Snapshot(facts) => note(Note::Snapshot(facts.covers.0)),
        StoreEvent::Retired { .. } => {}
        StoreEvent::SnapshotFailed(error) => eprintln!("no snapshot: {error}"),
        StoreEvent::Fatal(error) => {
            eprintln!("fatal: {error}");
            assert!(!broken.swap(true, Ordering::AcqRel), "a fatal error is told once");
        }
    };
    let running = store.start(Box::new(events), Box::new(fold))?;
    let handle = running.handle();
    let done = Arc::new(AtomicBool::new(false));
    let keys = std::thread::spawn({
        let (handle, done) = (handle.clone(), Arc::clone(&done));
        move || set_keys(&handle, &done, seed, note)
    });
    let appended = append(&handle, epoch, first..first + records, seed, &confirmed, &failed, note);
    done.store(true, Ordering::Release);
    let keys = keys.join().map_err(|_| "the thread of the keys panicked")?;
    running.close();
    if failed.load(Ordering::Acquire) {
        return Err("the store failed".into());
    }
    keys?;
    appended
}

fn set_keys(handle: &StoreHandle, done: &AtomicBool, seed: u64, note: fn(Note)) -> Result<(), Failure> {
    let known = handle.reader().keys()?.into_iter().filter_map(|(_, value)| value.as_slice().try_into().ok());
    let mut value = known.map(u64::from_le_bytes).max().unwrap_or(seed << 20);
    while !done.load(Ordering::Acquire) {
        value += 1;
        let key = value % KEYS;
        note(Note::KeyBegun { key, value });
        handle.put_key(&format!("k{key}"), &value.to_le_bytes())?;
        note(Note::KeySet { key, value });
        // Paces the load; nothing waits for this.
        std::thread::sleep(std::time::Duration::from_micros(500));
    }
    Ok(())
}

fn append(
    handle: &StoreHandle,
    epoch: Epoch,
    range: std::ops::Range<u64>,
    seed: u64,
    confirmed: &AtomicU64,
    failed: &AtomicBool,
    note: fn(Note),
) -> Result<(), Failure> {
    let mut random = Random::new(seed);
    let mut at = range.start;
    while at < range.end && !failed.load(Ordering::Acquire) {
        if at > confirmed.load(Ordering::Acquire) + AHEAD {
            std::thread::yield_now();
            continue;
        }
        let seqs = at..at + 1 + random.below(6);
        let archive = seqs.clone().filter_map(|seq| {
            let doc = document(seq)?;
            Some(ArchiveDoc { key: u128::from(seq), doc })
        });
        let batch = Batch {
            epoch,
            expected: Seq(at - 1),
            records: seqs.clone().map(record).collect(),
            archive: archive.collect(),
        };
        match handle.submit(batch) {
            Ok(()) => at = seqs.end,
            Err(SubmitError::Full(_)) => std::thread::yield_now(),
            Err(SubmitError::Stopped) if failed.load(Ordering::Acquire) => break,
            Err(error) => return Err(error.into()),
        }
        if random.one_in(150) && at > 400 {
            let before = at - 400;
            note(Note::Retiring(before));
            let _busy = handle.retire_archive(u128::from(before));
        }
    }
    Ok(())
}

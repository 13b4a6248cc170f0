//! The file that says up to where the store has confirmed: the witness that a start asks whether the journal's end is
//! complete.
//!
//! sled drops a torn tail without a word, so the journal alone cannot tell a clean end from a lost one. Each commit
//! writes here, *at the same time* as it syncs the journal, "confirmed up to P, now committing up to N", and both are
//! on disk before N is confirmed. So after a power cut the journal must reach P, and N was confirmed only if it reaches
//! N. After the confirmation N is noted without a sync of its own, which makes the answer exact after the death of the
//! process alone.
//!
//! Three slots of a sector each: two take turns for the synced notes, so that a torn write leaves the one before; the
//! third is for the unsynced note.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::error::StoreError;
use super::group::{Mark, Reader};

const NAME: &str = "confirmed";
const MAGIC: [u8; 8] = *b"rshconf1";
const SLOT: u64 = 512;
const NOTE: usize = 8 + 8 + 2 * Mark::SIZE + 4;

/// What the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// Counts the notes; the highest valid one is in force.
    count: u64,
    /// Everything up to here was confirmed.
    pub(super) confirmed: Mark,
    /// A commit up to here had begun; the same as `confirmed` when none had.
    pub(super) committing: Mark,
}

impl Note {
    fn to_bytes(self) -> [u8; NOTE] {
        let mut out = [0; NOTE];
        out[..8].copy_from_slice(&MAGIC);
        out[8..16].copy_from_slice(&self.count.to_le_bytes());
        out[16..16 + Mark::SIZE].copy_from_slice(&self.confirmed.to_bytes());
        out[16 + Mark::SIZE..NOTE - 4].copy_from_slice(&self.committing.to_bytes());
        let crc = crc32fast::hash(&out[..NOTE - 4]);
        out[NOTE - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.get(..NOTE)?.split_at(NOTE - 4);
        if crc != crc32fast::hash(body).to_le_bytes() {
            return None;
        }
        let mut reader = Reader(body);
        if reader.take(8)? != MAGIC {
            return None;
        }
        Some(Self {
            count: reader.u64()?,
            confirmed: Mark::from_bytes(reader.take(Mark::SIZE)?)?,
            committing: Mark::from_bytes(reader.take(Mark::SIZE)?)?,
        })
    }
}

/// The file, and the thread that syncs it beside the journal's own sync.
#[derive(Debug)]
pub(super) struct Side {
    path: PathBuf,
    file: Arc<File>,
    last: Note,
    asks: Option<SyncSender<()>>,
    answers: Receiver<std::io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The note in a directory, or `None` when there is no readable one.
pub(super) fn read(dir: &Path) -> Result<Option<Note>, StoreError> {
    let path = dir.join(NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io("read", &path, e)),
    };
    let slots = bytes.chunks(usize::try_from(SLOT).expect("512 fits")).take(3);
    Ok(slots.filter_map(Note::from_bytes).max_by_key(|note| note.count))
}

impl Side {
    /// Opens or makes the file and settles it, synced, on what the journal really holds.
    pub(super) fn open(dir: &Path, tail: Mark) -> Result<Self, StoreError> {
        let last = read(dir)?.unwrap_or_default();
        let path = dir.join(NAME);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = Arc::new(open.map_err(|e| StoreError::io("open", &path, e))?);
        let (asks, asked) = sync_channel::<()>(1);
        let (answer, answers) = sync_channel(1);
        let syncing = Arc::clone(&file);
        let thread = std::thread::Builder::new()
            .name("store-side".into())
            .spawn(move || {
                while asked.recv().is_ok() {
                    if answer.send(syncing.sync_data()).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| StoreError::io("start a thread for", &path, e))?;
        let mut side = Self { path, file, last, asks: Some(asks), answers, thread: Some(thread) };
        // Three notes fill three slots, so that no older one is left that claims more than there is.
        for _ in 0..3 {
            side.settle(tail)?;
        }
        side.file.set_len(4096).map_err(|e| StoreError::io("write", &side.path, e))?;
        side.file.sync_all().map_err(|e| StoreError::io("sync", &side.path, e))?;
        Ok(side)
    }

    fn write(&mut self, slot: u64, confirmed: Mark, committing: Mark) -> Result<(), StoreError> {
        self.last = Note { count: self.last.count + 1, confirmed, committing };
        self.file
            .write_all_at(&self.last.to_bytes(), slot * SLOT)
            .map_err(|e| StoreError::io("write", &self.path, e))
    }

    /// Notes that everything up to `tail` is confirmed and nothing is on its way, in the slot whose turn it is.
    fn settle(&mut self, tail: Mark) -> Result<(), StoreError> {
        self.write((self.last.count + 1) % 3, tail, tail)
    }

    /// Writes the note of a commit that begins, and begins to sync it.
    pub(super) fn begin(&mut self, committing: Mark) -> Result<(), StoreError> {
        let confirmed = self.last.confirmed;
        let slot = committing.groups % 2;
        self.write(slot, confirmed, committing)?;
        let asked = self.asks.as_ref().is_some_and(|asks| asks.send(()).is_ok());
        if asked { Ok(()) } else { Err(StoreError::Stopped) }
    }

    /// Waits until the note of [`Side::begin`] is on disk.
    pub(super) fn wait(&mut self) -> Result<(), StoreError> {
        let answer = self.answers.recv().map_err(|_| StoreError::Stopped)?;
        answer.map_err(|e| StoreError::io("sync", &self.path, e))
    }

    /// Notes, without a sync, that the commit was confirmed.
    pub(super) fn confirmed(&mut self) -> Result<(), StoreError> {
        let tail = self.last.committing;
        self.write(2, tail, tail)
    }

    /// Syncs the last note before a clean end.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|e| StoreError::io("sync", &self.path, e))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rushes_shared::id::Seq;

    fn mark(n: u64) -> Mark {
        Mark { seq: Seq(n * 10), groups: n, bytes: n * 100 }
    }

    #[test]
    fn a_torn_slot_leaves_the_note_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut side = Side::open(dir.path(), mark(0)).expect("opens");
        for n in 1..=4 {
            side.begin(mark(n)).expect("writes");
            side.wait().expect("syncs");
            if n < 4 {
                side.confirmed().expect("writes");
            }
        }
        drop(side);
        let note = read(dir.path()).expect("reads").expect("is there");
        assert_eq!((note.confirmed, note.committing), (mark(3), mark(4)));

        let path = dir.path().join(NAME);
        let mut bytes = std::fs::read(&path).expect("reads");
        bytes[20] ^= 1; // the slot of group 4
        std::fs::write(&path, &bytes).expect("writes");
        let note = read(dir.path()).expect("reads").expect("is there");
        assert_eq!(note.confirmed, mark(3));

        bytes.truncate(3);
        std::fs::write(&path, &bytes).expect("writes");
        assert_eq!(read(dir.path()).expect("reads"), None);
    }

    #[test]
    fn opening_forgets_claims_beyond_the_tail() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut side = Side::open(dir.path(), mark(0)).expect("opens");
        for n in 1..=3 {
            side.begin(mark(n)).expect("writes");
            side.wait().expect("syncs");
            side.confirmed().expect("writes");
        }
        drop(side);
        drop(Side::open(dir.path(), mark(1)).expect("opens"));
        let note = read(dir.path()).expect("reads").expect("is there");
        assert_eq!((note.confirmed, note.committing), (mark(1), mark(1)));
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).expect("is there").len(), 4096);
    }
}

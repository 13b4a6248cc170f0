//! Results kept for whoever does the same work again: chunks of a set, its sound and stills. What is published is not
//! among them: a file that somebody changes in its place must not be one that others are given.
//!
//! ```text
//! STATE/depot/kept/TENANT/KEY         the file; its inode is shared with the staging area while that has it
//!                         KEY.note    size, hash, and what the worker wants to know of it; changed at each use
//! ```
//! A key is a hash of all that decides what the result is, and of the programs that make it: the coordinator names the
//! work in the ticket, the worker names its programs. A result without a note is none, so that a crash between the two
//! leaves nothing wrong. Beyond the bound the least recently used go.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rushes_shared::artifact::ContentHash;
use rushes_shared::id::TenantId;
use rushes_shared::units::Bytes;
use rushes_shared::wire::NOTE_LIMIT;

const NOTE: &str = "note";
/// Size and hash stand before the worker's words.
const HEAD: usize = 40;

/// The results that are kept.
#[derive(Debug)]
pub(super) struct Kept {
    dir: PathBuf,
    bound: u64,
    /// Bytes of all. Whoever changes the directory holds it.
    size: Mutex<u64>,
}

/// A result, beside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Result {
    pub(super) size: Bytes,
    pub(super) hash: ContentHash,
    pub(super) note: Vec<u8>,
}

impl Kept {
    /// Those in a directory, which is made where it is missing. A bound of 0 keeps none.
    pub(super) fn open(dir: PathBuf, bound: Bytes) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let kept = Self { dir, bound: bound.0, size: Mutex::new(0) };
        let mut size = 0;
        for result in kept.all()? {
            // What has no note was not finished.
            match fs::metadata(result.with_extension(NOTE)) {
                Ok(_) => size += fs::metadata(&result)?.len(),
                Err(_) => fs::remove_file(&result)?,
            }
        }
        *kept.lock() = size;
        kept.shrink(kept.bound)?;
        Ok(kept)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, u64> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, tenant: &TenantId, of: ContentHash, maker: ContentHash) -> PathBuf {
        let key = blake3::Hasher::new().update(&of.0).update(&maker.0).finalize();
        self.dir.join(tenant.to_string()).join(key.to_hex().as_str())
    }

    /// Has a result linked by `link`, if it is kept.
    pub(super) fn take(
        &self,
        tenant: &TenantId,
        (of, maker): (ContentHash, ContentHash),
        link: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<Option<Result>> {
        let place = self.place(tenant, of, maker);
        let _size = self.lock();
        let note = place.with_extension(NOTE);
        let Some(result) = fs::read(&note).ok().and_then(|bytes| read(&bytes)) else { return Ok(None) };
        if fs::metadata(&place).map_or(0, |found| found.len()) != result.size.0 {
            // Without its note it is none, and the next that is made is kept in its place.
            remove(&note)?;
            return Ok(None);
        }
        // What is staged is as old as its last use: the sweep removes what is old there. The note's is the order of use.
        for used in [&place, &note] {
            File::options().write(true).open(used)?.set_modified(SystemTime::now())?;
        }
        link(&place)?;
        Ok(Some(result))
    }

    /// Keeps a result that `link` links to where it is told, if it fits.
    pub(super) fn keep(
        &self,
        tenant: &TenantId,
        (of, maker): (ContentHash, ContentHash),
        result: &Result,
        link: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let size = result.size.0;
        if size > self.bound || result.note.len() > NOTE_LIMIT {
            return Ok(());
        }
        self.shrink(self.bound - size)?;
        let place = self.place(tenant, of, maker);
        let note = place.with_extension(NOTE);
        let mut held = self.lock();
        if note.exists() {
            return Ok(());
        }
        let dir = place.parent().expect("it lies in its tenant's directory");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        remove(&place)?;
        link(&place)?;
        let draft = place.with_extension("new");
        let mut file = File::create(&draft)?;
        file.write_all(&size.to_le_bytes())?;
        file.write_all(&result.hash.0)?;
        file.write_all(&result.note)?;
        file.sync_all()?;
        fs::rename(&draft, &note)?;
        File::open(dir)?.sync_all()?;
        *held += size;
        metrics::gauge!("rushes_depot_kept_bytes").set(*held as f64);
        Ok(())
    }

    /// Removes the least recently used until no more than `most` bytes are kept, or until a tenth below the bound, so that
    /// not each new one looks through all.
    fn shrink(&self, most: u64) -> io::Result<()> {
        let mut held = self.lock();
        if *held <= most {
            return Ok(());
        }
        let goal = most.min(self.bound - self.bound / 10);
        let mut results = Vec::new();
        for result in self.all()? {
            let used = fs::metadata(result.with_extension(NOTE)).and_then(|found| found.modified());
            results.push((used.unwrap_or(SystemTime::UNIX_EPOCH), result));
        }
        results.sort();
        for (_, result) in results {
            if *held <= goal {
                break;
            }
            let size = fs::metadata(&result).map_or(0, |found| found.len());
            remove(&result.with_extension(NOTE))?;
            remove(&result)?;
            *held = held.saturating_sub(size);
        }
        metrics::gauge!("rushes_depot_kept_bytes").set(*held as f64);
        Ok(())
    }

    /// Removes all, where the disk is needed for what is made now; whether there was any.
    pub(super) fn clear(&self) -> bool {
        let any = *self.lock() > 0;
        if let Err(error) = self.shrink(0) {
            tracing::warn!(%error, "kept results could not be removed");
        }
        any
    }

    /// The files of all results.
    fn all(&self) -> io::Result<Vec<PathBuf>> {
        let mut results = Vec::new();
        for tenant in fs::read_dir(&self.dir)? {
            for file in fs::read_dir(tenant?.path())? {
                let path = file?.path();
                if path.extension().is_none() {
                    results.push(path);
                }
            }
        }
        Ok(results)
    }
}

fn read(bytes: &[u8]) -> Option<Result> {
    let (head, note) = bytes.split_at_checked(HEAD)?;
    let (size, hash) = head.split_at(8);
    Some(Result {
        size: Bytes(u64::from_le_bytes(size.try_into().ok()?)),
        hash: ContentHash(hash.try_into().ok()?),
        note: note.to_vec(),
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

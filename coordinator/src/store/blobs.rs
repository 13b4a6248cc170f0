//! The directory where sled puts values that are too large for its log, and never syncs them. It must stay empty.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::error::StoreError;

/// A change this long ago cannot share its time with a later one: the clock of a file system goes by steps, of hundredths of
/// a second or, on old ones, of two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// The directory, looked at after every commit: its time of change says whether to look inside.
#[derive(Debug)]
pub(super) struct Blobs {
    path: PathBuf,
    dir: File,
    /// When it had changed last as it was seen empty.
    empty_since: Mutex<Option<SystemTime>>,
}

impl Blobs {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let dir = File::open(&path).map_err(|e| StoreError::io("open", &path, e))?;
        Ok(Self { path, dir, empty_since: Mutex::new(None) })
    }

    /// Fails where something is in it. `store` is the store's directory.
    pub(super) fn assert_none(&self, store: &Path) -> Result<(), StoreError> {
        let failed = |e| StoreError::io("list", &self.path, e);
        let changed = self.dir.metadata().and_then(|facts| facts.modified()).map_err(failed)?;
        let mut empty_since = self.empty_since.lock().unwrap_or_else(PoisonError::into_inner);
        if *empty_since == Some(changed) {
            return Ok(());
        }
        if fs::read_dir(&self.path).map_err(failed)?.next().is_some() {
            return Err(StoreError::Spilled { dir: store.to_path_buf() });
        }
        let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED);
        *empty_since = is_settled.then_some(changed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_whenever_it_comes() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let blobs = Blobs::open(dir.path().to_owned()).expect("it is there");
        let is_empty = || blobs.assert_none(dir.path()).is_ok();
        let file = dir.path().join("7");
        for settled in [false, true] {
            if settled {
                blobs.dir.set_modified(long_ago).expect("it is ours");
            }
            assert!(is_empty() && is_empty());
            assert_eq!(blobs.empty_since.lock().expect("no panic").is_some(), settled);
            fs::write(&file, "x").expect("written");
            assert!(!is_empty() && !is_empty());
            fs::remove_file(&file).expect("removed");
        }
        assert!(is_empty());
    }
}

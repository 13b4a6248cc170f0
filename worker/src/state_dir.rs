//! The worker's directory: who it is, what it remembers, where its tasks work.
//!
//! ```text
//! lock            held while a worker runs here
//! identity/       certificate, key, CA: the reason why all of it is readable by the owner alone
//! worker.json     which coordinator was joined, under which name
//! epoch           the highest reign served
//! encoders.json   which encoders work, and for what versions that was found out
//! registry.bin    GStreamer's list of plugins
//! processes/      task processes that run now
//! cache/          inputs kept for the next task; emptied at start
//! scratch/        one directory per running attempt; emptied at start
//! rooms/          empty directories for tasks without an input; emptied at start
//! worker.toml     settings, if the operator wants them here
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rushes_net::identity::write_secret;
use rushes_shared::id::{Epoch, WorkerId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a worker remembers of its enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The coordinator, `host:port`.
    pub coordinator: String,
    /// Its own id, as in its certificate.
    pub worker: WorkerId,
    /// Its name for people.
    pub name: String,
}

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another worker runs here.
    #[error(
        "another worker runs in {0}; stop it, or give this one a directory of its own with --state-dir and join it"
    )]
    Locked(PathBuf),
    /// No enrolment.
    #[error(
        "this machine has not joined a farm yet (nothing in {0}); run: rushes-worker join HOST:PORT TOKEN"
    )]
    NotJoined(PathBuf),
    /// Already enrolled.
    #[error(
        "{0} holds an identity already; start the worker with `run`, join with --replace to give it up, or choose another --state-dir"
    )]
    Joined(PathBuf),
    /// A file cannot be understood.
    #[error("{path} cannot be understood: {reason}; restore it, or remove it and join again")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system refuses.
    #[error("{path}: {source}; the state directory must be writable for the worker's user")]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Io { path: path.to_owned(), source }
}

/// The directory, held by this process alone.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens the directory, making it where it is missing, and locks it.
    ///
    /// # Errors
    /// [`StateError::Locked`] where another worker runs in it, [`StateError::Io`] where it cannot be used.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        make_private(root).map_err(io_error(root))?;
        let root = fs::canonicalize(root).map_err(io_error(root))?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_error(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked(root)),
            Err(TryLockError::Error(source)) => Err(StateError::Io { path, source }),
        }
    }

    /// Its path, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the certificate and its key are.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// GStreamer's list of plugins.
    #[must_use]
    pub fn registry(&self) -> PathBuf {
        self.root.join("registry.bin")
    }

    /// What was found out about encoders.
    #[must_use]
    pub fn encoders(&self) -> PathBuf {
        self.root.join("encoders.json")
    }

    /// Notes about running task processes.
    #[must_use]
    pub fn processes(&self) -> PathBuf {
        self.root.join("processes")
    }

    /// Kept inputs.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Directories of running attempts.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Empty directories for tasks without an input.
    #[must_use]
    pub fn rooms(&self) -> PathBuf {
        self.root.join("rooms")
    }

    /// Empties cache, rooms and scratch of what a killed predecessor left. Returns how many attempts had left something.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn clean(&self) -> Result<usize, StateError> {
        let scratch = self.scratch();
        let left = fs::read_dir(&scratch).map(Iterator::count).unwrap_or(0);
        for dir in [scratch, self.rooms(), self.cache()] {
            match fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(&dir)(e)),
                _ => make_private(&dir).map_err(io_error(&dir))?,
            }
        }
        Ok(left)
    }

    /// What is remembered of the enrolment.
    ///
    /// # Errors
    /// [`StateError::NotJoined`] where there is none.
    pub fn enrolment(&self) -> Result<Enrolment, StateError> {
        read_json(&self.root.join("worker.json"))?.ok_or_else(|| StateError::NotJoined(self.root.clone()))
    }

    /// Remembers an enrolment, on disk when this returns. Belongs behind the saving of the identity.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn save_enrolment(&self, enrolment: &Enrolment) -> Result<(), StateError> {
        let path = self.root.join("worker.json");
        let text = serde_json::to_vec_pretty(enrolment).map_err(|e| io_error(&path)(io::Error::other(e)))?;
        write_secret(&path, &text).map_err(io_error(&path))?;
        // Reigns are counted per farm, and this may be another one.
        let epoch = self.root.join("epoch");
        match fs::remove_file(&epoch) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(&epoch)(e)),
            _ => Ok(()),
        }
    }

    /// The highest reign served; 0 before the first.
    ///
    /// # Errors
    /// [`StateError::Damaged`] for a file that is no number.
    pub fn epoch(&self) -> Result<Epoch, StateError> {
        let path = self.root.join("epoch");
        match fs::read_to_string(&path) {
            Ok(text) => text
                .trim()
                .parse()
                .map(Epoch)
                .map_err(|e| StateError::Damaged { path, reason: format!("{e}") }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Epoch(0)),
            Err(e) => Err(io_error(&path)(e)),
        }
    }

    /// Remembers a reign, on disk when this returns.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn save_epoch(&self, epoch: Epoch) -> Result<(), StateError> {
        let path = self.root.join("epoch");
        write_secret(&path, format!("{}\n", epoch.0).as_bytes()).map_err(io_error(&path))
    }
}

/// Makes a directory that only its owner may enter.
///
/// # Errors
/// Whatever the file system says.
pub fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Reads a JSON file; `None` where there is none.
///
/// # Errors
/// [`StateError::Damaged`] or [`StateError::Io`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| StateError::Damaged { path: path.to_owned(), reason: e.to_string() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_worker_per_directory() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().join("a/b");
        let first = StateDir::open(&root).expect("it is free");
        let error = StateDir::open(&root).expect_err("it is taken").to_string();
        assert!(error.contains("another worker runs in"), "{error}");
        assert_eq!(fs::metadata(&root).expect("it is there").permissions().mode() & 0o777, 0o700);
        drop(first);
        assert!(StateDir::open(&root).is_ok(), "free again");
    }

    #[test]
    fn the_epoch_is_kept_and_ends_with_the_farm() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = StateDir::open(dir.path()).expect("it is free");
        assert_eq!(state.epoch().expect("none yet"), Epoch(0));
        state.save_epoch(Epoch(7)).expect("it is written");
        assert_eq!(state.epoch().expect("it reads"), Epoch(7));
        assert!(matches!(state.enrolment(), Err(StateError::NotJoined(_))));
        let enrolment =
            Enrolment { coordinator: "h:1".into(), worker: WorkerId::from_parts(1, 2), name: "n".into() };
        state.save_enrolment(&enrolment).expect("it is written");
        assert_eq!(
            (state.enrolment().expect("it reads"), state.epoch().expect("reset")),
            (enrolment, Epoch(0))
        );
    }

    #[test]
    fn leftovers_of_a_killed_predecessor_go() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = StateDir::open(dir.path()).expect("it is free");
        fs::create_dir_all(state.scratch().join("3-1/work")).expect("made");
        fs::write(state.scratch().join("3-1/work/x"), "x").expect("written");
        assert_eq!(state.clean().expect("it is cleaned"), 1);
        assert_eq!(fs::read_dir(state.scratch()).expect("it is there").count(), 0);
    }
}

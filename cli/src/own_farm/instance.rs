//! The directory of one farm. Two commands at once take two directories.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rushes_shared::view::AddressBook;

use super::remove;
use crate::fault::Fault;

/// Farms of one user at once.
const MAX: u32 = 64;

/// A directory that no other command uses meanwhile.
#[derive(Debug)]
pub(super) struct Instance {
    dir: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

/// Where instances lie.
pub(super) fn base() -> Result<PathBuf, Fault> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("rushes/own")).ok_or_else(|| {
        Fault::Usage("neither XDG_STATE_HOME nor HOME is set; set one to an absolute path".to_owned())
    })
}

/// Whether a program holds this lock.
fn is_in_use(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

impl Instance {
    /// Takes the first directory that is free.
    pub(super) fn take() -> Result<Self, Fault> {
        let base = base()?;
        let fails = |e| Fault::local(format!("cannot use {}", base.display()), e);
        DirBuilder::new().recursive(true).mode(0o700).create(&base).map_err(fails)?;
        for number in 0..MAX {
            let lock = File::create(base.join(format!("{number}.lock"))).map_err(fails)?;
            match lock.try_lock() {
                Ok(()) => {
                    let dir = base.join(number.to_string());
                    // The programs of a command that was killed need a moment to end.
                    if is_in_use(&dir.join("coordinator/store/lock")) || is_in_use(&dir.join("worker/lock")) {
                        continue;
                    }
                    DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(fails)?;
                    return Ok(Self { dir, _lock: lock });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(fails(e)),
            }
        }
        Err(Fault::Local(format!("{MAX} farms run from {} already; wait for one to end", base.display())))
    }

    pub(super) fn coordinator(&self) -> PathBuf {
        self.dir.join("coordinator")
    }

    pub(super) fn worker(&self) -> PathBuf {
        self.dir.join("worker")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Whether no farm was made here, or its making was interrupted: the token is what `init` writes last.
    pub(super) fn is_new(&self) -> bool {
        !self.token_file().exists()
    }

    /// Empties the directory.
    pub(super) fn reset(&self) -> Result<(), Fault> {
        remove(&self.joined_file())?;
        for dir in [self.coordinator(), self.worker()] {
            match fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Fault::local(format!("cannot empty {}", dir.display()), e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn token(&self) -> Result<String, Fault> {
        let path = self.token_file();
        let text = fs::read_to_string(&path)
            .map_err(|e| Fault::local(format!("cannot read {}", path.display()), e))?;
        Ok(text.trim().to_owned())
    }

    fn token_file(&self) -> PathBuf {
        self.coordinator().join("admin.token")
    }

    fn joined_file(&self) -> PathBuf {
        self.dir.join("worker.joined")
    }

    pub(super) fn has_joined(&self) -> bool {
        self.joined_file().exists()
    }

    pub(super) fn set_joined(&self) -> Result<(), Fault> {
        let path = self.joined_file();
        File::create(&path).map(drop).map_err(|e| Fault::local(format!("cannot make {}", path.display()), e))
    }

    fn book_file(&self) -> PathBuf {
        self.coordinator().join("run.json")
    }

    /// Before a start, so that what is there afterwards is of this run.
    pub(super) fn remove_address_book(&self) -> Result<(), Fault> {
        remove(&self.book_file())
    }

    /// Where the coordinator listens, once it does.
    pub(super) fn address_book(&self) -> Option<AddressBook> {
        serde_json::from_slice(&fs::read(self.book_file()).ok()?).ok()
    }

    /// After a stop in good order: logs of a run in which nothing went wrong are of no use, and the worker's copies of
    /// inputs are room on the user's disk.
    pub(super) fn forget_files(&self) {
        fs::remove_dir_all(self.worker().join("cache")).ok();
        for name in ["coordinator", "worker"] {
            trim(&self.log(name));
        }
    }
}

/// Longest log that is kept between runs.
const MAX_LOG: u64 = 4 << 20;

fn trim(log: &Path) {
    if fs::metadata(log).is_ok_and(|facts| facts.len() > MAX_LOG) {
        fs::remove_file(log).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_whose_making_was_interrupted_is_made_anew() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let lock = File::create(dir.path().join("0.lock")).expect("a file");
        let instance = Instance { dir: dir.path().join("0"), _lock: lock };
        fs::create_dir_all(instance.coordinator().join("pki")).expect("a directory");
        instance.set_joined().expect("a file");
        assert!(instance.is_new());
        instance.reset().expect("it is ours");
        assert!(!instance.coordinator().exists() && !instance.has_joined());
        fs::create_dir_all(instance.coordinator()).expect("a directory");
        fs::write(instance.token_file(), "secret\n").expect("a file");
        assert!(!instance.is_new());
        assert_eq!(instance.token().expect("it is there"), "secret");
    }
}

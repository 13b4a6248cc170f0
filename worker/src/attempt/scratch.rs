//! An attempt's directory.
//!
//! A task without an input makes nothing in its own either, so such directories stay for those that come: to make one and
//! to remove it again costs more than to start the process.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::AttemptId;
use tracing::warn;

use crate::state_dir::make_private;

/// Most empty directories that are kept.
const MOST_SPARE: usize = 64;

/// Empty directories for tasks without an input.
#[derive(Debug, Clone)]
pub struct SpareRooms {
    dir: PathBuf,
    spare: Arc<Mutex<Spare>>,
}

#[derive(Debug, Default)]
struct Spare {
    made: u64,
    rooms: Vec<PathBuf>,
}

impl SpareRooms {
    /// Has them made in this directory, in which there is none yet.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, spare: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty directory: one that was used before, or a new one.
    pub(super) fn take(&self) -> Result<SpareRoom, Failure> {
        let path = {
            let mut spare = self.lock();
            if let Some(path) = spare.rooms.pop() {
                return Ok(SpareRoom { path, rooms: self.clone() });
            }
            spare.made += 1;
            self.dir.join(spare.made.to_string())
        };
        Ok(SpareRoom { path: room(path)?, rooms: self.clone() })
    }
}

/// An empty directory in use. Kept for the next if it is empty again when this is dropped, else removed.
pub(super) struct SpareRoom {
    path: PathBuf,
    rooms: SpareRooms,
}

impl SpareRoom {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpareRoom {
    fn drop(&mut self) {
        let is_empty = std::fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty {
            let mut spare = self.rooms.lock();
            if spare.rooms.len() < MOST_SPARE {
                return spare.rooms.push(std::mem::take(&mut self.path));
            }
        }
        remove_tree(&self.path);
    }
}

/// An attempt's directory, removed even if the attempt is dropped half-way.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn of(scratch: &Path, attempt: AttemptId) -> Self {
        Self(scratch.join(attempt.to_string()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it without holding up the worker.
    pub(super) async fn remove(self) {
        let dir = self.0.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || remove_tree(&dir)).await {
            warn!(%error, "an attempt's directory could not be removed");
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_tree(&self.0);
    }
}

fn remove_tree(dir: &Path) {
    let mut tries = 0;
    while let Err(error) = std::fs::remove_dir_all(dir) {
        tries += 1;
        match error.kind() {
            ErrorKind::NotFound => return,
            // A transfer that was just given up may have made its file in the meantime.
            ErrorKind::DirectoryNotEmpty if tries < 5 => {}
            _ => {
                warn!(%error, dir = %dir.display(), "an attempt's directory could not be removed");
                return;
            }
        }
    }
}

/// Makes the attempt's two rooms: for its input, and for its process.
pub(super) fn rooms(dir: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    Ok((room(dir.join("in"))?, room(dir.join("work"))?))
}

fn room(dir: PathBuf) -> Result<PathBuf, Failure> {
    make_private(&dir).map_err(|e| no_scratch(&dir, &e))?;
    Ok(dir)
}

fn no_scratch(dir: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be made: {error}", dir.display());
    Failure::new(FailureCode::NodeUnfit, message, "look at the worker's disk; the task is tried elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_room_is_used_again_and_one_in_which_something_is_left_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let rooms = SpareRooms::new(dir.path().to_owned());
        let (first, second) = (rooms.take().expect("made"), rooms.take().expect("made"));
        let (used, left) = (first.path().to_owned(), second.path().to_owned());
        assert_ne!(used, left);
        std::fs::write(left.join("x"), "x").expect("written");
        drop((first, second));
        assert!(!left.exists());
        let (again, new) = (rooms.take().expect("there"), rooms.take().expect("made"));
        assert_eq!(again.path(), used);
        assert!(new.path() != left && new.path().is_dir());
    }
}

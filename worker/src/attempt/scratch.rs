//! An attempt's directory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::AttemptId;
use tracing::warn;

use crate::state_dir::make_private;

/// An attempt's directory, removed even if the attempt is dropped half-way.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn of(scratch: &Path, attempt: AttemptId) -> Self {
        Self(scratch.join(attempt.to_string()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it; where that may take long without holding up the worker.
    pub(super) async fn remove(self) {
        // Nothing is left in one of a task that made nothing.
        if std::fs::remove_dir(&self.0).is_ok() {
            return;
        }
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

/// Makes the attempt's directory a room of its process, where it has no input.
pub(super) fn only_room(dir: &Path) -> Result<PathBuf, Failure> {
    room(dir.to_owned())
}

fn room(dir: PathBuf) -> Result<PathBuf, Failure> {
    make_private(&dir).map_err(|e| no_scratch(&dir, &e))?;
    Ok(dir)
}

fn no_scratch(dir: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be made: {error}", dir.display());
    Failure::new(FailureCode::NodeUnfit, message, "look at the worker's disk; the task is tried elsewhere")
}

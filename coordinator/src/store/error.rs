//! What can go wrong in the store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rushes_shared::id::{Epoch, Seq};

/// An error of the store. All but [`StoreError::Fenced`], [`StoreError::OutOfSequence`] and [`StoreError::TooLarge`]
/// mean that the store cannot go on; a restart recovers what was confirmed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error(
        "the store in {} is in use by another coordinator{}: stop that one, or give this one a state directory of its own",
        dir.display(), holder_text(*holder)
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The other's process id, where it could be read.
        holder: Option<u32>,
    },
    /// The disk is full.
    #[error(
        "the disk that holds {} is full: free some space and start again; nothing that was confirmed is lost",
        dir.display()
    )]
    NoSpace {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error("could not {doing} {}: {source}; {}", path.display(), io_advice(source))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Stored bytes are not what was written.
    #[error(
        "the {part} of the store in {} is damaged ({detail}): restore a backup into an empty state directory with 'rushes-coordinator import'",
        dir.display()
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// Which part.
        part: &'static str,
        /// What was found.
        detail: String,
    },
    /// Written by another version.
    #[error(
        "the store in {} has format '{found}', this program reads format {known}: use the version that wrote it, or export there and import here",
        dir.display()
    )]
    Format {
        /// The directory.
        dir: PathBuf,
        /// What it says.
        found: String,
        /// What this program reads.
        known: u32,
    },
    /// A start was cut off before the store was ready, yet there are bytes in it.
    #[error(
        "the store in {} has data but no format file: it was not finished or the file was removed; move {} away or restore a backup",
        dir.display(), dir.join("db").display()
    )]
    Unfinished {
        /// The directory.
        dir: PathBuf,
    },
    /// A writer of a lower epoch, or of none that began here.
    #[error("a write of epoch {} was refused, the store is in epoch {}: another coordinator has taken over", given.0, current.0)]
    Fenced {
        /// The writer's.
        given: Epoch,
        /// The store's.
        current: Epoch,
    },
    /// A group that does not continue the journal.
    #[error("a group behind record {} was refused, the journal ends at record {}", expected.0, tail.0)]
    OutOfSequence {
        /// What the writer took for the end.
        expected: Seq,
        /// The end.
        tail: Seq,
    },
    /// A value over its limit.
    #[error("a {what} of {size} bytes was refused, the limit is {limit}")]
    TooLarge {
        /// Of what kind.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A batch with documents only, which no record would make count.
    #[error("a batch without a record was refused: documents need the record that ends their job")]
    NoRecord,
    /// A value was put outside the log, where it is not synced.
    #[error("the store in {} put a value into blobs/, which is not safe against a power cut: report this", dir.display())]
    Spilled {
        /// The directory.
        dir: PathBuf,
    },
    /// The fold for a snapshot failed.
    #[error("the journal could not be folded into a snapshot: {0}")]
    Fold(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An earlier error has stopped the store.
    #[error("the store has stopped after an earlier error: restart the coordinator")]
    Stopped,
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// What to do about an error of the operating system.
fn io_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "it belongs to another user: run as that user, or give the state directory to this one (chown -R)"
        }
        io::ErrorKind::ReadOnlyFilesystem => "its file system is mounted read-only: mount it for writing",
        io::ErrorKind::NotFound => "a file of the state directory is gone: restore a backup",
        _ => "look at the disk, and at what the kernel says of it (dmesg)",
    }
}

impl StoreError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull || source.kind() == io::ErrorKind::QuotaExceeded {
            let dir = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
            Self::NoSpace { dir: dir.to_path_buf() }
        } else {
            Self::Io { doing, path: path.to_path_buf(), source }
        }
    }

    pub(crate) fn sled(dir: &Path, part: &'static str, error: sled::Error) -> Self {
        match error {
            // Less is there than the log says: not the disk refuses, the file was cut.
            sled::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                let detail = "it ends earlier than it should".to_owned();
                Self::Damaged { dir: dir.to_path_buf(), part, detail }
            }
            sled::Error::Io(source) => Self::io("read or write", &dir.join("db"), source),
            sled::Error::Corruption { .. } => {
                let detail = "it does not hold what was written".to_owned();
                Self::Damaged { dir: dir.to_path_buf(), part, detail }
            }
            other => Self::Damaged { dir: dir.to_path_buf(), part, detail: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_missing_right_and_a_broken_disk_are_not_called_damage() {
        let text = |errno: rustix::io::Errno| {
            let error = sled::Error::Io(errno.into());
            StoreError::sled(Path::new("/state/store"), "log", error).to_string()
        };
        for (errno, words) in [
            (rustix::io::Errno::NOSPC, "is full: free some space"),
            (rustix::io::Errno::DQUOT, "is full: free some space"),
            (rustix::io::Errno::ACCESS, "belongs to another user"),
            (rustix::io::Errno::ROFS, "mounted read-only"),
            (rustix::io::Errno::IO, "dmesg"),
        ] {
            let text = text(errno);
            assert!(text.contains(words) && !text.contains("damaged"), "{text}");
        }
        let cut = sled::Error::Io(io::ErrorKind::UnexpectedEof.into());
        assert!(StoreError::sled(Path::new("/state/store"), "log", cut).to_string().contains("damaged"));
    }
}

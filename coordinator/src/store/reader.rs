//! Reads of archive, keys and figures, from any thread, while the store runs.

use std::sync::Arc;

use rushes_shared::id::Seq;

use super::archive::{self, ArchiveDoc};
use super::error::StoreError;
use super::keys;
use super::shared::Shared;

/// Figures of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// The last confirmed record.
    pub confirmed: Seq,
    /// Commits since the store was made.
    pub commits: u64,
    /// The last record that the current snapshot covers.
    pub snapshot_covers: Seq,
    /// Batches that wait.
    pub queued_batches: usize,
    /// Documents in the archive.
    pub archived: u64,
    /// Bytes of sled's log file.
    pub disk_bytes: u64,
}

/// Reads of archive and keys, for any thread; the only handle that an export needs.
#[derive(Debug, Clone)]
pub struct StoreReader {
    pub(super) shared: Arc<Shared>,
}

impl StoreReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// An archived document.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn archived(&self, key: u128) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(archive::get(&self.shared.disk, key)?.map(|(_, doc)| doc))
    }

    /// Archived documents with keys below `before` (all, when `None`), newest first, at most `limit`.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn archived_before(&self, before: Option<u128>, limit: usize) -> Result<Vec<ArchiveDoc>, StoreError> {
        archive::newest(&self.shared.disk, before, limit)
    }

    /// Number of archived documents.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub fn archived_count(&self) -> Result<u64, StoreError> {
        Ok(self.shared.archive()?.count())
    }

    /// A key's value.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what the disk refuses.
    pub fn key(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        keys::get(&self.shared.disk, name)
    }

    /// All keys in order of their names.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or what the disk refuses.
    pub fn keys(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        keys::list(&self.shared.disk)
    }

    /// Figures of the store.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let confirmed = self.shared.confirmed();
        Ok(StoreStats {
            confirmed: confirmed.seq,
            commits: confirmed.groups,
            snapshot_covers: self.shared.manifest().covers.seq,
            queued_batches: self.shared.queued(),
            archived: self.archived_count()?,
            disk_bytes: self.shared.disk.size()?,
        })
    }
}

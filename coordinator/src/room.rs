//! A disk that is too small for a farm, told at the start: a coordinator on it would run and never be ready.

use anyhow::{Context, bail};
use rushes_shared::units::Bytes;

use crate::layout::Layout;

/// Refuses a disk that has not so much in all, and for a new farm one of which not so much is free. A farm that has jobs begins
/// all the same, so that they can be looked at and what they made be fetched.
pub(crate) fn check(layout: &Layout, needed: Bytes) -> anyhow::Result<()> {
    let Some(dir) = layout.store.ancestors().find(|dir| dir.is_dir()) else { return Ok(()) };
    let stat = rustix::fs::statvfs(dir).with_context(|| format!("look at the disk of {}", dir.display()))?;
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(stat.f_frsize));
    let (whole, free) = (bytes(stat.f_blocks), bytes(stat.f_bavail));
    let is_new = !layout.store.exists();
    if whole >= needed && (free >= needed || !is_new) {
        return Ok(());
    }
    bail!(
        "the disk of the state directory {} is too small: the farm needs {needed} free (store.min_free_bytes, depot.min_free_bytes), \
         and of {whole} there are {free} free; free some space, put --state-dir on another disk, or lower these settings",
        layout.root.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_named_with_what_is_needed_and_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        check(&layout, Bytes(1)).unwrap();
        let error = check(&layout, Bytes(1 << 60)).unwrap_err().to_string();
        assert!(
            error.contains("needs 1024.0 PiB free") && error.contains("free; free some space"),
            "{error}"
        );
        // More than is free and less than there is in all, as far as any disk has used space.
        let stat = rustix::fs::statvfs(dir.path()).unwrap();
        let whole = Bytes(stat.f_blocks * stat.f_frsize);
        assert!(check(&layout, whole).is_err(), "a new farm needs room");
        std::fs::create_dir_all(&layout.store).unwrap();
        check(&layout, whole).unwrap();
    }
}

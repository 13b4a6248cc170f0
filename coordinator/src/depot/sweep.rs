//! Removes what has outlived its time: unused uploads, kept outputs, interrupted uploads, forgotten staging.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::areas::{INCOMING, OUTPUTS, PARTIAL, STAGING, UPLOADS};
use super::shelf::Shelf;

/// The first time, after a start: by then the coordinator has said which uploads its jobs still need, however long the
/// farm was down.
const FIRST: Duration = Duration::from_secs(600);
/// How often after that.
const EVERY: Duration = Duration::from_secs(3600);
/// An interrupted upload can go on for this long.
const KEEP_PARTIAL: Duration = Duration::from_secs(24 * 3600);
/// The engine drops what it no longer needs; what it never learned of goes after this long. So do parts of a streaming set
/// whose job stands still for as long.
const KEEP_STAGED: Duration = Duration::from_secs(14 * 24 * 3600);

/// Sweeps for ever.
pub(super) async fn run(shelf: Arc<Shelf>) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    loop {
        ticks.tick().await;
        let shelf = Arc::clone(&shelf);
        let swept = tokio::task::spawn_blocking(move || sweep(&shelf, SystemTime::now())).await;
        match swept {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed files that have outlived their time"),
            Err(error) => tracing::error!(%error, "the sweep of old files failed"),
        }
    }
}

/// Sweeps once; returns how many files went.
pub(super) fn sweep(shelf: &Shelf, now: SystemTime) -> usize {
    let base = &shelf.areas.path;
    let mut removed = 0;
    for (area, keep) in [(UPLOADS, shelf.keep_uploads), (OUTPUTS, shelf.keep_outputs), (STAGING, KEEP_STAGED)]
    {
        removed += sweep_dir(&base.join(area), 0, &|path| is_older(path, keep, now));
    }
    let old_partial =
        |path: &Path| path.to_string_lossy().ends_with(PARTIAL) && is_older(path, KEEP_PARTIAL, now);
    removed + sweep_dir(&base.join(INCOMING), 0, &old_partial)
}

/// Removes the files that are to go, and directories below the area that are empty then.
fn sweep_dir(dir: &Path, depth: u32, goes: &dyn Fn(&Path) -> bool) -> usize {
    let mut removed = 0;
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "cannot sweep a directory");
            return 0;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            removed += sweep_dir(&path, depth + 1, goes);
        } else if goes(&path) {
            match fs::remove_file(&path) {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove an old file"),
            }
        }
    }
    if depth > 0 && is_older(dir, Duration::from_secs(60), SystemTime::now()) {
        // Fails, as it should, while something is in it.
        match fs::remove_dir(dir) {
            Err(e) if !matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
                tracing::debug!(dir = %dir.display(), error = %e, "an empty directory stays");
            }
            _ => {}
        }
    }
    removed
}

fn is_older(path: &Path, keep: Duration, now: SystemTime) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|m| m.modified());
    modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > keep))
}

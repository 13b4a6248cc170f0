//! Free space of the disk that holds a directory, and the mark below which no more is taken on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rushes_shared::units::Bytes;

/// Free space against its watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this process may still use.
    pub free: Bytes,
    /// Below this, refuse what is new.
    pub watermark: Bytes,
}

impl Space {
    /// Whether there is enough.
    #[must_use]
    pub fn is_enough(self) -> bool {
        self.free >= self.watermark
    }
}

/// Bytes that this process may still use on the disk that holds `dir`.
///
/// # Errors
/// When the operating system does not say.
pub fn free_space(dir: &Path) -> io::Result<Bytes> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(Bytes(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// A sample of the free space, taken anew when it is older than a second.
#[derive(Debug)]
pub(super) struct Gauge {
    dir: PathBuf,
    watermark: u64,
    started: Instant,
    free: AtomicU64,
    sampled_ms: AtomicU64,
}

const FRESH_MS: u64 = 1000;

impl Gauge {
    pub(super) fn new(dir: &Path, watermark: Bytes) -> Self {
        let gauge = Self {
            dir: dir.to_path_buf(),
            watermark: watermark.0,
            started: Instant::now(),
            free: AtomicU64::new(0),
            sampled_ms: AtomicU64::new(0),
        };
        gauge.sample(0);
        gauge
    }

    fn sample(&self, now_ms: u64) {
        self.sampled_ms.store(now_ms, Ordering::Relaxed);
        // Where the system does not say, the last sample stands.
        if let Ok(free) = free_space(&self.dir) {
            self.free.store(free.0, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Space {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now_ms.saturating_sub(self.sampled_ms.load(Ordering::Relaxed)) >= FRESH_MS {
            self.sample(now_ms);
        }
        Space { free: Bytes(self.free.load(Ordering::Relaxed)), watermark: Bytes(self.watermark) }
    }
}

//! The depot's own areas on disk.
//!
//! ```text
//! STATE/depot/incoming/            what is on its way; emptied at every start, but for uploads that can go on
//!             uploads/TENANT/HASH
//!             staging/ATTEMPT/NAME
//!             kept/TENANT/KEY                    results for whoever does the same work again: see `kept`
//!             outputs/TENANT/JOB/NAME            NAME may be a path, where a job has made a set of files
//! ```

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rushes_shared::artifact::{ContentHash, Location};
use rushes_shared::id::{AttemptId, TenantId};
use rushes_shared::units::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::DepotError;
use super::place::{Place, open_dir, open_or_make_dir};

pub(super) const UPLOADS: &str = "uploads";
pub(super) const STAGING: &str = "staging";
pub(super) const KEPT: &str = "kept";
pub(super) const OUTPUTS: &str = "outputs";
pub(super) const INCOMING: &str = "incoming";
/// Ends the names of uploads that can go on after an interruption.
pub(super) const PARTIAL: &str = ".part";

#[derive(Debug)]
pub(super) struct Areas {
    pub(super) path: PathBuf,
    dir: OwnedFd,
    incoming: OwnedFd,
    counter: AtomicU64,
}

impl Areas {
    pub(super) fn open(state_dir: &Path) -> Result<Self, DepotError> {
        let path = state_dir.join("depot");
        let open = || -> io::Result<Self> {
            for area in [INCOMING, UPLOADS, STAGING, OUTPUTS] {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join(area))?;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(&path, flags, Mode::empty())?;
            rustix::fs::fsync(&dir)?;
            let incoming = open_dir(&dir, Path::new(INCOMING))?;
            let areas = Self { path: path.clone(), dir, incoming, counter: AtomicU64::new(0) };
            areas.remove_leftovers()?;
            Ok(areas)
        };
        open().map_err(|source| DepotError::Area { path: path.clone(), source })
    }

    /// What an earlier run had under way is worth nothing now, but for uploads that can go on.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.path.join(INCOMING))? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().ends_with(PARTIAL) {
                tracing::info!(file = ?entry.file_name(), "removing what an earlier run left unfinished");
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// A new temporary file's place.
    pub(super) fn temporary(&self) -> io::Result<Place> {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        Ok(Place { dir: self.incoming.try_clone()?, name: format!("{number}.new").into() })
    }

    /// The place where an upload grows; the same for every try.
    pub(super) fn partial(&self, tenant: &TenantId, hash: ContentHash) -> io::Result<Place> {
        Ok(Place { dir: self.incoming.try_clone()?, name: format!("{tenant}-{hash}{PARTIAL}").into() })
    }

    /// The place of one of the depot's own files, if its directory is there; `None` for `file://`.
    pub(super) fn find(&self, location: &Location) -> io::Result<Option<Place>> {
        let Some((dirs, name)) = parts(location) else { return Ok(None) };
        let path: PathBuf = dirs.iter().collect();
        Ok(Some(Place { dir: open_dir(&self.dir, &path)?, name }))
    }

    /// As [`Areas::find`], making directories that are missing.
    pub(super) fn make(&self, location: &Location) -> io::Result<Option<Place>> {
        let Some((dirs, name)) = parts(location) else { return Ok(None) };
        let mut dir = self.dir.try_clone()?;
        for part in &dirs {
            dir = open_or_make_dir(&dir, part.as_str())?;
        }
        Ok(Some(Place { dir, name }))
    }

    /// The attempts that have staged something. What has another name is nobody's here.
    pub(super) fn staged(&self) -> io::Result<Vec<AttemptId>> {
        let mut attempts = Vec::new();
        for entry in std::fs::read_dir(self.path.join(STAGING))? {
            attempts.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AttemptId>().ok()));
        }
        Ok(attempts)
    }

    /// Removes everything that an attempt staged.
    pub(super) fn drop_attempt(&self, attempt: AttemptId) -> io::Result<()> {
        match std::fs::remove_dir_all(self.path.join(STAGING).join(attempt.to_string())) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Removes an attempt's directory if nothing is left in it.
    pub(super) fn tidy_attempt(&self, attempt: AttemptId) {
        let name = format!("{STAGING}/{attempt}");
        match rustix::fs::unlinkat(&self.dir, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => tracing::debug!(%attempt, %error, "an empty staging directory stays"),
        }
    }

    pub(super) fn free_space(&self) -> io::Result<Bytes> {
        let stat = rustix::fs::fstatvfs(&self.dir)?;
        Ok(Bytes(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

fn parts(location: &Location) -> Option<(Vec<String>, OsString)> {
    Some(match location {
        Location::File(_) | Location::Sequence(..) => return None,
        Location::Upload(tenant, hash) => {
            (vec![UPLOADS.to_owned(), tenant.to_string()], hash.to_string().into())
        }
        Location::Staged(attempt, name) => {
            (vec![STAGING.to_owned(), attempt.to_string()], name.as_str().into())
        }
        Location::Set(tenant, job) => (vec![OUTPUTS.to_owned(), tenant.to_string()], job.to_string().into()),
        Location::Output(tenant, job, name) => {
            let (inner, own) = name.parts();
            let outer = [OUTPUTS.to_owned(), tenant.to_string(), job.to_string()];
            let dirs = outer.into_iter().chain(inner.into_iter().map(ToOwned::to_owned));
            (dirs.collect(), own.into())
        }
    })
}

//! A file by its directory's descriptor and its name: what stays the same file when somebody moves directories about.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rushes_net::flow;
use rushes_shared::artifact::ContentHash;
use rushes_shared::units::Bytes;
use rustix::fs::{self, Access, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Where a path may lead: nowhere but down from the directory it starts from, and over no link.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A name in an open directory.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: OwnedFd,
    pub(super) name: OsString,
}

impl Place {
    /// A new, empty file under this name, for reading and writing. Fails if there is one.
    pub(super) fn create(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.dir, &self.name, flags, Mode::from_raw_mode(0o644))?.into())
    }

    /// The regular file under this name.
    pub(super) fn open(&self) -> io::Result<File> {
        open_regular(&self.dir, &self.name)?.map_err(|_| Errno::ISDIR.into())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::unlinkat(&self.dir, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// What is free on the disk that it lies on.
    pub(super) fn free(&self) -> io::Result<Bytes> {
        let stat = fs::fstatvfs(&self.dir)?;
        Ok(Bytes(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    pub(super) fn sync_dir(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.dir)?)
    }

    /// Gives the file under this name the name `to`, replacing what is there.
    pub(super) fn rename_over(&self, to: &Self) -> io::Result<()> {
        Ok(fs::renameat(&self.dir, &self.name, &to.dir, &to.name)?)
    }

    /// Gives the file under this name the name `to`; fails with `EEXIST` if something is there.
    pub(super) fn rename_new(&self, to: &Self) -> Result<(), Errno> {
        match fs::renameat_with(&self.dir, &self.name, &to.dir, &to.name, RenameFlags::NOREPLACE) {
            // Some network file systems know no such flag, but a link never replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::linkat(&self.dir, &self.name, &to.dir, &to.name, AtFlags::empty())?;
                fs::unlinkat(&self.dir, &self.name, AtFlags::empty())
            }
            other => other,
        }
    }

    /// Size and hash of the file under this name.
    pub(super) fn hash(&self, wanted_size: u64) -> io::Result<Option<ContentHash>> {
        let mut file = self.open()?;
        if file.metadata()?.len() != wanted_size {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        let size = flow::hash_into(&mut hasher, &mut (&mut file).take(wanted_size))?;
        Ok((size == wanted_size).then(|| flow::finish(&hasher)))
    }
}

/// What is not a regular file, in words.
pub(super) type Kind = &'static str;

/// Opens a regular file for reading, below `dir` and over no link. What is none is not even opened: opening a FIFO would
/// wait for its other end, and opening a device may do something.
pub(super) fn open_regular(
    dir: &OwnedFd,
    path: impl rustix::path::Arg + Copy,
) -> io::Result<Result<File, Kind>> {
    let look = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let seen = fs::openat2(dir, path, look, Mode::empty(), BENEATH)?;
    if let Some(kind) = not_regular(&seen)? {
        return Ok(Err(kind));
    }
    let read = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = fs::openat2(dir, path, read, Mode::empty(), BENEATH)?;
    Ok(match not_regular(&opened)? {
        Some(kind) => Err(kind),
        None => Ok(opened.into()),
    })
}

/// The names in an open directory that are wanted, at most so many; those that are no text are left out.
pub(super) fn names(dir: &OwnedFd, wanted: impl Fn(&str) -> bool, most: usize) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && wanted(name)
        {
            names.push(name.to_owned());
            if names.len() >= most {
                break;
            }
        }
    }
    Ok(names)
}

/// The size of a regular file in an open directory; `None` of what is none.
pub(super) fn regular_size(dir: &OwnedFd, name: &str) -> io::Result<Option<u64>> {
    let about = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_file = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile;
    Ok(u64::try_from(about.st_size).ok().filter(|_| is_file))
}

/// Opens a directory below `dir`, over no link. An empty path is `dir` itself.
pub(super) fn open_dir(dir: &OwnedFd, path: &std::path::Path) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { std::path::Path::new(".") } else { path };
    fs::openat2(dir, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), BENEATH)
}

/// Opens a directory by name and makes it if it is missing; a new one is synced into its parent.
pub(super) fn open_or_make_dir(dir: &OwnedFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    match fs::mkdirat(dir, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => fs::fsync(dir)?,
        Err(Errno::EXIST) => {}
        Err(e) => return Err(e),
    }
    fs::openat2(dir, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), BENEATH)
}

/// Whether files may be made in an open directory.
pub(super) fn may_add(dir: &OwnedFd) -> Result<(), Errno> {
    fs::accessat(dir, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
}

fn not_regular(file: &OwnedFd) -> io::Result<Option<Kind>> {
    Ok(match FileType::from_raw_mode(fs::fstat(file)?.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        FileType::BlockDevice | FileType::CharacterDevice => Some("a device"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Unknown => Some("something else"),
    })
}

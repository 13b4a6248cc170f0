//! Publishing a set of files: the bundle that an attempt has staged becomes a directory, which appears whole. Doing it
//! twice is no error, so that the engine may repeat it after a crash of anybody.
//!
//! The files are unpacked beside the directory's place, synced, and then the directory gets its name in one step. That step
//! replaces an empty directory and nothing else.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rushes_net::flow::{self, CHUNK};
use rushes_shared::artifact::{Artifact, ContentHash, FilePath, Location};
use rushes_shared::bundle::{BadBundle, Entries, Entry, MAGIC, MAX_FILES};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rustix::io::Errno;

use super::place::{Place, open_dir, open_or_make_dir};
use super::publish::{gone, has_room, short_hash};
use super::refusal;
use super::shelf::Shelf;

impl Shelf {
    /// Makes a directory of a staged bundle. When this returns it is synced.
    pub(super) fn publish_set(&self, from: &Artifact, to: &Location) -> Result<(), Failure> {
        let unwritable = |e: io::Error| refusal::unwritable(to, &e);
        let (Location::Staged(attempt, _), Some(hash)) = (&from.location, from.hash) else {
            return Err(refusal::misplaced(&from.location));
        };
        let target = match to {
            Location::File(path) => self.outputs.output_place(path.trim_end_matches('/'))?,
            Location::Set(..) => {
                let place = self.areas.make(to).map_err(unwritable)?;
                place.ok_or_else(|| refusal::misplaced(to))?
            }
            Location::Upload(..) | Location::Staged(..) | Location::Output(..) | Location::Sequence(..) => {
                return Err(refusal::misplaced(to));
            }
        };
        let name = format!(".rushes-{attempt}-{}.part", short_hash(&target.name));
        // A repeated request must not meddle with the directory of the first one.
        let _alone = self.busy.hold(name.clone());
        match self.staged(from)? {
            Some((source, file)) => {
                let temp = Place { dir: target.dir.try_clone().map_err(unwritable)?, name: name.into() };
                // What an earlier try has left takes room.
                remove_tree(&temp).map_err(unwritable)?;
                let size = from.size.unwrap_or_default();
                let room = match to {
                    Location::Set(..) => self.check_space(to, size),
                    _ => has_room(&target, size, to),
                };
                let made = match room {
                    // The room may be taken by the set itself.
                    Err(_) if is_at(&target, hash).unwrap_or(false) => target.sync_dir().map_err(unwritable),
                    Err(full) => Err(full),
                    Ok(()) => appear(&file, &temp, &target, hash, to),
                };
                remove_tree(&temp).map_err(unwritable)?;
                made?;
                source.remove().map_err(unwritable)?;
                source.sync_dir().map_err(unwritable)?;
                self.areas.tidy_attempt(*attempt);
                Ok(())
            }
            // An earlier try has made it, or it was dropped.
            None if is_at(&target, hash).unwrap_or(false) => target.sync_dir().map_err(unwritable),
            None => Err(gone(from, to)),
        }
    }
}

fn appear(
    bundle: &File,
    temp: &Place,
    target: &Place,
    hash: ContentHash,
    to: &Location,
) -> Result<(), Failure> {
    let unwritable = |e: io::Error| refusal::unwritable(to, &e);
    remove_tree(temp).map_err(unwritable)?;
    let dir = open_or_make_dir(&temp.dir, temp.name.as_os_str()).map_err(|e| unwritable(e.into()))?;
    unpack(bundle, &dir, hash, to)?;
    // One word for all of them; what waits of other files on this disk is synced as well.
    rustix::fs::syncfs(&dir).map_err(|e| unwritable(e.into()))?;
    match rustix::fs::renameat(&temp.dir, &temp.name, &target.dir, &target.name) {
        Ok(()) => target.sync_dir().map_err(unwritable),
        // What is in the way may be what an earlier try has made.
        Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => match is_at(target, hash) {
            // Whoever made it may not have come to this.
            Ok(true) => target.sync_dir().map_err(unwritable),
            Ok(false) | Err(_) => Err(refusal::exists(to)),
        },
        Err(Errno::BUSY) => Err(mounted(to)),
        Err(e) => Err(unwritable(e.into())),
    }
}

/// A directory that a file system is mounted on can be replaced by nothing.
fn mounted(to: &Location) -> Failure {
    Failure::new(
        FailureCode::OutputForbidden,
        format!("{to} is a mount point, which no set can take the place of"),
        "name a directory in it",
    )
}

/// Reads and hashes.
struct Hashed<R> {
    from: R,
    hasher: blake3::Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hasher.update(&into[..read]);
        Ok(read)
    }
}

fn unpack(
    bundle: &File,
    dir: &std::os::fd::OwnedFd,
    hash: ContentHash,
    to: &Location,
) -> Result<(), Failure> {
    let unreadable = |e: &io::Error| refusal::unreadable(&"the staged set", e);
    let bad = |bad: BadBundle| match bad {
        BadBundle::Io(error) => unreadable(&error),
        bad => no_set(to, &bad),
    };
    let from = BufReader::with_capacity(CHUNK, bundle);
    let mut from = Hashed { from, hasher: blake3::Hasher::new() };
    let mut entries = Entries::begin(&mut from).map_err(bad)?;
    let mut buffer = vec![0; CHUNK];
    while let Some(Entry { path, size }) = entries.next(&mut from).map_err(bad)? {
        let unwritable = |e: io::Error| refusal::unwritable(to, &e);
        let mut file = create(dir, &path).map_err(unwritable)?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = from.read(&mut buffer[..most]).map_err(|e| unreadable(&e))?;
            if read == 0 {
                return Err(no_set(to, &BadBundle::Torn));
            }
            file.write_all(&buffer[..read]).map_err(unwritable)?;
            left -= read as u64;
        }
    }
    if flow::finish(&from.hasher) == hash { Ok(()) } else { Err(refusal::wrong_hash(to)) }
}

fn create(dir: &std::os::fd::OwnedFd, path: &FilePath) -> io::Result<File> {
    let (dirs, name) = path.parts();
    let mut dir = dir.try_clone()?;
    for part in dirs {
        dir = open_or_make_dir(&dir, part)?;
    }
    Place { dir, name: name.into() }.create()
}

/// Whether a directory holds exactly the set whose bundle has this hash.
fn is_at(target: &Place, hash: ContentHash) -> io::Result<bool> {
    let dir = open_dir(&target.dir, target.name.as_ref())?;
    let root = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    let mut files = Vec::new();
    if !list(&root, "", &mut files)? {
        return Ok(false);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hasher = blake3::Hasher::new();
    hasher.update(&MAGIC);
    for entry in files {
        hasher.update(&entry.to_bytes());
        let file = File::open(root.join(entry.path.as_str()))?;
        if flow::hash_into(&mut hasher, &mut file.take(entry.size))? != entry.size {
            return Ok(false);
        }
    }
    Ok(flow::finish(&hasher) == hash)
}

/// The files below a directory; `false` where something is there that no set has.
fn list(dir: &std::path::Path, prefix: &str, files: &mut Vec<Entry>) -> io::Result<bool> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let Ok(known) = path.parse::<FilePath>() else { return Ok(false) };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !list(&entry.path(), &format!("{path}/"), files)? {
                return Ok(false);
            }
        } else if kind.is_file() && files.len() < MAX_FILES {
            files.push(Entry { path: known, size: entry.metadata()?.len() });
        } else {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a directory of ours that is half made, if it is there.
fn remove_tree(place: &Place) -> io::Result<()> {
    let dir = PathBuf::from(format!("/proc/self/fd/{}", place.dir.as_raw_fd()));
    match fs::remove_dir_all(dir.join(&place.name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn no_set(to: &Location, bad: &BadBundle) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("what was staged for {to} is no set of files: {bad}"),
        "submit the job again; if it recurs, please report it",
    )
    .with_class(FailureClass::Permanent)
}

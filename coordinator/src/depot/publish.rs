//! Publishing: a staged file gets its final name, unless something else has it. Doing it twice is no error, so that
//! the engine may repeat it after a crash of anybody.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};

use rushes_net::flow::{self, CHUNK};
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::id::AttemptId;
use rushes_shared::units::Bytes;
use rustix::io::Errno;

use super::place::Place;
use super::refusal;
use super::shelf::Shelf;

impl Shelf {
    /// Moves a staged file to its place. When this returns it is synced there.
    pub(super) fn publish(&self, from: &Artifact, to: &Location) -> Result<(), Failure> {
        if to.is_directory() {
            return self.publish_set(from, to);
        }
        let unwritable = |e: io::Error| refusal::unwritable(to, &e);
        let Location::Staged(attempt, _) = &from.location else {
            return Err(refusal::misplaced(&from.location));
        };
        let target = match to {
            Location::File(path) => self.outputs.output_place(path)?,
            Location::Output(..) => {
                let place = self.areas.make(to).map_err(unwritable)?;
                place.ok_or_else(|| refusal::misplaced(to))?
            }
            Location::Upload(..) | Location::Staged(..) | Location::Set(..) | Location::Sequence(..) => {
                return Err(refusal::misplaced(to));
            }
        };
        match self.staged(from)? {
            Some((source, file)) => {
                let content = Content::of(from, &file)?;
                move_into_place(self, &source, file, &target, *attempt, content, to)?;
                source.sync_dir().map_err(unwritable)?;
                self.areas.tidy_attempt(*attempt);
            }
            // An earlier try has moved it, or it was dropped.
            None => {
                let there = Content::announced(from).map(|content| content.is_at(&target));
                if !matches!(there, Some(Ok(true))) {
                    return Err(gone(from, to));
                }
            }
        }
        target.sync_dir().map_err(unwritable)
    }

    pub(super) fn staged(&self, from: &Artifact) -> Result<Option<(Place, File)>, Failure> {
        let open = || -> io::Result<Option<(Place, File)>> {
            let Some(place) = self.areas.find(&from.location)? else { return Ok(None) };
            let file = place.open()?;
            Ok(Some((place, file)))
        };
        match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map_err(|e| refusal::unreadable(&from.location, &e)),
        }
    }
}

fn move_into_place(
    shelf: &Shelf,
    source: &Place,
    file: File,
    target: &Place,
    attempt: AttemptId,
    content: Content,
    to: &Location,
) -> Result<(), Failure> {
    let unwritable = |e: io::Error| refusal::unwritable(to, &e);
    let moved = match source.rename_new(target) {
        Err(Errno::XDEV) => {
            let name = format!(".rushes-{attempt}-{}.part", short_hash(&target.name));
            // A repeated request must not meddle with the copy of the first one.
            let _alone = shelf.busy.hold(name.clone());
            let temp = Place { dir: target.dir.try_clone().map_err(unwritable)?, name: name.into() };
            // What an earlier try has left takes room; and what it has made takes all that is needed.
            temp.remove().map_err(unwritable)?;
            let is_there = content.is_at(target).unwrap_or(false);
            let room = if is_there { Ok(()) } else { has_room(target, Bytes(content.size), to) };
            let copied = room.and_then(|()| if is_there { Ok(()) } else { copy(file, &temp, content, to) });
            if is_there {
                source.remove().map_err(unwritable)?;
                return target.sync_dir().map_err(unwritable);
            }
            let moved = copied.and_then(|()| settle(temp.rename_new(target), target, content, to));
            temp.remove().map_err(unwritable)?;
            moved
        }
        other => settle(other, target, content, to),
    };
    moved?;
    source.remove().map_err(unwritable)
}

/// Refuses what does not fit on the disk of its place, before gigabytes are copied in vain.
pub(super) fn has_room(target: &Place, size: Bytes, to: &Location) -> Result<(), Failure> {
    let free = target.free().map_err(|e| refusal::unwritable(to, &e))?;
    if free >= size { Ok(()) } else { Err(refusal::no_room(to, size, free)) }
}

/// Where something is in the way, it may be what an earlier try put there.
fn settle(moved: Result<(), Errno>, target: &Place, content: Content, to: &Location) -> Result<(), Failure> {
    match moved {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::ISDIR | Errno::NOTEMPTY) => match content.is_at(target) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(refusal::exists(to)),
        },
        Err(e) => Err(refusal::unwritable(to, &e.into())),
    }
}

fn copy(mut from: File, temp: &Place, content: Content, to: &Location) -> Result<(), Failure> {
    let unwritable = |e: io::Error| refusal::unwritable(to, &e);
    temp.remove().map_err(unwritable)?;
    let mut file = temp.create().map_err(unwritable)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut written = 0;
    loop {
        let n = from.read(&mut buffer).map_err(|e| refusal::unreadable(&"the staged file", &e))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        file.write_all(&buffer[..n]).map_err(|e| match Errno::from_io_error(&e) {
            // Others write there as well. What is half there goes away.
            Some(Errno::NOSPC) => refusal::no_room(to, Bytes(content.size), Bytes(written)),
            _ => unwritable(e),
        })?;
        written += n as u64;
    }
    if flow::finish(&hasher) != content.hash {
        return Err(refusal::wrong_hash(to));
    }
    file.sync_all().map_err(unwritable)
}

/// What a file should hold.
#[derive(Clone, Copy)]
struct Content {
    size: u64,
    hash: ContentHash,
}

impl Content {
    fn announced(from: &Artifact) -> Option<Self> {
        Some(Self { size: from.size?.0, hash: from.hash? })
    }

    /// What was announced, checked against the staged file as far as that is cheap: the hash was checked when it came.
    fn of(from: &Artifact, file: &File) -> Result<Self, Failure> {
        let unreadable = |e: io::Error| refusal::unreadable(&from.location, &e);
        let size = file.metadata().map_err(unreadable)?.len();
        if let Some(announced) = from.size
            && announced.0 != size
        {
            return Err(refusal::wrong_size(&from.location, announced, size));
        }
        if let Some(hash) = from.hash {
            return Ok(Self { size, hash });
        }
        let mut hasher = blake3::Hasher::new();
        flow::hash_into(&mut hasher, &mut file.try_clone().map_err(unreadable)?).map_err(unreadable)?;
        io::Seek::rewind(&mut &*file).map_err(unreadable)?;
        Ok(Self { size, hash: flow::finish(&hasher) })
    }

    fn is_at(self, place: &Place) -> io::Result<bool> {
        Ok(place.hash(self.size)? == Some(self.hash))
    }
}

pub(super) fn short_hash(name: &OsString) -> String {
    blake3::hash(name.as_encoded_bytes()).to_hex().chars().take(16).collect()
}

pub(super) fn gone(from: &Artifact, to: &Location) -> Failure {
    Failure::new(
        FailureCode::TransferFailed,
        format!("{} is not staged any more, and {to} does not hold it", from.location),
        "the task has to run again",
    )
}

//! `file://` paths: only what lies in an allowed directory, however links and `..` would have it.
//!
//! A path is first compared with the roots as it is written, so that nothing outside of them is ever probed. Then it is
//! resolved, compared again, and opened from the root's own descriptor over no link at all, so that whoever swaps a
//! directory for a link in between gains nothing.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::sequence::{MAX_FRAMES, Member, Pack, Pattern};
use rustix::fs::{Mode, OFlags};

use super::DepotError;
use super::place::{self, Place};
use super::refusal::{self, Deed};

/// What an input is read from.
pub(super) enum Input {
    File(File),
    /// An image sequence, packed while it is read.
    Sequence(Pictures),
}

/// Pictures as one archive.
pub(super) type Pictures = Pack<File, Box<dyn FnMut(usize) -> io::Result<File> + Send>>;

/// Directories that may be used.
#[derive(Debug)]
pub(super) struct Roots {
    deed: Deed,
    roots: Vec<Root>,
}

#[derive(Debug)]
struct Root {
    /// As it stands in the settings.
    given: PathBuf,
    /// Without links.
    real: PathBuf,
    dir: OwnedFd,
}

impl Roots {
    pub(super) fn open(paths: &[PathBuf], deed: Deed) -> Result<Self, DepotError> {
        let setting = match deed {
            Deed::Read => "depot.input_roots",
            Deed::Write => "depot.output_roots",
        };
        let open = |given: &PathBuf| -> io::Result<Root> {
            if !given.is_absolute() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not an absolute path"));
            }
            let real = given.canonicalize()?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(&real, flags, Mode::empty())?;
            Ok(Root { given: given.clone(), real, dir })
        };
        let one =
            |path| open(path).map_err(|source| DepotError::Root { setting, path: path.clone(), source });
        Ok(Self { deed, roots: paths.iter().map(one).collect::<Result<_, _>>()? })
    }

    /// Opens an input for reading.
    pub(super) fn open_input(&self, path: &str) -> Result<File, Failure> {
        self.check_spelling(path)?;
        let real = Path::new(path).canonicalize().map_err(|e| refusal::unreadable(&path, &e))?;
        let (root, rest) = self.root_of(&real).ok_or_else(|| refusal::outside_roots(&path, self.deed))?;
        if rest.as_os_str().is_empty() {
            return Err(refusal::not_a_file(&path, "a directory"));
        }
        place::open_regular(&root.dir, rest)
            .map_err(|e| refusal::unreadable(&path, &e))?
            .map_err(|kind| refusal::not_a_file(&path, kind))
    }

    /// Opens an input: a file, or as one archive the files whose names a pattern describes.
    pub(super) fn open_any(&self, path: &str) -> Result<Input, Failure> {
        let opened = self.open_input(path);
        let pattern = Path::new(path).file_name().and_then(|name| Pattern::of(name.to_str()?));
        match (opened, pattern) {
            (Err(failure), Some(pattern)) if failure.code == FailureCode::InputNotFound => {
                self.open_sequence(path, &pattern).map(Input::Sequence)
            }
            (opened, _) => opened.map(Input::File),
        }
    }

    fn open_sequence(&self, path: &str, pattern: &Pattern) -> Result<Pictures, Failure> {
        let unreadable = |e: io::Error| refusal::unreadable(&path, &e);
        let parent = Path::new(path).parent().unwrap_or(Path::new("/"));
        let real = parent.canonicalize().map_err(unreadable)?;
        let (root, rest) = self.root_of(&real).ok_or_else(|| refusal::outside_roots(&path, self.deed))?;
        let dir = place::open_dir(&root.dir, rest).map_err(|e| unreadable(e.into()))?;
        let fits = |name: &str| pattern.number(name).is_some();
        let names = place::names(&dir, fits, MAX_FRAMES + 1).map_err(unreadable)?;
        let names = pattern.of_names(names).map_err(|bad| refusal::no_sequence(&path, &bad))?;
        let member = |name: &String| {
            let size = place::regular_size(&dir, name).map_err(unreadable)?;
            let size =
                size.ok_or_else(|| refusal::not_a_file(&path, "a pattern of names that are no files"))?;
            Ok(Member { name: name.clone(), size })
        };
        let members = names.iter().map(member).collect::<Result<_, Failure>>()?;
        let open = move |number: usize| -> io::Result<File> {
            let name = names.get(number).ok_or(io::ErrorKind::NotFound)?;
            place::open_regular(&dir, name.as_str())?.map_err(|_| io::ErrorKind::InvalidInput.into())
        };
        Ok(Pack::new(members, Box::new(open)))
    }

    /// The place of an output; directories that are missing on the way are made.
    pub(super) fn output_place(&self, path: &str) -> Result<Place, Failure> {
        self.check_spelling(path)?;
        let unwritable = |e: io::Error| refusal::unwritable(&path, &e);
        let not_a_place = || unwritable(rustix::io::Errno::ISDIR.into());
        let (parent, name) = match (Path::new(path).parent(), Path::new(path).file_name()) {
            (Some(parent), Some(name)) if !path.ends_with('/') => (parent, name.to_owned()),
            _ => return Err(not_a_place()),
        };
        let (existing, missing) = deepest_existing(parent).map_err(unwritable)?;
        let (root, rest) = self.root_of(&existing).ok_or_else(|| refusal::outside_roots(&path, self.deed))?;
        let mut dir = place::open_dir(&root.dir, rest).map_err(|e| unwritable(e.into()))?;
        for name in missing {
            dir = place::open_or_make_dir(&dir, name).map_err(|e| unwritable(e.into()))?;
        }
        Ok(Place { dir, name })
    }

    /// Whether the place of an output may be written to, and directories that are missing on the way be made. Nothing is.
    pub(super) fn may_place(&self, path: &str) -> Result<(), Failure> {
        self.check_spelling(path)?;
        let unwritable = |e: io::Error| refusal::unwritable(&path, &e);
        let parent = Path::new(path).parent().ok_or_else(|| unwritable(rustix::io::Errno::ISDIR.into()))?;
        let (existing, _) = deepest_existing(parent).map_err(unwritable)?;
        let (root, rest) = self.root_of(&existing).ok_or_else(|| refusal::outside_roots(&path, self.deed))?;
        let dir = place::open_dir(&root.dir, rest).map_err(|e| unwritable(e.into()))?;
        place::may_add(&dir).map_err(|e| unwritable(e.into()))
    }

    fn check_spelling(&self, path: &str) -> Result<(), Failure> {
        let path_of = Path::new(path);
        let climbs = path_of.components().any(|c| c == std::path::Component::ParentDir);
        let inside = |root: &Root| path_of.starts_with(&root.given) || path_of.starts_with(&root.real);
        if !climbs && self.roots.iter().any(inside) {
            Ok(())
        } else {
            Err(refusal::outside_roots(&path, self.deed))
        }
    }

    fn root_of<'a>(&self, real: &'a Path) -> Option<(&Root, &'a Path)> {
        self.roots.iter().find_map(|root| Some((root, real.strip_prefix(&root.real).ok()?)))
    }
}

/// The resolved part of a path that exists, and the names below it that do not.
fn deepest_existing(path: &Path) -> io::Result<(PathBuf, Vec<&std::ffi::OsStr>)> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(real) => {
                missing.reverse();
                return Ok((real, missing));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Err(e);
                };
                missing.push(name);
                existing = parent;
            }
            Err(e) => return Err(e),
        }
    }
}

//! A model of a disk with a volatile cache: plays a log, and shows what a power cut may leave.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::oplog::{Kind, Object, Op};
use crate::random::Random;

/// What is written at once, or not: a sector.
const SECTOR: usize = 512;

/// A change of a file or a directory that no sync has covered.
#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
    Link(String, Object),
    Unlink(String),
    /// Within one directory; happens as a whole or not.
    Rename(String, String, Object),
}

#[derive(Debug, Clone, Default)]
struct Thing {
    content: Vec<u8>,
    entries: Option<BTreeMap<String, Object>>,
    /// With the number of the call.
    pending: Vec<(usize, Change)>,
}

impl Thing {
    fn directory() -> Self {
        Self { entries: Some(BTreeMap::new()), ..Self::default() }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Write(offset, data) => write(&mut self.content, offset, &data),
            Change::Length(length) => self.content.resize(usize::try_from(length).expect("a small file"), 0),
            Change::Link(name, object) => drop(self.entries_mut().insert(name, object)),
            Change::Unlink(name) => drop(self.entries_mut().remove(&name)),
            Change::Rename(from, to, object) => {
                self.entries_mut().remove(&from);
                self.entries_mut().insert(to, object);
            }
        }
    }

    fn entries_mut(&mut self) -> &mut BTreeMap<String, Object> {
        self.entries.as_mut().expect("names are changed in directories")
    }

    /// Makes everything done before this call durable.
    fn sync(&mut self, before: usize) {
        let (covered, rest) = std::mem::take(&mut self.pending).into_iter().partition(|(at, _)| *at < before);
        self.pending = rest;
        let covered: Vec<(usize, Change)> = covered;
        for (_, change) in covered {
            self.apply(change);
        }
    }
}

fn write(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let from = usize::try_from(offset).expect("a small file");
    if content.len() < from + data.len() {
        content.resize(from + data.len(), 0);
    }
    content[from..from + data.len()].copy_from_slice(data);
}

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mercy {
    /// Nothing.
    None,
    /// Everything: the death of the process alone.
    All,
    /// Each change or not, by chance.
    Some,
    /// Each sector of each write or not, by chance.
    Torn,
    /// The latest changes rather than the earlier: writes in the wrong order.
    Latest,
}

impl Mercy {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::None, Self::All, Self::Some, Self::Torn, Self::Latest];
}

/// The disk, as far as the log was played.
#[derive(Debug, Clone)]
pub struct Disk {
    things: BTreeMap<Object, Thing>,
    /// The names as the process sees them.
    names: BTreeMap<String, Object>,
    syncs: BTreeMap<u32, (Object, usize)>,
    root: Object,
    played: usize,
    next_own: Object,
}

const ROOT: Object = Object::MAX;

impl Disk {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        let things = BTreeMap::from([(ROOT, Thing::directory())]);
        let names = BTreeMap::from([(String::new(), ROOT)]);
        Self { things, names, syncs: BTreeMap::new(), root: ROOT, played: 0, next_own: ROOT }
    }

    /// A directory as it stands, all of it durable.
    ///
    /// # Errors
    /// What reading gives.
    pub fn load(root: &Path) -> io::Result<Self> {
        let mut disk = Self::new();
        disk.load_directory(root, "", ROOT)?;
        Ok(disk)
    }

    fn load_directory(&mut self, at: &Path, path: &str, object: Object) -> io::Result<()> {
        for entry in std::fs::read_dir(at)? {
            let entry = entry?;
            let name =
                entry.file_name().into_string().map_err(|_| io::Error::other("a name that is no text"))?;
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            self.next_own -= 1;
            let child = self.next_own;
            self.names.insert(path.clone(), child);
            self.things.get_mut(&object).expect("just made").entries_mut().insert(name, child);
            if entry.file_type()?.is_dir() {
                self.things.insert(child, Thing::directory());
                self.load_directory(&entry.path(), &path, child)?;
            } else {
                let content = std::fs::read(entry.path())?;
                self.things.insert(child, Thing { content, ..Thing::default() });
            }
        }
        Ok(())
    }

    fn change(&mut self, object: Object, change: Change) {
        let at = self.played;
        self.things.get_mut(&object).expect("objects are defined before use").pending.push((at, change));
    }

    fn parent(&self, path: &str) -> (Object, String) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        (*self.names.get(parent).unwrap_or_else(|| panic!("no directory for {path}")), name.to_owned())
    }

    /// Plays the next call.
    pub fn play(&mut self, op: &Op) {
        match op {
            Op::Define { object, path, kind: Kind::There } => {
                let known = *self.names.get(path).unwrap_or_else(|| panic!("{path} was not there"));
                // From here on it goes by its number: the thing moves, with every entry that leads to it.
                let thing = self.things.remove(&known).expect("named things exist");
                self.things.insert(*object, thing);
                if self.root == known {
                    self.root = *object;
                }
                self.names.values_mut().filter(|o| **o == known).for_each(|o| *o = *object);
                for thing in self.things.values_mut() {
                    for entry in thing.entries.iter_mut().flat_map(BTreeMap::values_mut) {
                        if *entry == known {
                            *entry = *object;
                        }
                    }
                    for (_, change) in &mut thing.pending {
                        if let Change::Link(_, o) | Change::Rename(_, _, o) = change
                            && *o == known
                        {
                            *o = *object;
                        }
                    }
                }
            }
            Op::Define { object, path, kind } => {
                let thing = if *kind == Kind::Directory { Thing::directory() } else { Thing::default() };
                self.things.insert(*object, thing);
                let (parent, name) = self.parent(path);
                self.names.insert(path.clone(), *object);
                self.change(parent, Change::Link(name, *object));
            }
            Op::Write { object, offset, data } => self.change(*object, Change::Write(*offset, data.clone())),
            Op::Truncate { object, length } => self.change(*object, Change::Length(*length)),
            Op::Rename { from, to } => {
                let object =
                    self.names.remove(from).unwrap_or_else(|| panic!("{from} was renamed and is not there"));
                let ((old, old_name), (new, new_name)) = (self.parent(from), self.parent(to));
                assert_eq!(old, new, "only renames within a directory are modelled");
                self.names.insert(to.clone(), object);
                self.change(new, Change::Rename(old_name, new_name, object));
            }
            Op::Unlink { path } => {
                self.names.remove(path);
                let (parent, name) = self.parent(path);
                self.change(parent, Change::Unlink(name));
            }
            Op::SyncBegin { sync, object } => drop(self.syncs.insert(*sync, (*object, self.played))),
            Op::SyncEnd { sync } => {
                let (object, before) = self.syncs.remove(sync).expect("a sync begins before it ends");
                self.things.get_mut(&object).expect("objects are defined before use").sync(before);
            }
            Op::Note(_) => {}
        }
        self.played += 1;
    }

    /// Number of changes that a power cut now could lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.things.values().map(|thing| thing.pending.len()).sum()
    }

    /// Cuts the power: what is left then.
    #[must_use]
    pub fn cut(&self, mercy: Mercy, random: &mut Random) -> Self {
        let mut left = self.clone();
        left.syncs.clear();
        for thing in left.things.values_mut() {
            let pending = std::mem::take(&mut thing.pending);
            let count = pending.len() as u64;
            // Now and then a single file keeps nothing or everything.
            let mercy = match mercy {
                Mercy::Some | Mercy::Torn | Mercy::Latest if random.one_in(6) => Mercy::None,
                Mercy::Some | Mercy::Torn | Mercy::Latest if random.one_in(6) => Mercy::All,
                other => other,
            };
            let from = if count == 0 { 0 } else { random.below(count) };
            for ((_, change), at) in pending.into_iter().zip(0_u64..) {
                match (mercy, change) {
                    (Mercy::None, _) => {}
                    (Mercy::All, change) => thing.apply(change),
                    (Mercy::Torn, Change::Write(offset, data)) => {
                        tear(&mut thing.content, offset, &data, random)
                    }
                    (Mercy::Latest, change) if at >= from => thing.apply(change),
                    (Mercy::Latest, _) => {}
                    (Mercy::Some | Mercy::Torn, change) => {
                        if random.one_in(2) {
                            thing.apply(change);
                        }
                    }
                }
            }
        }
        left
    }

    /// Writes what is durable into a directory.
    ///
    /// # Errors
    /// What writing gives.
    pub fn store(&self, root: &Path) -> io::Result<()> {
        self.store_directory(self.root, root)
    }

    fn store_directory(&self, object: Object, at: &Path) -> io::Result<()> {
        std::fs::create_dir_all(at)?;
        for (name, child) in self.things[&object].entries.iter().flatten() {
            let (path, thing) = (at.join(name), &self.things[child]);
            if thing.entries.is_some() {
                self.store_directory(*child, &path)?;
            } else {
                std::fs::write(&path, &thing.content)?;
            }
        }
        Ok(())
    }

    /// Every file with its content.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        self.collect(self.root, "", &mut files);
        files
    }

    fn collect(&self, object: Object, path: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for (name, child) in self.things[&object].entries.iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match &self.things[child] {
                Thing { entries: Some(_), .. } => self.collect(*child, &path, files),
                thing => drop(files.insert(path, thing.content.clone())),
            }
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps each sector of a write or not.
fn tear(content: &mut Vec<u8>, offset: u64, data: &[u8], random: &mut Random) {
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let into = usize::try_from(at % SECTOR as u64).expect("below a sector");
        let (sector, tail) = rest.split_at(rest.len().min(SECTOR - into));
        if random.one_in(2) {
            write(content, at, sector);
        }
        at += sector.len() as u64;
        rest = tail;
    }
}

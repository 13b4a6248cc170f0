//! Inputs kept for the next task with the same one: a probe is usually followed by an encode of what it has read.
//!
//! A kept input is a file whose size and hash were computed here while it was fetched. Attempts get hard links and may
//! only read them (the sandbox sees to that), so it is not hashed again. Nothing is kept over a restart, as nothing is
//! synced. The oldest go first when the bound is reached, or when the disk has no room for another task's input; one that is in use keeps its space until its attempt ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rushes_shared::artifact::Artifact;
use rushes_shared::units::Bytes;
use tracing::warn;

/// The kept inputs of a worker.
#[derive(Debug)]
pub struct Inputs {
    dir: PathBuf,
    bound: Bytes,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    kept: BTreeMap<String, Kept>,
    size: u64,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    size: u64,
    last_use: u64,
}

impl Inputs {
    /// Keeps inputs in `dir`, which is empty, up to `bound` together.
    #[must_use]
    pub fn new(dir: PathBuf, bound: Bytes) -> Self {
        Self { dir, bound, index: Mutex::default() }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Links a kept input to `to`. `false` where it is not kept, or where its content is not known yet.
    #[must_use]
    pub fn link(&self, artifact: &Artifact, to: &Path) -> bool {
        let Some((name, _)) = name_of(artifact) else { return false };
        let mut index = self.index();
        index.uses += 1;
        let now = index.uses;
        let Some(kept) = index.kept.get_mut(&name) else { return false };
        kept.last_use = now;
        fs::hard_link(self.dir.join(name), to).is_ok()
    }

    /// Keeps an input that was fetched to `from`, if it fits.
    pub fn keep(&self, artifact: &Artifact, from: &Path) {
        let Some((name, Bytes(size))) = name_of(artifact) else { return };
        let mut index = self.index();
        if size > self.bound.0 || index.kept.contains_key(&name) {
            return;
        }
        while index.size + size > self.bound.0 {
            if !index.remove_oldest(&self.dir) {
                return;
            }
        }
        match fs::hard_link(from, self.dir.join(&name)) {
            Ok(()) => {
                index.uses += 1;
                let last_use = index.uses;
                index.size += size;
                index.kept.insert(name, Kept { size, last_use });
            }
            Err(error) => warn!(%error, "an input could not be kept for later tasks"),
        }
    }

    /// Removes the oldest until the disk has `needed` bytes free, or nothing is kept any more.
    pub fn make_room(&self, needed: Bytes, free: impl Fn() -> Bytes) {
        while free() < needed && self.remove_oldest() {}
    }

    /// Removes the one that was not used for the longest time; `false` where none is kept.
    #[must_use]
    pub fn remove_oldest(&self) -> bool {
        self.index().remove_oldest(&self.dir)
    }

    /// Bytes kept now.
    #[must_use]
    pub fn size(&self) -> Bytes {
        Bytes(self.index().size)
    }
}

impl Index {
    fn remove_oldest(&mut self, dir: &Path) -> bool {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_use).map(|(name, _)| name.clone());
        let Some(oldest) = oldest else { return false };
        self.size -= self.kept.remove(&oldest).map_or(0, |kept| kept.size);
        if let Err(error) = fs::remove_file(dir.join(&oldest)) {
            warn!(%error, "a kept input could not be removed");
        }
        true
    }
}

/// A file name for an input whose place and content are known, and its size.
fn name_of(artifact: &Artifact) -> Option<(String, Bytes)> {
    let (size, hash) = (artifact.size?, artifact.hash?);
    let mut hasher = blake3::Hasher::new();
    hasher.update(artifact.location.to_string().as_bytes());
    hasher.update(&size.0.to_le_bytes());
    hasher.update(&hash.0);
    Some((hasher.finalize().to_hex().to_string(), size))
}

#[cfg(test)]
mod tests {
    use rushes_shared::artifact::{ContentHash, Location};

    use super::*;

    fn input(path: &str, size: u64) -> Artifact {
        let location = path.parse::<Location>().expect("an absolute path");
        let hash = Some(ContentHash([7; 32]));
        Artifact { size: Some(Bytes(size)), hash, ..Artifact::unseen(location) }
    }

    #[test]
    fn a_kept_input_is_linked_and_the_oldest_goes_first() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = dir.path().join("cache");
        fs::create_dir(&cache).expect("made");
        let inputs = Inputs::new(cache.clone(), Bytes(10));
        let fetched = dir.path().join("fetched");
        fs::write(&fetched, "12345").expect("written");

        let (a, b, c) = (input("/a", 5), input("/b", 5), input("/c", 5));
        inputs.keep(&a, &fetched);
        inputs.keep(&b, &fetched);
        assert!(inputs.link(&a, &dir.path().join("a")));
        inputs.keep(&c, &fetched);
        assert_eq!((inputs.size(), fs::read_dir(&cache).expect("there").count()), (Bytes(10), 2));
        assert!(!inputs.link(&b, &dir.path().join("b")), "the least recently used one went");
        assert!(inputs.link(&a, &dir.path().join("a2")) && inputs.link(&c, &dir.path().join("c")));
        assert_eq!(fs::read_to_string(dir.path().join("c")).expect("linked"), "12345");
    }

    #[test]
    fn what_is_kept_makes_room_for_what_is_needed_and_no_more() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cache = dir.path().join("cache");
        fs::create_dir(&cache).expect("made");
        let inputs = Inputs::new(cache, Bytes(100));
        let fetched = dir.path().join("fetched");
        fs::write(&fetched, "12345").expect("written");
        for path in ["/a", "/b", "/c"] {
            inputs.keep(&input(path, 5), &fetched);
        }
        // A disk of 20 bytes with nothing else on it.
        let free = || Bytes(20 - inputs.size().0);
        inputs.make_room(Bytes(5), free);
        assert_eq!(inputs.size(), Bytes(15), "it fits as it is");
        inputs.make_room(Bytes(12), free);
        assert_eq!(inputs.size(), Bytes(5));
        assert!(inputs.link(&input("/c", 5), &dir.path().join("c")), "the newest is left");
        inputs.make_room(Bytes(90), free);
        assert_eq!(inputs.size(), Bytes(0), "and nothing more can be done");
    }

    #[test]
    fn an_input_of_unknown_content_is_never_taken_from_the_cache() {
        let inputs = Inputs::new(PathBuf::from("/nowhere"), Bytes(10));
        let unseen = Artifact::unseen("/a".parse().expect("an absolute path"));
        assert!(!inputs.link(&unseen, Path::new("/x")));
        inputs.keep(&input("/a", 11), Path::new("/nowhere"));
        assert_eq!(inputs.size(), Bytes(0), "larger than the bound");
    }
}

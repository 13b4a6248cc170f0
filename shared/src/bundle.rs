//! Several files as one: what an attempt leaves in staging where it makes more than one file.
//!
//! ```text
//! MAGIC, then for each file: length of its path (2 bytes), path, size (8 bytes), its bytes        little endian
//! ```
//! Files stand in the order of their paths, byte by byte. A set of files therefore has one bundle, and its hash says
//! whether a directory holds exactly that set.

use std::io::{self, Read};

use crate::artifact::FilePath;

/// The first bytes of a bundle.
pub const MAGIC: [u8; 8] = *b"rushes1\n";
/// Most files of a bundle.
pub const MAX_FILES: usize = 500_000;

/// What stands before a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where the file lies in the set.
    pub path: FilePath,
    /// How many bytes follow.
    pub size: u64,
}

impl Entry {
    /// Its bytes.
    ///
    /// # Panics
    /// Never: a path is shorter than 64 KiB.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let path = self.path.as_str().as_bytes();
        let length = u16::try_from(path.len()).expect("a path has at most 400 bytes");
        let mut bytes = Vec::with_capacity(10 + path.len());
        bytes.extend(length.to_le_bytes());
        bytes.extend(path);
        bytes.extend(self.size.to_le_bytes());
        bytes
    }
}

/// Bytes that are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BadBundle {
    /// They cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// They begin otherwise, or end early.
    #[error("it is no bundle of files, or only a part of one")]
    Torn,
    /// A path that is none, comes twice or is out of order.
    #[error("it has a file with the path '{0}', which cannot be or is not in its place")]
    Path(String),
    /// There are too many files.
    #[error("it has more than {MAX_FILES} files")]
    TooMany,
}

/// Reads the entries of a bundle; between two of them the caller reads the file's bytes, or passes over them.
#[derive(Debug, Default)]
pub struct Entries {
    last: Option<FilePath>,
    count: usize,
}

impl Entries {
    /// Reads what a bundle begins with.
    ///
    /// # Errors
    /// [`BadBundle`].
    pub fn begin(from: &mut impl Read) -> Result<Self, BadBundle> {
        let mut magic = [0; MAGIC.len()];
        exact(from, &mut magic)?;
        if magic == MAGIC { Ok(Self::default()) } else { Err(BadBundle::Torn) }
    }

    /// The next entry; `None` at the bundle's end.
    ///
    /// # Errors
    /// [`BadBundle`].
    pub fn next(&mut self, from: &mut impl Read) -> Result<Option<Entry>, BadBundle> {
        let mut length = [0; 2];
        if from.read(&mut length[..1])? == 0 {
            return Ok(None);
        }
        exact(from, &mut length[1..])?;
        let mut path = vec![0; usize::from(u16::from_le_bytes(length))];
        exact(from, &mut path)?;
        let mut size = [0; 8];
        exact(from, &mut size)?;
        let text = String::from_utf8_lossy(&path);
        let bad = || BadBundle::Path(text.chars().take(80).collect());
        let path: FilePath = text.parse().map_err(|_| bad())?;
        if self.last.as_ref().is_some_and(|last| *last >= path) {
            return Err(bad());
        }
        self.count += 1;
        if self.count > MAX_FILES {
            return Err(BadBundle::TooMany);
        }
        self.last = Some(path.clone());
        Ok(Some(Entry { path, size: u64::from_le_bytes(size) }))
    }
}

fn exact(from: &mut impl Read, into: &mut [u8]) -> Result<(), BadBundle> {
    from.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BadBundle::Torn,
        _ => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (path, content) in files {
            let path = path.parse().expect("a path");
            bytes.extend(Entry { path, size: content.len() as u64 }.to_bytes());
            bytes.extend(*content);
        }
        bytes
    }

    fn read(mut bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, BadBundle> {
        let mut entries = Entries::begin(&mut bytes)?;
        let mut files = Vec::new();
        while let Some(entry) = entries.next(&mut bytes)? {
            let mut content = vec![0; usize::try_from(entry.size).expect("small")];
            exact(&mut bytes, &mut content)?;
            files.push((entry.path.to_string(), content));
        }
        Ok(files)
    }

    #[test]
    fn files_come_out_as_they_went_in_and_a_torn_bundle_is_an_error() {
        let whole = bundle(&[("360p/1.m4s", b"abc"), ("360p/init.mp4", b""), ("master.m3u8", b"#EXTM3U")]);
        let files = read(&whole).expect("whole");
        assert_eq!(
            (files.len(), files[0].0.as_str(), files[2].1.as_slice()),
            (3, "360p/1.m4s", &b"#EXTM3U"[..])
        );
        assert!(read(&MAGIC).expect("an empty set").is_empty());
        for end in [0, 7, 9, 15, 25, 30, whole.len() - 1] {
            assert!(read(&whole[..end]).is_err(), "cut off after {end} bytes");
        }
        assert!(matches!(read(b"PK\x03\x04....").expect_err("a zip"), BadBundle::Torn));
    }

    #[test]
    fn paths_that_climb_repeat_or_are_out_of_order_are_refused() {
        assert!(matches!(read(&bundle(&[("b", b""), ("a", b"")])).expect_err("order"), BadBundle::Path(_)));
        assert!(matches!(read(&bundle(&[("a", b""), ("a", b"")])).expect_err("twice"), BadBundle::Path(_)));
        let mut climbs = MAGIC.to_vec();
        climbs.extend([4, 0]);
        climbs.extend(b"../a");
        climbs.extend([0; 8]);
        assert!(matches!(read(&climbs).expect_err("climbs"), BadBundle::Path(_)));
    }
}

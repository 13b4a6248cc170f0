//! A file whose headers are read: the whole of it, or the parts of it that lie here.
//!
//! What is read of a part that is not here is noted as wanted, so that whoever has the file can bring it. Then the headers are
//! read again from their start; they are small.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are wanted behind what is asked for: what follows a header is often asked for next.
const AHEAD: u64 = 8 << 10;

/// A file, or parts of one at their places.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    length: u64,
    /// What is here; nothing where that is all.
    held: Option<Vec<Range<u64>>>,
    wanted: RefCell<Vec<Range<u64>>>,
}

impl Source {
    /// A file that is here.
    pub(crate) fn whole(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, held: None, wanted: RefCell::default() })
    }

    /// Parts of a file of this length.
    pub(super) fn parts(path: &Path, length: u64, held: Vec<Range<u64>>) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, length, held: Some(joined(held)), wanted: RefCell::default() })
    }

    /// Bytes of the whole file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What was asked for and is not here.
    pub(super) fn wanted(self) -> Vec<Range<u64>> {
        self.wanted.into_inner()
    }

    /// Fills `into` from a place on; nothing where the file ends before, or where that part is not here.
    pub(crate) fn fill(&self, at: u64, into: &mut [u8]) -> Option<()> {
        self.look(at, into.len())?;
        self.file.read_exact_at(into, at).ok()
    }

    /// Bytes from a place on; nothing where the file has not so many, or where they are not here.
    pub(crate) fn bytes(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        self.look(at, length)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }

    /// Notes what is wanted where it is not here.
    fn look(&self, at: u64, length: usize) -> Option<()> {
        let end = at.checked_add(u64::try_from(length).ok()?).filter(|end| *end <= self.length)?;
        let Some(held) = &self.held else { return Some(()) };
        // What is here of it need not come again.
        let first = held.iter().find(|part| part.start <= at && at < part.end).map_or(at, |part| part.end);
        if first >= end {
            return Some(());
        }
        let upto = end.saturating_add(AHEAD).min(self.length);
        self.wanted.borrow_mut().push(first..upto);
        None
    }
}

/// The same parts in order, each apart from the next.
fn joined(mut parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    parts.retain(|part| part.start < part.end);
    parts.sort_unstable_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(parts.len());
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_is_wanted_and_what_the_file_has_not_is_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("parts");
        std::fs::write(&path, [7; 100]).expect("written");
        let source = |held| Source::parts(&path, 100_000, held).expect("it is there");
        let two = source(vec![40..100, 0..40, 9..10]);
        assert_eq!(two.bytes(30, 70), Some(vec![7; 70]), "parts that meet are one");
        assert_eq!(two.bytes(90_000, 10_001), None);
        assert_eq!(two.wanted(), [], "beyond the file's end there is nothing to bring");
        let more = source(vec![0..60, 60..100]);
        assert_eq!((more.bytes(50, 100), more.fill(99_990, &mut [0; 4])), (None, None));
        assert_eq!(more.wanted(), [100..150 + AHEAD, 99_990..100_000]);
    }
}

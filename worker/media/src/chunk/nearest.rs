//! The nearest of a rung's encodes, which waits beside its output while a nearer one is looked for.
//!
//! x264 with a bound and many threads makes another film each time, so that the last encode of a search is not always its best.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rushes_shared::failure::Failure;

use crate::fault;

/// What waits, by its output, and how many bits it is away from those wanted.
#[derive(Debug, Default)]
pub(super) struct Nearest<'a>(BTreeMap<&'a Path, u64>);

impl<'a> Nearest<'a> {
    /// Judges an encode, which is so many bits away from those wanted; `None` where it does not count, as it has broken its bound.
    /// Either another one is written in its place, or the nearest is in its place afterwards.
    pub(super) fn judge(&mut self, output: &'a Path, off: Option<u64>, goes_on: bool) -> Result<(), Failure> {
        let waits = self.0.get(output).copied();
        let nearer = off.filter(|off| waits.is_none_or(|waits| *off <= waits));
        let done = match (nearer, goes_on) {
            (Some(off), true) => {
                self.0.insert(output, off);
                fs::rename(output, beside(output))
            }
            (None, false) if waits.is_some() => {
                self.0.remove(output);
                fs::rename(beside(output), output)
            }
            (Some(_), false) if waits.is_some() => {
                self.0.remove(output);
                fs::remove_file(beside(output))
            }
            _ => io::Result::Ok(()),
        };
        done.map_err(|error| fault::writing(&error))
    }
}

impl Drop for Nearest<'_> {
    fn drop(&mut self) {
        for output in self.0.keys() {
            let _gone = fs::remove_file(beside(output));
        }
    }
}

fn beside(output: &Path) -> PathBuf {
    let mut name = output.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".nearest");
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies at the output after encodes that were so far off, the last of which ends the search.
    fn left(offs: &[Option<u64>]) -> (String, usize) {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("0.mp4");
        let mut nearest = Nearest::default();
        for (number, off) in offs.iter().enumerate() {
            fs::write(&output, number.to_string()).unwrap();
            nearest.judge(&output, *off, number + 1 < offs.len()).unwrap();
        }
        drop(nearest);
        (fs::read_to_string(&output).unwrap(), fs::read_dir(dir.path()).unwrap().count())
    }

    #[test]
    fn the_nearest_encode_is_left_alone() {
        assert_eq!(left(&[Some(9)]), ("0".into(), 1));
        assert_eq!(left(&[None]), ("0".into(), 1));
        assert_eq!(left(&[Some(9), Some(3), Some(5)]), ("1".into(), 1));
        assert_eq!(left(&[Some(9), Some(3), Some(3)]), ("2".into(), 1), "the later of two that are as near");
        assert_eq!(left(&[Some(9), None, None]), ("0".into(), 1), "what broke its bound is not taken");
        assert_eq!(left(&[None, Some(9), Some(2)]), ("2".into(), 1));
    }

    #[test]
    fn a_search_that_is_given_up_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("0.mp4");
        fs::write(&output, "0").unwrap();
        let mut nearest = Nearest::default();
        nearest.judge(&output, Some(1), true).unwrap();
        assert!(beside(&output).exists());
        drop(nearest);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

//! Messages between whoever has files and the depot: one request and one answer a stream.

use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ContentHash, Location};
use crate::failure::Failure;
use crate::id::{AttemptId, Epoch};
use crate::units::Bytes;

/// Worker to depot: what a bulk stream is about. Bytes follow a `Write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkRequest {
    /// Send me this. Reply: `Reading`, then the raw bytes to the end of the stream.
    Read {
        /// What.
        location: Location,
        /// First byte wanted.
        offset: u64,
        /// Permission.
        ticket: Vec<u8>,
    },
    /// Keep this; exactly `size` raw bytes follow. Reply after the last one: `Written`.
    Write {
        /// Where; `farm://staging/…` or `farm://uploads/…`.
        location: Location,
        /// Number of bytes.
        size: Bytes,
        /// Their hash; what arrives otherwise is refused.
        hash: ContentHash,
        /// Permission.
        ticket: Vec<u8>,
    },
    /// Move a staged file to its place, unless something else is there. Reply: `Published`. Doing it twice is no error.
    Publish {
        /// The staged file.
        from: Artifact,
        /// Its place.
        to: Location,
        /// Permission.
        ticket: Vec<u8>,
    },
    /// Remove everything that these attempts staged. Reply: `Dropped`.
    Drop {
        /// Whose.
        attempts: Vec<AttemptId>,
        /// Permission.
        ticket: Vec<u8>,
    },
    /// Stage what was kept of the same work. Reply: `Taken`, or `NotKept`.
    Take {
        /// Where; `farm://staging/…`.
        to: Location,
        /// The programs that would make it otherwise.
        maker: ContentHash,
        /// Permission; it says which work.
        ticket: Vec<u8>,
    },
    /// Keep a staged file for whoever does the same work again. Reply: `Kept`, also where there is no room for it.
    Keep {
        /// The staged file, with its size and hash.
        from: Artifact,
        /// The programs that made it.
        maker: ContentHash,
        /// What else is to be known of it; at most [`NOTE_LIMIT`] bytes.
        note: Vec<u8>,
        /// Permission; it says which work.
        ticket: Vec<u8>,
    },
    /// Send me parts of these files. For each, in this order, the reply is `Parts` with their raw bytes behind it, or
    /// `Failed`.
    ReadParts {
        /// Which; at most [`PARTS_FILES`].
        files: Vec<PartsOf>,
        /// Permission.
        ticket: Vec<u8>,
    },
    /// Say which attempts of earlier reigns have staged something. Reply: `Staged`.
    ListStaged {
        /// Only attempts of reigns before this one.
        before: Epoch,
        /// Only attempts behind this one.
        after: Option<AttemptId>,
        /// Permission.
        ticket: Vec<u8>,
    },
}

/// Most attempts that are listed at once.
pub const STAGED_PAGE: usize = 1_000;

/// Most files of which parts are asked for at once.
pub const PARTS_FILES: usize = 64;
/// Most parts of a file that are asked for at once.
pub const PARTS: usize = 16;
/// Most bytes that are asked for at once, of all files together.
pub const PARTS_BYTES: u64 = 16 << 20;

/// Parts of a file that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsOf {
    /// The file.
    pub location: Location,
    /// Which parts; at most [`PARTS`].
    pub parts: Vec<Part>,
}

/// A part of a file whose size need not be known: so much of it is sent as is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// From a place on.
    From {
        /// Its first byte.
        offset: u64,
        /// Its bytes.
        length: u64,
    },
    /// The file's end.
    End {
        /// Its bytes.
        length: u64,
    },
}

impl Part {
    /// How many bytes are asked for.
    #[must_use]
    pub fn length(self) -> u64 {
        match self {
            Self::From { length, .. } | Self::End { length } => length,
        }
    }

    /// Where it lies in a file of this size: its first byte, and how many there are.
    #[must_use]
    pub fn within(self, size: u64) -> (u64, u64) {
        match self {
            Self::From { offset, length } => {
                let offset = offset.min(size);
                (offset, length.min(size - offset))
            }
            Self::End { length } => {
                let length = length.min(size);
                (size - length, length)
            }
        }
    }
}

/// Whether no more is asked for than one request may.
#[must_use]
pub fn are_bounded(files: &[PartsOf]) -> bool {
    let asked =
        files.iter().flat_map(|file| &file.parts).fold(0_u64, |sum, p| sum.saturating_add(p.length()));
    files.len() <= PARTS_FILES && files.iter().all(|file| file.parts.len() <= PARTS) && asked <= PARTS_BYTES
}

/// Most bytes that are kept beside a result.
pub const NOTE_LIMIT: usize = 48 << 10;

/// Depot to worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkReply {
    /// The file has this many bytes in all; those from the offset follow.
    Reading {
        /// Size of the whole file.
        size: Bytes,
    },
    /// The bytes are on disk, synced, under their place.
    Written,
    /// The file is at its place, synced.
    Published,
    /// Gone.
    Dropped,
    /// It cannot be done.
    Failed(Failure),
    /// The file is staged, synced.
    Taken {
        /// Its size.
        size: Bytes,
        /// Its hash.
        hash: ContentHash,
        /// What was kept beside it.
        note: Vec<u8>,
    },
    /// Nothing of that kind is kept.
    NotKept,
    /// It is kept, or need not be.
    Kept,
    /// Parts of a file; their bytes follow, one behind the other.
    Parts {
        /// Size of the whole file.
        size: Bytes,
        /// Another number once the file has changed.
        stamp: u64,
        /// Each part's first byte, and how many there are, in the order of the request.
        parts: Vec<(u64, u64)>,
    },
    /// Nothing of this one of several files can be read; what is said of the others follows.
    NoParts(Failure),
    /// Attempts that have staged something, in order; at most [`STAGED_PAGE`]. None: there are no more.
    Staged(Vec<AttemptId>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_the_file_has_of_it() {
        let at = |offset, length| Part::From { offset, length };
        assert_eq!(at(3, 4).within(10), (3, 4));
        assert_eq!(at(8, 4).within(10), (8, 2));
        assert_eq!(at(u64::MAX, u64::MAX).within(10), (10, 0));
        assert_eq!(Part::End { length: 4 }.within(10), (6, 4));
        assert_eq!(Part::End { length: 40 }.within(10), (0, 10));
    }

    #[test]
    fn a_request_has_a_bound() {
        let file = |parts: Vec<Part>| PartsOf { location: Location::File("/a".to_owned()), parts };
        let all = Part::End { length: PARTS_BYTES };
        assert!(are_bounded(&[file(vec![all])]));
        assert!(!are_bounded(&[file(vec![all]), file(vec![Part::End { length: 1 }])]));
        assert!(!are_bounded(&[file(vec![Part::End { length: u64::MAX }; 2])]));
        assert!(!are_bounded(&vec![file(Vec::new()); PARTS_FILES + 1]));
        assert!(!are_bounded(&[file(vec![Part::End { length: 0 }; PARTS + 1])]));
    }
}

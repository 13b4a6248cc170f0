//! Messages between whoever has files and the depot: one request and one answer a stream.

use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ContentHash, Location};
use crate::failure::Failure;
use crate::id::AttemptId;
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
}

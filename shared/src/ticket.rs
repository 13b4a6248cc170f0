//! Tickets: permission to do one thing with one file at the depot, until a time.
//!
//! The coordinator writes a ticket for each dispatch and each HTTP transfer; the depot checks it with the key that
//! both hold. A worker can touch only what its own attempts need, even if it is taken over.

use serde::{Deserialize, Serialize};

use crate::artifact::{ContentHash, Location};
use crate::id::{AttemptId, TenantId};
use crate::units::WallMs;

/// What a ticket permits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grant {
    /// Read one file.
    Read(Location),
    /// Write one file.
    Write(Location),
    /// Publish one staged file, or the set of files in it, to one place.
    Publish {
        /// The staged file.
        from: Location,
        /// Its place.
        to: Location,
    },
    /// Drop what these attempts staged.
    Drop(Vec<AttemptId>),
    /// Read what these attempts staged.
    ReadStaged(Vec<AttemptId>),
    /// Write one staged file, take it from what was kept, or keep it: what work of this tenant makes of what is named by its hash.
    Make {
        /// The staged file.
        to: Location,
        /// Whose results are taken and kept.
        tenant: TenantId,
        /// BLAKE3 of all that decides what the result is, but for the programs that make it.
        of: ContentHash,
    },
    /// Read one file, and what these attempts staged.
    ReadWith {
        /// The file.
        input: Location,
        /// Who staged the others.
        attempts: Vec<AttemptId>,
    },
    /// Read these files, one at a time.
    ReadAny(Vec<Location>),
    /// List which attempts have staged something.
    ListStaged,
}

/// A grant and when it ends. The MAC over its encoding travels in front of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What.
    pub grant: Grant,
    /// Refused after this time.
    pub expires: WallMs,
}

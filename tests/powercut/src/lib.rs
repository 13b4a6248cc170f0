//! A power cut under the store, without a special disk, kernel module or privilege.
//!
//! ```text
//! powercut-child   the real store under load; its own `open`, `pwrite`, `fsync`, … stand in front of the C library's
//!      |           (shim) and write each call with its data, and each acknowledgement, into one log
//!      v
//! oplog            that log
//!      |
//!      v
//! disk             plays the log up to a chosen call and then cuts the power: what was synced is there; of the rest,
//!      |           any part: dropped, kept, torn by sectors, names of files included
//!      v
//! load             opens the real store on what is left, and compares with what was acknowledged by then
//! ```
//!
//! `sync_file_range` makes nothing durable here, as on a disk with a volatile cache. A file is in its directory for sure
//! only once the directory was synced. That the log misses no call is proved by playing it whole and comparing with the
//! directory that the child left.

pub mod disk;
pub mod drive;
pub mod load;
pub mod oplog;
pub mod random;

//! Task processes: each attempt that touches media runs in a process of its own.
//!
//! ```text
//! protocol    frames on the pipes between the two
//! nursery     `rushes-worker nursery`: has the media library loaded, makes task processes of itself
//! child       the inside of a task process
//! pool        where attempts get them; keeps some ready
//! stream      the steps of a streaming set
//! running     the outside of one: its job, progress, log, end
//! ending      what a process's end means
//! ledger      process ids on disk, so that a successor can end what is left over
//! usage       CPU and memory from /proc
//! ```

pub mod child;
pub mod ending;
pub mod ledger;
pub mod nursery;
pub mod pool;
pub mod protocol;
pub mod running;
pub mod stream;
pub mod usage;

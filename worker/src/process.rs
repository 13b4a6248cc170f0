//! Task processes: each attempt that touches media runs in a process of its own.
//!
//! ```text
//! protocol    frames on the pipes between the two
//! child       the inside: `rushes-worker task`
//! pool        starts processes, keeps some warm
//! running     the outside of one: its job, progress, log, end
//! ending      what a process's end means
//! ledger      process ids on disk, so that a successor can end what is left over
//! usage       CPU and memory from /proc
//! ```

pub mod child;
pub mod ending;
pub mod ledger;
pub mod pool;
pub mod protocol;
pub mod running;
pub mod usage;

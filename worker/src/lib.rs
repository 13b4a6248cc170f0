//! The worker of a Rushes farm: runs tasks on its node, each in a contained process of its own.
//!
//! ```text
//! cli, main      commands
//! settings       configs/worker.toml as a type;   state_dir   what is on disk
//! worker         start, shared state, stop
//!   survey, facts    what this node has and can do
//!   link             the connection, made again for ever
//!     task_stream    one task's orders and reports
//!     lane           those of all tasks that need no process
//!   held             attempts that run or wait to be collected
//!   slots            what may run at once
//!   attempt          fetch -> task process -> store -> outcome
//!     depot, inputs    transfer; inputs kept for the next task
//!     bundle           several files as one
//!     progress         how far a whole attempt is
//!     process          starting, following and ending task processes, and their inside
//!       sandbox          the walls around media
//! at_hand        one media operation for `rushes media`, behind the same walls
//! telemetry, metrics
//! ```
//!
//! **Invariant:** nothing here parses media or loads GStreamer but the inside of a task process.
//! **Invariant:** losing the connection ends no task; the end of the worker ends them all.

mod at_hand;
pub mod attempt;
pub mod bundle;
pub mod cli;
pub mod depot;
pub mod facts;
pub mod held;
pub mod inputs;
pub mod lane;
pub mod link;
mod maker;
pub mod metrics;
pub mod process;
pub mod progress;
pub mod sandbox;
pub mod settings;
pub mod slots;
pub mod state_dir;
pub mod survey;
pub mod task_stream;
pub mod telemetry;
pub mod worker;

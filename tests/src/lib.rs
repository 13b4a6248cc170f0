//! What end-to-end and fault tests stand on: a farm of real processes in a directory of its own.
//!
//! ```text
//!  test ──> Farm ──> Program (rushes-coordinator, which starts its depot)     killed, stopped, started again
//!             ├────> Program (rushes-worker) …, each with its task processes
//!             ├────> Api    REST, with a token
//!             └────> media  clips made once, facts read back by ffprobe
//! ```
//!
//! Tests use the programs that lie beside them in the target directory and never build them. They wait for conditions,
//! each with a limit, and a farm that goes down with a failed test prints what its programs said.

pub mod api;
pub mod binaries;
pub mod chance;
pub mod farm;
pub mod media;
pub mod metrics;
pub mod program;
pub mod tasks;
pub mod wait;

pub use api::{Answer, Api};
pub use farm::{Farm, FarmPlan};
pub use program::Program;
pub use wait::{SOON, until};

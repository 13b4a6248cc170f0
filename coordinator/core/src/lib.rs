//! The pure heart of the coordinator. No clock, thread, file or socket: time, randomness and ids come in as arguments.
//!
//! ```text
//!             Event, now                               Effects
//! shell ------------------>  engine  ------------->  records  (to the journal, first)
//!                              |                     commands (released when their records are on disk)
//!                              | emits Record
//!                              v
//!                            state::apply            the only place that changes durable state; replay is the same fold
//! ```

pub mod anomaly;
pub mod engine;
pub mod event;
pub mod explain;
pub mod health;
pub mod id_map;
pub mod job;
pub mod list;
pub mod order;
pub mod placement;
pub mod planner;
pub mod policy;
pub mod promise;
mod recent;
pub mod record;
pub mod splitmix;
pub mod state;
pub mod summary;

//! Deadlines: what a job should still take, whether its promise can be kept, and what may be given up to keep it.
//!
//! ```text
//! gate     what all tasks of some jobs have to pass: limits, caps, nodes with tags
//! barred   why nothing of a job can start, however long it waits
//! predict  what one task should take on a node; what outcomes teach about the node's speed
//! path     what a job should still take if nothing else ran: its critical path
//! load     work in time of the farm, and what a farm gets done
//! ledger   the work that is booked, by class and by deadline
//! trade    quality for time, and why
//! offer    what a job could give up next, within its floor
//! late     since when and why a deadline is given up
//! ```

mod barred;
pub mod gate;
pub mod late;
pub mod ledger;
mod load;
pub mod offer;
pub mod path;
pub mod predict;
pub mod trade;

use rushes_shared::units::WallMs;

pub use barred::Barred;

/// What the engine expects of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forecast {
    /// When it should be done. `None` where nothing of it can start.
    pub expected_finish: Option<WallMs>,
    /// Whether its deadline can be kept, if need be at its floor and ahead of its turn. `None` without a deadline or
    /// where too little is known.
    pub can_keep: Option<bool>,
    /// What was assumed of an input that has not been probed yet; what comes of it is judged with the probe.
    pub assumes: Option<Assumed>,
    /// Why nothing of it can start, however long it waits.
    pub barred: Option<Box<Barred>>,
    /// Named limits of it that nobody has set, which hold nothing back.
    pub unset_limits: Vec<String>,
}

/// An input like those before it, or an ordinary one where none was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumed {
    /// Its length, in milliseconds.
    pub duration_ms: u64,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Whether any input was seen that it could be like.
    pub is_seen: bool,
}

//! What the benchmarks have in common. `tests/benches/README.md` is the method in words.
//!
//! ```text
//! suite      runs sections, prints the table, writes target/bench/<suite>.json
//! row        one figure: value, target, peer, ratio, spread
//! sample     medians, spreads, percentiles; pairs in alternating order
//! machine    names the hardware
//! program    runs a program to its end: wall and CPU time
//! process    CPU and memory of a process that runs
//! farm       a coordinator and workers of this build, in fresh directories
//! client     what a benchmark says to a farm
//! clip       the media that is encoded and probed
//! peer       other task queues that the same is done with
//! ```

pub mod client;
pub mod clip;
pub mod farm;
pub mod machine;
pub mod peer;
pub mod process;
pub mod program;
pub mod row;
pub mod sample;
pub mod suite;

pub use row::{Better, Row};
pub use suite::{Bench, Section, suite};

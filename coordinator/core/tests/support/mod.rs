//! The real engine in a small world: virtual time, fake workers, a store that confirms later, a depot.
//!
//! ```text
//! scene    check(given, event, expect): what a table test is written with
//! world    the engine and its shell: queues, streams, clocks, crashes
//! disk     the store's double: confirms later, loses what was not confirmed
//! worker   a fake worker: holds attempts over broken links, forgets them when restarted
//! depot    staged and published files
//! laws     what must hold after every step
//! samples  values
//! ```

pub(crate) mod depot;
pub(crate) mod disk;
pub(crate) mod laws;
pub(crate) mod samples;
pub(crate) mod scene;
pub(crate) mod tell;
pub(crate) mod worker;
pub(crate) mod world;

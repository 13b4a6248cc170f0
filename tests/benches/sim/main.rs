//! The scheduler on virtual time: what it promises, measured over seeds beside simpler rules of order, a clairvoyant and
//! an exhaustive optimum. The method is in `tests/benches/README.md`.

mod classes;
mod day;
mod deadlines;
mod overlap;
mod scale;
mod small;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use rushes_sim::Scenario;

/// The first seed of every figure: tests and scenarios were made with seeds below.
const FIRST_SEED: u64 = 10_001;

/// A scenario of `configs/scenarios`.
fn scenario(name: &str) -> Result<Scenario> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../configs/scenarios").join(name);
    Scenario::read(&path).with_context(|| format!("read {}", path.display()))
}

/// So many seeds that nothing was tuned to.
fn seeds(runs: usize) -> impl Iterator<Item = u64> {
    (FIRST_SEED..).take(runs)
}

fn main() -> ExitCode {
    rushes_bench::suite(
        "sim",
        &[
            ("classes", classes::run),
            ("deadlines", deadlines::run),
            ("small", small::run),
            ("scale", scale::run),
            ("overlap", overlap::run),
            ("day", day::run),
        ],
    )
}

//! The store under the engine on this disk. The method is in `tests/benches/README.md`.

mod append;

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_bench::suite("store", &[("append", append::run)])
}

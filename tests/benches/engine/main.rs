//! The engine as a library: decisions per second, replay, and the store under it. The method is in
//! `tests/benches/README.md`.

mod events;
mod store;

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_bench::suite("engine", &[("events", events::run), ("store", store::run)])
}

//! The farm as its users meet it: what it costs on top of an encode, how fast it moves tasks, how soon it is back after
//! a crash. The method is in `tests/benches/README.md`.

mod noop;
mod overhead;
mod recovery;
mod streams;

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_bench::suite(
        "farm",
        &[
            ("overhead", overhead::run),
            ("noop", noop::run),
            ("recovery", recovery::run),
            ("streams", streams::run),
        ],
    )
}

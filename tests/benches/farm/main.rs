//! The farm as its users meet it: what it costs on top of an encode, how fast it moves tasks, how soon it is back after
//! a crash. The method is in `tests/benches/README.md`.

mod busy;
mod load;
mod noop;
mod overhead;
mod peers;
mod queued;
mod recovery;
mod streams;
mod trial;

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_bench::suite(
        "farm",
        &[
            ("overhead", overhead::run),
            ("noop", noop::run),
            ("wide", noop::wide),
            ("trial", trial::run),
            ("peers", peers::run),
            ("busy", busy::run),
            ("queued", queued::run),
            ("recovery", recovery::run),
            ("streams", streams::run),
        ],
    )
}

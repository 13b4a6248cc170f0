//! Media operations beside the programs that people use for them. The method is in `tests/benches/README.md`.

mod encode;
mod ladder;
mod package;
mod probe;
mod probes;
mod progress;
mod rungs;

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_bench::suite(
        "media",
        &[
            ("probe", probe::run),
            ("probes", probes::run),
            ("encode", encode::run),
            ("ladder", ladder::run),
            ("chunks", ladder::chunks),
            ("rungs", rungs::run),
            ("progress", progress::run),
            ("package", package::run),
        ],
    )
}

//! The engine as a library: what an event costs it and how that grows, what a queued task weighs, how fast a journal is
//! folded. The method is in `tests/benches/README.md`.

mod dequeue;
mod events;
mod farm;
mod instructions;
mod size;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A case that needs a process of its own is this program again.
    if let Some(done) = size::asked_for().or_else(instructions::asked_for) {
        return done;
    }
    rushes_bench::suite(
        "engine",
        &[
            ("events", events::run),
            ("size", size::run),
            ("dequeue", dequeue::run),
            ("instructions", instructions::run),
        ],
    )
}

//! `rushes-coordinator`: the farm's head.

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_coordinator::commands::main()
}

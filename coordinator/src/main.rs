//! `rushes-coordinator`: the farm's head.

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_shared::build::name_commit(option_env!("RUSHES_COMMIT"));
    rushes_coordinator::commands::main()
}

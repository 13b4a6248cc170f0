//! The `rushes` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rushes_cli::run()
}

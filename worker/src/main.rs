//! `rushes-worker`: see the library for everything.

use std::process::ExitCode;

use clap::Parser;
use rushes_worker::cli::Cli;

fn main() -> ExitCode {
    rushes_shared::build::name_commit(option_env!("RUSHES_COMMIT"));
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("rushes-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

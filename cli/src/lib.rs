//! The `rushes` command: talks REST to a coordinator, and starts a farm of its own for `rushes encode` when none is named.
//!
//! ```text
//! args ---> commands: job, worker, status, encode
//!              |          |
//!              v          v
//!            watch      own_farm      jobs' event streams; child processes
//!              |          |
//!              +--> client (HTTP, events, uploads, downloads) --> coordinator, depot
//! board, table, words                 what people see: progress, tables, quantities
//! fault                               what went wrong, and the exit code that it has
//! ```
//!
//! Results go to standard output, everything else to standard error, so that output can be piped.

mod args;
mod board;
mod client;
mod commands;
mod connection;
mod events;
mod fault;
mod interrupt;
mod own_farm;
mod report;
mod table;
mod transfer;
mod unix_socket;
mod watch;
mod words;

use std::process::ExitCode;

use clap::Parser;

/// Runs the program on the process' arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(ending) => ending.into(),
        Err(fault) => {
            eprintln!("rushes: {fault}");
            if let Some(advice) = fault.advice() {
                eprintln!("        {advice}");
            }
            fault.ending().into()
        }
    }
}

//! The `rushes` command: talks REST to a coordinator, and starts a farm of its own for `rushes encode` when none is named.
//!
//! ```text
//! args ---> commands: job, worker, status, encode
//!              |          |
//!              v          v
//!            watch      own_farm      jobs' event streams; child processes
//!              |          |
//!              +--> client (HTTP, events, uploads, downloads) --> coordinator, depot
//! at_hand                             media operations on this machine, each in a contained process
//! board, table, words                 what people see: progress, tables, quantities
//! fault                               what went wrong, and the exit code that it has
//! ```
//!
//! Results go to standard output, everything else to standard error, so that output can be piped. With `--output json`
//! an error is one JSON object on one line of standard error.

/// A line to standard error. A reader who went away (`2>&1 | head`) is no reason to end: the work goes on.
macro_rules! say {
    ($($text:tt)*) => {
        crate::to_standard_error(format_args!("{}\n", format_args!($($text)*)))
    };
}

mod args;
mod at_hand;
mod board;
mod client;
mod commands;
mod connection;
mod events;
mod fault;
mod interrupt;
mod own_farm;
mod presets;
mod report;
mod sequence;
mod set;
mod table;
mod transfer;
mod unix_socket;
mod watch;
mod words;

use std::io::Write as _;
use std::process::ExitCode;

use args::Output;
use fault::Fault;

/// Runs the program on the process' arguments.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        // Help and versions are no errors, and people read their colours.
        Err(error) if !error.use_stderr() || !args::asks_for_json(std::env::args_os()) => error.exit(),
        Err(error) => return told(&usage(&error), Output::Json),
    };
    let form = cli.farm.output;
    match commands::run(cli) {
        Ok(ending) => ending.into(),
        Err(fault) => told(&fault, form),
    }
}

fn to_standard_error(text: std::fmt::Arguments<'_>) {
    let _gone = std::io::stderr().write_fmt(text);
}

fn told(fault: &Fault, form: Output) -> ExitCode {
    fault.tell(form, None);
    fault.ending().into()
}

/// What the parser says, as one line without its own heading.
fn usage(error: &clap::Error) -> Fault {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Fault::Usage(lines.join("; ").trim_start_matches("error: ").to_owned())
}

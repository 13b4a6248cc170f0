//! The subcommands.

mod encode;
mod job;
mod limit;
mod media;
mod preset;
mod probe;
mod sim;
mod status;
mod tenant;
mod upload;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use rushes_shared::view::JobView;
use serde::Serialize;

use crate::args::{Cli, Command, FarmArgs, Output};
use crate::client::Client;
use crate::connection::Connection;
use crate::fault::{Ending, Fault};
use crate::own_farm;
use crate::table::colours;

pub(crate) fn run(cli: Cli) -> Result<Ending, Fault> {
    let Cli { farm, command } = cli;
    match command {
        Command::Encode(args) => encode::run(&farm, &args),
        Command::Upload { files } => upload::run(&farm, &files),
        Command::Probe(args) => probe::run(&farm, &args),
        Command::Preset(command) => preset::run(&farm, &command),
        Command::Media(args) => media::run(&farm, &args),
        Command::Job(command) => job::run(&farm, command),
        Command::Worker(command) => worker::run(&farm, &command),
        Command::Tenant(command) => tenant::run(&farm, &command),
        Command::Limit(command) => limit::run(&farm, &command),
        Command::Status => status::run(&farm),
        Command::Sim(args) => sim::run(&farm, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rushes", &mut script);
            put(&script);
            Ok(Ending::Ok)
        }
        Command::Version => {
            version(&farm);
            Ok(Ending::Ok)
        }
        Command::OwnChild { parent, signal, program } => {
            Err(own_farm::become_child(parent, &signal, &program))
        }
    }
}

fn client(farm: &FarmArgs) -> Result<Client, Fault> {
    Client::new(&Connection::needed(farm)?)
}

/// Prints a result as JSON, or else as text. A reader who went away (`| head`) is no error.
fn print<T: Serialize>(farm: &FarmArgs, value: &T, text: impl FnOnce() -> String) {
    let text = match farm.output {
        Output::Json => serde_json::to_string_pretty(value).expect("views consist of plain values") + "\n",
        Output::Text => text(),
    };
    put(text.as_bytes());
}

/// Writes to standard output. What cannot be written (a full disk) is an error of its own, after the command's work.
fn put(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            say!("rushes: cannot write to standard output: {error}");
            std::process::exit(6);
        }
        _ => {}
    }
}

/// Prints jobs that have ended: one as an object, several as a list.
fn print_ended(farm: &FarmArgs, jobs: &[JobView]) {
    let text = || jobs.iter().map(|job| crate::report::end(job, colours())).collect();
    match jobs {
        [job] => print(farm, job, text),
        jobs => print(farm, &jobs, text),
    }
}

fn version(farm: &FarmArgs) {
    let info = rushes_shared::build::info();
    let value = serde_json::json!({
        "version": info.version, "commit": info.commit, "rustc": info.rustc,
        "profile": info.profile, "target": info.target, "wire": info.wire,
    });
    print(farm, &value, || format!("rushes {}\n", rushes_shared::build::long_version()));
}

impl std::process::Termination for Ending {
    fn report(self) -> ExitCode {
        self.into()
    }
}

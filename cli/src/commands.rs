//! The subcommands.

mod encode;
mod job;
mod limit;
mod media;
mod preset;
mod sim;
mod tenant;
mod upload;
mod worker;

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use rushes_shared::view::{JobView, StatusView};
use serde::Serialize;

use crate::args::{Cli, Command, FarmArgs, Output};
use crate::client::Client;
use crate::connection::Connection;
use crate::fault::{Ending, Fault};
use crate::own_farm;
use crate::table::{Cell, Tone, colours, table};
use crate::words;

pub(crate) fn run(cli: Cli) -> Result<Ending, Fault> {
    let Cli { farm, command } = cli;
    match command {
        Command::Encode(args) => encode::run(&farm, &args),
        Command::Upload { files } => upload::run(&farm, &files),
        Command::Preset(command) => preset::run(&farm, &command),
        Command::Media(args) => media::run(&farm, &args),
        Command::Job(command) => job::run(&farm, command),
        Command::Worker(command) => worker::run(&farm, &command),
        Command::Tenant(command) => tenant::run(&farm, &command),
        Command::Limit(command) => limit::run(&farm, &command),
        Command::Status => status(&farm),
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
            eprintln!("rushes: cannot write to standard output: {error}");
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

fn status(farm: &FarmArgs) -> Result<Ending, Fault> {
    let status = client(farm)?.status()?;
    print(farm, &status, || {
        let mut text = format!(
            "coordinator  {}, up for {}\nworkers      {}\njobs         {}\n",
            status.version,
            words::span(status.uptime_s),
            status_of_workers(&status),
            status_of_jobs(&status),
        );
        for limit in status.bottlenecks.iter().take(3) {
            text.push_str(&format!(
                "held up      {} jobs want {} slots: {}\n",
                limit.jobs,
                limit.slot.as_str(),
                limit.detail
            ));
        }
        for anomaly in status.anomalies.iter().take(3) {
            text.push_str(&format!("unusual      {}\n", anomaly.detail));
        }
        if !status.tasks.is_empty() {
            let rows: Vec<Vec<Cell>> = status
                .tasks
                .iter()
                .map(|t| {
                    let running =
                        Cell(t.running.to_string(), if t.running > 0 { Tone::Busy } else { Tone::Plain });
                    vec![t.kind.as_str().into(), running, t.ready.to_string().into()]
                })
                .collect();
            text.push_str(&format!("\n{}", table(&["TASKS", "RUNNING", "WAITING"], &rows, colours())));
        }
        text
    });
    Ok(Ending::Ok)
}

fn status_of_workers(status: &StatusView) -> String {
    let mut parts = Vec::new();
    if status.workers_connected > 0 {
        parts.push(format!("{} connected", status.workers_connected));
    }
    if status.workers_silent > 0 {
        parts.push(format!("{} not answering", status.workers_silent));
    }
    if status.workers_quarantined > 0 {
        parts.push(format!("{} in quarantine", status.workers_quarantined));
    }
    if parts.is_empty() {
        parts
            .push("none connected; 'rushes worker list' shows all, 'rushes-worker join' adds one".to_owned());
    }
    if status.reattaching {
        parts.push("waiting for those from before the restart".to_owned());
    }
    parts.join(", ")
}

fn status_of_jobs(status: &StatusView) -> String {
    match (status.jobs_running, status.jobs_queued) {
        (0, 0) => "none to do; 'rushes job list' shows those that ended".to_owned(),
        (running, queued) => format!("{running} running, {queued} waiting"),
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

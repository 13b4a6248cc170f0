//! The command line of `rushes-coordinator`.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 74 the store's disk failed while it ran.

/// Prints a line on standard output. A line that cannot be written is an error: it may be a token shown only once.
macro_rules! say {
    () => { $crate::commands::print_line(format_args!("")) };
    ($($text:tt)*) => { $crate::commands::print_line(format_args!($($text)*)) };
}

mod backup;
mod desk;
mod init;
mod settings_files;
mod token;
mod worker;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::layout::Layout;
use crate::run::{End, run};
use crate::settings::{self, LogFormat, Settings};
use crate::{depot, telemetry};

/// The store's disk failed (sysexits' `EX_IOERR`).
const EXIT_STORE: u8 = 74;

/// The head of a Rushes farm: takes jobs, keeps them, hands tasks to workers.
#[derive(Debug, Parser)]
#[command(name = "rushes-coordinator", version, long_version = rushes_shared::build::long_version(), after_help = EXAMPLES)]
pub struct Cli {
    /// Where the coordinator keeps its state [default: $STATE_DIRECTORY, else $XDG_STATE_HOME/rushes/coordinator].
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A file of settings [default: coordinator.toml in the state directory, if there is one].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one setting over file and environment; may be repeated.
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  rushes-coordinator init                         make a farm: its CA, the first tokens
  rushes-coordinator run                          serve it until SIGTERM or Ctrl-C
  rushes-coordinator token join --uses 20         let 20 workers join
  rushes-coordinator token api ci --role submitter --role viewer
  rushes-coordinator backup /backups/farm-1       a consistent copy, while it runs
  rushes-coordinator run --set api.bind=127.0.0.1:8080";

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a farm: its CA, the first API token, a join token for workers.
    #[command(
        after_help = "Examples:\n  rushes-coordinator init\n  rushes-coordinator --state-dir /srv/rushes init"
    )]
    Init,
    /// Runs the coordinator until SIGTERM or Ctrl-C.
    #[command(
        after_help = "Examples:\n  rushes-coordinator run\n  rushes-coordinator run --set api.bind=127.0.0.1:8080 --set log.format=json"
    )]
    Run,
    /// Runs the depot, which keeps and moves files; `run` starts one by itself unless depot.spawn is off.
    #[command(after_help = "Example:\n  rushes-coordinator depot --config /etc/rushes/coordinator.toml")]
    Depot {
        /// End when standard input ends.
        #[arg(long, hide = true)]
        attached: bool,
    },
    /// Makes, lists and takes back tokens, whether the coordinator runs or not.
    #[command(
        after_help = "Examples:\n  rushes-coordinator token list\n  rushes-coordinator token join --uses 20"
    )]
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Removes workers, whether the coordinator runs or not.
    #[command(after_help = "Example:\n  rushes-coordinator worker remove ID")]
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// Copies the jobs and the keys into a new directory, without the depot's files; works while the coordinator runs.
    #[command(after_help = "Example:\n  rushes-coordinator backup /backups/farm-$(date +%F)")]
    Backup {
        /// The directory to make.
        dir: PathBuf,
    },
    /// Writes the journal, the archive and the keys as checksummed JSON lines; works while it runs.
    #[command(
        after_help = "Examples:\n  rushes-coordinator export farm.jsonl\n  rushes-coordinator export | zstd > farm.jsonl.zst"
    )]
    Export {
        /// The file to make, or `-` for standard output.
        #[arg(default_value = "-")]
        to: PathBuf,
    },
    /// Restores a backup's directory, or an export's file, into a state directory that has no farm yet.
    #[command(after_help = "Example:\n  rushes-coordinator --state-dir /srv/rushes import /backups/farm-1")]
    Import {
        /// The directory or file.
        from: PathBuf,
    },
    /// Shows or checks the settings.
    #[command(after_help = "Example:\n  rushes-coordinator config show")]
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints a completion script.
    #[command(
        after_help = "Example:\n  rushes-coordinator completions bash > ~/.local/share/bash-completion/completions/rushes-coordinator"
    )]
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the settings in force, each with where it comes from.
    #[command(after_help = "Example:\n  rushes-coordinator config show --set api.bind=127.0.0.1:8080")]
    Show,
    /// Checks the settings and says nothing if they are right.
    #[command(after_help = "Example:\n  rushes-coordinator config check --config new.toml")]
    Check,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.go() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("rushes-coordinator: {}", told_once(&error));
            let is_usage = error.downcast_ref::<rushes_shared::settings::SettingsError>().is_some();
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

/// An error with its causes; one whose text is within the text before it is not told again.
fn told_once(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Writes a line, or says why it could not.
pub(crate) fn print_line(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("write to standard output")
}

impl Cli {
    fn go(mut self) -> anyhow::Result<ExitCode> {
        if let Command::Completions { shell } = self.command {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Self::command(), "rushes-coordinator", &mut script);
            std::io::stdout().write_all(&script).context("write to standard output")?;
            return Ok(ExitCode::SUCCESS);
        }
        let command = std::mem::replace(&mut self.command, Command::Run);
        let (layers, layout) = settings_files::gather(&self)?;
        if let Command::Config(ConfigCommand::Show) = command {
            // Shown also where they are wrong, so that one can see why.
            let text = layers.effective_toml();
            std::io::stdout().write_all(text.as_bytes()).context("write to standard output")?;
            settings::resolve(&layers)?;
            return Ok(ExitCode::SUCCESS);
        }
        let settings = settings::resolve(&layers)?;
        self.act(command, settings, layout)
    }

    fn act(&self, command: Command, settings: Settings, layout: Layout) -> anyhow::Result<ExitCode> {
        match command {
            Command::Run => {
                telemetry::start_logs(settings.log.format == LogFormat::Json, &settings.log.level)?;
                let arguments = self.as_arguments();
                let end = actix_rt::System::new().block_on(run(settings, layout, arguments))?;
                return Ok(match end {
                    End::Asked => ExitCode::SUCCESS,
                    End::Store(error) => {
                        eprintln!("rushes-coordinator: {error}");
                        ExitCode::from(EXIT_STORE)
                    }
                });
            }
            Command::Depot { attached } => {
                telemetry::start_logs(settings.log.format == LogFormat::Json, &settings.log.level)?;
                depot::command::run(&settings, &layout, attached)?;
            }
            Command::Init => init::init(&settings, &layout, &self.as_arguments())?,
            Command::Token(command) => token::run(command, &settings, &layout)?,
            Command::Worker(command) => worker::run(command, &settings, &layout)?,
            Command::Backup { dir } => backup::backup(&settings, &layout, &dir)?,
            Command::Export { to } => backup::export(&settings, &layout, &to)?,
            Command::Import { from } => backup::import(&layout, &from)?,
            Command::Config(_) | Command::Completions { .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The arguments that lead a child to the same settings.
    fn as_arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (flag, path) in [("--state-dir", &self.state_dir), ("--config", &self.config)] {
            if let Some(path) = path {
                arguments.extend([flag.to_owned(), path.display().to_string()]);
            }
        }
        for set in &self.set {
            arguments.extend(["--set".to_owned(), set.clone()]);
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let source = || std::io::Error::other("permission denied");
        let wrapped = crate::pki::PkiError::File { path: "/x/ca.key".into(), source: source() };
        let error = anyhow::Error::new(wrapped).context("start the farm");
        assert_eq!(told_once(&error), "start the farm: cannot use /x/ca.key: permission denied");
        let error = anyhow::Error::new(source()).context("read /y");
        assert_eq!(told_once(&error), "read /y: permission denied");
    }

    #[test]
    fn every_command_shows_an_example() {
        fn look(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has none", command.get_name());
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(look);
        }
        look(&Cli::command());
    }
}

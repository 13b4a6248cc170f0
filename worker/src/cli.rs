//! The command line of `rushes-worker`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use rushes_net::join::{self, JoinToken};
use rushes_shared::build;
use tracing::error;

use crate::link::LinkError;
use crate::process::nursery;
use crate::settings::{DEFAULTS, Loaded, Sources};
use crate::state_dir::{Enrolment, StateDir, StateError};
use crate::worker::{self, RunError};
use crate::{at_hand, facts, telemetry};

/// The coordinator refuses this worker for good; starting it again does not help.
const EXIT_REFUSED: u8 = 3;

/// Runs tasks of a Rushes farm on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "rushes-worker",
    version = build::long_version(),
    max_term_width = 110,
    after_help = "Examples:\n  rushes-worker join farm.example:7321 rushes-join-v1.…\n  rushes-worker run\n  \
        rushes-worker run --set slots.cpu_millicores=4000 --set log.format=json\n  rushes-worker config show\n\n\
        Exit codes: 0 stopped in good order, 1 failed, 2 wrong usage, 3 refused by the coordinator for good"
)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Options {
    /// A configuration file; without it worker.toml in the state directory is read, if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where identity, caches and scratch files are kept; one worker per directory.
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Sets one setting, such as pool.warm=3; may be given again.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrols this machine with a farm, once.
    ///
    /// The join token comes from `rushes-coordinator`; it carries the farm's fingerprint, so that an impostor is told
    /// apart before the token's secret is shown. The private key is made here and never leaves this machine.
    #[command(
        after_help = "Examples:\n  rushes-worker join farm.example:7321 rushes-join-v1.…\n  rushes-worker join farm.example:7321 - --name node-7 < token"
    )]
    Join {
        /// The coordinator, HOST:PORT.
        coordinator: String,
        /// The join token. `-` reads it from standard input, which keeps it out of the list of processes.
        token: String,
        /// A name for people; the machine's own by default.
        #[arg(long)]
        name: Option<String>,
        /// Gives up the identity that is there.
        #[arg(long)]
        replace: bool,
    },
    /// Runs the worker until SIGTERM or SIGINT.
    #[command(
        after_help = "Examples:\n  rushes-worker run\n  rushes-worker run --set slots.cpu_millicores=4000"
    )]
    Run,
    /// Shows or checks settings.
    #[command(after_help = "Example:\n  rushes-worker config show")]
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Writes a completion script to standard output.
    #[command(
        after_help = "Example:\n  rushes-worker completions bash > ~/.local/share/bash-completion/completions/rushes-worker"
    )]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Does one media operation for `rushes media`, which starts it.
    #[command(hide = true)]
    AtHand,
    /// Makes task processes for a worker, which starts it.
    #[command(hide = true)]
    Nursery {
        /// Process id of the worker.
        #[arg(long)]
        parent: i32,
        /// Without the media library.
        #[arg(long)]
        plain: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the settings in force, each with the place it comes from.
    #[command(after_help = "Example:\n  rushes-worker config show")]
    Show,
    /// Checks the settings and says nothing if they are right.
    #[command(after_help = "Example:\n  rushes-worker config check --config new.toml")]
    Check,
    /// Prints the commented file with every default.
    #[command(after_help = "Example:\n  rushes-worker config defaults > worker.toml")]
    Defaults,
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// What went wrong, for the terminal.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Nursery { parent, plain } => nursery::run(parent, plain),
            Command::AtHand => at_hand::run(&self.options.load()?.settings),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "rushes-worker", &mut std::io::stdout());
                Ok(ExitCode::SUCCESS)
            }
            Command::Config(ConfigCommand::Defaults) => {
                print!("{DEFAULTS}");
                Ok(ExitCode::SUCCESS)
            }
            Command::Config(ConfigCommand::Show) => {
                let loaded = self.options.load()?;
                println!("# state directory: {}", loaded.state_dir.display());
                print!("{}", loaded.layers.effective_toml());
                Ok(ExitCode::SUCCESS)
            }
            Command::Config(ConfigCommand::Check) => {
                let loaded = self.options.load()?;
                telemetry::filter(&loaded.settings.log)?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Join { coordinator, token, name, replace } => {
                let arguments = self.options.as_arguments();
                let loaded = self.options.load()?;
                let name = runtime()?.block_on(enrol(&loaded, coordinator, &token, name, replace))?;
                println!("joined as {name}; start the worker with: rushes-worker {arguments}run");
                Ok(ExitCode::SUCCESS)
            }
            Command::Run => {
                let loaded = self.options.load()?;
                telemetry::start(&loaded.settings.log)?;
                let runtime = runtime()?;
                let ended = runtime.block_on(worker::run(loaded));
                // Blocking file work of stopped transfers must not hold up the end.
                runtime.shutdown_timeout(std::time::Duration::from_millis(500));
                match ended {
                    Err(RunError::Link(refused @ LinkError::Refused { .. })) => {
                        error!(error = %refused, "the worker gives up");
                        Ok(ExitCode::from(EXIT_REFUSED))
                    }
                    other => Ok(other.map(|()| ExitCode::SUCCESS)?),
                }
            }
        }
    }
}

impl Options {
    /// The arguments that lead another command of this program to the same state.
    fn as_arguments(&self) -> String {
        let given = [("--state-dir", &self.state_dir), ("--config", &self.config)];
        let words = given.iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
        words.map(|(flag, path)| format!("{flag} {} ", path.display())).collect()
    }

    fn load(self) -> anyhow::Result<Loaded> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let Self { config, state_dir, set } = self;
        Ok(Sources { config, state_dir, assignments: set, environment }.load()?)
    }
}

/// One thread: the worker only passes messages and bytes on, and the kernel ties task processes to the thread that
/// starts them.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn enrol(
    loaded: &Loaded,
    coordinator: String,
    token: &str,
    name: Option<String>,
    replace: bool,
) -> anyhow::Result<String> {
    let token = match token {
        "-" => std::io::read_to_string(std::io::stdin())?,
        given => given.to_owned(),
    };
    let token: JoinToken = token.parse()?;
    let state = StateDir::open(&loaded.state_dir)?;
    if state.enrolment().is_ok() && !replace {
        return Err(StateError::Joined(state.root().to_owned()).into());
    }
    let set = Some(loaded.settings.name.clone()).filter(|n| !n.is_empty());
    let name = name.or(set).unwrap_or_else(facts::host_name);
    let (worker, identity) = join::join(&coordinator, &token, &name).await?;
    identity.save(&state.identity())?;
    state.save_enrolment(&Enrolment { coordinator, worker, name: name.clone() })?;
    Ok(format!("{name} ({worker})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
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

//! The command line.

mod encode;
mod farm;
mod job;
mod media;
mod preset;
mod value;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use encode::{AudioArgs, EncodeArgs, VideoArgs};
pub(crate) use farm::{LimitCommand, TenantArgs, TenantCommand, WorkerCommand};
pub(crate) use job::{JobCommand, SetArgs};
pub(crate) use media::{MediaArgs, MediaCommand, Target};
pub(crate) use preset::PresetCommand;

/// Encodes media on a Rushes farm: submits jobs, follows them, fetches what they make.
#[derive(Debug, Parser)]
#[command(name = "rushes", version, long_version = rushes_shared::build::long_version(), after_help = TOP, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) farm: FarmArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const TOP: &str = "\
Examples:
  rushes encode film.mov -o out/          encode a file; without RUSHES_URL on a farm of its own
  rushes job submit job.toml --wait       submit a job file and follow it to its end
  rushes job list --state running
  rushes job show last
  rushes status

Exit codes:
  0 done   1 a job or media operation failed   2 wrong usage or an invalid job   3 refused by the farm
  4 farm not reachable   5 a job was canceled   6 something failed on this machine   130 interrupted";

/// Which farm, and how results look.
#[derive(Debug, Args)]
pub(crate) struct FarmArgs {
    /// The coordinator's address, such as http://127.0.0.1:7320 or unix:/path/admin.sock [env: RUSHES_URL].
    #[arg(long, global = true, value_name = "URL", help_heading = "Farm")]
    pub(crate) url: Option<String>,
    /// The API token [env: RUSHES_TOKEN]. Prefer a file or the environment: arguments can be seen by other users.
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file", help_heading = "Farm")]
    pub(crate) token: Option<String>,
    /// A file that holds the API token [env: RUSHES_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Farm")]
    pub(crate) token_file: Option<PathBuf>,
    /// A PEM file with the certificates to trust for https, instead of the public ones [env: RUSHES_CA_FILE].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Farm")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How results are printed: for people, or as JSON for scripts. As JSON, an error is one object on standard error.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, value_name = "FORM", help_heading = "Output")]
    pub(crate) output: Output,
    /// Shows no progress.
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encodes files, to MP4 with H.264 and AAC unless told otherwise, and puts the results into a directory.
    #[command(after_help = ENCODE)]
    Encode(Box<EncodeArgs>),
    /// Brings files to the farm and prints the places to name as inputs of jobs.
    #[command(
        after_help = "Example:\n  rushes job submit job.toml --set input=$(rushes upload film.mov)\n\nA file that is there already is not sent again; what was sent before an interruption is not either."
    )]
    Upload {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Reads the facts of files on the farm's storage, up to 10,000 at once, and prints them file by file.
    #[command(after_help = PROBE)]
    Probe(ProbeArgs),
    /// Lists, shows and checks presets: named ways to make files.
    #[command(
        after_help = "Examples:\n  rushes preset list\n  rushes preset show web\n  rushes preset check my.toml"
    )]
    #[command(subcommand)]
    Preset(PresetCommand),
    /// Looks at files and measures them on this machine, without a farm.
    #[command(after_help = MEDIA)]
    Media(MediaArgs),
    /// Submits, shows, changes, explains and cancels jobs.
    #[command(
        after_help = "Examples:\n  rushes job submit job.toml --wait\n  rushes job list --state running\n  rushes job explain last"
    )]
    #[command(subcommand)]
    Job(JobCommand),
    /// Lists, drains, resumes and removes workers.
    #[command(after_help = "Examples:\n  rushes worker list\n  rushes worker drain node-7")]
    #[command(subcommand)]
    Worker(WorkerCommand),
    /// Lists tenants and sets their limits.
    #[command(after_help = "Examples:\n  rushes tenant list\n  rushes tenant set studio --weight 300")]
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Lists and sets named limits, such as licences.
    #[command(after_help = "Examples:\n  rushes limit list\n  rushes limit set nuke 4")]
    #[command(subcommand)]
    Limit(LimitCommand),
    /// Shows the farm at a glance.
    #[command(after_help = "Examples:\n  rushes status\n  rushes status --output json")]
    Status,
    /// Simulates a farm with the real scheduler, in seconds instead of hours.
    #[command(after_help = SIM)]
    Sim(SimArgs),
    /// Prints a completion script for a shell.
    #[command(
        after_help = "Example:\n  rushes completions bash > ~/.local/share/bash-completion/completions/rushes"
    )]
    Completions {
        /// For which shell.
        shell: Shell,
    },
    /// Prints the version and facts of the build.
    #[command(after_help = "Example:\n  rushes version --output json")]
    Version,
    /// Runs a program that ends when this process' parent does.
    #[command(name = "own-child", hide = true)]
    OwnChild {
        /// The parent's process id.
        parent: i32,
        /// The signal that ends the program: term or kill.
        signal: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<std::ffi::OsString>,
    },
}

const ENCODE: &str = "\
With RUSHES_URL (or --url) the inputs are uploaded to that farm and the results fetched from it. Without, a farm of its
own is started on this machine for as long as it takes: a coordinator and a worker on loopback, with their state in
$XDG_STATE_HOME/rushes/own (~/.local/state/rushes/own). Ctrl-C cancels the jobs and stops everything.

Examples:
  rushes encode film.mov -o out/
  rushes encode film.mov -o out/ --preset web
  rushes encode *.mov -o out/ --crf 20 --encoder-preset slow --max-height 720
  rushes encode talk.mkv -o out/ --audio-bitrate 96k --output json
  rushes encode film.mov -o out/ --container webm
  rushes encode film.mov -o out/ --container mkv --codec hevc --crf 26 --bit-depth 10 --audio-codec opus
  rushes encode film.mov -o out/ --codec h264 --crf 21 --max-bitrate 5M --keyframe-ms 2000
  rushes encode talk.wav -o out/ --container mp3 --audio-quality 2 --loudness -16

'rushes job schema' says which codecs go into which container; what does not go together is refused with what does.";

const PROBE: &str = "\
The files are where the farm's depot can read them: paths on its host within its input roots, or farm://uploads/... as
'rushes upload' prints them. A file that cannot be read is told of with the reason, and the others are read all the same;
the exit code is 1 then. As JSON, a line for each file, in the order of the files. 'rushes media probe' reads files on this
machine without a farm.

Examples:
  rushes probe /srv/in/*.mov
  find /srv/in -type f | rushes probe --from - --output json | jq -r 'select(.failure) | .input'";

const MEDIA: &str = "\
Each operation runs in a process of its own, closed in like a farm's tasks: it can read its input and nothing else.

Examples:
  rushes media probe film.mov
  rushes media loudness *.wav --output json
  rushes media waveform talk.wav -o talk.png --size 1200x200
  rushes media thumbnail film.mov -o poster.jpg --best
  rushes media sprite film.mov -o sprite.jpg
  rushes media preview film.mov -o preview.gif --from 10
  rushes media compare film.mov out/film.mp4";

const SIM: &str = "\
A scenario says who uploads what, on which nodes, and what breaks; configs/scenarios has some that are explained, and
docs/simulation.md tells how to plan a farm with them. The same seed gives the same run. Exit code 1 means that the
scheduler broke one of its invariants, which is a fault of the program: the message names the seed.

Examples:
  rushes sim configs/scenarios/smoke.toml
  rushes sim my-farm.toml --seeds 20 --output json
  rushes sim my-farm.toml --baseline fifo,edf";

/// `rushes probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// The files.
    #[arg(value_name = "FILE", required_unless_present = "from")]
    pub(crate) inputs: Vec<String>,
    /// Also the files that this list names, one a line; `-` reads standard input.
    #[arg(long, value_name = "LIST")]
    pub(crate) from: Option<PathBuf>,
}

/// Another rule of order to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Baseline {
    /// By submission.
    Fifo,
    /// By class, then priority.
    Strict,
    /// By deadline.
    Edf,
}

/// `rushes sim`.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// The scenario's file.
    #[arg(value_name = "SCENARIO.toml")]
    pub(crate) scenario: PathBuf,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// How many seeds, one after another.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000), value_name = "N")]
    pub(crate) seeds: u64,
    /// Runs each seed by these rules of order as well: fifo, strict, edf; several with commas between.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "RULES")]
    pub(crate) baseline: Vec<Baseline>,
    /// Prints the scenario's [cost] table with what events cost the engine on this machine, instead of a report.
    #[arg(long)]
    pub(crate) measure: bool,
}

/// Reads a command line. A number below zero is the value of the option before it, which says what may stand there, and no option of
/// its own.
pub(crate) fn parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Cli, clap::Error> {
    fn numbers(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| {
            let is_option = arg.get_action().takes_values() && !arg.is_positional();
            if is_option { arg.allow_negative_numbers(true) } else { arg }
        });
        command.mut_subcommands(numbers)
    }
    Cli::from_arg_matches(&numbers(Cli::command()).try_get_matches_from(line)?)
}

/// Whether a command line that could not be parsed asks for JSON.
pub(crate) fn asks_for_json(line: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let words: Vec<_> = line.take_while(|word| word != "--").collect();
    words.iter().any(|word| word == "--output=json")
        || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
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

    #[test]
    fn wrong_values_say_what_is_right() {
        let error = |line: &[&str]| parse(line).expect_err("it is wrong").to_string();
        for number in [&["--crf", "-1"][..], &["--crf=-1"], &["--crf", "64"], &["--max-height", "-2"]] {
            let said = error(&[&["rushes", "encode", "a", "-o", "b"], number].concat());
            let range = if number[0].contains("crf") { "0..=63" } else { "16..=16384" };
            assert!(said.contains("is not in ") && said.contains(range), "{said}");
        }
        let codec = error(&["rushes", "encode", "a", "-o", "b", "--codec", "h265"]);
        assert!(codec.contains("h265 is called hevc here"), "{codec}");
        assert!(error(&["rushes", "encode", "a", "-o", "b", "--crf", "low"]).contains("invalid digit"));
        assert!(
            error(&["rushes", "encode", "a", "-o", "b", "--audio-bitrate", "x"]).contains("such as \"128k\"")
        );
        assert!(error(&["rushes", "job", "list", "--state", "done"]).contains("use queued"));
        assert!(error(&["rushes", "job", "set", "j", "--class", "gold"]).contains("use bulk"));
        assert!(error(&["rushes", "job", "submit", "f", "--set", "x"]).contains("KEY=VALUE"));
    }
}

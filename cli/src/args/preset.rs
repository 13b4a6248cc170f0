//! The arguments of `rushes preset`.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum PresetCommand {
    /// Lists the presets: your own, the farm's, and those that come along.
    #[command(after_help = "Example:\n  rushes preset list")]
    List,
    /// Prints a preset's file, which is a beginning for one of your own.
    #[command(after_help = "Example:\n  rushes preset show web > ~/.config/rushes/presets/our-web.toml")]
    Show {
        /// Its name.
        name: String,
    },
    /// Reads presets' files and says what is wrong with them, with the line.
    #[command(after_help = "Example:\n  rushes preset check ~/.config/rushes/presets/*.toml")]
    Check {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

//! Logs: on standard error, for people or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::settings::{Log, LogFormat};

/// A filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level '{level}' is not understood: {source}; write info, debug, or a filter such as info,rushes_worker=debug"
)]
pub struct BadFilter {
    level: String,
    source: ParseError,
}

/// Checks the filter without using it.
///
/// # Errors
/// [`BadFilter`].
pub fn filter(log: &Log) -> Result<EnvFilter, BadFilter> {
    EnvFilter::builder().parse(&log.level).map_err(|source| BadFilter { level: log.level.clone(), source })
}

/// Starts logging. A second call changes nothing.
///
/// # Errors
/// [`BadFilter`].
pub fn start(log: &Log) -> Result<(), BadFilter> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(log)?).with_writer(std::io::stderr);
    // An error only says that logging was started before.
    let _ = match log.format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    Ok(())
}

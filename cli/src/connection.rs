//! Which farm: from flags, environment and the user's configuration file, in this order.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::FarmArgs;
use crate::fault::Fault;

/// How to reach a farm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    /// `http://…`, `https://…` or `unix:/path`.
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    /// PEM file with certificates to trust instead of the public ones.
    pub(crate) ca_file: Option<PathBuf>,
}

/// `config.toml` under the user's configuration directory.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    url: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// Where the configuration file is looked for.
pub(crate) fn config_path() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("rushes/config.toml"))
}

impl Connection {
    /// The farm that is named, or `None` where none is.
    pub(crate) fn find(args: &FarmArgs) -> Result<Option<Self>, Fault> {
        let file = match config_path() {
            Some(path) => read_config(&path)?,
            None => FileConfig::default(),
        };
        let url = args.url.clone().or_else(|| variable("RUSHES_URL")).or(file.url);
        let Some(url) = url.filter(|url| !url.is_empty()) else { return Ok(None) };
        let url = url.trim_end_matches('/').to_owned();
        if !["http://", "https://", "unix:/"].iter().any(|scheme| url.starts_with(scheme)) {
            let message = format!(
                "'{url}' is no farm's address: use http://HOST:PORT, https://HOST:PORT or unix:/path/admin.sock"
            );
            return Err(Fault::Usage(message));
        }
        let from_args = match (&args.token, &args.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => Some(read_token(path)?),
            // What was typed counts before what is set around it.
            (None, None) => match (variable("RUSHES_TOKEN"), variable("RUSHES_TOKEN_FILE")) {
                (Some(token), _) => Some(token),
                (None, Some(path)) => Some(read_token(Path::new(&path))?),
                (None, None) => None,
            },
        };
        let token = match (from_args, file.token, file.token_file) {
            (Some(token), _, _) | (None, Some(token), _) => Some(token),
            (None, None, Some(path)) => Some(read_token(&path)?),
            (None, None, None) => None,
        };
        let ca_file = args.ca_file.clone().or_else(|| variable("RUSHES_CA_FILE").map(PathBuf::from));
        Ok(Some(Self { url, token, ca_file: ca_file.or(file.ca_file) }))
    }

    /// The farm that is named; an error where none is.
    pub(crate) fn needed(args: &FarmArgs) -> Result<Self, Fault> {
        Self::find(args)?.ok_or_else(|| {
            let place = config_path().map_or_else(String::new, |p| format!(", or url in {}", p.display()));
            Fault::Usage(format!(
                "no farm is named: set RUSHES_URL (such as http://127.0.0.1:7320) or use --url{place}; only 'rushes encode' works without one"
            ))
        })
    }
}

fn read_config(path: &Path) -> Result<FileConfig, Fault> {
    match fs::read_to_string(path) {
        Ok(text) => {
            toml::from_str(&text).map_err(|e| Fault::Usage(format!("{}: {}", path.display(), e.message())))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(FileConfig::default()),
        Err(e) => Err(Fault::local(format!("cannot read {}", path.display()), e)),
    }
}

fn read_token(path: &Path) -> Result<String, Fault> {
    let text = fs::read_to_string(path)
        .map_err(|e| Fault::local(format!("cannot read the token file {}", path.display()), e))?;
    Ok(text.trim().to_owned())
}

/// An environment variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

//! Where things lie in the state directory.

use std::path::{Path, PathBuf};

/// The state directory's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The directory itself.
    pub root: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// The CA and the server's certificate.
    pub pki: PathBuf,
    /// What tickets are signed with.
    pub ticket_key: PathBuf,
    /// The first API token, for the administrator of this machine.
    pub admin_token: PathBuf,
    /// The depot's areas.
    pub depot: PathBuf,
    /// Where a running depot can be reached.
    pub depot_json: PathBuf,
    /// Where a running coordinator can be reached.
    pub run_json: PathBuf,
    /// The unix socket of the local administrator.
    pub admin_socket: PathBuf,
    /// Logs of tasks.
    pub logs: PathBuf,
    /// Settings, where no file is named.
    pub config: PathBuf,
    /// Presets of the farm's own, where no directory is named.
    pub presets: PathBuf,
}

impl Layout {
    /// The rooms under a directory.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            store: root.join("store"),
            pki: root.join("pki"),
            ticket_key: root.join("ticket.key"),
            admin_token: root.join("admin.token"),
            depot: root.join("depot"),
            depot_json: root.join("depot.json"),
            run_json: root.join("run.json"),
            admin_socket: root.join("admin.sock"),
            logs: root.join("logs"),
            config: root.join("coordinator.toml"),
            presets: root.join("presets"),
        }
    }

    /// The directory that is used when none is named: systemd's, else the user's; `None` where neither is known.
    #[must_use]
    pub fn default_root(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let given = variable("STATE_DIRECTORY").and_then(|d| d.split(':').next().map(PathBuf::from));
        if given.is_some() {
            return given;
        }
        let absolute = |name: &str| variable(name).filter(|d| d.starts_with('/')).map(PathBuf::from);
        let states = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        Some(states?.join("rushes/coordinator"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_systemd_then_the_user() {
        let with = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            Layout::default_root(move |name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        let home = ("HOME", "/home/u");
        let is =
            |pairs: &[(&str, &str)], place: &str| assert_eq!(with(pairs).as_deref(), Some(Path::new(place)));
        is(&[home], "/home/u/.local/state/rushes/coordinator");
        is(&[home, ("XDG_STATE_HOME", "/x")], "/x/rushes/coordinator");
        is(&[home, ("XDG_STATE_HOME", "rel")], "/home/u/.local/state/rushes/coordinator");
        is(&[("STATE_DIRECTORY", "/var/lib/rushes:/b")], "/var/lib/rushes");
        assert_eq!(with(&[]), None, "keys are not put into the root of the file system");
    }
}

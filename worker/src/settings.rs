//! The worker's settings: `configs/worker.toml` as a type, and how its layers are found.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rushes_shared::node::NodeFacts;
use rushes_shared::settings::{Layers, SettingsError, check_log_level};
use rushes_shared::units::Bytes;
use rushes_shared::wire::AheadOffer;
use serde::Deserialize;

/// The embedded file with every setting, its default and a comment.
pub const DEFAULTS: &str = include_str!("../../configs/worker.toml");
/// Environment variables of settings begin with this and two underscores.
pub const ENV_PREFIX: &str = "RUSHES_WORKER";

/// Every setting of a worker.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Settings {
    pub state_dir: String,
    pub name: String,
    pub tags: Vec<String>,
    pub link: Link,
    pub slots: Slots,
    pub ahead: Ahead,
    pub pool: Pool,
    pub sandbox: Sandbox,
    pub media: Media,
    pub transfer: Transfer,
    pub log: Log,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
}

/// `[link]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Link {
    pub coordinator: String,
    pub reconnect_min_ms: u64,
    pub reconnect_max_ms: u64,
    pub refusals_max: u32,
    pub held_max: usize,
}

/// `[slots]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Slots {
    pub cpu_millicores: u32,
    pub memory_mib: u64,
    pub light: u32,
}

/// `[ahead]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Ahead {
    pub process: u32,
    pub lane: u32,
    pub round_trip_ms: u32,
}

/// `[pool]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Pool {
    pub warm: usize,
    pub start_timeout_ms: u64,
}

/// `[sandbox]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Sandbox {
    pub require: bool,
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    pub memory_percent: u32,
    pub memory_least_mib: u64,
}

impl Sandbox {
    /// The most memory that a task may hold which asked for so much; 0 percent sets no bound.
    #[must_use]
    pub fn memory_of(&self, asked: Bytes) -> Bytes {
        match self.memory_percent {
            0 => Bytes(u64::MAX),
            percent => {
                let most = u128::from(asked.0) * u128::from(percent) / 100;
                Bytes(u64::try_from(most).unwrap_or(u64::MAX)).max(mib(self.memory_least_mib))
            }
        }
    }
}

/// `[media]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Media {
    pub plugin_path: Vec<PathBuf>,
    pub hardware: Vec<String>,
    pub hardware_sessions: u32,
    pub rediscover: bool,
    pub discover_timeout_ms: u64,
}

/// `[transfer]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Transfer {
    pub input_limit_mib: u64,
    pub cache_mib: u64,
    pub retry_s: u64,
    pub reserve_mib: u64,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
    pub task_bytes: usize,
}

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Metrics {
    pub bind: String,
}

/// `[shutdown]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "configs/worker.toml documents each key")]
pub struct Shutdown {
    pub grace_s: u64,
}

impl Ahead {
    /// What is offered to the coordinator.
    #[must_use]
    pub fn offer(&self) -> AheadOffer {
        AheadOffer { process: self.process, lane: self.lane, round_trip_ms: self.round_trip_ms }
    }

    /// Most orders that can come of the offer on this node.
    #[must_use]
    pub fn most(&self, facts: &NodeFacts) -> usize {
        // No task takes less than a thousandth of a core.
        let slots = facts.light_slots.saturating_add(facts.cpu.0);
        self.process.saturating_mul(slots).saturating_add(self.lane) as usize
    }
}

impl Transfer {
    /// Largest input.
    #[must_use]
    pub fn input_limit(&self) -> Bytes {
        mib(self.input_limit_mib)
    }

    /// Bound of the input cache.
    #[must_use]
    pub fn cache(&self) -> Bytes {
        mib(self.cache_mib)
    }

    /// Free space that stays free.
    #[must_use]
    pub fn reserve(&self) -> Bytes {
        mib(self.reserve_mib)
    }
}

impl Pool {
    /// Longest start of a task process.
    #[must_use]
    pub fn start_timeout(&self) -> Duration {
        Duration::from_millis(self.start_timeout_ms)
    }
}

impl Metrics {
    /// Where to listen, if anywhere.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.bind.parse().ok()
    }
}

/// A number of MiB in bytes.
#[must_use]
pub fn mib(count: u64) -> Bytes {
    Bytes(count.saturating_mul(1 << 20))
}

/// Settings that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration file cannot be read.
    #[error("the configuration file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A layer or value is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nothing says where the state is.
    #[error(
        "no state directory: HOME and XDG_STATE_HOME are unset; give --state-dir or set RUSHES_WORKER__STATE_DIR"
    )]
    NoStateDir,
}

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--set key=value`, in order.
    pub assignments: Vec<String>,
    /// The environment.
    pub environment: Vec<(String, String)>,
}

/// Settings in force.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Their values.
    pub settings: Settings,
    /// Where the state is.
    pub state_dir: PathBuf,
    /// Their layers, for `config show`.
    pub layers: Layers,
}

impl Sources {
    /// Finds and checks all layers. The state directory is found first, as its `worker.toml` is one of them.
    ///
    /// # Errors
    /// [`LoadError`] with the place of what is wrong.
    pub fn load(&self) -> Result<Loaded, LoadError> {
        let upper = |layers: Layers| -> Result<Layers, SettingsError> {
            let mut layers = layers.env(ENV_PREFIX, self.environment.iter().cloned())?;
            if let Some(dir) = &self.state_dir {
                layers = layers.set("state_dir", &dir.to_string_lossy(), "--state-dir")?;
            }
            layers.assignments(&self.assignments)
        };
        let with_file = |path: &Path| -> Result<Layers, LoadError> {
            let text = std::fs::read_to_string(path)
                .map_err(|source| LoadError::Unreadable { path: path.to_owned(), source })?;
            Ok(Layers::new(DEFAULTS).file(&path.to_string_lossy(), &text)?)
        };
        let base = match &self.config {
            Some(path) => with_file(path)?,
            None => Layers::new(DEFAULTS),
        };
        let mut layers = upper(base)?;
        let mut settings: Settings = layers.resolve()?;
        let state_dir = self.state_dir(&settings)?;
        let own = state_dir.join("worker.toml");
        if self.config.is_none() && own.exists() {
            layers = upper(with_file(&own)?)?;
            settings = layers.resolve()?;
        }
        validate(&layers, &settings)?;
        Ok(Loaded { settings, state_dir, layers })
    }

    fn state_dir(&self, settings: &Settings) -> Result<PathBuf, LoadError> {
        if !settings.state_dir.is_empty() {
            return Ok(PathBuf::from(&settings.state_dir));
        }
        let variable = |name: &str| {
            let found = self.environment.iter().find(|(n, v)| n == name && !v.is_empty());
            found.map(|(_, v)| PathBuf::from(v))
        };
        variable("STATE_DIRECTORY")
            .or_else(|| variable("XDG_STATE_HOME").map(|d| d.join("rushes/worker")))
            .or_else(|| variable("HOME").map(|d| d.join(".local/state/rushes/worker")))
            .ok_or(LoadError::NoStateDir)
    }
}

/// Bounds and contradictions that types cannot hold.
fn validate(layers: &Layers, settings: &Settings) -> Result<(), SettingsError> {
    let bounds = [
        ("link.reconnect_min_ms", settings.link.reconnect_min_ms, 10, 60_000),
        ("link.reconnect_max_ms", settings.link.reconnect_max_ms, settings.link.reconnect_min_ms, 3_600_000),
        ("link.refusals_max", u64::from(settings.link.refusals_max), 1, 1_000_000),
        ("link.held_max", settings.link.held_max as u64, 1, 1_000_000),
        ("ahead.process", u64::from(settings.ahead.process), 0, 16),
        ("ahead.lane", u64::from(settings.ahead.lane), 0, settings.link.held_max as u64),
        ("ahead.round_trip_ms", u64::from(settings.ahead.round_trip_ms), 1, 10_000),
        ("pool.warm", settings.pool.warm as u64, 0, 256),
        ("pool.start_timeout_ms", settings.pool.start_timeout_ms, 100, 600_000),
        ("sandbox.memory_percent", u64::from(settings.sandbox.memory_percent), 0, 10_000),
        ("sandbox.memory_least_mib", settings.sandbox.memory_least_mib, 1, 1 << 20),
        ("media.hardware_sessions", u64::from(settings.media.hardware_sessions), 0, 1_000),
        ("media.discover_timeout_ms", settings.media.discover_timeout_ms, 1_000, 3_600_000),
        ("transfer.retry_s", settings.transfer.retry_s, 0, 24 * 3600),
        ("log.task_bytes", settings.log.task_bytes as u64, 0, 64 << 20),
        ("shutdown.grace_s", settings.shutdown.grace_s, 0, 7 * 24 * 3600),
    ];
    for (key, value, low, high) in bounds {
        if !(low..=high).contains(&value) {
            return Err(layers.refuse(key, format!("{value} is out of range, use {low} to {high}")));
        }
    }
    if let Err(message) = check_log_level(&settings.log.level) {
        return Err(layers.refuse("log.level", message));
    }
    if settings.name.len() > 200 || settings.name.chars().any(char::is_control) {
        return Err(layers.refuse("name", "use at most 200 bytes without control characters"));
    }
    if !settings.metrics.bind.is_empty() && settings.metrics.address().is_none() {
        return Err(layers.refuse("metrics.bind", "write an address and port such as 127.0.0.1:9465"));
    }
    let is_element = |name: &String| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    if !settings.media.hardware.iter().all(is_element) || settings.media.hardware.len() > 32 {
        let message = "write at most 32 names of GStreamer elements, such as \"nvh264enc\"";
        return Err(layers.refuse("media.hardware", message));
    }
    let relative = |paths: &[PathBuf]| paths.iter().any(|p| p.is_relative());
    for (key, paths) in [
        ("sandbox.read", &settings.sandbox.read),
        ("sandbox.write", &settings.sandbox.write),
        ("media.plugin_path", &settings.media.plugin_path),
    ] {
        if relative(paths) {
            return Err(layers.refuse(key, "every path must be absolute"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(environment: &[(&str, &str)], assignments: &[&str]) -> Sources {
        Sources {
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            assignments: assignments.iter().map(|a| (*a).to_owned()).collect(),
            ..Sources::default()
        }
    }

    #[test]
    fn the_embedded_defaults_are_complete_and_valid() {
        let loaded = sources(&[("HOME", "/nowhere")], &[]).load().expect("the defaults are valid");
        assert_eq!(loaded.state_dir, Path::new("/nowhere/.local/state/rushes/worker"));
        assert!(loaded.settings.sandbox.require, "containment is on unless the operator turns it off");
    }

    #[test]
    fn the_state_directory_follows_systemd_then_xdg() {
        let environment =
            [("HOME", "/h"), ("XDG_STATE_HOME", "/x"), ("STATE_DIRECTORY", "/var/lib/rushes-worker")];
        let dir = |n: usize| sources(&environment[..n], &[]).load().expect("valid").state_dir;
        assert_eq!(dir(3), Path::new("/var/lib/rushes-worker"));
        assert_eq!(dir(2), Path::new("/x/rushes/worker"));
        assert!(matches!(sources(&[], &[]).load(), Err(LoadError::NoStateDir)));
    }

    #[test]
    fn a_file_in_the_state_directory_is_read_and_flags_win() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("worker.toml"), "[pool]\nwarm = 7\nstart_timeout_ms = 900\n")
            .expect("it can be written");
        let mut sources = sources(&[], &["pool.warm=5"]);
        sources.state_dir = Some(dir.path().to_owned());
        let settings = sources.load().expect("valid").settings;
        assert_eq!((settings.pool.warm, settings.pool.start_timeout_ms), (5, 900));
    }

    #[test]
    fn a_bound_is_named_with_the_place_of_the_value() {
        let error = sources(&[("HOME", "/h")], &["pool.warm=9999"]).load().expect_err("far too many");
        assert_eq!(error.to_string(), "flag --set pool.warm: pool.warm: 9999 is out of range, use 0 to 256");
        let error = sources(&[("HOME", "/h")], &["log.level=lots"]).load().expect_err("no level").to_string();
        assert!(error.contains("flag --set log.level") && error.contains("'lots' is no level"), "{error}");
    }
}

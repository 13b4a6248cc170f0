//! The coordinator's settings as a type: `configs/coordinator.toml` is their text, with defaults and comments.

use std::net::SocketAddr;
use std::path::PathBuf;

use rushes_core::policy::Policy;
use rushes_shared::settings::{Layers, SettingsError, check_log_level};
use serde::Deserialize;

/// The embedded file: every setting with its default.
pub const DEFAULTS: &str = include_str!("../../configs/coordinator.toml");
/// What environment variables begin with: `RUSHES_COORDINATOR__SECTION__KEY`.
pub const ENV_PREFIX: &str = "RUSHES_COORDINATOR";

/// All settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct Settings {
    pub state_dir: PathBuf,
    pub api: ApiSettings,
    pub engine: Policy,
    pub queues: QueueSettings,
    pub store: StoreSettings,
    pub link: LinkSettings,
    pub depot: DepotSettings,
    pub join: JoinSettings,
    pub task_logs: TaskLogSettings,
    pub log: LogSettings,
}

/// The REST API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct ApiSettings {
    pub bind: SocketAddr,
    pub tls_certificate: PathBuf,
    pub tls_key: PathBuf,
    pub threads: usize,
    pub max_connections: usize,
    pub max_event_streams: usize,
    pub max_body_bytes: usize,
    pub head_timeout_ms: u64,
    pub request_timeout_ms: u64,
    pub keep_alive_s: u64,
    pub heartbeat_s: u64,
    pub event_ring: usize,
    pub max_tasks_shown: usize,
    pub upload_ticket_s: u64,
    pub download_ticket_s: u64,
    pub token_cache_ms: u64,
    pub token_cache_size: usize,
    pub stop_timeout_s: u64,
    pub presets_dir: PathBuf,
}

/// Queues within the coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct QueueSettings {
    pub engine_mailbox: usize,
    pub news: usize,
    pub store: usize,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct StoreSettings {
    pub min_free_bytes: u64,
    pub snapshot_records: u64,
    pub snapshot_bytes: u64,
    pub retention_days: u64,
    pub cache_bytes: u64,
}

/// Links to workers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct LinkSettings {
    pub bind: SocketAddr,
    pub max_workers: usize,
}

/// The depot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct DepotSettings {
    pub spawn: bool,
    pub bind: SocketAddr,
    pub http_bind: SocketAddr,
    pub tls_certificate: PathBuf,
    pub tls_key: PathBuf,
    pub public_addr: String,
    pub public_url: String,
    pub input_roots: Vec<PathBuf>,
    pub output_roots: Vec<PathBuf>,
    pub max_upload_bytes: u64,
    pub min_free_bytes: u64,
    pub upload_days: u64,
    pub output_days: u64,
    pub keep_results_bytes: u64,
    pub max_connections: usize,
    pub max_transfers: usize,
    pub idle_timeout_ms: u64,
}

/// Enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct JoinSettings {
    pub token_lifetime_s: u64,
    pub token_uses: u32,
    pub certificate_days: u32,
    pub timeout_ms: u64,
    pub failures_per_minute: u32,
}

/// What task processes write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct TaskLogSettings {
    pub keep_bytes: u64,
    pub attempt_bytes: u64,
    pub queue: usize,
    pub answer_attempts: usize,
    pub answer_bytes: u64,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "configs/coordinator.toml describes each one")]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The defaults, on which a program puts its file, environment and flags.
#[must_use]
pub fn layers() -> Layers {
    Layers::new(DEFAULTS)
}

/// The settings of these layers, checked as a whole.
///
/// # Errors
/// [`SettingsError::Value`] with the value's origin.
pub fn resolve(layers: &Layers) -> Result<Settings, SettingsError> {
    let settings: Settings = layers.resolve()?;
    for (section, bind, certificate, key) in [
        ("api.bind", settings.api.bind, &settings.api.tls_certificate, &settings.api.tls_key),
        (
            "depot.http_bind",
            settings.depot.http_bind,
            &settings.depot.tls_certificate,
            &settings.depot.tls_key,
        ),
    ] {
        let own = section.split('.').next().unwrap_or_default();
        let given = !certificate.as_os_str().is_empty();
        if given == key.as_os_str().is_empty() {
            let which = if given { "tls_key" } else { "tls_certificate" };
            return Err(layers
                .refuse(&format!("{own}.{which}"), "certificate and key belong together: set both or none"));
        }
        if !bind.ip().is_loopback() && !given {
            let message = format!(
                "{bind} can be reached from other hosts, so it needs TLS: set {own}.tls_certificate and {own}.tls_key, or bind to 127.0.0.1"
            );
            return Err(layers.refuse(section, message));
        }
    }
    if settings.depot.http_bind.ip().is_unspecified() && settings.depot.public_url.is_empty() {
        let message = "clients cannot be sent to all addresses at once: set depot.public_url to the one they reach, such as https://farm.example:7323";
        return Err(layers.refuse("depot.http_bind", message));
    }
    for (key, value) in [
        ("api.threads", settings.api.threads),
        ("api.max_connections", settings.api.max_connections),
        ("api.max_event_streams", settings.api.max_event_streams),
        ("api.event_ring", settings.api.event_ring),
        ("api.token_cache_size", settings.api.token_cache_size),
        ("queues.engine_mailbox", settings.queues.engine_mailbox),
        ("queues.news", settings.queues.news),
        ("queues.store", settings.queues.store),
        ("task_logs.queue", settings.task_logs.queue),
        ("task_logs.answer_attempts", settings.task_logs.answer_attempts),
        ("link.max_workers", settings.link.max_workers),
        ("depot.max_connections", settings.depot.max_connections),
        ("depot.max_transfers", settings.depot.max_transfers),
    ] {
        if value == 0 {
            return Err(layers.refuse(key, "should be at least 1, not 0"));
        }
    }
    for (key, value) in [
        ("api.heartbeat_s", settings.api.heartbeat_s),
        ("engine.heartbeat_ms", settings.engine.heartbeat_ms),
        ("engine.max_attempts", u64::from(settings.engine.max_attempts)),
        ("depot.upload_days", settings.depot.upload_days),
        ("depot.output_days", settings.depot.output_days),
    ] {
        if value == 0 {
            return Err(layers.refuse(key, "should be at least 1, not 0"));
        }
    }
    for (key, value, least, most) in [
        ("api.threads", settings.api.threads as u64, 1, 256),
        ("store.cache_bytes", settings.store.cache_bytes, 1 << 20, 1 << 40),
        ("api.request_timeout_ms", settings.api.request_timeout_ms, 100, 3_600_000),
        ("engine.piece_s", u64::from(settings.engine.piece_s), 0, 600),
    ] {
        if !(least..=most).contains(&value) {
            return Err(layers.refuse(key, format!("should be {least} to {most}, not {value}")));
        }
    }
    if let Err(message) = check_log_level(&settings.log.level) {
        return Err(layers.refuse("log.level", message));
    }
    if settings.engine.lease_ms < 2 * settings.engine.heartbeat_ms {
        let least = 2 * settings.engine.heartbeat_ms;
        let message = format!("should be at least two heartbeats ({least}), or a lost packet costs a lease");
        return Err(layers.refuse("engine.lease_ms", message));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(assignments: &[&str]) -> Result<Settings, SettingsError> {
        let assignments: Vec<String> = assignments.iter().map(|a| (*a).to_owned()).collect();
        resolve(&layers().assignments(&assignments)?)
    }

    #[test]
    fn the_embedded_file_holds_every_setting_and_the_engines_defaults() {
        let settings = with(&[]).expect("the defaults are valid");
        assert_eq!(settings.engine, Policy::default());
        assert!(settings.api.bind.ip().is_loopback() && settings.depot.http_bind.ip().is_loopback());
    }

    #[test]
    fn an_address_that_others_can_reach_needs_tls() {
        let error = with(&["api.bind=0.0.0.0:7320"]).expect_err("no TLS").to_string();
        assert!(error.starts_with("flag --set api.bind: api.bind: 0.0.0.0:7320 can be reached"), "{error}");
        let tls = ["api.bind=0.0.0.0:7320", "api.tls_certificate=/c.pem", "api.tls_key=/k.pem"];
        assert!(with(&tls).is_ok());
        let error = with(&["api.tls_key=/k.pem"]).expect_err("half of it").to_string();
        assert!(error.contains("api.tls_certificate") && error.contains("belong together"), "{error}");
    }

    #[test]
    fn limits_that_would_stop_everything_are_refused() {
        let error = with(&["queues.news=0"]).expect_err("no queue").to_string();
        assert!(error.contains("queues.news: should be at least 1"), "{error}");
        let error = with(&["log.level=zzz"]).expect_err("no level").to_string();
        assert!(error.contains("flag --set log.level") && error.contains("'zzz' is no level"), "{error}");
        let error = with(&["engine.lease_ms=2500"]).expect_err("too short").to_string();
        assert!(error.contains("two heartbeats (4000)"), "{error}");
    }
}

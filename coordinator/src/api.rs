//! The REST API: one table of routes, served over TCP (with TLS off loopback) and over a unix socket for the local
//! administrator.
//!
//! ```text
//! server    listeners, TLS, limits                 table    every route, once; OpenAPI is held against it
//! guard     time limit, metrics, problem bodies     auth     who is asking, and in which role
//! jobs uploads presets workers tokens admin health  news     event streams (SSE)
//! views     the engine's documents as JSON          problem  every error, as RFC 9457 has it
//! body      bodies of requests                      vault    questions to the key store
//! destinations  whether outputs can go where they should      inputs  whether inputs are there
//! ```
//!
//! The API keeps no state of its own: what it answers comes from the [`Farm`], the token vault and the news.

mod admin;
mod auth;
mod body;
mod destinations;
mod filter;
mod guard;
mod health;
mod inputs;
mod jobs;
mod join_tokens;
mod limits;
mod news;
mod openapi;
mod presets;
mod problem;
mod server;
mod streams;
mod table;
mod tokens;
mod uploads;
mod vault;
mod views;
mod workers;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rushes_net::ticket::{self, TicketKey};
use rushes_shared::artifact::Location;
use rushes_shared::request::Presets;
use rushes_shared::ticket::{Grant, Ticket};
use rushes_shared::units::WallMs;
use tokio::sync::Semaphore;

use crate::farm::Farm;
use crate::joins::Joins;
use crate::pki::KeyVault;
use crate::settings::ApiSettings;
use crate::task_logs::TaskLogs;

pub use admin::Archivist;
pub use server::{Bound, ServeError, serve};
pub use table::configure;

/// What the API answers from.
#[derive(Clone)]
pub struct ApiParts {
    /// The engine's front.
    pub farm: Farm,
    /// `[api]` of the settings.
    pub settings: ApiSettings,
    /// Keeps API tokens.
    pub vault: Arc<dyn KeyVault>,
    /// Makes join tokens.
    pub joins: Joins,
    /// Exports the store.
    pub archivist: Arc<dyn Archivist>,
    /// What task processes wrote.
    pub task_logs: TaskLogs,
    /// Signs tickets for the depot.
    pub ticket_key: Arc<TicketKey>,
    /// Base URL of the depot's HTTP side as clients reach it, without a slash at its end.
    pub depot_url: String,
    /// Directories of the depot; `None` where it runs elsewhere and has settings of its own.
    pub roots: Option<FileRoots>,
    /// Largest upload, in bytes; the depot holds to the same limit.
    pub max_upload_bytes: u64,
    /// What `/metrics` prints.
    pub registry: prometheus::Registry,
    /// Whether the store confirms what it is given; the reason where it does not.
    pub store_ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Where `admin.sock` is made.
    pub state_dir: PathBuf,
    /// Those that jobs may name.
    pub presets: Arc<Presets>,
}

/// Directories of the coordinator's host that jobs may name files in.
#[derive(Debug, Clone)]
pub struct FileRoots {
    /// Whose files the depot reads.
    pub input: Vec<PathBuf>,
    /// Into which it publishes.
    pub output: Vec<PathBuf>,
}

impl fmt::Debug for ApiParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiParts").field("depot_url", &self.depot_url).finish_non_exhaustive()
    }
}

/// What every handler can reach.
#[derive(Debug)]
pub struct Api {
    parts: ApiParts,
    tokens: auth::TokenCache,
    news: Arc<news::NewsHub>,
    streams: Arc<Semaphore>,
    started: Instant,
    stopping: AtomicBool,
}

impl Api {
    /// Takes the parts. Must be called within a tokio runtime: it starts to listen to the farm's news.
    #[must_use]
    pub fn new(parts: ApiParts) -> Arc<Self> {
        let news = news::NewsHub::new(parts.settings.event_ring);
        tokio::spawn(Arc::clone(&news).follow(parts.farm.news()));
        Arc::new(Self {
            tokens: auth::TokenCache::new(
                Duration::from_millis(parts.settings.token_cache_ms),
                parts.settings.token_cache_size,
            ),
            news,
            streams: Arc::new(Semaphore::new(parts.settings.max_event_streams)),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            parts,
        })
    }

    /// Ends event streams and makes `/health/ready` say no; the server itself is stopped by its handle afterwards.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.news.close();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn now(&self) -> WallMs {
        self.parts.farm.clock().now().wall
    }

    /// A URL at the depot that permits one thing for a time, and when that ends.
    fn depot_url(&self, grant: fn(Location) -> Grant, file: Location, seconds: u64) -> (String, WallMs) {
        let expires = WallMs(self.now().0.saturating_add(seconds.saturating_mul(1000)));
        let ticket = self.parts.ticket_key.sign(&Ticket { grant: grant(file), expires });
        let url = format!("{}/v1/files?ticket={}", self.parts.depot_url, ticket::to_text(&ticket));
        (url, expires)
    }
}

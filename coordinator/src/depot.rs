//! The depot: a process of its own that holds the farm's bulk bytes, so that gigabytes never pass the engine.
//!
//! ```text
//! workers, engine --QUIC rushes-bulk/1--> bulk_server --+
//!                                                       +--> shelf --> roots   file:// within allowed directories
//! API clients ------HTTP /v1/files?ticket=--> http -----+          \-> areas   uploads, staging, outputs of its own
//! ```
//!
//! Whoever comes needs a ticket that the coordinator signed for exactly this file and deed. A file appears under its
//! name whole and synced or not at all; a published one never replaces another.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::ticket::TicketKey;
use rushes_net::{Identity, NetError};
use rushes_shared::failure::Failure;
use rushes_shared::wire::BULK_ALPNS;

use crate::tls::TlsError;

mod areas;
mod bulk_server;
pub mod command;
mod http;
mod kept;
mod parts;
mod place;
mod publish;
mod refusal;
mod roots;
mod set;
mod shelf;
mod sweep;

#[cfg(test)]
mod tests;

use bulk_server::BulkServer;
use refusal::Deed;
use roots::Roots;
use shelf::Shelf;

/// Whether a depot with these input roots could read these files now, by its own rules and in its own words. Looks at the
/// disk.
///
/// # Errors
/// What the depot would say to the first file that it cannot read.
pub(crate) fn are_readable<'a>(
    paths: impl IntoIterator<Item = &'a String>,
    input_roots: &[PathBuf],
) -> Result<(), Failure> {
    // A depot does not begin on roots that cannot be opened, and says so itself.
    let Ok(roots) = Roots::open(input_roots, Deed::Read) else { return Ok(()) };
    paths.into_iter().try_for_each(|path| roots.open_any(path).map(drop))
}

/// Whether a depot with these output roots could put files to these places now, by its own rules and in its own words. Looks
/// at the disk, and makes nothing there.
///
/// # Errors
/// What the depot would say of the first place that it cannot write to.
pub(crate) fn are_writable<'a>(
    paths: impl IntoIterator<Item = &'a String>,
    output_roots: &[PathBuf],
) -> Result<(), Failure> {
    let Ok(roots) = Roots::open(output_roots, Deed::Write) else { return Ok(()) };
    paths.into_iter().try_for_each(|path| roots.may_place(path.trim_end_matches('/')))
}

/// How a depot is set up.
#[derive(Debug, Clone)]
pub struct DepotConfig {
    /// The state directory; the depot uses its `depot/`.
    pub state_dir: PathBuf,
    /// Where workers reach it (UDP).
    pub quic_bind: SocketAddr,
    /// Where API clients reach it (TCP).
    pub http_bind: SocketAddr,
    /// Certificate chain and key (PEM files) for HTTP; without them only loopback is allowed.
    pub http_tls: Option<(PathBuf, PathBuf)>,
    /// Directories whose files may be read as inputs.
    pub input_roots: Vec<PathBuf>,
    /// Directories into which outputs may be published.
    pub output_roots: Vec<PathBuf>,
    /// Largest file that a client may upload, in bytes.
    pub max_upload_bytes: u64,
    /// Nothing is written while the disk has less free space than this, in bytes.
    pub min_free_bytes: u64,
    /// Uploads that nobody has read or written for this long are removed.
    pub keep_uploads: Duration,
    /// Published outputs in the depot's own area are removed after this long.
    pub keep_outputs: Duration,
    /// Most bytes of results that are kept for whoever does the same work again; 0 keeps none.
    pub keep_results: u64,
    /// Connections at once, on each side.
    pub max_connections: usize,
    /// Transfers at once; more wait.
    pub max_transfers: usize,
    /// A transfer without a byte for this long is ended.
    pub idle_timeout: Duration,
    /// What `/metrics` on the HTTP side shows.
    pub metrics: Option<prometheus::Registry>,
}

impl DepotConfig {
    /// A depot on free loopback ports, without roots, with the limits of `configs/coordinator.toml`.
    #[must_use]
    pub fn on_loopback(state_dir: PathBuf) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            state_dir,
            quic_bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            http_bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            http_tls: None,
            input_roots: Vec::new(),
            output_roots: Vec::new(),
            max_upload_bytes: 512 << 30,
            min_free_bytes: 1 << 30,
            keep_uploads: DAY * 7,
            keep_outputs: DAY * 30,
            keep_results: 16 << 30,
            max_connections: 1024,
            max_transfers: 256,
            idle_timeout: Duration::from_secs(30),
            metrics: None,
        }
    }
}

/// A depot that cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// A directory of its own cannot be used.
    #[error("the depot cannot use {path}: {source}; check that it exists and belongs to this user")]
    Area {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An allowed root cannot be used.
    #[error(
        "{path}, listed in {setting}, cannot be used: {source}; create the directory, or take it off the list in coordinator.toml"
    )]
    Root {
        /// The setting that lists it.
        setting: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// HTTP could not be set up.
    #[error("the depot cannot serve HTTP on {addr}: {source}")]
    Http {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// HTTP off loopback without TLS.
    #[error(
        "{0} can be reached from other hosts, so it needs TLS: set depot.tls_certificate and depot.tls_key, or bind to 127.0.0.1"
    )]
    NeedsTls(SocketAddr),
    /// A TLS file cannot be used.
    #[error("{setting}: {error}")]
    Tls {
        /// The file's setting.
        setting: String,
        /// What is wrong with it.
        error: TlsError,
    },
    /// QUIC could not be set up.
    #[error(transparent)]
    Net(#[from] NetError),
}

/// A depot that listens.
pub struct Depot {
    shelf: Arc<Shelf>,
    server: BulkServer,
    http: http::HttpServer,
}

impl std::fmt::Debug for Depot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Depot").field("quic", &self.server.addr()).field("http", &self.http.addr).finish()
    }
}

impl Depot {
    /// Prepares the areas, removes what an earlier run left half-done, and binds both sides. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`DepotError`], with what to do.
    pub fn bind(config: &DepotConfig, identity: &Identity, key: TicketKey) -> Result<Self, DepotError> {
        if config.http_tls.is_none() && !config.http_bind.ip().is_loopback() {
            return Err(DepotError::NeedsTls(config.http_bind));
        }
        let shelf = Arc::new(Shelf::open(config, key)?);
        let endpoint = endpoint::server(config.quic_bind, identity, BULK_ALPNS, ClientCerts::Required)?;
        let server = BulkServer::new(endpoint, Arc::clone(&shelf), config);
        let http = http::bind(config, Arc::clone(&shelf))?;
        Ok(Self { shelf, server, http })
    }

    /// Where workers reach it.
    ///
    /// # Errors
    /// [`NetError::Bind`] when the socket has no address any more.
    pub fn quic_addr(&self) -> Result<SocketAddr, NetError> {
        self.server.addr()
    }

    /// Where API clients reach it.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http.addr
    }

    /// Serves until `shutdown` is done, then ends what is under way.
    ///
    /// # Errors
    /// [`DepotError::Http`] when the HTTP side stops by itself.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), DepotError> {
        let (addr, handle) = (self.http.addr, self.http.server.handle());
        let sweeper = tokio::spawn(sweep::run(Arc::clone(&self.shelf)));
        let result = tokio::select! {
            () = shutdown => Ok(()),
            () = self.server.serve() => Ok(()),
            result = self.http.server => result.map_err(|source| DepotError::Http { addr, source }),
        };
        handle.stop(false).await;
        self.server.close().await;
        sweeper.abort();
        result
    }
}

/// Binds and serves; `ready` learns the addresses for QUIC and HTTP.
///
/// # Errors
/// As [`Depot::bind`] and [`Depot::serve`].
pub async fn run(
    config: &DepotConfig,
    identity: &Identity,
    key: TicketKey,
    ready: impl FnOnce(SocketAddr, SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), DepotError> {
    let depot = Depot::bind(config, identity, key)?;
    ready(depot.quic_addr()?, depot.http_addr());
    depot.serve(shutdown).await
}

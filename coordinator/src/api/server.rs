//! Listeners: TCP, with TLS where it is set, and the administrator's unix socket.

use std::any::Any;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};

use super::auth::LocalAdmin;
use super::{Api, configure, guard};
use crate::settings::ApiSettings;
use crate::tls::{self, TlsError};

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("cannot listen on {0} (api.bind): {1}; is another coordinator running?")]
    Bind(SocketAddr, io::Error),
    /// Others could read tokens on the wire.
    #[error(
        "{0} (api.bind) can be reached from other hosts, so it needs TLS: set api.tls_certificate and api.tls_key, or bind to 127.0.0.1"
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
    /// The unix socket cannot be made.
    #[error("cannot make the administrator's socket {0}: {1}")]
    Socket(PathBuf, io::Error),
}

/// A server that listens and waits to be awaited.
#[expect(missing_debug_implementations, reason = "actix's server has none")]
pub struct Bound {
    /// Await it to serve; its handle stops it. Signals are left to the caller.
    pub server: Server,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Base URL for clients on this host.
    pub url: String,
    /// The administrator's socket.
    pub socket: PathBuf,
}

/// Binds the listeners and builds the server. Nothing is answered before the returned server is awaited.
///
/// # Errors
/// [`ServeError`], with the setting at fault.
pub fn serve(api: &Arc<Api>) -> Result<Bound, ServeError> {
    let settings = api.parts.settings.clone();
    let bind = settings.bind;
    let tls = tls_config(&settings)?;
    if tls.is_none() && !bind.ip().is_loopback() {
        return Err(ServeError::NeedsTls(bind));
    }
    let listener = TcpListener::bind(bind).map_err(|e| ServeError::Bind(bind, e))?;
    let addr = listener.local_addr().map_err(|e| ServeError::Bind(bind, e))?;
    let socket = api.parts.state_dir.join("admin.sock");
    let admin = admin_socket(&socket).map_err(|e| ServeError::Socket(socket.clone(), e))?;
    let shared = Arc::clone(api);
    let server = HttpServer::new(move || {
        let api = Arc::clone(&shared);
        App::new().wrap(from_fn(guard::guard)).configure(move |config| configure(config, &api))
    })
    .workers(settings.threads)
    // The limit is each thread's; together they keep to the whole.
    .max_connections(settings.max_connections.div_ceil(settings.threads))
    .client_request_timeout(Duration::from_millis(settings.head_timeout_ms))
    .keep_alive(Duration::from_secs(settings.keep_alive_s))
    .shutdown_timeout(settings.stop_timeout_s)
    // Events are small and must not wait for an acknowledgement of the one before.
    .tcp_nodelay(true)
    .disable_signals()
    .on_connect(mark_admin);
    let (server, scheme) = match tls {
        Some(config) => (server.listen_rustls_0_23(listener, config), "https"),
        None => (server.listen(listener), "http"),
    };
    let server = server.map_err(|e| ServeError::Bind(bind, e))?;
    let server = server.listen_uds(admin).map_err(|e| ServeError::Socket(socket.clone(), e))?;
    let host =
        if addr.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], addr.port())) } else { addr };
    Ok(Bound { server: server.run(), addr, url: format!("{scheme}://{host}"), socket })
}

fn mark_admin(connection: &dyn Any, data: &mut Extensions) {
    if connection.is::<actix_web::rt::net::UnixStream>() {
        data.insert(LocalAdmin);
    }
}

/// Makes the socket so that only its owner can open it: it appears under its name with its mode already set.
fn admin_socket(path: &Path) -> io::Result<UnixListener> {
    let fresh = path.with_extension("new");
    for old in [&fresh, path] {
        match fs::remove_file(old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    Ok(listener)
}

fn tls_config(settings: &ApiSettings) -> Result<Option<rustls::ServerConfig>, ServeError> {
    let (certificate, key) = (&settings.tls_certificate, &settings.tls_key);
    if certificate.as_os_str().is_empty() && key.as_os_str().is_empty() {
        return Ok(None);
    }
    let config = tls::server_config(certificate, key);
    config.map(Some).map_err(|error| ServeError::Tls { setting: error.file.setting("api"), error })
}

//! The depot's HTTP side: `/v1/files?ticket=…` takes uploads in, also in pieces, and gives files out, also in ranges.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_files::NamedFile;
use actix_web::dev::Server;
use actix_web::http::header::{self, Charset};
use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType, ExtendedValue};
use actix_web::{App, HttpRequest, HttpResponse, web};
use rushes_net::ticket;
use rushes_shared::artifact::Location;
use rushes_shared::failure::Failure;
use rushes_shared::ticket::Grant;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::bulk_server::{count, on_disk};
use super::shelf::Shelf;
use super::{DepotConfig, DepotError};

mod outflow;
mod problem;
mod upload;

use problem::Problem;

/// How long a client may take for the head of its request.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a connection is kept without a request.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Threads that serve HTTP; the disk has threads of its own.
const THREADS: usize = 2;

pub(super) struct HttpServer {
    pub(super) addr: SocketAddr,
    pub(super) server: Server,
}

/// What every request needs.
struct Desk {
    shelf: Arc<Shelf>,
    transfers: Arc<Semaphore>,
    idle: Duration,
    metrics: Option<prometheus::Registry>,
}

#[derive(Deserialize)]
struct FileQuery {
    #[serde(default)]
    ticket: String,
}

pub(super) fn bind(config: &DepotConfig, shelf: Arc<Shelf>) -> Result<HttpServer, DepotError> {
    let desk = web::Data::new(Desk {
        shelf,
        transfers: Arc::new(Semaphore::new(config.max_transfers.min(Semaphore::MAX_PERMITS))),
        idle: config.idle_timeout,
        metrics: config.metrics.clone(),
    });
    let app = move || {
        App::new()
            .app_data(desk.clone())
            .app_data(web::QueryConfig::default().error_handler(|e, _| Problem::bad_query(&e).into()))
            .service(
                web::resource("/v1/files")
                    .route(web::get().to(download))
                    .route(web::head().to(look))
                    .route(web::put().to(upload::put))
                    .default_service(web::to(|| async { Problem::no_such_method() })),
            )
            .service(web::resource("/health/live").route(web::get().to(alive)).route(web::head().to(alive)))
            .service(
                web::resource("/metrics")
                    .route(web::get().to(metrics_text))
                    .route(web::head().to(metrics_text)),
            )
            .default_service(web::to(|| async { Problem::no_such_route() }))
    };
    let server = actix_web::HttpServer::new(app)
        .workers(THREADS)
        .max_connections(config.max_connections)
        .client_request_timeout(REQUEST)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(1)
        .disable_signals();
    let failed = |source| DepotError::Http { addr: config.http_bind, source };
    let server = match &config.http_tls {
        None => server.bind(config.http_bind).map_err(failed)?,
        Some((certificates, key)) => {
            let tls = crate::tls::server_config(certificates, key);
            let tls = tls.map_err(|error| DepotError::Tls { setting: error.file.setting("depot"), error })?;
            server.bind_rustls_0_23(config.http_bind, tls).map_err(failed)?
        }
    };
    let unbound = || failed(io::ErrorKind::AddrNotAvailable.into());
    let addr = server.addrs().first().copied().ok_or_else(unbound)?;
    Ok(HttpServer { addr, server: server.run() })
}

impl Desk {
    fn granted(&self, query: &FileQuery) -> Result<Grant, Problem> {
        if query.ticket.is_empty() {
            return Err(Problem::no_ticket());
        }
        let bytes = ticket::from_text(&query.ticket).unwrap_or_default();
        self.shelf.granted(&bytes).map_err(|failure| Problem::ticket(&failure))
    }

    /// Counts a failure on its way out.
    fn failed(kind: &'static str, failure: &Failure) -> Problem {
        count(kind, Some(failure));
        tracing::info!(kind, code = failure.code.as_str(), %failure, "an HTTP transfer failed");
        Problem::failure(failure)
    }
}

/// `GET`: the file, or a range of it.
async fn download(
    request: HttpRequest,
    desk: web::Data<Desk>,
    query: web::Query<FileQuery>,
) -> Result<HttpResponse, Problem> {
    match desk.granted(&query)? {
        Grant::Read(location) => send(&request, &desk, location).await,
        _ => Err(Problem::other_grant("reading")),
    }
}

/// `HEAD`: size and type of a file that may be read, progress of one that may be uploaded.
async fn look(
    request: HttpRequest,
    desk: web::Data<Desk>,
    query: web::Query<FileQuery>,
) -> Result<HttpResponse, Problem> {
    match desk.granted(&query)? {
        Grant::Read(location) => send(&request, &desk, location).await,
        Grant::Write(Location::Upload(tenant, hash)) => upload::progress(&desk, tenant, hash).await,
        _ => Err(Problem::other_grant("this")),
    }
}

async fn send(request: &HttpRequest, desk: &Desk, location: Location) -> Result<HttpResponse, Problem> {
    // A HEAD has no bytes to send.
    let permit = if request.method() == actix_web::http::Method::GET {
        Some(Arc::clone(&desk.transfers).try_acquire_owned().map_err(|_| Problem::busy())?)
    } else {
        None
    };
    let place = location.clone();
    let opened = on_disk(&desk.shelf, move |shelf| shelf.open_read(&place)).await;
    let (file, size) = opened.map_err(|failure| Desk::failed("download", &failure))?;
    let name = location.file_name();
    let file = NamedFile::from_file(file, &name).map_err(|e| Problem::internal(&e))?;
    // What users send may be anything; nothing here is for a browser to show.
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![
            DispositionParam::Filename(ascii(&name)),
            DispositionParam::FilenameExt(ExtendedValue {
                charset: Charset::Ext("UTF-8".to_owned()),
                language_tag: None,
                value: name.clone().into_bytes(),
            }),
        ],
    };
    let mut response = file.set_content_disposition(disposition).into_response(request);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private, no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    let Some(permit) = permit else { return Ok(response) };
    count("download", None);
    metrics::counter!("rushes_depot_bytes_total", "direction" => "out", "via" => "http").increment(size);
    Ok(response.map_body(|_, body| outflow::watched(body, desk.idle, permit)))
}

/// A file name for clients that know no `filename*`.
fn ascii(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' { c } else { '_' })
        .collect()
}

async fn alive() -> &'static str {
    "alive\n"
}

async fn metrics_text(desk: web::Data<Desk>) -> Result<HttpResponse, Problem> {
    let Some(registry) = &desk.metrics else { return Err(Problem::no_such_route()) };
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&registry.gather())
        .map_err(|e| Problem::internal(&e))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

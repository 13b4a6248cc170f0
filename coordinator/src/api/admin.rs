//! What only administrators do with the farm as a whole.

use std::io::{self, Write};
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use rushes_shared::principal::Role;
use rushes_shared::view::ProblemView;
use tokio::sync::mpsc;

use super::Api;
use super::auth::Caller;
use super::problem::Problem;

/// Exports the store while the farm runs.
pub trait Archivist: Send + Sync {
    /// Writes checksummed JSON lines up to the last confirmed record. Blocks.
    ///
    /// # Errors
    /// Of the store or of `out`.
    fn export(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Streams a consistent copy of everything that the farm keeps, as checksummed JSON lines with a trailer. A copy without
/// its trailer is incomplete.
#[utoipa::path(get, path = "/v1/admin/export", tag = "admin",
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn export(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?;
    if request.method() == Method::HEAD {
        // Nothing is read for a copy that nobody takes.
        return Ok(HttpResponse::Ok().content_type(NDJSON).finish());
    }
    tracing::info!(principal = %by.name, "export begun");
    let archivist = Arc::clone(&api.parts.archivist);
    let (sender, receiver) = mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe { sender, buffer: Vec::with_capacity(PIECE) };
        let end = archivist.export(&mut pipe).and_then(|()| pipe.flush());
        if let Err(error) = end {
            tracing::error!(%error, "an export ended early");
            // The body breaks off, so that the client sees an error and not a short file.
            pipe.sender.blocking_send(Err(error)).ok();
        }
    });
    let body = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Ok(HttpResponse::Ok().content_type(NDJSON).streaming(body))
}

/// JSON, one object a line.
const NDJSON: &str = "application/x-ndjson";
/// Bytes gathered before they travel.
const PIECE: usize = 64 << 10;

struct Pipe {
    sender: mpsc::Sender<io::Result<web::Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = web::Bytes::from(std::mem::take(&mut self.buffer));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

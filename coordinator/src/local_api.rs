//! Talks to the running coordinator of this state directory over its unix socket, as the local administrator.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use rushes_shared::view::ProblemView;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

/// Whether a coordinator answers on the socket.
pub async fn is_running(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

/// Sends a request with an optional JSON body and reads a JSON answer.
///
/// # Errors
/// The coordinator's own words where it refuses.
pub async fn call<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<T> {
    let response = send(socket, method, path, body).await?;
    let bytes = response.into_body().collect().await.context("read the coordinator's answer")?.to_bytes();
    let bytes = if bytes.is_empty() { Bytes::from_static(b"null") } else { bytes };
    serde_json::from_slice(&bytes)
        .context("understand the coordinator's answer; compare the versions of both programs")
}

/// Copies the body of an answer.
///
/// # Errors
/// The coordinator's own words where it refuses; an answer that breaks off.
pub async fn download(socket: &Path, path: &str, to: &mut dyn Write) -> anyhow::Result<u64> {
    let mut body = send(socket, Method::GET, path, None).await?.into_body();
    let mut written = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the coordinator's answer broke off; its log says why")?;
        if let Some(data) = frame.data_ref() {
            to.write_all(data).context("write the copy")?;
            written += data.len() as u64;
        }
    }
    Ok(written)
}

async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Response<Incoming>> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "reach the coordinator at {}; is it running, and does this user own its state directory?",
            socket.display()
        )
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the local connection ended");
        }
    });
    let content = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(content)))?;
    let response = sender.send_request(request).await.context("send the request to the coordinator")?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let bytes = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    match serde_json::from_slice::<ProblemView>(&bytes) {
        Ok(problem) => bail!("the coordinator refused: {}", problem.detail),
        Err(_) => bail!("the coordinator answered {status}"),
    }
}

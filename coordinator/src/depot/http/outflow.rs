//! The body of a download, with an end for clients that take nothing.
//!
//! A response's body is only asked for more when the client has taken what it was sent, so it cannot notice by itself
//! that the client stands still. Here somebody else reads it and waits for the client for a bounded time; then the file
//! and the place among the transfers are free again, and the connection ends when the client goes on.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// Chunks that may wait for the client.
const QUEUE: usize = 2;

/// The same body, given up when the client takes nothing for `idle`; `permit` is kept until it is sent or given up.
pub(super) fn watched(body: BoxBody, idle: Duration, permit: OwnedSemaphorePermit) -> BoxBody {
    // Only bodies of a known size are files.
    let BodySize::Sized(size) = body.size() else { return body };
    let (queue, mut chunks) = mpsc::channel(QUEUE);
    actix_web::rt::spawn(async move {
        let mut body = Box::pin(body);
        while let Some(chunk) = poll_fn(|context| Pin::as_mut(&mut body).poll_next(context)).await {
            let failed = chunk.is_err();
            match timeout(idle, queue.send(chunk)).await {
                Ok(Ok(())) if !failed => {}
                Ok(_) => break,
                Err(_) => {
                    tracing::info!(
                        idle_s = idle.as_secs(),
                        "a download was given up: its client takes nothing"
                    );
                    break;
                }
            }
        }
        drop(permit);
    });
    // One that ends early is cut off by the server, as its size was promised.
    BoxBody::new(SizedStream::new(size, stream::poll_fn(move |context| chunks.poll_recv(context))))
}

//! The depot's side of `rushes-bulk/1`: one request and one answer a stream, bytes behind one of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use rushes_net::flow::{self, CHUNK, WriteBehind};
use rushes_net::{NetError, framed};
use rushes_shared::artifact::{ContentHash, Location};
use rushes_shared::failure::{Failure, FailureCode};
use rushes_shared::ticket::Grant;
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BulkReply, BulkRequest, PartsOf, close};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::parts;
use super::refusal;
use super::roots::Input;
use super::shelf::Shelf;
use super::{DepotConfig, kept};
use crate::strangers;

/// How long a client may take for its request.
const REQUEST: Duration = Duration::from_secs(10);
/// How long the close of the endpoint may take to reach the clients.
const GOODBYE: Duration = Duration::from_secs(1);
/// Requests without bytes of their own, such as to publish, that are served at once.
const DEEDS: usize = 32;
/// How often free space is looked at while a file comes in, in bytes.
const SPACE_CHECK: u64 = 64 << 20;

pub(super) struct BulkServer {
    endpoint: Endpoint,
    desk: Arc<Desk>,
    connections: Arc<Semaphore>,
}

/// What every stream needs.
struct Desk {
    shelf: Arc<Shelf>,
    transfers: Semaphore,
    /// Apart from the transfers, which may all be busy for hours.
    deeds: Semaphore,
    idle: Duration,
}

impl BulkServer {
    pub(super) fn new(endpoint: Endpoint, shelf: Arc<Shelf>, config: &DepotConfig) -> Self {
        let transfers = Semaphore::new(config.max_transfers.min(Semaphore::MAX_PERMITS));
        let desk =
            Arc::new(Desk { shelf, transfers, deeds: Semaphore::new(DEEDS), idle: config.idle_timeout });
        let connections = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
        Self { endpoint, desk, connections }
    }

    pub(super) fn addr(&self) -> Result<SocketAddr, NetError> {
        let reason = |e: std::io::Error| NetError::Bind { addr: "the depot".into(), reason: e.to_string() };
        self.endpoint.local_addr().map_err(reason)
    }

    /// Serves until the endpoint is closed.
    pub(super) async fn serve(&self) {
        while let Some(incoming) = self.endpoint.accept().await {
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
                metrics::counter!("rushes_depot_connections_refused_total", "reason" => "full").increment(1);
                incoming.refuse();
                continue;
            };
            let desk = Arc::clone(&self.desk);
            tokio::spawn(async move {
                let peer = incoming.remote_address();
                if let Err(error) = desk.connection(incoming).await {
                    metrics::counter!("rushes_depot_connections_refused_total", "reason" => "handshake")
                        .increment(1);
                    if let Some(untold) = strangers::may_cause_a_line() {
                        tracing::warn!(%peer, %error, untold, "a connection was refused");
                    }
                }
                drop(permit);
            });
        }
    }

    pub(super) async fn close(&self) {
        self.endpoint.close(VarInt::from_u32(close::UNAVAILABLE), b"the depot stops");
        // Clients that are gone need no goodbye.
        let _ = timeout(GOODBYE, self.endpoint.wait_idle()).await;
    }
}

impl Desk {
    async fn connection(self: Arc<Self>, incoming: Incoming) -> Result<(), NetError> {
        let connection: Connection = match timeout(REQUEST, incoming).await {
            Ok(connected) => connected?,
            Err(_) => return Err(NetError::Stalled { seconds: REQUEST.as_secs() }),
        };
        let peer = connection.remote_address();
        tracing::debug!(%peer, "connected");
        while let Ok((send, recv)) = connection.accept_bi().await {
            let desk = Arc::clone(&self);
            tokio::spawn(async move {
                if let Err(error) = desk.stream(send, recv).await {
                    tracing::debug!(%peer, %error, "a bulk stream ended early");
                }
            });
        }
        Ok(())
    }

    async fn stream(self: Arc<Self>, mut send: SendStream, mut recv: RecvStream) -> Result<(), NetError> {
        let request = match timeout(REQUEST, framed::recv::<BulkRequest>(&mut recv)).await {
            Ok(request) => request?.ok_or(NetError::Truncated)?,
            Err(_) => return Err(NetError::Stalled { seconds: REQUEST.as_secs() }),
        };
        let permits = match &request {
            BulkRequest::Read { .. } | BulkRequest::Write { .. } | BulkRequest::ReadParts { .. } => {
                &self.transfers
            }
            BulkRequest::Publish { .. }
            | BulkRequest::Drop { .. }
            | BulkRequest::Take { .. }
            | BulkRequest::Keep { .. }
            | BulkRequest::ListStaged { .. } => &self.deeds,
        };
        let Ok(_permit) = permits.acquire().await else { return Ok(()) };
        let (kind, outcome) = match request {
            BulkRequest::Read { location, offset, ticket } => {
                ("read", self.read(&mut send, location, offset, ticket).await)
            }
            BulkRequest::ReadParts { files, ticket } => {
                ("read_parts", self.read_parts(&mut send, files, ticket).await)
            }
            BulkRequest::Write { location, size, hash, ticket } => {
                ("write", self.write(&mut recv, location, size, hash, ticket).await)
            }
            BulkRequest::Publish { from, to, ticket } => {
                let deed = move |shelf: &Shelf| {
                    shelf.permit(&ticket, &Grant::Publish { from: from.location.clone(), to: to.clone() })?;
                    shelf.publish(&from, &to)
                };
                ("publish", self.on_disk(deed).await.map(|()| Some(BulkReply::Published)))
            }
            BulkRequest::Drop { attempts, ticket } => {
                let deed = move |shelf: &Shelf| {
                    shelf.permit(&ticket, &Grant::Drop(attempts.clone()))?;
                    shelf.drop_attempts(&attempts)
                };
                ("drop", self.on_disk(deed).await.map(|()| Some(BulkReply::Dropped)))
            }
            BulkRequest::ListStaged { before, after, ticket } => {
                let deed = move |shelf: &Shelf| {
                    shelf.permit(&ticket, &Grant::ListStaged)?;
                    shelf.list_staged(before, after)
                };
                ("list_staged", self.on_disk(deed).await.map(|attempts| Some(BulkReply::Staged(attempts))))
            }
            BulkRequest::Take { to, maker, ticket } => {
                let taken = self.on_disk(move |shelf| shelf.take(&ticket, &to, maker)).await;
                ("take", taken.map(|taken| Some(taken_or_not(taken))))
            }
            BulkRequest::Keep { from, maker, note, ticket } => {
                let deed = move |shelf: &Shelf| shelf.keep(&ticket, &from, maker, note);
                ("keep", self.on_disk(deed).await.map(|()| Some(BulkReply::Kept)))
            }
        };
        count(kind, outcome.as_ref().err());
        let reply = match outcome {
            Ok(reply) => reply,
            Err(failure) => {
                tracing::info!(kind, code = failure.code.as_str(), %failure, "a bulk request failed");
                // The rest of a file that is refused need not come.
                let _ = recv.stop(VarInt::from_u32(close::BYE));
                Some(BulkReply::Failed(failure))
            }
        };
        if let Some(reply) = reply {
            framed::send(&mut send, &reply).await?;
        }
        let _ = send.finish();
        Ok(())
    }

    /// Sends a file. `None`: its own reply has gone out already.
    async fn read(
        &self,
        send: &mut SendStream,
        location: Location,
        offset: u64,
        ticket: Vec<u8>,
    ) -> Result<Option<BulkReply>, Failure> {
        let place = location.to_string();
        let opened = self.on_disk(move |shelf| {
            shelf.permit(&ticket, &Grant::Read(location.clone()))?;
            shelf.open_whole(&location)
        });
        let (input, size) = opened.await?;
        let net = |e: NetError| refusal::unreadable(&place, &std::io::Error::other(e));
        framed::send(send, &BulkReply::Reading { size: Bytes(size) }).await.map_err(net)?;
        let (offset, left) = (offset.min(size), size.saturating_sub(offset));
        let mut chunks = match input {
            Input::File(file) => flow::read_ahead(file, offset, left),
            Input::Sequence(pictures) => flow::read_ahead_of(pictures, offset, left),
        };
        let bytes = metrics::counter!("rushes_depot_bytes_total", "direction" => "out", "via" => "quic");
        while let Some(chunk) = chunks.recv().await {
            let sent = match chunk {
                Ok(chunk) => {
                    bytes.increment(chunk.len() as u64);
                    timeout(self.idle, send.write_chunk(chunk)).await
                }
                Err(error) => {
                    // The size is promised already; a reset tells the client that the rest does not come.
                    let _ = send.reset(VarInt::from_u32(close::UNAVAILABLE));
                    return Err(refusal::unreadable(&place, &error));
                }
            };
            match sent {
                Ok(Ok(())) => {}
                // The client has enough, or is gone.
                Ok(Err(_)) => return Ok(None),
                Err(_) => {
                    let _ = send.reset(VarInt::from_u32(close::UNAVAILABLE));
                    return Err(refusal::stalled(&place, self.idle.as_secs()));
                }
            }
        }
        Ok(None)
    }

    /// Sends parts of files, each behind its own reply.
    async fn read_parts(
        &self,
        send: &mut SendStream,
        files: Vec<PartsOf>,
        ticket: Vec<u8>,
    ) -> Result<Option<BulkReply>, Failure> {
        let mut chunks = parts::read(&self.shelf, files, &ticket)?;
        let bytes = metrics::counter!("rushes_depot_bytes_total", "direction" => "out", "via" => "quic");
        while let Some(chunk) = chunks.recv().await {
            bytes.increment(chunk.len() as u64);
            match timeout(self.idle, send.write_chunk(chunk)).await {
                Ok(Ok(())) => {}
                // The client has enough, or is gone.
                Ok(Err(_)) => return Ok(None),
                Err(_) => {
                    let _ = send.reset(VarInt::from_u32(close::UNAVAILABLE));
                    return Err(refusal::stalled(&"parts of files", self.idle.as_secs()));
                }
            }
        }
        Ok(None)
    }

    async fn write(
        &self,
        recv: &mut RecvStream,
        location: Location,
        size: Bytes,
        hash: ContentHash,
        ticket: Vec<u8>,
    ) -> Result<Option<BulkReply>, Failure> {
        let target = location.clone();
        let begun = self.on_disk(move |shelf| {
            shelf.permit(&ticket, &Grant::Write(target.clone()))?;
            shelf.begin(&target, size)
        });
        let (file, mut incoming) = begun.await?;
        let mut sink = WriteBehind::new(file, ());
        let came = self.take_in(recv, &mut sink, &location, size).await;
        // The writer knows best why it stopped.
        let written = sink.finish().await.map_err(|e| refusal::unwritable(&location, &e))?;
        came?;
        if written.size != size {
            return Err(refusal::wrong_size(&location, size, written.size.0));
        }
        self.on_disk(move |shelf| shelf.commit(&location, hash, &written, &mut incoming)).await?;
        Ok(Some(BulkReply::Written))
    }

    async fn take_in(
        &self,
        recv: &mut RecvStream,
        sink: &mut WriteBehind,
        location: &Location,
        size: Bytes,
    ) -> Result<(), Failure> {
        let broken = |e: NetError| {
            Failure::new(
                FailureCode::TransferFailed,
                format!("the transfer of {location} broke off: {e}"),
                "",
            )
        };
        let bytes = metrics::counter!("rushes_depot_bytes_total", "direction" => "in", "via" => "quic");
        let mut next_check = SPACE_CHECK;
        loop {
            let chunk = match timeout(self.idle, recv.read_chunk(CHUNK, true)).await {
                Ok(chunk) => chunk.map_err(|e| broken(e.into()))?,
                Err(_) => return Err(refusal::stalled(location, self.idle.as_secs())),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            bytes.increment(chunk.bytes.len() as u64);
            if sink.taken() + chunk.bytes.len() as u64 > size.0 {
                return Err(refusal::wrong_size(location, size, sink.taken() + chunk.bytes.len() as u64));
            }
            if sink.take(chunk.bytes).await.is_err() {
                return Ok(());
            }
            if sink.taken() >= next_check {
                next_check += SPACE_CHECK;
                self.shelf.check_space(location, Bytes(size.0 - sink.taken()))?;
            }
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&Shelf) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        on_disk(&self.shelf, deed).await
    }
}

fn taken_or_not(taken: Option<kept::Result>) -> BulkReply {
    let result = if taken.is_some() { "hit" } else { "miss" };
    metrics::counter!("rushes_depot_results_total", "result" => result).increment(1);
    match taken {
        Some(kept::Result { size, hash, note }) => BulkReply::Taken { size, hash, note },
        None => BulkReply::NotKept,
    }
}

/// Does something that blocks where it may block.
pub(super) async fn on_disk<T: Send + 'static>(
    shelf: &Arc<Shelf>,
    deed: impl FnOnce(&Shelf) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let shelf = Arc::clone(shelf);
    tokio::task::spawn_blocking(move || deed(&shelf)).await.unwrap_or_else(|e| {
        let message = format!("the depot failed at its own work: {e}");
        Err(Failure::new(FailureCode::TransferFailed, message, "look at the depot's log"))
    })
}

/// Counts a transfer and how it ended.
pub(super) fn count(kind: &'static str, failure: Option<&Failure>) {
    let result = failure.map_or("ok", |f| f.code.as_str());
    metrics::counter!("rushes_depot_transfers_total", "kind" => kind, "result" => result).increment(1);
}

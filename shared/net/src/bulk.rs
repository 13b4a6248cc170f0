//! The depot's client: fetches, stores, publishes and drops files, each on a stream of its own.
//!
//! A lost connection is made again; a fetch then goes on where it stopped, a store starts over. Everything ends as a
//! [`Failure`] that says whether the task should be tried again.

mod deeds;
mod parts;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, VarInt};
use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::units::Bytes;
use rushes_shared::wire::{BulkReply, BulkRequest, close};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::endpoint::connect;
use crate::error::NetError;
use crate::flow::{self, CHUNK, WriteBehind};
use crate::framed;
pub use parts::Parts;

/// How long a fetch waits for the next bytes, and any request for the start of its answer.
const STALL: Duration = Duration::from_secs(60);
/// How long the depot may take to sync a stored file, or to publish one over a file system's border.
const COMMIT: Duration = Duration::from_secs(15 * 60);
/// Bytes a second at which the depot puts a set's files to their places, at the least.
const SLOWEST_PUBLISH: u64 = 10 << 20;
/// How often a request is repeated without any progress.
const TRIES: u32 = 4;
/// Pause before the first repetition; doubles with each.
const BACKOFF: Duration = Duration::from_millis(200);

/// A client of one depot. Clones share the connection.
#[derive(Debug, Clone)]
pub struct BulkClient {
    endpoint: Endpoint,
    config: ClientConfig,
    target: String,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl BulkClient {
    /// A client that connects when it is first used. `config` comes from [`crate::endpoint::client_config`] with
    /// `BULK_ALPNS`, `target` is the depot's `host:port`.
    #[must_use]
    pub fn new(endpoint: Endpoint, config: ClientConfig, target: impl Into<String>) -> Self {
        Self { endpoint, config, target: target.into(), connection: Arc::default() }
    }

    /// Fetches a file to `to`, which is made or emptied first. The artifact has size and hash. `progress` gets the
    /// bytes that have come and the size of the whole.
    ///
    /// # Errors
    /// The depot's own failure; `LimitReached` for a file over `limit`; `NodeUnfit` when `to` cannot be written;
    /// `TransferFailed` when the depot cannot be reached.
    pub async fn fetch(
        &self,
        location: &Location,
        ticket: &[u8],
        to: &Path,
        limit: Bytes,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Artifact, Failure> {
        let file = tokio::fs::File::create(to).await.map_err(|e| unwritable(to, &e))?;
        let mut sink = WriteBehind::new(file.into_std().await, ());
        let mut whole = None;
        let mut retry = Retry::new();
        loop {
            let before = sink.taken();
            let result = self.fetch_rest(location, ticket, limit, &mut whole, &mut sink, &mut progress).await;
            match result {
                Ok(()) => break,
                Err(Fault::Sink) => return Err(sink_failure(sink, to).await),
                Err(Fault::Final(failure)) => return Err(failure),
                Err(Fault::Link(error)) => {
                    if sink.taken() > before {
                        retry = Retry::new();
                    }
                    retry.pause(&error).await.map_err(|e| self.failure(&e))?;
                }
            }
        }
        let written = sink.finish().await.map_err(|e| unwritable(to, &e))?;
        let (size, hash) = (Some(written.size), Some(written.hash));
        Ok(Artifact { location: location.clone(), size, hash, attempt: None })
    }

    async fn fetch_rest(
        &self,
        location: &Location,
        ticket: &[u8],
        limit: Bytes,
        whole: &mut Option<u64>,
        sink: &mut WriteBehind,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let (location, offset) = (location.clone(), sink.taken());
        let request = BulkRequest::Read { location: location.clone(), offset, ticket: ticket.to_vec() };
        let (mut send, mut recv) = self.open().await?;
        framed::send(&mut send, &request).await?;
        let _ = send.finish();
        let size = match answer(&mut recv, STALL).await? {
            BulkReply::Reading { size } => size,
            other => return Err(unexpected(other)),
        };
        if size > limit {
            let _ = recv.stop(VarInt::from_u32(close::BYE));
            return Err(Fault::Final(too_large(&location, size, limit)));
        }
        let size = size.0;
        if whole.replace(size).is_some_and(|before| before != size) {
            return Err(Fault::Final(changed(&location)));
        }
        progress(offset, size);
        while sink.taken() < size {
            let stalled = |_| NetError::Stalled { seconds: STALL.as_secs() };
            let chunk = timeout(STALL, recv.read_chunk(CHUNK, true)).await.map_err(stalled)?;
            // The depot promised `size` bytes; less means that the file shrank, more that it grew.
            let chunk = chunk.map_err(NetError::from)?.ok_or_else(|| Fault::Final(changed(&location)))?;
            if sink.taken() + chunk.bytes.len() as u64 > size {
                return Err(Fault::Final(changed(&location)));
            }
            sink.take(chunk.bytes).await.map_err(|_| Fault::Sink)?;
            progress(sink.taken(), size);
        }
        Ok(())
    }

    /// Stores a file from its open descriptor, so that what is sent is what was hashed, whatever becomes of its name.
    /// When this returns, the depot has checked its hash and synced it.
    ///
    /// # Errors
    /// The depot's own failure; `NodeUnfit` when `from` cannot be read; `TransferFailed` when the depot cannot be
    /// reached.
    pub async fn store(
        &self,
        from: &File,
        location: &Location,
        ticket: &[u8],
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Artifact, Failure> {
        let mut source = from.try_clone().map_err(|e| unreadable(location, &e))?;
        let (size, hash) = tokio::task::spawn_blocking(move || flow::hash_open(&mut source))
            .await
            .map_err(io::Error::other)
            .flatten()
            .map_err(|e| unreadable(location, &e))?;
        let request = BulkRequest::Write { location: location.clone(), size, hash, ticket: ticket.to_vec() };
        let mut retry = Retry::new();
        loop {
            match self.store_once(from, location, size, &request, &mut progress).await {
                Ok(()) => break,
                Err(fault) => self.again(fault, &mut retry).await?,
            }
        }
        Ok(Artifact { location: location.clone(), size: Some(size), hash: Some(hash), attempt: None })
    }

    async fn store_once(
        &self,
        from: &File,
        location: &Location,
        size: Bytes,
        request: &BulkRequest,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let file = from.try_clone().map_err(|e| Fault::Final(unreadable(location, &e)))?;
        let (mut send, mut recv) = self.open().await?;
        framed::send(&mut send, request).await?;
        let mut chunks = flow::read_ahead(file, 0, size.0);
        let mut done = 0;
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(|e| Fault::Final(unreadable(location, &e)))?;
            done += chunk.len() as u64;
            match timeout(STALL, send.write_chunk(chunk)).await {
                Ok(Ok(())) => progress(done, size.0),
                // The depot has refused before the end, and says why in its reply.
                Ok(Err(quinn::WriteError::Stopped(_))) => break,
                Ok(Err(e)) => return Err(NetError::from(e).into()),
                Err(_) => return Err(NetError::Stalled { seconds: STALL.as_secs() }.into()),
            }
        }
        let _ = send.finish();
        match answer(&mut recv, COMMIT).await? {
            BulkReply::Written => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn ask(
        &self,
        request: &BulkRequest,
        is_wanted: impl Fn(&BulkReply) -> bool,
    ) -> Result<BulkReply, Failure> {
        let mut retry = Retry::new();
        loop {
            match self.ask_once(request, &is_wanted).await {
                Ok(reply) => return Ok(reply),
                Err(fault) => self.again(fault, &mut retry).await?,
            }
        }
    }

    async fn ask_once(
        &self,
        request: &BulkRequest,
        is_wanted: impl Fn(&BulkReply) -> bool,
    ) -> Result<BulkReply, Fault> {
        let (mut send, mut recv) = self.open().await?;
        framed::send(&mut send, request).await?;
        let _ = send.finish();
        let reply = answer(&mut recv, patience(request)).await?;
        if is_wanted(&reply) { Ok(reply) } else { Err(unexpected(reply)) }
    }

    /// Ends the shared connection in good order; a later request makes a new one.
    pub async fn close(&self) {
        if let Some(connection) = self.connection.lock().await.take() {
            connection.close(VarInt::from_u32(close::BYE), b"");
        }
    }

    async fn open(&self) -> Result<(SendStream, RecvStream), NetError> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.as_ref().filter(|c| c.close_reason().is_none()) {
            Some(connection) => connection.clone(),
            None => {
                let fresh = connect(&self.endpoint, self.config.clone(), &self.target).await?;
                slot.insert(fresh).clone()
            }
        };
        drop(slot);
        Ok(connection.open_bi().await?)
    }

    /// Waits before the next try, or says why there is none.
    async fn again(&self, fault: Fault, retry: &mut Retry) -> Result<(), Failure> {
        match fault {
            Fault::Final(failure) => Err(failure),
            Fault::Link(error) => retry.pause(&error).await.map_err(|e| self.failure(&e)),
            Fault::Sink => Err(Failure::new(FailureCode::NodeUnfit, "this node's disk failed", "")),
        }
    }

    fn failure(&self, error: &NetError) -> Failure {
        let advice = "check that the depot runs and that its address is reachable from this machine";
        let message = format!("transfer with the depot at {} failed: {error}", self.target);
        let failure = Failure::new(FailureCode::TransferFailed, message, advice);
        if error.retry_can_help() { failure } else { failure.with_class(FailureClass::NodeFault) }
    }
}

/// Why one try of a request ended.
enum Fault {
    /// Another try would end in the same way.
    Final(Failure),
    /// Another try may do.
    Link(NetError),
    /// This machine's disk failed; the sink knows how.
    Sink,
}

impl From<NetError> for Fault {
    fn from(error: NetError) -> Self {
        Self::Link(error)
    }
}

struct Retry {
    tries: u32,
}

impl Retry {
    fn new() -> Self {
        Self { tries: 0 }
    }

    /// Waits before the next try, or gives the error back when there should be none.
    async fn pause(&mut self, error: &NetError) -> Result<(), NetError> {
        self.tries += 1;
        if self.tries >= TRIES || !error.retry_can_help() {
            return Err(error.clone());
        }
        tracing::debug!(%error, tries = self.tries, "bulk transfer interrupted, trying again");
        tokio::time::sleep(BACKOFF * 2_u32.pow(self.tries - 1)).await;
        Ok(())
    }
}

async fn answer(recv: &mut RecvStream, patience: Duration) -> Result<BulkReply, NetError> {
    match timeout(patience, framed::recv::<BulkReply>(recv)).await {
        Ok(reply) => reply?.ok_or(NetError::Truncated),
        Err(_) => Err(NetError::Stalled { seconds: patience.as_secs() }),
    }
}

fn unexpected(reply: BulkReply) -> Fault {
    Fault::Final(match reply {
        BulkReply::Failed(failure) => failure,
        other => {
            let message = format!("the depot answered with {other:?}, which does not fit the request");
            Failure::new(FailureCode::TransferFailed, message, "compare the versions of depot and worker")
                .with_class(FailureClass::NodeFault)
        }
    })
}

fn too_large(location: &Location, size: Bytes, limit: Bytes) -> Failure {
    let message = format!("{location} has {size}, more than the {limit} that may be fetched");
    Failure::new(
        FailureCode::LimitReached,
        message,
        "raise the limit on inputs in worker.toml, or send a smaller file",
    )
    .with_class(FailureClass::NodeFault)
}

fn changed(location: &Location) -> Failure {
    let message = format!("{location} changed while it was read");
    Failure::new(FailureCode::TransferFailed, message, "submit it once it is written completely")
}

async fn sink_failure(sink: WriteBehind, to: &Path) -> Failure {
    let error = sink.finish().await.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    unwritable(to, &error)
}

fn unreadable(location: &Location, error: &io::Error) -> Failure {
    let message = format!("cannot read what is to become {location}: {error}");
    Failure::new(FailureCode::NodeUnfit, message, "look at the disk of this node")
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let advice = if error.kind() == io::ErrorKind::StorageFull {
        "make room on the node's scratch disk, or give the worker another scratch directory"
    } else {
        "look at the node's scratch directory and its permissions"
    };
    Failure::new(FailureCode::NodeUnfit, format!("cannot write {}: {error}", path.display()), advice)
}

/// How long a request may take: a set is written once more as it is published.
fn patience(request: &BulkRequest) -> Duration {
    match request {
        BulkRequest::Publish { from, .. } => {
            let bytes = from.size.map_or(0, |size| size.0);
            COMMIT.max(Duration::from_secs(bytes / SLOWEST_PUBLISH))
        }
        _ => COMMIT,
    }
}

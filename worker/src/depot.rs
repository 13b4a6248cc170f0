//! The worker's side of the farm's transfer: inputs in, outputs out, with patience for a depot that restarts.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rushes_net::NetError;
use rushes_net::bulk::{BulkClient, Parts};
use rushes_shared::artifact::{Artifact, ContentHash, Location};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::units::Bytes;
use rushes_shared::wire::PartsOf;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

/// First and longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Opens clients for the depot that the coordinator names, and remembers the current one.
#[derive(Debug, Clone)]
pub struct Depot {
    endpoint: quinn::Endpoint,
    config: quinn::ClientConfig,
    current: watch::Sender<Option<(String, BulkClient)>>,
    patience: Duration,
}

impl Depot {
    /// `config` is for the bulk ALPN. A transfer is tried again for as long as `patience` says after its last success.
    #[must_use]
    pub fn new(endpoint: quinn::Endpoint, config: quinn::ClientConfig, patience: Duration) -> Self {
        Self { endpoint, config, current: watch::Sender::new(None), patience }
    }

    /// Uses the depot at `target` from now on.
    pub fn is_at(&self, target: &str) {
        self.current.send_if_modified(|current| {
            if current.as_ref().is_some_and(|(known, _)| known == target) {
                return false;
            }
            let client = BulkClient::new(self.endpoint.clone(), self.config.clone(), target);
            *current = Some((target.to_owned(), client));
            true
        });
    }

    /// Ends the connection in good order.
    pub async fn close(&self) {
        let current = self.current.borrow().as_ref().map(|(_, client)| client.clone());
        if let Some(client) = current {
            client.close().await;
        }
    }

    fn client(&self) -> Result<BulkClient, Failure> {
        let current = self.current.borrow().as_ref().map(|(_, client)| client.clone());
        current.ok_or_else(|| {
            let error = NetError::Unavailable { reason: "no depot is known yet".to_owned() };
            Failure::new(
                FailureCode::TransferFailed,
                error.to_string(),
                "the coordinator names it when it is reached",
            )
        })
    }

    /// Fetches an input. `progress` gets bytes done and in all.
    ///
    /// # Errors
    /// The depot's own failure, or `TransferFailed` when patience is at its end.
    pub async fn fetch(
        &self,
        location: &Location,
        ticket: &[u8],
        to: &Path,
        limit: Bytes,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Artifact, Failure> {
        let mut patience = Patience::new(self.patience);
        loop {
            let result = match self.client() {
                Ok(client) => client.fetch(location, ticket, to, limit, progress).await,
                Err(failure) => Err(failure),
            };
            match result {
                Ok(artifact) => return Ok(artifact),
                Err(failure) => patience.pause(failure, "fetch").await?,
            }
        }
    }

    /// Reads parts of files, once: whoever cannot have them fetches the files.
    ///
    /// # Errors
    /// `TransferFailed` when the depot cannot be reached, or knows no such request.
    pub async fn read_parts(
        &self,
        files: Vec<PartsOf>,
        ticket: &[u8],
    ) -> Result<Vec<Result<Parts, Failure>>, Failure> {
        self.client()?.read_parts(files, ticket).await
    }

    /// Stores an output. When this returns, the depot has it on disk.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn store(
        &self,
        from: &File,
        location: &Location,
        ticket: &[u8],
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Artifact, Failure> {
        let mut patience = Patience::new(self.patience);
        loop {
            let result = match self.client() {
                Ok(client) => client.store(from, location, ticket, progress).await,
                Err(failure) => Err(failure),
            };
            match result {
                Ok(artifact) => return Ok(artifact),
                Err(failure) => patience.pause(failure, "store").await?,
            }
        }
    }
}

impl Depot {
    /// Has what was kept of an attempt's work staged. `None` where nothing is, or where nobody can say.
    pub async fn take(
        &self,
        to: &Location,
        maker: ContentHash,
        ticket: &[u8],
    ) -> Option<(Artifact, Vec<u8>)> {
        let taken = self.client().ok()?.take(to, maker, ticket).await;
        taken.unwrap_or_else(|failure| {
            info!(%failure, "what was kept of this work cannot be asked for; it is done anew");
            None
        })
    }

    /// Has an attempt's result kept for whoever does the same work again. Nothing depends on it.
    pub async fn keep(&self, from: &Artifact, maker: ContentHash, note: Vec<u8>, ticket: &[u8]) {
        let Ok(client) = self.client() else { return };
        if let Err(failure) = client.keep(from, maker, note, ticket).await {
            info!(%failure, "a result could not be kept for others");
        }
    }
}

/// Tries that are left.
struct Patience {
    until: Instant,
    pause: Duration,
}

impl Patience {
    fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: PAUSE.0 }
    }

    /// Waits before the next try, or gives the failure back when there should be none.
    async fn pause(&mut self, failure: Failure, what: &'static str) -> Result<(), Failure> {
        let may_pass =
            failure.code == FailureCode::TransferFailed && failure.class == FailureClass::Transient;
        if !may_pass || Instant::now() + self.pause >= self.until {
            return Err(failure);
        }
        info!(%failure, what, "the transfer is tried again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

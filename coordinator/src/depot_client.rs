//! Publishes and drops: what the engine asks of the depot, on a bounded number of streams.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Addr;
use rushes_core::event::Event;
use rushes_net::bulk::BulkClient;
use rushes_net::ticket::TicketKey;
use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::failure::Failure;
use rushes_shared::id::{AttemptId, Epoch, JobId};
use rushes_shared::ticket::{Grant, Ticket};
use rushes_shared::units::WallMs;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::engine_actor::{EngineActor, Happened, tell};

/// Requests under way at once.
const STREAMS: usize = 64;
/// Attempts whose staged files wait to be dropped; older ones are left to the depot's own sweep.
const MAX_DROPS: usize = 100_000;
/// Attempts in one drop request.
const DROP_BATCH: usize = 1_000;
/// Pause before the depot is asked again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a ticket for the coordinator's own requests is good, in milliseconds.
const TICKET_MS: u64 = 3_600_000;

/// The engine's way to the depot. Lives on the engine's arbiter.
#[derive(Debug, Clone)]
pub struct DepotFront {
    client: BulkClient,
    key: Arc<TicketKey>,
    clock: Clock,
    streams: Arc<Semaphore>,
    drops: Arc<Mutex<Drops>>,
}

#[derive(Debug, Default)]
struct Drops {
    waiting: VecDeque<AttemptId>,
    is_running: bool,
}

impl DepotFront {
    /// A front of the depot behind `client`.
    #[must_use]
    pub fn new(client: BulkClient, key: Arc<TicketKey>, clock: Clock) -> Self {
        Self { client, key, clock, streams: Arc::new(Semaphore::new(STREAMS)), drops: Arc::default() }
    }

    /// Has a file published and tells the engine how it went.
    pub fn publish(&self, engine: Addr<EngineActor>, job: JobId, output: u32, from: Artifact, to: Location) {
        let front = self.clone();
        actix_rt::spawn(async move {
            let _permit = front.streams.acquire().await;
            let grant = Grant::Publish { from: from.location.clone(), to: to.clone() };
            let result = front.client.publish(&from, &to, &front.ticket(grant)).await;
            if let Err(failure) = &result {
                tracing::warn!(%job, %to, %failure, "the output could not be published");
            }
            tell(&engine, Happened(Event::PublishEnded { job, output, result })).await;
        });
    }

    /// Tells the depot that an upload is still needed.
    ///
    /// # Errors
    /// The depot's own failure; `TransferFailed` when it cannot be reached.
    pub async fn renew(&self, upload: &Location) -> Result<(), Failure> {
        let _permit = self.streams.acquire().await;
        self.client.renew(upload, &self.ticket(Grant::Read(upload.clone()))).await
    }

    /// Asks which attempts of reigns before this one have staged something, until the depot answers, and tells the engine.
    pub fn find_staged(&self, engine: Addr<EngineActor>, before: Epoch, after: Option<AttemptId>) {
        let front = self.clone();
        actix_rt::spawn(async move {
            let attempts = loop {
                match front.client.list_staged(before, after, &front.ticket(Grant::ListStaged)).await {
                    Ok(attempts) => break attempts,
                    Err(failure) => tracing::warn!(%failure, "staged files could not be listed; tried again"),
                }
                actix_rt::time::sleep(AGAIN).await;
            };
            tell(&engine, Happened(Event::StagedFound { attempts })).await;
        });
    }

    /// Has staged files dropped, again and again while the depot is away.
    pub fn drop_staged(&self, attempts: Vec<AttemptId>) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_DROPS.saturating_sub(drops.waiting.len());
        drops.waiting.extend(attempts.into_iter().take(room));
        if !drops.is_running {
            drops.is_running = true;
            actix_rt::spawn(self.clone().work_off());
        }
    }

    async fn work_off(self) {
        loop {
            let batch: Vec<AttemptId> = {
                let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
                let count = drops.waiting.len().min(DROP_BATCH);
                if count == 0 {
                    drops.is_running = false;
                    return;
                }
                drops.waiting.drain(..count).collect()
            };
            let ticket = self.ticket(Grant::Drop(batch.clone()));
            if let Err(failure) = self.client.drop_staged(batch.clone(), &ticket).await {
                tracing::warn!(%failure, "staged files could not be dropped; they are tried again later");
                self.drops.lock().unwrap_or_else(PoisonError::into_inner).waiting.extend(batch);
                actix_rt::time::sleep(AGAIN).await;
            }
        }
    }

    fn ticket(&self, grant: Grant) -> Vec<u8> {
        let expires = WallMs(self.clock.now().wall.0.saturating_add(TICKET_MS));
        self.key.sign(&Ticket { grant, expires })
    }
}

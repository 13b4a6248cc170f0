//! One connection of a newcomer: a request with a join token's secret, an answer with a certificate or a reason.
//!
//! Newcomers have no certificate, so this is the one place where strangers talk to the coordinator: everything about
//! it is bounded, and an address that keeps failing has to wait.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use quinn::{Connection, VarInt};
use rushes_net::{NetError, framed};
use rushes_shared::id::WorkerId;
use rushes_shared::units::WallMs;
use rushes_shared::wire::{JoinReply, JoinRequest, close};

use super::authority::{Authority, CERTIFICATE_LIFETIME};
use super::enrolment::{self, Enrolment};
use super::join_token::{self, JoinRefusal};
use super::vault::KeyVault;
use crate::strangers;

/// The span over which failures are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered.
const ADDRESSES: usize = 4096;
/// Longest name of a worker, in characters.
const NAME_LIMIT: usize = 100;

/// What a newcomer may do and gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinLimits {
    /// How long it may take for its request, and for reading its answer.
    pub timeout: Duration,
    /// Failures of one address within a minute after which it has to wait.
    pub failures_per_minute: u32,
    /// How long its certificate counts.
    pub certificate_lifetime: Duration,
}

impl Default for JoinLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            failures_per_minute: 10,
            certificate_lifetime: CERTIFICATE_LIFETIME,
        }
    }
}

/// Serves enrolment. One for all connections.
pub struct JoinServer {
    authority: Arc<Authority>,
    vault: Arc<dyn KeyVault>,
    limits: JoinLimits,
    failures: Mutex<BTreeMap<IpAddr, (Instant, u32)>>,
}

impl std::fmt::Debug for JoinServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinServer").finish_non_exhaustive()
    }
}

/// Why nobody was enrolled.
#[derive(Debug, Clone, thiserror::Error)]
enum JoinFailure {
    /// Too many failures from this address.
    #[error("too many failed attempts from this address; wait a minute and use a valid join token")]
    RateLimited,
    /// The token lets nobody in.
    #[error(transparent)]
    Token(#[from] JoinRefusal),
    /// The request is not acceptable.
    #[error("{0}")]
    Request(String),
    /// The newcomer's connection failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The coordinator itself failed.
    #[error("the coordinator could not complete the enrolment; see its log")]
    Internal(String),
}

impl JoinFailure {
    /// The value of the metric's label.
    fn label(&self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Token(JoinRefusal::Unknown) => "unknown_token",
            Self::Token(JoinRefusal::UsedUp) => "used_up",
            Self::Token(JoinRefusal::Expired(_)) => "expired",
            Self::Request(_) => "bad_request",
            Self::Net(_) => "connection",
            Self::Token(JoinRefusal::Vault(_)) | Self::Internal(_) => "internal",
        }
    }

    /// Whether it counts against the newcomer's address.
    fn is_the_newcomers(&self) -> bool {
        !matches!(self, Self::RateLimited | Self::Internal(_) | Self::Token(JoinRefusal::Vault(_)))
    }
}

impl JoinServer {
    /// A server for newcomers of `authority`'s farm.
    #[must_use]
    pub fn new(authority: Arc<Authority>, vault: Arc<dyn KeyVault>, limits: JoinLimits) -> Self {
        Self { authority, vault, limits, failures: Mutex::default() }
    }

    /// Refuses a worker that never enrolled or was removed.
    ///
    /// # Errors
    /// [`NetError::UnknownWorker`] with the reason; [`NetError::Unavailable`] when the store fails.
    pub fn admit(&self, worker: WorkerId) -> Result<Enrolment, NetError> {
        enrolment::admit(&*self.vault, worker)
    }

    /// Whether a worker is enrolled and was not removed.
    #[must_use]
    pub fn is_enrolled(&self, worker: WorkerId) -> bool {
        self.admit(worker).is_ok()
    }

    /// Handles one connection with an ALPN of `JOIN_ALPNS`, from its request to its end. A refusal is told to the
    /// newcomer, logged and counted here.
    pub async fn serve(self: Arc<Self>, connection: Connection) {
        let peer = connection.remote_address().ip().to_canonical();
        let patience = self.limits.timeout;
        let result = tokio::time::timeout(patience, Arc::clone(&self).exchange(&connection, peer))
            .await
            .unwrap_or(Err(NetError::Stalled { seconds: patience.as_secs() }.into()));
        let label = match &result {
            Ok((worker, name)) => {
                tracing::info!(%worker, name, %peer, "worker enrolled");
                "enrolled"
            }
            Err(failure) => {
                if failure.is_the_newcomers() {
                    self.count_failure(peer);
                }
                match failure {
                    JoinFailure::Internal(detail) => tracing::error!(%peer, detail, "enrolment failed"),
                    other => {
                        if let Some(untold) = strangers::may_cause_a_line() {
                            tracing::warn!(%peer, reason = %other, untold, "enrolment refused");
                        }
                    }
                }
                failure.label()
            }
        };
        metrics::counter!("rushes_join_total", "result" => label).increment(1);
        // The newcomer closes once it has its answer.
        if tokio::time::timeout(patience, connection.closed()).await.is_err() {
            connection.close(VarInt::from_u32(close::BYE), b"");
        }
    }

    async fn exchange(
        self: Arc<Self>,
        connection: &Connection,
        peer: IpAddr,
    ) -> Result<(WorkerId, String), JoinFailure> {
        let (mut send, mut recv) = connection.accept_bi().await.map_err(NetError::from)?;
        let request = framed::recv::<JoinRequest>(&mut recv).await?.ok_or(NetError::Truncated)?;
        let server = Arc::clone(&self);
        let result = tokio::task::spawn_blocking(move || server.enrol(&request, peer, wall_clock()))
            .await
            .unwrap_or_else(|e| Err(JoinFailure::Internal(e.to_string())));
        let reply = match &result {
            Ok(enrolled) => enrolled.reply.clone(),
            Err(failure) => JoinReply::Refused { reason: failure.to_string() },
        };
        framed::send(&mut send, &reply).await?;
        let _ = send.finish();
        result.map(|enrolled| (enrolled.worker, enrolled.name))
    }

    /// Decides on a request. The token's use and the worker are on disk before the certificate is handed out; a crash
    /// in between costs one use and enrols nobody who holds a certificate.
    fn enrol(&self, request: &JoinRequest, peer: IpAddr, now: WallMs) -> Result<Enrolled, JoinFailure> {
        if self.must_wait(peer) {
            return Err(JoinFailure::RateLimited);
        }
        let internal = |e: &dyn std::fmt::Display| JoinFailure::Internal(e.to_string());
        join_token::check(&*self.vault, &request.secret, now)?;
        let name = request.name.trim();
        if name.is_empty() || name.chars().count() > NAME_LIMIT || name.chars().any(char::is_control) {
            let reason =
                format!("a worker's name has 1 to {NAME_LIMIT} characters; give another one with --name");
            return Err(JoinFailure::Request(reason));
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| internal(&e))?;
        let worker = WorkerId::from_parts(now.0, u128::from_le_bytes(random));
        let signed =
            self.authority.sign_worker(&request.csr_der, worker, now, self.limits.certificate_lifetime);
        let (certificate_pem, expires) = signed.map_err(|e| match e {
            super::PkiError::Request(reason) => JoinFailure::Request(reason),
            other => internal(&other),
        })?;
        let token = join_token::redeem(&*self.vault, &request.secret, now)?;
        let enrolment = Enrolment {
            name: name.to_owned(),
            token_label: token.label,
            joined: now,
            expires,
            removed: None,
        };
        enrolment::record(&*self.vault, worker, &enrolment).map_err(|e| internal(&e))?;
        let ca_pem = self.authority.ca_pem().to_owned();
        let reply = JoinReply::Welcome { worker, certificate_pem, ca_pem };
        Ok(Enrolled { worker, name: enrolment.name, reply })
    }

    fn must_wait(&self, peer: IpAddr) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&peer).is_some_and(|(since, count)| {
            since.elapsed() < WINDOW && *count >= self.limits.failures_per_minute
        })
    }

    fn count_failure(&self, peer: IpAddr) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESSES {
            failures.retain(|_, (since, _)| since.elapsed() < WINDOW);
        }
        if failures.len() >= ADDRESSES && !failures.contains_key(&peer) {
            // An attacker with this many addresses gains nothing: secrets have 256 bits.
            return;
        }
        let (since, count) = failures.entry(peer).or_insert((Instant::now(), 0));
        if since.elapsed() >= WINDOW {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
    }
}

struct Enrolled {
    worker: WorkerId,
    name: String,
    reply: JoinReply,
}

pub(super) fn wall_clock() -> WallMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

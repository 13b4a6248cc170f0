//! Accepts QUIC connections: workers by their certificate, newcomers by their token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use metrics::counter;
use quinn::{Connecting, Endpoint};
use rushes_core::event::LinkId;
use rushes_net::NetError;
use rushes_net::endpoint::{alpn, peer_worker, refuse};
use rushes_shared::wire::JOIN_ALPNS;
use tokio::sync::Semaphore;

use crate::engine_actor::EngineActor;
use crate::link_actor::{self, FarmFacts};
use crate::pki::{JoinServer, KeyVault, enrolment};
use crate::strangers;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the listener hands connections to.
#[derive(Clone)]
pub struct Listener {
    /// For workers.
    pub engine: Addr<EngineActor>,
    /// What workers are told.
    pub farm: Arc<FarmFacts>,
    /// For newcomers.
    pub join: Arc<JoinServer>,
    /// Knows who is enrolled.
    pub vault: Arc<dyn KeyVault>,
    /// Connections that are served at once; more wait in the endpoint's own bounded queue.
    pub connections: usize,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// Accepts until the endpoint is closed. Runs on the engine's arbiter.
pub async fn accept(endpoint: Endpoint, listener: Listener) {
    let room = Arc::new(Semaphore::new(listener.connections));
    let mut links = 0_u64;
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            counter!("rushes_connections_refused_total", "reason" => "full").increment(1);
            incoming.refuse();
            continue;
        };
        let peer = incoming.remote_address();
        // A client without a protocol in common is refused right here, at its first packet.
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => {
                refused(peer, &error.into());
                continue;
            }
        };
        links += 1;
        let (listener, link) = (listener.clone(), LinkId(links));
        actix_rt::spawn(async move {
            if let Err(error) = serve(connecting, listener, link).await {
                refused(peer, &error);
            }
            drop(permit);
        });
    }
}

fn refused(peer: SocketAddr, error: &NetError) {
    counter!("rushes_connections_refused_total", "reason" => "handshake").increment(1);
    if let Some(untold) = strangers::may_cause_a_line() {
        tracing::warn!(%peer, %error, untold, "a connection was refused");
    }
}

async fn serve(connecting: Connecting, listener: Listener, link: LinkId) -> Result<(), NetError> {
    let Ok(connected) = tokio::time::timeout(HANDSHAKE, connecting).await else {
        return Err(NetError::Lost);
    };
    let connection = connected?;
    let is_join = alpn(&connection).is_some_and(|name| JOIN_ALPNS.contains(&name.as_slice()));
    if is_join {
        // Refusals are logged and counted where they are decided.
        let _logged = listener.join.serve(connection).await;
        return Ok(());
    }
    let admitted = peer_worker(&connection).and_then(|w| enrolment::admit(&*listener.vault, w).map(|_| w));
    match admitted {
        Ok(worker) => link_actor::serve(connection, worker, link, listener.engine, listener.farm).await,
        Err(error) => {
            refuse(&connection, &error);
            Err(error)
        }
    }
}

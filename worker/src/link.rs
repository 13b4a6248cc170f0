//! The connection to the coordinator: made again whenever it is lost, for as long as the worker lives.
//!
//! Losing it ends nothing. At each connection the worker tells which attempts it holds; the coordinator names those to
//! give up and opens a stream for each of the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, VarInt};
use rushes_net::framed::{self, FrameReader};
use rushes_net::{NetError, endpoint};
use rushes_shared::id::Epoch;
use rushes_shared::wire::{AHEAD_ALPN, FarmBound, HARDWARE_ALPN, WireVersion, WorkerBound, close, knows};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, info, warn};

use crate::held::StopReason;
use crate::metrics;
use crate::state_dir::StateError;
use crate::task_stream;
use crate::worker::Worker;

/// How long the coordinator may take to answer a Hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// The same trouble is logged again after this long.
const REMIND: Duration = Duration::from_secs(60);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The network, the other side, or its refusal.
    #[error(transparent)]
    Net(#[from] NetError),
    /// An older coordinator answers.
    #[error(
        "the coordinator is of reign {offered}, this worker has served reign {served}: an old coordinator runs beside the current one, or was restored from an old backup; stop the old one, or join again"
    )]
    OldEpoch {
        /// What it says.
        offered: u64,
        /// What was seen before.
        served: u64,
    },
    /// The reign cannot be remembered.
    #[error(transparent)]
    State(#[from] StateError),
    /// The coordinator refuses this worker, and will go on to.
    #[error("the coordinator at {target} refused this worker {times} times: {last}")]
    Refused {
        /// Which coordinator.
        target: String,
        /// How often in a row.
        times: u32,
        /// Its words.
        last: NetError,
    },
}

impl LinkError {
    /// Whether only a person can mend it.
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Net(
                NetError::ForeignPeer { .. }
                    | NetError::CertificateRefused { .. }
                    | NetError::CertificateRequired
                    | NetError::NoCommonVersion
                    | NetError::UnknownWorker { .. }
            )
        )
    }
}

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct Target {
    /// The coordinator, `host:port`.
    pub address: String,
    /// The socket.
    pub endpoint: Endpoint,
    /// For the worker's ALPN, with its certificate.
    pub config: ClientConfig,
}

/// Keeps the link up until `stop`.
///
/// # Errors
/// [`LinkError::Refused`] after `link.refusals_max` refusals in a row while nothing runs here; [`LinkError::State`].
pub async fn run(worker: Arc<Worker>, target: Target, stop: CancellationToken) -> Result<(), LinkError> {
    let link = &worker.settings().link;
    let (shortest, longest) =
        (Duration::from_millis(link.reconnect_min_ms), Duration::from_millis(link.reconnect_max_ms));
    let mut pause = shortest;
    let mut refusals = 0;
    let mut trouble = Trouble::default();
    loop {
        let mut welcomed = false;
        let Err(error) = session(&worker, &target, &stop, &mut welcomed).await else { return Ok(()) };
        if worker.link_up.send_replace(false) {
            metrics::link_is_up(false);
        }
        if welcomed {
            (pause, refusals, trouble) = (shortest, 0, Trouble::default());
        }
        trouble.tell(&target.address, &error);
        match error {
            LinkError::State(_) => return Err(error),
            LinkError::Net(last) if LinkError::Net(last.clone()).is_refusal() => {
                refusals += 1;
                if matches!(last, NetError::UnknownWorker { .. }) && !worker.held.is_empty() {
                    // Nobody would take the results: what it held was given to others when it was removed.
                    warn!("the farm no longer knows this worker; what runs here is stopped");
                    worker.give_up_all();
                }
                let idle = worker.slots.in_use() == 0;
                if refusals >= link.refusals_max && idle {
                    return Err(LinkError::Refused { target: target.address, times: refusals, last });
                }
            }
            _ => refusals = 0,
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(jittered(pause)) => {}
        }
        pause = (pause * 2).min(longest);
    }
}

/// One connection from its start to its end; `Ok` when the worker stops.
async fn session(
    worker: &Arc<Worker>,
    target: &Target,
    stop: &CancellationToken,
    welcomed: &mut bool,
) -> Result<(), LinkError> {
    let connecting = endpoint::connect(&target.endpoint, target.config.clone(), &target.address);
    let connection = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        connection = connecting => connection?,
    };
    let result = tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        result = converse(worker, &connection, welcomed) => result.map(|never| match never {}),
    };
    if let Err(error) = &result {
        let code = match error {
            LinkError::Net(NetError::Protocol { .. } | NetError::Frame(_)) | LinkError::OldEpoch { .. } => {
                close::PROTOCOL
            }
            _ => close::BYE,
        };
        connection.close(VarInt::from_u32(code), error.to_string().as_bytes());
    } else {
        connection.close(VarInt::from_u32(close::BYE), b"the worker stops");
    }
    result
}

/// Speaks with the coordinator for as long as that goes well.
async fn converse(
    worker: &Arc<Worker>,
    connection: &Connection,
    welcomed: &mut bool,
) -> Result<Infallible, LinkError> {
    worker.forget_waiting();
    let (mut send, recv) = connection.open_bi().await.map_err(NetError::from)?;
    let mut reader = FrameReader::new(recv);
    let hello = FarmBound::Hello {
        instance: worker.instance,
        epoch: worker.epoch(),
        facts: worker.facts.clone(),
        held: worker.held.list(),
    };
    framed::send(&mut send, &hello).await?;
    let first = tokio::time::timeout(WELCOME_TIMEOUT, reader.next::<WorkerBound>())
        .await
        .map_err(|_| NetError::Stalled { seconds: WELCOME_TIMEOUT.as_secs() })??;
    let Some(WorkerBound::Welcome { epoch, heartbeat_ms, depot, give_up, .. }) = first else {
        return Err(match first {
            None => NetError::Closed.into(),
            Some(_) => NetError::Protocol { reason: "the first message is no welcome".to_owned() }.into(),
        });
    };
    adopt_epoch(worker, epoch)?;
    for attempt in give_up {
        if let Some(held) = worker.held.find(attempt) {
            info!(%attempt, "the coordinator has given the attempt up");
            held.stop(StopReason::Unwanted);
            worker.held.forget(attempt);
        }
        worker.held.lane.forget(&[attempt]);
    }
    if let Some(depot) = depot_address(&depot, connection) {
        worker.shop.depot.is_at(&depot);
    }
    let version = endpoint::alpn(connection);
    let agreed = WireVersion::of(version.as_deref());
    if knows(version.as_deref(), AHEAD_ALPN) {
        framed::send(&mut send, &FarmBound::Ahead(worker.settings().ahead.offer())).await?;
    }
    if knows(version.as_deref(), HARDWARE_ALPN) && worker.facts.encoders.iter().any(|e| e.hardware && e.works)
    {
        let sessions = worker.settings().media.hardware_sessions;
        framed::send(&mut send, &FarmBound::Hardware { sessions }).await?;
    }
    *welcomed = true;
    worker.link_up.send_replace(true);
    metrics::link_is_up(true);
    info!(coordinator = %connection.remote_address(), epoch = epoch.0, held = worker.held.len(), "connected");

    let mut heartbeat = interval(Duration::from_millis(heartbeat_ms.clamp(50, 60_000)));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leaving = worker.leaving.subscribe();
    leaving.mark_changed();
    // Dropped with the session, which ends the streams and not the attempts.
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            message = reader.next::<WorkerBound>() => match message? {
                Some(WorkerBound::Draining(true)) => info!("the operator drains this worker: nothing new comes"),
                Some(WorkerBound::Draining(false)) => info!("the operator lets this worker work again"),
                Some(WorkerBound::Goodbye) => info!("the coordinator stops; running tasks go on"),
                Some(WorkerBound::Welcome { .. }) => {
                    return Err(NetError::Protocol { reason: "a second welcome".to_owned() }.into());
                }
                None => return Err(NetError::Closed.into()),
            },
            stream = connection.accept_bi() => {
                let (send, recv) = stream.map_err(NetError::from)?;
                streams.spawn(task_stream::serve(Arc::clone(worker), send, recv, agreed).in_current_span());
            }
            Some(_) = streams.join_next() => {}
            _ = heartbeat.tick() => framed::send(&mut send, &FarmBound::Heartbeat).await?,
            Ok(()) = leaving.changed() => {
                if *leaving.borrow_and_update() {
                    framed::send(&mut send, &FarmBound::Leaving).await?;
                }
            }
        }
    }
}

/// Refuses an older reign, and remembers a newer one before anything of it is served.
fn adopt_epoch(worker: &Worker, offered: Epoch) -> Result<(), LinkError> {
    let served = worker.epoch();
    if offered < served {
        return Err(LinkError::OldEpoch { offered: offered.0, served: served.0 });
    }
    if offered > served {
        worker.save_epoch(offered)?;
    }
    Ok(())
}

/// Where the depot is: as told, or on the coordinator's own host.
fn depot_address(told: &str, connection: &Connection) -> Option<String> {
    let (host, port) = told.rsplit_once(':')?;
    if !host.is_empty() {
        return Some(told.to_owned());
    }
    let mut address = connection.remote_address();
    address.set_port(port.parse().ok()?);
    Some(address.to_string())
}

/// Between half and the whole of a pause, so that a farm's workers do not return all at once.
fn jittered(pause: Duration) -> Duration {
    let share = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + 0.5 * share)
}

/// Logs trouble once and then now and again, not at each of a thousand tries.
#[derive(Default)]
struct Trouble {
    last: Option<(String, Instant)>,
}

impl Trouble {
    fn tell(&mut self, target: &str, error: &LinkError) {
        let text = error.to_string();
        if self.last.as_ref().is_some_and(|(known, at)| *known == text && at.elapsed() < REMIND) {
            debug!(coordinator = target, error = text, "still not connected");
            return;
        }
        warn!(coordinator = target, error = text, "not connected; trying again, running tasks go on");
        self.last = Some((text, Instant::now()));
    }
}

//! The worker as a whole: what its parts share, how it starts and how it stops.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rushes_net::{Identity, NetError, endpoint};
use rushes_shared::id::Epoch;
use rushes_shared::node::NodeFacts;
use rushes_shared::task::ALLOCATOR;
use rushes_shared::wire::{BULK_ALPNS, WORKER_ALPNS};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use crate::attempt::{SpareRooms, Workshop};
use crate::depot::Depot;
use crate::facts;
use crate::held::{HeldAttempts, StopReason};
use crate::inputs::Inputs;
use crate::link::{self, LinkError, Target};
use crate::maker;
use crate::metrics::{self, MetricsError};
use crate::process::ledger::Ledger;
use crate::process::nursery::{Loads, Nursery};
use crate::process::pool::{Pool, PoolConfig};
use crate::settings::{Loaded, Settings};
use crate::slots::Slots;
use crate::state_dir::{Enrolment, StateDir, StateError};
use crate::survey;

/// How long stopped attempts may take to be gone, and their outcomes to be collected.
const WIND_UP: Duration = Duration::from_secs(3);

/// A worker that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its identity or socket.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Its link, for good.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Its metrics endpoint.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// What the parts of a running worker share.
#[derive(Debug)]
pub struct Worker {
    /// Random for each start.
    pub instance: u64,
    /// The node.
    pub facts: NodeFacts,
    /// Running attempts and uncollected outcomes.
    pub held: HeldAttempts,
    /// Capacity.
    pub slots: Slots,
    /// What attempts work with.
    pub shop: Arc<Workshop>,
    /// Whether nothing new is taken on.
    pub leaving: watch::Sender<bool>,
    /// Whether a coordinator has welcomed this worker and is still there.
    pub link_up: watch::Sender<bool>,
    state: StateDir,
    epoch: Mutex<Epoch>,
}

impl Worker {
    /// Settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shop.settings
    }

    /// The highest reign served.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the attempts that wait for room: none of them has been started, and whoever connects is not told of them.
    pub fn forget_waiting(&self) {
        for held in self.held.waiting() {
            if self.slots.leave(held.attempt()) {
                held.stop(StopReason::Unwanted);
                self.held.forget(held.attempt());
            }
        }
    }

    /// Stops and forgets every attempt, as nobody will collect what they make.
    pub fn give_up_all(&self) {
        self.held.stop_all(StopReason::Unwanted);
        let attempts: Vec<_> = self.held.list().iter().map(|held| held.attempt).collect();
        for attempt in &attempts {
            self.slots.leave(*attempt);
            self.held.forget(*attempt);
        }
        self.held.lane.forget(&attempts);
    }

    /// Remembers a higher reign, on disk when this returns.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn save_epoch(&self, epoch: Epoch) -> Result<(), StateError> {
        self.state.save_epoch(epoch)?;
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = epoch;
        Ok(())
    }
}

/// Runs a worker until it is told to stop. Must be called on the thread that lives as long as the process, in a
/// runtime of that thread: the kernel ends task processes with the thread that started them.
///
/// # Errors
/// [`RunError`].
pub async fn run(loaded: Loaded) -> Result<(), RunError> {
    let mut stops = Stops::listen()?;
    let state = StateDir::open(&loaded.state_dir)?;
    let enrolment = state.enrolment()?;
    let span = info_span!("worker", worker = %enrolment.worker);
    run_in(loaded.settings, state, enrolment, &mut stops).instrument(span).await
}

async fn run_in(
    settings: Settings,
    state: StateDir,
    enrolment: Enrolment,
    stops: &mut Stops,
) -> Result<(), RunError> {
    let identity = Identity::load(&state.identity())?;
    let (worker, target) = tokio::select! {
        built = build(settings, state, &enrolment, &identity) => built?,
        () = stops.next() => return Ok(()),
    };
    let stop = CancellationToken::new();
    let endpoint = target.endpoint.clone();
    let mut link = tokio::spawn(link::run(Arc::clone(&worker), target, stop.clone()).in_current_span());
    tokio::select! {
        ended = &mut link => return Ok(ended.map_err(|e| system("the link")(e.into()))??),
        () = stops.next() => {}
    }
    wind_up(&worker, stops).await;
    stop.cancel();
    let closed = async {
        let ended = link.await;
        worker.shop.depot.close().await;
        endpoint.wait_idle().await;
        ended
    };
    if tokio::time::timeout(Duration::from_secs(1), closed).await.is_err() {
        warn!("the connection could not be closed in good order");
    }
    info!("stopped");
    Ok(())
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> RunError {
    move |source| RunError::System { what, source }
}

/// Everything up to the first connection.
async fn build(
    settings: Settings,
    state: StateDir,
    enrolment: &Enrolment,
    identity: &Identity,
) -> Result<(Arc<Worker>, Target), RunError> {
    if let Some(address) = settings.metrics.address() {
        metrics::serve(address).await?;
    }
    let (ledger, ended) =
        Ledger::open(&state.processes()).map_err(system("the notes about task processes"))?;
    let left = state.clean()?;
    if ended + left > 0 {
        warn!(processes = ended, attempts = left, "an earlier run was killed; what it left is gone");
    }
    let nursery = Nursery::start(&pool_config(&settings, &state, false), Loads::Media).await;
    let maker = maker::hash(nursery.as_ref().map_or("", Nursery::media));
    let surveyed = survey::run(&settings, &state, &nursery, &ledger).await;
    let name = [&settings.name, &enrolment.name].into_iter().find(|n| !n.is_empty()).cloned();
    let facts = facts::gather(&settings, &name.unwrap_or_else(facts::host_name), surveyed);
    info!(
        name = facts.name,
        millicores = facts.cpu.0,
        memory = %facts.memory,
        sandbox = facts.sandbox,
        state_dir = %state.root().display(),
        "worker starts"
    );
    let endpoint = endpoint::client()?;
    let depot = Depot::new(
        endpoint.clone(),
        endpoint::client_config(identity, BULK_ALPNS)?,
        Duration::from_secs(settings.transfer.retry_s),
    );
    let address = match settings.link.coordinator.as_str() {
        "" => enrolment.coordinator.clone(),
        set => set.to_owned(),
    };
    let config = endpoint::client_config(identity, WORKER_ALPNS)?;
    let target = Target { address, endpoint, config };
    let shop = Workshop {
        scratch: state.scratch(),
        rooms: SpareRooms::new(state.rooms()),
        pool: Pool::new(&pool_config(&settings, &state, true), &ledger, nursery.ok()),
        inputs: Inputs::new(state.cache(), settings.transfer.cache()),
        depot,
        maker,
        settings,
    };
    let worker = Worker {
        instance: getrandom::u64().map_err(|e| system("random numbers")(e.into()))?,
        slots: Slots::new(&facts, shop.settings.ahead.most(&facts)),
        facts,
        held: HeldAttempts::default(),
        shop: Arc::new(shop),
        leaving: watch::Sender::new(false),
        link_up: watch::Sender::new(false),
        epoch: Mutex::new(state.epoch()?),
        state,
    };
    Ok((Arc::new(worker), target))
}

/// How nurseries are started. Once the first has brought the list of plugins up to date, another trusts it.
fn pool_config(settings: &Settings, state: &StateDir, registry_is_current: bool) -> PoolConfig {
    let mut environment = vec![
        ("GST_REGISTRY".to_owned(), state.registry().to_string_lossy().into_owned()),
        ("HOME".to_owned(), "/nonexistent".to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ];
    environment.extend(ALLOCATOR.map(|(key, value)| (key.to_owned(), value.to_owned())));
    if registry_is_current && state.registry().exists() {
        environment.push(("GST_REGISTRY_UPDATE".to_owned(), "no".to_owned()));
    }
    if !settings.media.plugin_path.is_empty() {
        let paths: Vec<_> = settings.media.plugin_path.iter().map(|p| p.to_string_lossy()).collect();
        environment.push(("GST_PLUGIN_PATH".to_owned(), paths.join(":")));
    }
    PoolConfig {
        // This very program, even if its file was replaced by an upgrade in the meantime.
        program: PathBuf::from("/proc/self/exe"),
        environment,
        directory: state.scratch(),
        warm: settings.pool.warm,
        start_timeout: settings.pool.start_timeout(),
    }
}

/// Lets running tasks finish within the grace, stops the others, and waits until the outcomes are collected.
async fn wind_up(worker: &Worker, stops: &mut Stops) {
    worker.leaving.send_replace(true);
    if !*worker.link_up.borrow() {
        worker.forget_waiting();
    }
    let running = |held: &crate::held::Held| held.outcome().is_none();
    let grace = Duration::from_secs(worker.settings().shutdown.grace_s);
    let count = worker.held.list().iter().filter(|held| !held.finished).count();
    info!(
        running = count,
        grace_s = grace.as_secs(),
        "stopping; running tasks may finish, a second signal ends them"
    );
    let mut hurried = tokio::select! {
        ended = tokio::time::timeout(grace, worker.held.until_none(running)) => {
            if ended.is_err() {
                warn!("the grace is over, running tasks are stopped");
            }
            false
        }
        () = stops.next() => true,
    };
    worker.held.stop_all(StopReason::Shutdown);
    if hurried {
        // Their processes end with this one.
        return;
    }
    let ended = async {
        worker.held.until_none(running).await;
        if *worker.link_up.borrow() {
            worker.held.until_none(|_| true).await;
            worker.held.lane.until_none().await;
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(WIND_UP, ended) => {}
        () = stops.next() => hurried = true,
    }
    if hurried {
        warn!("stopped at once");
    }
}

/// SIGTERM and SIGINT, one after the other.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> Result<Self, RunError> {
        let listen = |kind| signal(kind).map_err(system("signals"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

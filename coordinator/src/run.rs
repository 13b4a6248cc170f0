//! Puts the coordinator together and runs it until it is told to stop, or must.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use anyhow::{Context, bail};
use quinn::{Endpoint, VarInt};
use rushes_core::engine::Engine;
use rushes_core::state::State;
use rushes_net::bulk::BulkClient;
use rushes_net::endpoint::{ClientCerts, client, client_config, server};
use rushes_net::ticket::TicketKey;
use rushes_shared::id::{JobId, Seq};
use rushes_shared::units::{Bytes, WallMs};
use rushes_shared::view::AddressBook;
use rushes_shared::wire::{BULK_ALPNS, JOIN_ALPNS, WORKER_ALPNS};
use tokio::sync::{broadcast, mpsc, watch};

use crate::api::{self, Api, ApiParts, FileRoots};
use crate::clock::Clock;
use crate::depot_client::DepotFront;
use crate::depot_process::DepotProcess;
use crate::engine_actor::{EngineActor, EngineParts, Farewell, tell};
use crate::farm::Farm;
use crate::joins::Joins;
use crate::layout::Layout;
use crate::ledger::Exporter;
use crate::link_actor::FarmFacts;
use crate::listener::{self, Listener};
use crate::pki::join_server::JoinLimits;
use crate::pki::{Authority, JoinServer, KeyVault, VaultError, enrolment, join_token};
use crate::recover::Replay;
use crate::settings::Settings;
use crate::store::{
    EventSink, FoldError, Folded, Origin, Recovery, Running, Store, StoreError, StoreEvent, StoreHandle,
    StoreOptions,
};
use crate::store_vault::StoreVault;
use crate::task_logs::TaskLogs;
use crate::{presets, room, telemetry, upload_keeper};

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// Somebody asked for it.
    Asked,
    /// The store failed; nothing more could be promised.
    Store(StoreError),
}

/// How often old jobs and tokens are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(600);
/// How long connections may take to hear of the end.
const GOODBYE: Duration = Duration::from_secs(2);
const DAY_MS: u64 = 86_400_000;
/// A join token that has ended stays in the list for this long, so that one can see what became of it.
const KEEP_ENDED_MS: u64 = 7 * DAY_MS;

/// The store's options by the settings.
#[must_use]
pub fn store_options(settings: &Settings) -> StoreOptions {
    StoreOptions {
        queue_batches: settings.queues.store,
        snapshot_records: settings.store.snapshot_records,
        snapshot_bytes: settings.store.snapshot_bytes,
        cache_bytes: settings.store.cache_bytes,
        free_space_watermark: Bytes(settings.store.min_free_bytes),
        ..StoreOptions::default()
    }
}

/// What has to be free on the disk of the state directory for anything to be taken on.
fn needed(settings: &Settings) -> Bytes {
    let depot = if settings.depot.spawn { settings.depot.min_free_bytes } else { 0 };
    Bytes(settings.store.min_free_bytes.max(depot))
}

/// Runs the coordinator. `arguments` are those that a depot child needs to find the same settings.
///
/// # Errors
/// Whatever keeps it from starting, with what to do.
pub async fn run(settings: Settings, layout: Layout, arguments: Vec<String>) -> anyhow::Result<End> {
    let started = Instant::now();
    let clock = Clock::start();
    let own = &settings.api.presets_dir;
    let is_set = !own.as_os_str().is_empty();
    let presets = presets::load(if is_set { own } else { &layout.presets }, is_set)?;
    let registry = telemetry::install()?;
    let authority = Arc::new(Authority::open(&layout.pki)?);
    room::check(&layout, needed(&settings))?;
    let (mut store, recovery) = Store::open(&layout.store, store_options(&settings))?;
    report(&recovery);
    let tail = store.tail();
    let (state, replayed) = replayed(&recovery, tail)?;
    let jobs = state.jobs.len();
    let epoch = store.begin_epoch()?;
    let engine = Engine::recover(state, settings.engine.clone(), epoch, clock.now());
    let (confirmed_in, confirmed) = watch::channel(tail);
    let (fatal_in, mut fatal) = mpsc::unbounded_channel();
    let running = store.start(tell_of_store(confirmed_in, fatal_in), Box::new(fold))?;
    tracing::info!(epoch = epoch.0, jobs, records = replayed, took = ?started.elapsed(), "state recovered");

    let handle = running.handle();
    let vault: Arc<dyn KeyVault> = Arc::new(StoreVault(handle.clone()));
    let identity = authority.server_identity(clock.now().wall)?;
    let key = Arc::new(TicketKey::load_or_create(&layout.ticket_key)?);
    let depot = DepotProcess::start(&settings, &layout, arguments).await?;
    let bulk = BulkClient::new(client()?, client_config(&identity, BULK_ALPNS)?, depot.local_addr.clone());
    let depot_front = DepotFront::new(bulk, Arc::clone(&key), clock);
    let keeper_depot = depot_front.clone();
    let (news, _) = broadcast::channel(settings.queues.news);

    let alpns: Vec<&[u8]> = WORKER_ALPNS.iter().chain(JOIN_ALPNS).copied().collect();
    let endpoint = server(settings.link.bind, &identity, &alpns, ClientCerts::Optional)?;
    let link_addr = endpoint.local_addr().context("read the address that workers connect to")?;
    let reader = handle.reader();
    let engine = EngineActor::start_with(EngineParts {
        engine,
        clock,
        epoch,
        tail,
        store: handle.clone(),
        confirmed: confirmed.clone(),
        depot: depot_front,
        news: news.clone(),
        mailbox: settings.queues.engine_mailbox,
    });
    let task_logs =
        TaskLogs::start(&layout.logs, &settings.task_logs).context("start the thread of task logs")?;
    let farm_facts = Arc::new(FarmFacts {
        epoch,
        heartbeat_ms: settings.engine.heartbeat_ms,
        lease_ms: settings.engine.lease_ms,
        depot: depot.worker_addr.clone(),
        key: Arc::clone(&key),
        clock,
        logs: task_logs.clone(),
    });
    let limits = JoinLimits {
        timeout: Duration::from_millis(settings.join.timeout_ms),
        failures_per_minute: settings.join.failures_per_minute,
        certificate_lifetime: Duration::from_secs(u64::from(settings.join.certificate_days) * 86_400),
    };
    let join = Arc::new(JoinServer::new(Arc::clone(&authority), Arc::clone(&vault), limits));
    let connections = settings.link.max_workers.saturating_add(64);
    let accepting =
        Listener { engine: engine.clone(), farm: farm_facts, join, vault: Arc::clone(&vault), connections };
    actix_rt::spawn(listener::accept(endpoint.clone(), accepting));
    let farm = Farm::new(engine.clone(), reader.clone(), news, confirmed, clock);
    let (kept, keeper_farm) = (Arc::clone(&vault), farm.clone());

    let store_ready = {
        let handle = handle.clone();
        Arc::new(move || ready(&handle))
    };
    let parts = ApiParts {
        farm,
        settings: settings.api.clone(),
        joins: Joins::new(Arc::clone(&vault), authority.fingerprint(), settings.join.clone()),
        vault,
        archivist: Arc::new(Exporter(reader)),
        task_logs,
        ticket_key: key,
        depot_url: depot.url.clone(),
        roots: settings.depot.spawn.then(|| FileRoots {
            input: settings.depot.input_roots.clone(),
            output: settings.depot.output_roots.clone(),
        }),
        max_upload_bytes: settings.depot.max_upload_bytes,
        registry,
        store_ready,
        state_dir: layout.root.clone(),
        presets: Arc::new(presets),
    };
    let api = Api::new(parts);
    let bound = api::serve(&api)?;
    let book = AddressBook {
        pid: std::process::id(),
        api_url: bound.url.clone(),
        admin_socket: bound.socket.display().to_string(),
        link_addr: link_addr.to_string(),
        depot_addr: depot.worker_addr.clone(),
        depot_url: depot.url.clone(),
    };
    write_book(&layout.run_json, &book)?;
    tracing::info!(api = %book.api_url, workers = %book.link_addr, depot = %book.depot_addr, took = ?started.elapsed(), "ready");

    actix_rt::spawn(upload_keeper::run(keeper_farm, keeper_depot));
    actix_rt::spawn(retire(handle.clone(), kept, clock, settings.store.retention_days));
    let server_handle = bound.server.handle();
    let serving = actix_rt::spawn(bound.server);
    let end = until_the_end(&mut fatal).await?;
    // A second signal does not wait for anything.
    actix_rt::spawn(async {
        if stop_signal().await.is_ok() {
            std::process::exit(130);
        }
    });
    remove_book(&layout.run_json);
    api.stop();
    server_handle.stop(true).await;
    let _served = serving.await;
    say_goodbye(&engine, &endpoint).await;
    depot.stop().await;
    close_store(running, matches!(end, End::Asked));
    Ok(end)
}

/// The state that the store's records come to, and how many they are.
fn replayed(recovery: &Recovery, tail: Seq) -> anyhow::Result<(State, u64)> {
    let mut replay = Replay::default();
    for item in recovery.records() {
        let item = item?;
        replay.push((item.origin == Origin::Journal).then_some(item.seq), &item.bytes)?;
    }
    let records = replay.records;
    Ok((replay.finish(tail), records))
}

/// What becomes of the store's events.
fn tell_of_store(confirmed: watch::Sender<Seq>, fatal: mpsc::UnboundedSender<StoreError>) -> EventSink {
    Box::new(move |event| match event {
        StoreEvent::Confirmed(seq) => {
            let _nobody_left = confirmed.send(seq);
        }
        StoreEvent::Snapshot(facts) => {
            tracing::info!(covers = facts.covers.0, records = facts.records, took = ?facts.took, "snapshot made");
        }
        StoreEvent::Retired { documents, .. } => {
            tracing::info!(documents, "old jobs removed from the archive")
        }
        StoreEvent::SnapshotFailed(error) => tracing::error!(%error, "no snapshot could be made"),
        StoreEvent::Fatal(error) => {
            let _stopping_already = fatal.send(error);
        }
    })
}

/// Waits until somebody asks for the end, or the store brings it about.
async fn until_the_end(fatal: &mut mpsc::UnboundedReceiver<StoreError>) -> anyhow::Result<End> {
    tokio::select! {
        signal = stop_signal() => {
            tracing::info!(signal = signal?, "stopping; running tasks go on and are taken up again at the next start");
            Ok(End::Asked)
        }
        error = fatal.recv() => {
            let Some(error) = error else { bail!("the store's threads ended without a word") };
            tracing::error!(%error, "the store failed; the coordinator stops, and a restart recovers all that was confirmed");
            Ok(End::Store(error))
        }
    }
}

/// Tells workers, and whoever else is connected, that the coordinator stops.
async fn say_goodbye(engine: &Addr<EngineActor>, endpoint: &Endpoint) {
    let (heard, mut all_heard) = mpsc::channel(1);
    tell(engine, Farewell(heard)).await;
    // Ends without a word when the last worker has heard it.
    let _slow_to_hear = tokio::time::timeout(GOODBYE, all_heard.recv()).await;
    let reason = b"the coordinator stops; connect again later";
    endpoint.close(VarInt::from_u32(rushes_shared::wire::close::UNAVAILABLE), reason);
    let _slow_to_hear = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
}

fn close_store(running: Running, sound: bool) {
    if sound {
        running.close();
    } else {
        // The disk has failed; waiting for it helps nobody.
        std::mem::forget(running);
    }
}

fn report(recovery: &Recovery) {
    if recovery.report.is_clean() {
        tracing::info!("{}", recovery.report);
    } else {
        tracing::warn!("{}", recovery.report);
    }
}

/// A snapshot's content: the same fold as at a start.
fn fold(records: &mut dyn Iterator<Item = Vec<u8>>) -> Result<Folded, FoldError> {
    let mut replay = Replay::default();
    for bytes in records {
        replay.push(None, &bytes)?;
    }
    Ok(Folded::new(replay.into_compact().map(|record| record.map_err(FoldError::from))))
}

fn ready(handle: &StoreHandle) -> Result<(), String> {
    let space = handle.space();
    if space.is_enough() {
        Ok(())
    } else {
        Err(format!(
            "the disk of the state directory has {} free, less than store.min_free_bytes ({}); free some space",
            space.free, space.watermark
        ))
    }
}

/// Removes what has been kept long enough: jobs that ended, join tokens that let nobody in any more, removed workers
/// whose certificates have ended.
async fn retire(handle: StoreHandle, vault: Arc<dyn KeyVault>, clock: Clock, days: u64) {
    loop {
        let now = clock.now().wall;
        let before = now.0.saturating_sub(days.saturating_mul(DAY_MS));
        if !handle.retire_archive(JobId::from_parts(before, 0).0) {
            tracing::debug!("the snapshot thread is busy; old jobs are removed later");
        }
        let keys = Arc::clone(&vault);
        let ended = WallMs(now.0.saturating_sub(KEEP_ENDED_MS));
        let forgotten = tokio::task::spawn_blocking(move || {
            Ok::<_, VaultError>((
                join_token::forget_ended(&*keys, ended)?,
                enrolment::forget_ended(&*keys, ended)?,
            ))
        });
        match forgotten.await {
            Ok(Ok((0, 0))) | Err(_) => {}
            Ok(Ok((tokens, workers))) => {
                tracing::info!(tokens, workers, "join tokens and removed workers of long ago are forgotten");
            }
            Ok(Err(error)) => tracing::warn!(%error, "old join tokens could not be forgotten"),
        }
        tokio::time::sleep(RETENTION_EVERY).await;
    }
}

async fn stop_signal() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

/// Written whole under another name first, so that a reader never sees half of it.
fn write_book(path: &Path, book: &AddressBook) -> anyhow::Result<()> {
    let draft: PathBuf = path.with_extension("json.new");
    std::fs::write(&draft, serde_json::to_vec_pretty(book)?)
        .with_context(|| format!("write {}", draft.display()))?;
    std::fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
}

fn remove_book(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "the address book could not be removed");
    }
}

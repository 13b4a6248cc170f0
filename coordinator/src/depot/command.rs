//! `rushes-coordinator depot`: the depot's own process.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rushes_net::Identity;
use rushes_net::identity::write_secret;
use rushes_net::ticket::TicketKey;
use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{Depot, DepotConfig};
use crate::depot_process::DepotAddresses;
use crate::layout::Layout;
use crate::settings::Settings;
use crate::telemetry;

const DAY: Duration = Duration::from_secs(86_400);
/// How long a predecessor whose coordinator is gone may take to end, and how often it is looked for.
const PREDECESSOR: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs the depot until a signal, or, when it is attached to a parent, until that closes its standard input.
///
/// # Errors
/// Whatever keeps it from starting, with what to do.
pub fn run(settings: &Settings, layout: &Layout, attached: bool) -> anyhow::Result<()> {
    let lock = sole(layout, attached)?;
    // Not the CA's key: a depot on another host has no business with it.
    let identity = Identity::load(&layout.pki.join("server"))?;
    let key = TicketKey::load_or_create(&layout.ticket_key)?;
    let config = DepotConfig { metrics: Some(telemetry::install()?), ..config_of(settings, layout) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the depot's threads")?;
    let ended = runtime.block_on(async {
        let depot = Depot::bind(&config, &identity, key)?;
        let scheme = if config.http_tls.is_some() { "https" } else { "http" };
        let addresses = DepotAddresses {
            pid: std::process::id(),
            quic_addr: depot.quic_addr()?.to_string(),
            http_addr: depot.http_addr().to_string(),
            url: format!("{scheme}://{}", depot.http_addr()),
        };
        write_secret(&layout.depot_json, &serde_json::to_vec_pretty(&addresses)?)
            .with_context(|| format!("write {}", layout.depot_json.display()))?;
        tracing::info!(quic = addresses.quic_addr, http = addresses.url, "the depot listens");
        let stop = stopped(attached)?;
        depot.serve(stop).await?;
        anyhow::Ok(())
    });
    // A thread that waits for a slow disk, or for the parent's pipe, must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(2));
    // Held until the addresses are free for a successor.
    drop(lock);
    ended
}

/// Makes sure that no other depot works on this directory. After the coordinator was killed, its depot may still be
/// about to end while the next coordinator's depot starts; that one waits for it.
fn sole(layout: &Layout, attached: bool) -> anyhow::Result<File> {
    let path = layout.root.join("depot.lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = open.with_context(|| format!("open {}", path.display()))?;
    let patience = if attached { PREDECESSOR } else { Duration::ZERO };
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => std::thread::sleep(LOOK_EVERY),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another depot works in {}; stop that one, or give this one a state directory of its own",
                layout.root.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
    }
}

/// The depot's part of the settings.
#[must_use]
pub fn config_of(settings: &Settings, layout: &Layout) -> DepotConfig {
    let told = &settings.depot;
    let days = |days: u64| DAY * u32::try_from(days).unwrap_or(u32::MAX);
    let has_tls = !told.tls_certificate.as_os_str().is_empty();
    DepotConfig {
        state_dir: layout.root.clone(),
        quic_bind: told.bind,
        http_bind: told.http_bind,
        http_tls: has_tls.then(|| (told.tls_certificate.clone(), told.tls_key.clone())),
        input_roots: told.input_roots.clone(),
        output_roots: told.output_roots.clone(),
        max_upload_bytes: told.max_upload_bytes,
        min_free_bytes: told.min_free_bytes,
        keep_uploads: days(told.upload_days),
        keep_outputs: days(told.output_days),
        keep_results: told.keep_results_bytes,
        max_connections: told.max_connections,
        max_transfers: told.max_transfers,
        idle_timeout: Duration::from_millis(told.idle_timeout_ms),
        metrics: None,
    }
}

/// A future that is done when the depot should end.
fn stopped(attached: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(async move {
        let parent_gone = async {
            if !attached {
                return std::future::pending().await;
            }
            let mut byte = [0];
            let mut input = tokio::io::stdin();
            // Nothing is ever sent; the end of the pipe, or any error of it, means that the parent is gone.
            while matches!(input.read(&mut byte).await, Ok(1..)) {}
        };
        // On a terminal, an interrupt goes to the whole process group; the parent then ends the depot in its turn.
        let interrupted = async {
            loop {
                interrupt.recv().await;
                if !attached {
                    return;
                }
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            () = interrupted => {}
            () = parent_gone => {}
        }
        tracing::info!("the depot stops");
    })
}

//! The depot as a child process: started with the coordinator, restarted when it dies, ended with it.
//!
//! The child reads its standard input only to notice that its parent is gone.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::layout::Layout;
use crate::settings::Settings;

/// How long the depot may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked for its address.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Pause before a dead depot is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How long it may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a running depot listens; `depot.json` in the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepotAddresses {
    /// Its process.
    pub pid: u32,
    /// Its QUIC address, `host:port`.
    pub quic_addr: String,
    /// Its HTTP address, `host:port`.
    pub http_addr: String,
    /// Its HTTP side's base URL.
    pub url: String,
}

/// The depot, wherever it runs.
#[derive(Debug)]
pub struct DepotProcess {
    /// How the coordinator reaches it, `host:port`.
    pub local_addr: String,
    /// How workers are told to reach it, `host:port`; an empty host means the coordinator's own.
    pub worker_addr: String,
    /// How API clients are told to reach it, without a slash at its end.
    pub url: String,
    keeper: Option<(Arc<Notify>, JoinHandle<()>)>,
}

impl DepotProcess {
    /// Starts the depot, or takes the one that the settings name. `arguments` lead the child to the same settings.
    ///
    /// # Errors
    /// When it does not listen within 20 s, with what it said; or when the settings name none.
    pub async fn start(settings: &Settings, layout: &Layout, arguments: Vec<String>) -> anyhow::Result<Self> {
        let told = &settings.depot;
        if !told.spawn {
            if told.public_addr.is_empty() || told.public_url.is_empty() {
                bail!(
                    "depot.spawn is off, so depot.public_addr and depot.public_url must say where the depot runs"
                );
            }
            return Ok(Self {
                local_addr: told.public_addr.clone(),
                worker_addr: told.public_addr.clone(),
                url: told.public_url.trim_end_matches('/').to_owned(),
                keeper: None,
            });
        }
        let (child, addresses) = launch(layout, &arguments).await?;
        // After a crash it has to come back where workers and clients know it.
        let mut again = arguments;
        again.extend(["--set".to_owned(), format!("depot.bind={}", addresses.quic_addr)]);
        again.extend(["--set".to_owned(), format!("depot.http_bind={}", addresses.http_addr)]);
        let stop = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(child, layout.clone(), again, Arc::clone(&stop)));
        let or =
            |given: &str, bound: &str| if given.is_empty() { bound.to_owned() } else { given.to_owned() };
        let (local_addr, seen_addr) = reachable(&addresses.quic_addr)?;
        Ok(Self {
            local_addr,
            worker_addr: or(&told.public_addr, &seen_addr),
            url: or(&told.public_url, &addresses.url).trim_end_matches('/').to_owned(),
            keeper: Some((stop, keeper)),
        })
    }

    /// Ends the child and waits for it.
    pub async fn stop(self) {
        if let Some((stop, keeper)) = self.keeper {
            stop.notify_one();
            let _ended = keeper.await;
        }
    }
}

/// How this host reaches what listens there, and what workers are told: a depot on all of this host's addresses is
/// reached at whichever the coordinator is reached at, which an empty host says.
fn reachable(bound: &str) -> anyhow::Result<(String, String)> {
    let addr: SocketAddr = bound.parse().with_context(|| format!("read the depot's address '{bound}'"))?;
    if !addr.ip().is_unspecified() {
        return Ok((bound.to_owned(), bound.to_owned()));
    }
    let port = addr.port();
    let local = if addr.is_ipv4() { format!("127.0.0.1:{port}") } else { format!("[::1]:{port}") };
    Ok((local, format!(":{port}")))
}

async fn launch(layout: &Layout, arguments: &[String]) -> anyhow::Result<(Child, DepotAddresses)> {
    match std::fs::remove_file(&layout.depot_json) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("remove {}", layout.depot_json.display()));
        }
        _ => {}
    }
    let program = std::env::current_exe().context("find this program's own file")?;
    let mut child = Command::new(program)
        .args(arguments)
        .args(["depot", "--attached"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("start the depot")?;
    let found = tokio::time::timeout(START_TIMEOUT, async {
        loop {
            if let Some(addresses) = read(&layout.depot_json) {
                return Ok(addresses);
            }
            if let Some(status) = child.try_wait()? {
                bail!("the depot ended at once ({status}); its last log lines say why");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    match found {
        Ok(addresses) => Ok((child, addresses?)),
        Err(_) => {
            bail!("the depot did not listen within {} s; see its log lines above", START_TIMEOUT.as_secs())
        }
    }
}

fn read(path: &Path) -> Option<DepotAddresses> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Restarts the depot whenever it dies, until told to stop.
async fn keep(mut child: Child, layout: Layout, arguments: Vec<String>, stop: Arc<Notify>) {
    loop {
        // Held here, because waiting for a child would close it, and the depot ends with it.
        let pipe = child.stdin.take();
        tokio::select! {
            status = child.wait() => {
                let status = status.map_or_else(|e| e.to_string(), |s| s.to_string());
                tracing::error!(%status, "the depot died and is started again; transfers under way begin anew");
                metrics::counter!("rushes_depot_restarts_total").increment(1);
            }
            () = stop.notified() => {
                drop(pipe);
                return end(child).await;
            }
        }
        child = loop {
            tokio::select! {
                () = tokio::time::sleep(RESTART_PAUSE) => {}
                () = stop.notified() => return,
            }
            match launch(&layout, &arguments).await {
                Ok((child, _)) => break child,
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "the depot could not be started; tried again in a second"
                ),
            }
        };
    }
}

async fn end(mut child: Child) {
    // Its standard input is closed, so it ends in good order.
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        let _gone = child.kill().await;
    }
}

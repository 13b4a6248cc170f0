//! Has nurseries make task processes, and keeps some ready: with the media library loaded, and once a task came that needs
//! none, without.
//!
//! A process serves one job only; the pool replaces it as soon as it is taken.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use rushes_shared::failure::{Failure, FailureCode};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tracing::{debug, warn};

use super::ledger::Ledger;
use super::nursery::{Loads, Nursery};
use super::running::TaskProcess;
use super::usage;

/// Pause after a process that would not start.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How task processes are started.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// The program, which is the worker's own.
    pub program: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Where it waits for its job.
    pub directory: PathBuf,
    /// How many of a sort are kept ready.
    pub warm: usize,
    /// How long a start may take.
    pub start_timeout: Duration,
}

/// A process that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system refused to start it.
    #[error("the task process could not be started: {0}")]
    Spawn(#[from] std::io::Error),
    /// It ended before it was ready.
    #[error("the task process ended before it was ready: {0}")]
    Ended(String),
    /// It took too long.
    #[error("the task process was not ready after {} ms", .0.as_millis())]
    Slow(Duration),
}

impl StartError {
    /// The failure of the attempt that needed it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let advice =
            "look at the worker's log and at the node's memory and load; the task is tried elsewhere";
        Failure::new(FailureCode::NodeUnfit, self.to_string(), advice)
    }
}

/// Where attempts get their processes.
#[derive(Debug, Clone)]
pub struct Pool {
    media: Arc<Stock>,
    plain: Arc<Stock>,
}

/// Processes of one sort.
#[derive(Debug)]
struct Stock {
    loads: Loads,
    config: PoolConfig,
    ledger: Ledger,
    /// Started anew when there is none, or it has died.
    nursery: AsyncMutex<Option<Arc<Nursery>>>,
    ready: Mutex<VecDeque<TaskProcess>>,
    taken: Notify,
    filling: Once,
}

impl Pool {
    /// A pool that starts filling itself. Must be called within the runtime, on the thread that lives as long as the
    /// worker: the kernel ties a process to the thread that started it.
    #[must_use]
    pub fn new(config: &PoolConfig, ledger: &Ledger, nursery: Option<Nursery>) -> Self {
        let stock = |loads, nursery: Option<Nursery>| {
            Arc::new(Stock {
                loads,
                config: config.clone(),
                ledger: ledger.clone(),
                nursery: AsyncMutex::new(nursery.map(Arc::new)),
                ready: Mutex::new(VecDeque::new()),
                taken: Notify::new(),
                filling: Once::new(),
            })
        };
        let pool = Self { media: stock(Loads::Media, nursery), plain: stock(Loads::Nothing, None) };
        pool.media.keep_filling();
        pool
    }

    /// A process that waits for its job and has this loaded: a warm one, or else a new one.
    ///
    /// # Errors
    /// [`StartError`] where none can be started.
    pub async fn take(&self, loads: Loads) -> Result<TaskProcess, StartError> {
        let stock = match loads {
            Loads::Media => &self.media,
            Loads::Nothing => &self.plain,
        };
        stock.keep_filling();
        loop {
            let Some(mut process) = stock.ready().pop_front() else {
                return stock.start().await;
            };
            stock.taken.notify_one();
            if process.is_alive() {
                return Ok(process);
            }
            debug!(pid = process.pid().as_raw_nonzero().get(), "a warm task process had died");
        }
    }

    /// How many processes with the media library are ready now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.media.ready().len()
    }
}

impl Stock {
    fn ready(&self) -> MutexGuard<'_, VecDeque<TaskProcess>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps some ready from now on.
    fn keep_filling(self: &Arc<Self>) {
        self.filling.call_once(|| drop(tokio::spawn(keep_warm(Arc::clone(self)))));
    }

    async fn start(&self) -> Result<TaskProcess, StartError> {
        let nursery = {
            let mut present = self.nursery.lock().await;
            match &*present {
                Some(nursery) if nursery.is_alive() => Arc::clone(nursery),
                _ => Arc::clone(present.insert(Arc::new(Nursery::start(&self.config, self.loads).await?))),
            }
        };
        start(&nursery, &self.ledger).await
    }
}

/// Has the nursery make one process.
///
/// # Errors
/// [`StartError`].
pub async fn start(nursery: &Nursery, ledger: &Ledger) -> Result<TaskProcess, StartError> {
    let (stdin, control) = std::io::pipe()?;
    let (replies, stdout) = std::io::pipe()?;
    let (log, stderr) = std::io::pipe()?;
    let pipes = [OwnedFd::from(stdin), OwnedFd::from(stdout), OwnedFd::from(stderr)];
    let control = pipe::Sender::from_owned_fd(control.into())?;
    let replies = pipe::Receiver::from_owned_fd(replies.into())?;
    let log = pipe::Receiver::from_owned_fd(log.into())?;
    let since = usage::now();
    let born = nursery.bear(pipes).await?;
    let noted = ledger.note(born.pid, since)?;
    Ok(TaskProcess::adopt(born, noted, control, replies, log))
}

/// Fills the pool one by one, for as long as the runtime lives.
async fn keep_warm(stock: Arc<Stock>) {
    loop {
        if stock.ready().len() >= stock.config.warm {
            stock.taken.notified().await;
            continue;
        }
        match stock.start().await {
            Ok(process) => stock.ready().push_back(process),
            Err(error) => {
                warn!(%error, "no task process could be kept ready");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

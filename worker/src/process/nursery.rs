//! The nursery: a process that makes task processes of itself. One has the media library loaded, as loading it takes tens
//! of milliseconds and a copy of a process less than one; another one has not, for tasks that need none, as a process
//! that is as small as that is copied and taken down in a fraction of the time.
//!
//! ```text
//! worker  --Fork, three pipes-->  nursery  --fork-->  task process
//!         <--Born, its handle---
//!         <--Ended, its usage---  (it is the parent, so it learns of the end)
//! ```
//!
//! A task process and the nursery end with the worker; a nursery that died is replaced at the next need.

mod fork;
mod inside;
mod line;
mod slim;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Pid;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use super::pool::{PoolConfig, StartError};
use super::running::LogTail;
use super::usage::ProcessUsage;
use line::{Fork, Word};

pub(in crate::process) use fork::leave;
pub use inside::run;

/// Orders that may wait for the nursery.
const ORDERS: usize = 64;

/// How a task process ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its exit.
    pub status: ExitStatus,
    /// What it used in all.
    pub usage: ProcessUsage,
}

/// A task process that was just made.
#[derive(Debug)]
pub struct Born {
    /// Its process id.
    pub pid: Pid,
    /// Its handle: unlike the id, it never means another process.
    pub handle: OwnedFd,
    /// Its end. Closed without a word where the nursery ended first, and the process with it.
    pub ended: oneshot::Receiver<Ended>,
}

struct Order {
    pipes: [OwnedFd; 3],
    answer: oneshot::Sender<io::Result<Born>>,
}

/// What a nursery has loaded, and its task processes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loads {
    /// The media library.
    Media,
    /// Nothing.
    Nothing,
}

/// A running nursery. It ends when this is dropped, and its task processes with it.
#[derive(Debug)]
pub struct Nursery {
    orders: mpsc::Sender<Order>,
    media: String,
    pid: Pid,
}

impl Nursery {
    /// Starts a nursery. Must be called on the thread that lives as long as the worker: the kernel ties a process to the
    /// thread that started it.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: &PoolConfig, loads: Loads) -> Result<Self, StartError> {
        let (ours, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(io::Error::from)?;
        rustix::io::ioctl_fionbio(&ours, true).map_err(io::Error::from)?;
        let mut command = Command::new(&config.program);
        command
            .arg0("rushes-worker")
            .arg("nursery")
            .arg("--parent")
            .arg(std::process::id().to_string())
            .args((loads == Loads::Nothing).then_some("--plain"))
            .env_clear()
            .envs(config.environment.iter().map(|(k, v)| (k, v)))
            .current_dir(&config.directory)
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        // The command keeps the other end open.
        drop(command);
        let tail = LogTail::default();
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_tail(stderr, tail.clone()));
        }
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let gone = || StartError::Ended("it was gone at once".to_owned());
        let pid = id.ok_or_else(gone)?;
        // There is no type for sockets of packets; only the readiness of this one is used.
        let line = UnixStream::from_std(ours.into())?;
        let ready = tokio::time::timeout(config.start_timeout, next(&line)).await;
        let media = match ready {
            Ok(Ok(Some((Word::Ready { media }, _)))) => media,
            Ok(Ok(Some(_))) => return Err(StartError::Ended("it did not follow the protocol".to_owned())),
            Ok(Ok(None) | Err(_)) => {
                // Its last words may still be on their way.
                let ended = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
                let status = ended.ok().and_then(Result::ok).map(|s| s.to_string()).unwrap_or_default();
                return Err(StartError::Ended(format!("{status}: {}", tail.text())));
            }
            Err(_) => return Err(StartError::Slow(config.start_timeout)),
        };
        let (orders, queue) = mpsc::channel(ORDERS);
        tokio::spawn(async move {
            if let Err(error) = serve(&line, queue).await {
                tracing::warn!(%error, last_words = tail.text(), "the nursery of task processes ended; another takes its place");
            }
            end(child).await;
        });
        Ok(Self { orders, media, pid })
    }

    /// The media library that it has loaded; empty where it has none.
    #[must_use]
    pub fn media(&self) -> &str {
        &self.media
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it takes orders.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Makes a task process with these standard streams.
    ///
    /// # Errors
    /// The system's refusal, or the end of the nursery.
    pub async fn bear(&self, pipes: [OwnedFd; 3]) -> io::Result<Born> {
        let (answer, answered) = oneshot::channel();
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the nursery of task processes has ended");
        self.orders.send(Order { pipes, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn end(mut child: Child) {
    // It ends with its line; killed all the same, as it may hang.
    let _killed = child.start_kill();
    let _reaped = child.wait().await;
}

async fn keep_tail(mut stderr: tokio::process::ChildStderr, tail: LogTail) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        tail.push(&buffer[..count]);
    }
}

async fn next(line: &UnixStream) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
    line.async_io(Interest::READABLE, || line::recv::<Word>(line.as_fd())).await
}

/// Passes orders on and answers back, until nobody orders any more or the nursery ends.
async fn serve(line: &UnixStream, mut orders: mpsc::Receiver<Order>) -> io::Result<()> {
    let mut waiting: VecDeque<oneshot::Sender<io::Result<Born>>> = VecDeque::new();
    let mut living: BTreeMap<i32, oneshot::Sender<Ended>> = BTreeMap::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(Order { pipes, answer }) = order else { return Ok(()) };
                give(line, &pipes).await?;
                waiting.push_back(answer);
            }
            word = next(line) => match word? {
                Some((Word::Born { pid }, mut files)) => {
                    let (Some(answer), Some(handle), Some(id)) = (waiting.pop_front(), files.pop(), Pid::from_raw(pid))
                    else {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "a process that nobody ordered"));
                    };
                    let (end, ended) = oneshot::channel();
                    living.insert(pid, end);
                    // Whoever ordered it may have gone; the process ends with its pipes then.
                    drop(answer.send(Ok(Born { pid: id, handle, ended })));
                }
                Some((Word::Stillborn { reason }, _)) => {
                    if let Some(answer) = waiting.pop_front() {
                        drop(answer.send(Err(io::Error::other(reason))));
                    }
                }
                Some((Word::Ended { pid, status, cpu_us, max_rss_bytes }, _)) => {
                    if let Some(end) = living.remove(&pid) {
                        let usage = ProcessUsage { cpu_ms: cpu_us.div_ceil(1_000), max_rss_bytes };
                        let _unheard = end.send(Ended { status: ExitStatus::from_raw(status), usage });
                    }
                }
                Some((Word::Ready { .. }, _)) => {}
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed its line")),
            },
        }
    }
}

async fn give(line: &UnixStream, pipes: &[OwnedFd; 3]) -> io::Result<()> {
    let files = [pipes[0].as_fd(), pipes[1].as_fd(), pipes[2].as_fd()];
    line.async_io(Interest::WRITABLE, || line::send(line.as_fd(), &Fork, &files)).await
}

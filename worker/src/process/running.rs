//! One task process seen from its worker: give it its job, follow it, see it end.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rushes_shared::failure::Failure;
use rushes_shared::frame::{self, FrameError, HEADER_LEN, Header, Message};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::Progress;
use rushes_shared::units::Bytes;
use rustix::process::{Pid, Signal, pidfd_send_signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ending::End;
use super::ledger::Entry;
use super::nursery::{Born, Ended};
use super::protocol::{HeadFound, TaskProcessJob, TaskProcessReply};
use super::usage::{self, ProcessUsage};

/// Bytes of standard error kept for a failure's detail.
const TAIL_BYTES: usize = 8 << 10;
/// Replies that wait to be handled; more make the process wait.
const REPLIES: usize = 64;
/// How often use of memory and CPU is read while the process works.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// What happens while a process works.
#[derive(Debug)]
pub enum ProcessEvent {
    /// Its walls stand, and these are they.
    Contained(String),
    /// It has come this far.
    Progress(Progress),
    /// It has read the next of its files, or could not.
    File(Result<MediaFacts, Failure>),
    /// It has looked at the headers of the next of its files.
    Head(HeadFound),
    /// It wrote to standard error: whole lines, or a piece of a very long one.
    Log(String),
}

/// The last lines of a process's standard error.
#[derive(Debug, Clone, Default)]
pub struct LogTail(Arc<Mutex<VecDeque<u8>>>);

impl LogTail {
    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, bytes: &[u8]) {
        let mut tail = self.lock();
        tail.extend(bytes);
        let excess = tail.len().saturating_sub(TAIL_BYTES);
        tail.drain(..excess);
    }

    /// Its text, with what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.lock().iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

/// When a running process is killed.
#[derive(Debug, Clone)]
pub struct Watch {
    /// At this time, whatever it does.
    pub deadline: Instant,
    /// After this long without progress.
    pub stall: Duration,
    /// When this is cancelled.
    pub stop: CancellationToken,
    /// When it holds more memory than this.
    pub memory: Bytes,
}

/// A live task process that has not got its job yet, or works on it. Killed when dropped.
#[derive(Debug)]
pub struct TaskProcess {
    pid: Pid,
    handle: OwnedFd,
    ended: oneshot::Receiver<Ended>,
    /// Set once `ended` has told.
    end: Option<Ended>,
    stdin: Option<pipe::Sender>,
    replies: mpsc::Receiver<TaskProcessReply>,
    log: mpsc::Receiver<String>,
    tail: LogTail,
    _noted: Entry,
}

impl Drop for TaskProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl TaskProcess {
    /// Takes over a process that was just made, with the worker's ends of its pipes.
    pub(super) fn adopt(
        born: Born,
        noted: Entry,
        stdin: pipe::Sender,
        stdout: pipe::Receiver,
        stderr: pipe::Receiver,
    ) -> Self {
        let (reply_in, replies) = mpsc::channel(REPLIES);
        let (log_in, log) = mpsc::channel(REPLIES);
        let tail = LogTail::default();
        tokio::spawn(pump_replies(stdout, reply_in));
        tokio::spawn(pump_log(stderr, log_in, tail.clone()));
        let Born { pid, handle, ended } = born;
        Self { pid, handle, ended, end: None, stdin: Some(stdin), replies, log, tail, _noted: noted }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its last words so far.
    #[must_use]
    pub fn tail(&self) -> LogTail {
        self.tail.clone()
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// Gives it its job and follows it to its end. The process is gone when this returns.
    pub async fn run(
        mut self,
        job: &TaskProcessJob,
        watch: &Watch,
        on: &mut (dyn FnMut(ProcessEvent) + Send),
    ) -> (End, ProcessUsage) {
        let mut used = ProcessUsage::default();
        let end = self.follow(job, watch, on, &mut used).await;
        self.kill();
        self.wait().await;
        let Ended { status, usage } = self.end.expect("it was waited for");
        used = used.max(usage);
        while let Ok(text) = self.log.try_recv() {
            on(ProcessEvent::Log(text));
        }
        (end.unwrap_or(End::Died(status)), used)
    }

    /// Follows it until it answers or must be killed; `None` when it died or broke the protocol.
    async fn follow(
        &mut self,
        job: &TaskProcessJob,
        watch: &Watch,
        on: &mut (dyn FnMut(ProcessEvent) + Send),
        used: &mut ProcessUsage,
    ) -> Option<End> {
        let mut frame = frame::encode(job).ok()?;
        let mut stdin = self.stdin.take()?;
        frame.drain(..stdin.try_write(&frame).unwrap_or(0));
        let mut writing = None;
        if frame.is_empty() {
            self.stdin = Some(stdin);
        } else {
            // Written beside the loop: a stopped process does not read, and must still be killed in time.
            writing = Some(tokio::spawn(async move {
                let _ = stdin.write_all(&frame).await;
                stdin
            }));
        }
        let mut moved = Instant::now();
        let mut last = (Default::default(), 0, 0);
        let mut sample = interval_at(moved + SAMPLE_EVERY, SAMPLE_EVERY);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            tokio::select! {
                biased;
                () = watch.stop.cancelled() => break Some(End::Stopped),
                reply = self.replies.recv() => match reply {
                    Some(TaskProcessReply::Contained(walls)) => {
                        moved = Instant::now();
                        on(ProcessEvent::Contained(walls));
                    }
                    Some(TaskProcessReply::Progress(progress)) => {
                        let now = (progress.phase, progress.media_ns, progress.frames);
                        if now != last {
                            (last, moved) = (now, Instant::now());
                        }
                        on(ProcessEvent::Progress(progress));
                    }
                    Some(TaskProcessReply::File(found)) => {
                        moved = Instant::now();
                        on(ProcessEvent::File(found));
                    }
                    Some(TaskProcessReply::Head(found)) => {
                        moved = Instant::now();
                        on(ProcessEvent::Head(found));
                    }
                    Some(TaskProcessReply::Done(result)) => break Some(End::Answered(result)),
                    None => break None,
                },
                Some(text) = self.log.recv() => on(ProcessEvent::Log(text)),
                () = sleep_until(watch.deadline) => break Some(End::OutOfTime),
                () = sleep_until(moved + watch.stall) => break Some(End::Stalled(watch.stall)),
                _ = sample.tick() => {
                    *used = used.max(usage::of(self.pid));
                    if used.max_rss_bytes > watch.memory.0 {
                        break Some(End::OutOfMemory(watch.memory));
                    }
                }
            }
        };
        if end.is_none() {
            // Its standard output is closed, so it is ending: let it, to learn how. A liar is killed.
            let died = tokio::time::timeout(Duration::from_millis(500), self.wait()).await;
            if died.is_err() {
                self.kill();
            }
        }
        // End of file for the process comes only now.
        self.stdin = None;
        if let Some(writing) = writing {
            writing.abort();
        }
        end
    }

    /// Waits for its end.
    async fn wait(&mut self) {
        if self.end.is_none() {
            let told = (&mut self.ended).await;
            // A nursery that ended took it along.
            let killed =
                |_| Ended { status: ExitStatus::from_raw(libc::SIGKILL), usage: usage::of(self.pid) };
            self.end = Some(told.unwrap_or_else(killed));
        }
    }

    fn kill(&mut self) {
        // Fails where it has ended. It has no children: its walls forbid them.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }
}

async fn pump_replies(mut stdout: pipe::Receiver, replies: mpsc::Sender<TaskProcessReply>) {
    // An error of the pipe or of the protocol is the end of this process either way.
    while let Ok(Some(reply)) = read_reply(&mut stdout).await {
        if replies.send(reply).await.is_err() {
            return;
        }
    }
}

async fn read_reply(stdout: &mut pipe::Receiver) -> Result<Option<TaskProcessReply>, FrameError> {
    let mut header = [0; HEADER_LEN];
    if stdout.read_exact(&mut header).await.is_err() {
        return Ok(None);
    }
    let header = Header::from_bytes(header);
    header.expect::<TaskProcessReply>()?;
    debug_assert!(header.length <= TaskProcessReply::LIMIT);
    let mut payload = vec![0; header.length as usize];
    if stdout.read_exact(&mut payload).await.is_err() {
        return Ok(None);
    }
    frame::decode(&payload).map(Some)
}

async fn pump_log(mut stderr: pipe::Receiver, lines: mpsc::Sender<String>, tail: LogTail) {
    let mut buffer = vec![0; 4096];
    let mut partial: Vec<u8> = Vec::new();
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        tail.push(&buffer[..count]);
        partial.extend_from_slice(&buffer[..count]);
        let whole = match partial.iter().rposition(|b| *b == b'\n') {
            Some(end) => end + 1,
            None if partial.len() >= 4096 => partial.len(),
            None => continue,
        };
        let text = String::from_utf8_lossy(&partial[..whole]).trim_end().to_owned();
        partial.drain(..whole);
        // Lines that nobody takes in time are lost here and kept in the tail: a chatty process is not slowed down.
        let _ = lines.try_send(text);
    }
    if !partial.is_empty() {
        let _ = lines.try_send(String::from_utf8_lossy(&partial).trim_end().to_owned());
    }
}

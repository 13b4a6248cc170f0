//! A farm made of real QUIC endpoints for one real worker process: the test speaks the coordinator's part by hand, and
//! a small depot serves bytes from memory.

pub(crate) mod depot;
#[path = "../../../../shared/net/tests/farm/mod.rs"]
pub(crate) mod identities;
pub(crate) mod media;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use quinn::{Connection, Endpoint, SendStream};
use rushes_net::endpoint::{self, ClientCerts};
use rushes_net::framed::{self, FrameReader};
use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::encode::{EncodeSettings, SpeedPreset};
use rushes_shared::id::{AttemptId, Epoch, JobId, TaskId, WorkerId};
use rushes_shared::media::MediaFacts;
use rushes_shared::node::NodeFacts;
use rushes_shared::task::{
    Delivery, Demand, Progress, SlotKind, TaskLimits, TaskOrder, TaskOutcome, TaskValue, TaskWork,
};
use rushes_shared::units::{Bytes, Millicores};
use rushes_shared::wire::{FarmBound, HeldAttempt, TaskBound, TaskReply, WORKER_ALPNS, WorkerBound};
use rushes_worker::state_dir::{Enrolment, StateDir};
use tempfile::TempDir;
use tokio::time::timeout;

use depot::Depot;
use identities::Farm as Authority;

/// Nothing that a test waits for takes longer, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Farm {
    pub(crate) authority: Authority,
    pub(crate) endpoint: Endpoint,
    pub(crate) depot: Depot,
    pub(crate) epoch: Epoch,
    pub(crate) state: TempDir,
    pub(crate) worker_id: WorkerId,
}

/// A connection of the worker, after its Hello.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) reader: FrameReader,
    pub(crate) instance: u64,
    pub(crate) epoch: Epoch,
    pub(crate) facts: NodeFacts,
    pub(crate) held: Vec<HeldAttempt>,
}

/// A task's stream.
pub(crate) struct TaskStream {
    pub(crate) send: SendStream,
    pub(crate) reader: FrameReader,
}

/// A worker process; killed when dropped.
pub(crate) struct WorkerProcess {
    pub(crate) child: Child,
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Farm {
    /// A farm whose one worker has its identity already.
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let server = authority.server();
        let endpoint =
            endpoint::server(loopback(), &server, WORKER_ALPNS, ClientCerts::Required).expect("a free port");
        let depot = Depot::start(&server);
        let state = tempfile::tempdir().expect("a temporary directory");
        let worker_id = WorkerId::from_parts(1, 2);
        let farm = Self { authority, endpoint, depot, epoch: Epoch(1), state, worker_id };
        farm.enrol(&farm.authority);
        farm.share_survey(&cached("encoders.json"), &farm.state.path().join("encoders.json"));
        farm
    }

    /// Trying every encoder takes seconds; what one test's worker found out serves the others'. It is only believed by a
    /// worker of the same version on the same plugins.
    fn share_survey(&self, from: &Path, to: &Path) {
        if let Ok(known) = std::fs::read(from) {
            let whole = self.state.path().join("survey");
            std::fs::write(&whole, known).expect("it can be written");
            // Renamed into place, as tests run beside one another.
            let _ = std::fs::rename(&whole, to).or_else(|_| std::fs::copy(&whole, to).map(drop));
        }
    }

    /// Gives the worker an identity under `authority` and this farm's address.
    pub(crate) fn enrol(&self, authority: &Authority) {
        let state = StateDir::open(self.state.path()).expect("it is free");
        authority.worker(self.worker_id).save(&state.identity()).expect("it is written");
        let coordinator = self.endpoint.local_addr().expect("it is bound").to_string();
        let enrolment = Enrolment { coordinator, worker: self.worker_id, name: "test".into() };
        state.save_enrolment(&enrolment).expect("it is written");
    }

    pub(crate) fn command(&self, settings: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rushes-worker"));
        command.arg("run").arg("--state-dir").arg(self.state.path());
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        command
    }

    /// Starts the worker.
    pub(crate) fn worker(&self, settings: &[&str]) -> WorkerProcess {
        WorkerProcess { child: self.command(settings).spawn().expect("the worker starts") }
    }

    /// Starts the worker with its log in a pipe.
    pub(crate) fn worker_with_log(&self, settings: &[&str]) -> WorkerProcess {
        let child = self.command(settings).stderr(Stdio::piped()).spawn().expect("the worker starts");
        WorkerProcess { child }
    }

    /// The worker's next connection.
    pub(crate) async fn accept(&self) -> Link {
        let accepting = async {
            let incoming = self.endpoint.accept().await.expect("the endpoint is open");
            let connection = incoming.await.expect("the handshake succeeds");
            assert_eq!(endpoint::peer_worker(&connection).expect("it names a worker"), self.worker_id);
            let (send, recv) = connection.accept_bi().await.expect("the control stream");
            let mut reader = FrameReader::new(recv);
            let hello = reader.next::<FarmBound>().await.expect("a message");
            let Some(FarmBound::Hello { instance, epoch, facts, held }) = hello else {
                panic!("the first message is {hello:?}")
            };
            Link { connection, send, reader, instance, epoch, facts, held }
        };
        timeout(PATIENCE, accepting).await.expect("the worker connects")
    }

    /// The worker's next connection, welcomed.
    pub(crate) async fn welcome(&self) -> Link {
        let mut link = self.accept().await;
        link.welcome(self.epoch, &self.depot.address, Vec::new()).await;
        if !cached("encoders.json").exists() {
            self.share_survey(&self.state.path().join("encoders.json"), &cached("encoders.json"));
        }
        link
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.state.path().join("scratch")
    }

    /// Directories of attempts that are there now.
    pub(crate) fn attempts_on_disk(&self) -> usize {
        std::fs::read_dir(self.scratch()).map_or(0, Iterator::count)
    }

    /// Task processes of the worker that live now.
    pub(crate) fn task_processes(&self) -> Vec<i32> {
        let notes = std::fs::read_to_string(self.state.path().join("processes/notes")).unwrap_or_default();
        let pids = notes.lines().filter_map(|note| note.split(' ').next()?.parse().ok());
        pids.filter(|pid| is_alive(*pid)).collect()
    }
}

/// A file that tests of one build share.
pub(crate) fn cached(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Whether a process lives; one that waits to be reaped does not.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z') && !rest.starts_with('X'))
}

/// Waits for a condition; asks often, as there is nothing else to wait for.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

impl WorkerProcess {
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the worker ends", || {
            status = self.child.try_wait().expect("it can be asked");
            status.is_some()
        })
        .await;
        status.expect("it has ended")
    }
}

impl Link {
    pub(crate) async fn welcome(&mut self, epoch: Epoch, depot: &str, give_up: Vec<AttemptId>) {
        let depot = depot.to_owned();
        let welcome = WorkerBound::Welcome { epoch, heartbeat_ms: 100, lease_ms: 1000, depot, give_up };
        framed::send(&mut self.send, &welcome).await.expect("it is sent");
    }

    pub(crate) async fn next(&mut self) -> FarmBound {
        let next = timeout(PATIENCE, self.reader.next::<FarmBound>()).await.expect("a message comes");
        next.expect("it reads").expect("the stream is open")
    }

    async fn open(&self, first: &TaskBound) -> TaskStream {
        let (mut send, recv) = self.connection.open_bi().await.expect("a stream");
        framed::send(&mut send, first).await.expect("it is sent");
        TaskStream { send, reader: FrameReader::new(recv) }
    }

    pub(crate) async fn start(&self, order: TaskOrder) -> TaskStream {
        let (read_ticket, write_ticket) = (b"read".to_vec(), b"write".to_vec());
        self.open(&TaskBound::Start { order, read_ticket, write_ticket }).await
    }

    pub(crate) async fn attach(&self, attempt: AttemptId) -> TaskStream {
        self.open(&TaskBound::Attach { attempt }).await
    }
}

impl TaskStream {
    pub(crate) async fn next(&mut self) -> TaskReply {
        let next = timeout(PATIENCE, self.reader.next::<TaskReply>()).await.expect("a reply comes");
        next.expect("it reads").expect("the stream is open")
    }

    pub(crate) async fn say(&mut self, message: &TaskBound) {
        framed::send(&mut self.send, message).await.expect("it is sent");
    }

    /// The next progress.
    pub(crate) async fn progress(&mut self) -> Progress {
        loop {
            match self.next().await {
                TaskReply::Progress(progress) => return progress,
                TaskReply::Started | TaskReply::Log(_) => {}
                other => panic!("it ended early: {other:?}"),
            }
        }
    }

    /// Waits until the task process has encoded a few frames.
    pub(crate) async fn encoding(&mut self) -> Progress {
        loop {
            let progress = self.progress().await;
            if progress.frames > 0 {
                return progress;
            }
        }
    }

    /// The outcome, collected.
    pub(crate) async fn outcome(&mut self) -> TaskOutcome {
        loop {
            match self.next().await {
                TaskReply::Outcome(outcome) => {
                    self.say(&TaskBound::Collected).await;
                    // The worker ends its side once it has forgotten the attempt.
                    let end = timeout(PATIENCE, self.reader.next::<TaskReply>()).await.expect("it ends");
                    assert!(matches!(end, Ok(None)), "{end:?}");
                    return outcome;
                }
                TaskReply::Refused(failure) => panic!("refused: {failure}"),
                TaskReply::Recalled => panic!("recalled"),
                TaskReply::Started | TaskReply::Progress(_) | TaskReply::Log(_) => {}
            }
        }
    }

    /// The failure that it ends with, collected.
    pub(crate) async fn failure(&mut self) -> rushes_shared::failure::Failure {
        match self.outcome().await {
            TaskOutcome::Failed { failure, .. } => failure,
            other => panic!("it did not fail: {other:?}"),
        }
    }

    /// The value that it ends with, collected.
    pub(crate) async fn value(&mut self) -> TaskValue {
        match self.outcome().await {
            TaskOutcome::Succeeded { value, .. } => value,
            other => panic!("it did not succeed: {other:?}"),
        }
    }
}

pub(crate) fn attempt(epoch: Epoch, counter: u64) -> AttemptId {
    AttemptId { epoch, counter }
}

/// An order with generous limits.
pub(crate) fn order(epoch: Epoch, counter: u64, work: TaskWork) -> TaskOrder {
    TaskOrder {
        task: TaskId { job: JobId::from_parts(1, 1), index: u32::try_from(counter).expect("a small number") },
        attempt: attempt(epoch, counter),
        delivery: Delivery::Durable,
        slot: if work.output().is_some() { SlotKind::Encode } else { SlotKind::Light },
        demand: Demand { cpu: Millicores(1000), memory: Bytes(64 << 20) },
        limits: TaskLimits {
            wall_ms: 600_000,
            cpu_s: 600,
            address_space: Bytes(16 << 30),
            file_size: Bytes(1 << 30),
            stall_ms: 30_000,
        },
        work,
    }
}

pub(crate) fn input(path: &str) -> Artifact {
    Artifact::unseen(Location::File(path.to_owned()))
}

pub(crate) fn probe(path: &str) -> TaskWork {
    TaskWork::Probe { input: input(path) }
}

/// An encode of a probed input, as slow as x264 gets.
pub(crate) fn slow_encode(input: &Artifact, source: &MediaFacts) -> TaskWork {
    let mut settings = EncodeSettings::default();
    settings.video.as_mut().expect("it has video").preset = SpeedPreset::Veryslow;
    encode(input, source, settings)
}

pub(crate) fn encode(input: &Artifact, source: &MediaFacts, settings: EncodeSettings) -> TaskWork {
    TaskWork::Encode {
        input: input.clone(),
        source: source.clone(),
        settings,
        output: "out.mp4".parse().expect("a valid name"),
    }
}

/// What a file holds, or nothing.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_default()
}

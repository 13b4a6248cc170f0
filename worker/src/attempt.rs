//! One attempt from its order to its outcome: fetch the input, run the task process, store the output.
//!
//! Its directory is `scratch/ATTEMPT` with `in/` for the input, which the process may only read, and `work/`, which is
//! the process's own; all is gone before the outcome is told. Without an input it gets an empty directory that others had
//! before and will have after it.

mod heads;
mod kept;
mod probes;
mod scratch;
mod stream;
mod transfer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rushes_shared::artifact::ContentHash;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::frame::{self, FrameError};
use rushes_shared::media::MediaFacts;
use rushes_shared::task::{
    EncodedOutput, Progress, TaskKind, TaskOrder, TaskOutcome, TaskValue, TaskWork, Usage,
};
use rushes_shared::units::Millicores;
use rushes_shared::wire::TaskReply;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::depot::Depot;
use crate::facts;
use crate::held::Held;
use crate::inputs::Inputs;
use crate::metrics;
use crate::process::ending::{self, End};
use crate::process::nursery::Loads;
use crate::process::pool::Pool;
use crate::process::protocol::{HeadFound, LocalResult, LocalWork, TaskProcessJob, Walls};
use crate::process::running::{ProcessEvent, Watch};
use crate::progress::Meter;
use crate::settings::Settings;
use crate::slots::{Place, Share};
use scratch::Scratch;
pub use scratch::SpareRooms;
use transfer::open_output;

/// What attempts work with.
#[derive(Debug)]
pub struct Workshop {
    /// Settings in force.
    pub settings: Settings,
    /// Where attempts have their directories.
    pub scratch: PathBuf,
    /// Those of attempts without an input.
    pub rooms: SpareRooms,
    /// Task processes.
    pub pool: Pool,
    /// Kept inputs.
    pub inputs: Inputs,
    /// The farm's transfer.
    pub depot: Depot,
    /// The programs that make results here: others that have the same make the same.
    pub maker: ContentHash,
}

/// An order with its permissions.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// What to do.
    pub order: TaskOrder,
    /// Permission to read the input.
    pub read_ticket: Vec<u8>,
    /// Permission to stage the output.
    pub write_ticket: Vec<u8>,
}

/// An attempt's share of the node.
#[derive(Debug)]
pub enum Room {
    /// It has it.
    Here(Share),
    /// It waits for it, and has its place in line as long as it does.
    Later(oneshot::Receiver<Share>, Place),
}

/// Why an attempt ends without a value.
enum Stop {
    Failed(Failure),
    /// Somebody no longer wants it.
    Stopped,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a process says of the next of its files.
enum Told {
    File(Result<MediaFacts, Failure>),
    Head(HeadFound),
}

/// Runs an attempt and returns how it ended. Everything of it is gone from this node then, but its staged output.
async fn run(shop: &Workshop, dispatch: &Dispatch, held: &Held, room: &mut Option<Room>) -> TaskOutcome {
    let order = &dispatch.order;
    let mut started = Instant::now();
    let has_inputs =
        order.work.input().is_some() || order.work.parts().next().is_some() || !order.work.files().is_empty();
    let dir = has_inputs.then(|| Scratch::of(&shop.scratch, order.attempt));
    let mut usage = Usage::default();
    let deadline = started + Duration::from_millis(order.limits.wall_ms);
    let meter = Meter::new(order.work.kind());
    let mut attempt = Attempt { shop, dispatch, held, deadline, meter };
    let result = attempt.steps(dir.as_ref().map(Scratch::path), &mut usage, room, &mut started).await;
    if let Some(dir) = dir {
        dir.remove().await;
    }
    usage.wall_ms = millis(started.elapsed());
    match result {
        Ok(value) => TaskOutcome::Succeeded { value, usage },
        Err(Stop::Failed(failure)) => TaskOutcome::Failed { failure, usage },
        // Also where the worker is stopped in good order: that is no fault of the task, and the coordinator, which did
        // not ask for it, runs the task elsewhere without counting a failure.
        Err(Stop::Stopped) => TaskOutcome::Cancelled,
    }
}

/// The parts of a running attempt.
struct Attempt<'a> {
    shop: &'a Workshop,
    dispatch: &'a Dispatch,
    held: &'a Held,
    deadline: Instant,
    meter: Meter,
}

impl Attempt<'_> {
    /// All of it. `dir` is the attempt's directory where it has an input.
    async fn steps(
        &mut self,
        dir: Option<&Path>,
        usage: &mut Usage,
        room: &mut Option<Room>,
        started: &mut Instant,
    ) -> Result<TaskValue, Stop> {
        let work = &self.dispatch.order.work;
        let Some(dir) = dir else {
            let since = self.admitted(room).await?;
            self.begins(since, started);
            let room = self.shop.rooms.take()?;
            return match self.process(LocalWork::Nothing, None, room.path().to_owned(), usage).await? {
                LocalResult::Nothing => Ok(TaskValue::Nothing),
                other => Err(not_done(other).into()),
            };
        };
        if let TaskWork::Probes { inputs, .. } = work {
            return self.probes(inputs, dir, usage, (room, started)).await;
        }
        if let Some(value) = self.taken().await? {
            let since = self.admitted(room).await?;
            self.begins(since, started);
            return Ok(value);
        }
        let (in_dir, work_dir) = scratch::rooms(dir)?;
        // One that waits for room fetches its input meanwhile.
        let (fetched, since) = tokio::try_join!(self.fetch_all(&in_dir, usage), self.admitted(room))?;
        self.begins(since, started);
        debug!(files = fetched.len(), "the input is there");

        let output = work_dir.join("output.mp4");
        let local = fetched.first().map(|(local, _)| local.clone()).unwrap_or_default();
        let threads = threads(self.dispatch.order.demand.cpu, facts::cores());
        let local_work = match work {
            TaskWork::Encode { source, settings, .. } | TaskWork::EncodeWith { source, settings, .. } => {
                LocalWork::Encode {
                    input: local,
                    source: source.clone(),
                    settings: settings.clone(),
                    output: output.clone(),
                    threads,
                    hardware: work.hardware().map(ToOwned::to_owned),
                }
            }
            TaskWork::Stream { work, .. } => {
                let files = fetched.iter().map(|(local, _)| local.clone()).collect();
                LocalWork::Stream { work: stream::local(work, files, threads), output: output.clone() }
            }
            TaskWork::Join(work) => LocalWork::Join {
                work: work.clone(),
                input: local,
                pieces: fetched.iter().skip(1).map(|(local, _)| local.clone()).collect(),
                output: output.clone(),
                threads,
            },
            TaskWork::Noop { .. } | TaskWork::Trial | TaskWork::Probe { .. } | TaskWork::Probes { .. } => {
                LocalWork::Probe { input: local }
            }
        };
        match self.process(local_work, Some(in_dir), work_dir, usage).await? {
            LocalResult::Probed(facts) => {
                let (_, input) = fetched.into_iter().next().ok_or_else(|| not_done(LocalResult::Nothing))?;
                Ok(TaskValue::Probed { input, facts })
            }
            LocalResult::Encoded(done) => {
                let artifact = self.store(&open_output(&output)?, usage).await?;
                Ok(TaskValue::Encoded(EncodedOutput {
                    artifact,
                    facts: done.facts,
                    check: done.check,
                    encode_ms: done.encode_ms,
                    speed_permille: done.speed_permille,
                    encoder: done.encoder,
                }))
            }
            LocalResult::Part(done) => {
                let artifact = self.store(&open_output(&output)?, usage).await?;
                let value = stream::part(done, artifact.clone());
                self.keep(&artifact, &value).await?;
                Ok(value)
            }
            LocalResult::Scanned(scan) if scan.is_bounded() => Ok(TaskValue::Scanned(scan)),
            LocalResult::Set(done) => {
                let artifact = self.store(&open_output(&output)?, usage).await?;
                Ok(stream::set(*done, artifact))
            }
            other => Err(not_done(other).into()),
        }
    }

    /// The time of one that waited for room runs from its start.
    fn begins(&mut self, since: Option<Instant>, started: &mut Instant) {
        if let Some(since) = since {
            *started = since;
            self.deadline = since + Duration::from_millis(self.dispatch.order.limits.wall_ms);
        }
    }

    /// Waits for the attempt's share of the node; when it came, if it was not there from the first.
    async fn admitted(&self, room: &mut Option<Room>) -> Result<Option<Instant>, Stop> {
        let share = match room.take() {
            Some(Room::Later(mut share, _place)) => {
                let stop = self.held.stop_token();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(Stop::Stopped),
                    // The sender goes without a word only where the attempt is taken out of the line, to be stopped.
                    share = &mut share => share.map_err(|_| Stop::Stopped)?,
                }
            }
            here => {
                *room = here;
                return Ok(None);
            }
        };
        *room = Some(Room::Here(share));
        self.held.start();
        Ok(Some(Instant::now()))
    }

    /// Has a task process do the work, and gives its answer.
    async fn process(
        &self,
        work: LocalWork,
        in_dir: Option<PathBuf>,
        work_dir: PathBuf,
        usage: &mut Usage,
    ) -> Result<LocalResult, Stop> {
        let ended = self.process_to_its_end(work, in_dir, work_dir, usage, &mut |_| {}).await?;
        ended.map_err(|failure| Stop::Failed(*failure))
    }

    /// The same, with what it says of its files on the way. An inner failure is the process's own end.
    async fn process_to_its_end(
        &self,
        work: LocalWork,
        in_dir: Option<PathBuf>,
        work_dir: PathBuf,
        usage: &mut Usage,
        on_file: &mut (dyn FnMut(Told) + Send),
    ) -> Result<Result<LocalResult, Box<Failure>>, Stop> {
        let limits = self.dispatch.order.limits;
        let sandbox = &self.shop.settings.sandbox;
        let read = sandbox.read.iter().cloned().chain(in_dir).collect();
        let write = sandbox.write.clone();
        let input = self.dispatch.order.work.input();
        let frame_rate = input.and_then(|input| input.location.frame_rate());
        let walls = Walls { require_landlock: sandbox.require, read, write, work_dir, limits };
        let loads = if work == LocalWork::Nothing { Loads::Nothing } else { Loads::Media };
        let taken = async { self.shop.pool.take(loads).await.map_err(|e| e.failure()) };
        let process = self.guarded(taken).await?;
        let began = Instant::now();
        let tail = process.tail();
        let watch = Watch {
            deadline: self.deadline,
            stall: Duration::from_millis(limits.stall_ms),
            stop: self.held.stop_token(),
            memory: sandbox.memory_of(self.dispatch.order.demand.memory),
        };
        self.report(self.meter.start());
        let mut log_left = self.shop.settings.log.task_bytes;
        let (end, used) = process
            .run(&TaskProcessJob { walls, frame_rate, work }, &watch, &mut |event| match event {
                ProcessEvent::Contained(walls) => debug!(walls, "the task process is contained"),
                ProcessEvent::Progress(progress) => self.report(self.meter.work(progress)),
                ProcessEvent::File(found) => on_file(Told::File(found)),
                ProcessEvent::Head(found) => on_file(Told::Head(found)),
                ProcessEvent::Log(text) => {
                    if let Some(left) = log_left.checked_sub(text.len()) {
                        log_left = left;
                        self.held.log(text);
                    } else if log_left > 0 {
                        log_left = 0;
                        self.held
                            .log("(more was written and is left out: log.task_bytes is reached)".to_owned());
                    }
                }
            })
            .await;
        // Probes of many files may need several processes, one after another.
        usage.run_ms += millis(began.elapsed());
        usage.cpu_ms += used.cpu_ms;
        usage.max_rss_bytes = usage.max_rss_bytes.max(used.max_rss_bytes);
        let log = tail.text();
        match end {
            End::Answered(result) => Ok(Ok(result)),
            End::Died(status) => {
                let failure = ending::death(status, used, &limits, &log);
                warn!(%failure, "a task process died");
                Ok(Err(Box::new(failure)))
            }
            End::Stalled(after) => Ok(Err(Box::new(ending::stall(after, &log)))),
            End::OutOfTime => Err(ending::out_of_time(&limits, &log).into()),
            End::OutOfMemory(most) => {
                let asked = self.dispatch.order.demand.memory;
                Ok(Err(Box::new(ending::out_of_memory(most, asked, &log))))
            }
            End::Stopped => Err(Stop::Stopped),
        }
    }

    /// Waits for something, unless the attempt is stopped or out of time first. The task process is not waited for in
    /// this way: its end is seen before its directory is removed. A network or node that is slow now may be faster later.
    async fn guarded<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Stop> {
        let stop = self.held.stop_token();
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(Stop::Stopped),
            () = tokio::time::sleep_until(self.deadline) => {
                let failure = ending::out_of_time(&self.dispatch.order.limits, "");
                Err(failure.with_class(FailureClass::Transient).into())
            }
            result = work => Ok(result?),
        }
    }

    fn report(&self, progress: Progress) {
        self.held.progress(progress);
    }
}

/// What a task process said instead of what it was asked for.
fn not_done(result: LocalResult) -> Failure {
    match result {
        LocalResult::Failed(mut failure) => {
            // Whoever takes a task process over can write what he likes.
            failure.clip();
            failure
        }
        _ => Failure::new(
            FailureCode::ProcessDied,
            "the task process answered another question than it was asked",
            "the task is tried again",
        ),
    }
}

/// The outcome, or a failure in its place where it is too large to be told.
fn tellable(outcome: TaskOutcome) -> TaskOutcome {
    let told = frame::encode(&TaskReply::Outcome(outcome.clone()));
    let too_large = matches!(told, Err(FrameError::TooLong { .. }));
    match outcome {
        TaskOutcome::Succeeded { usage, .. } | TaskOutcome::Failed { usage, .. } if too_large => {
            let failure = Failure::new(
                FailureCode::Unsupported,
                "the file has too many streams or tags for a report about it",
                "remove streams or tags that are not needed, and submit it again",
            );
            TaskOutcome::Failed { failure, usage }
        }
        outcome => outcome,
    }
}

/// Threads for a share of the cores; `None` where it may have them all.
fn threads(share: Millicores, cores: u32) -> Option<u32> {
    Some(share.0.div_ceil(1000).max(1)).filter(|wanted| *wanted < cores)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Runs an attempt whose order was accepted and tells its end to whoever watches it.
pub async fn serve(shop: Arc<Workshop>, dispatch: Dispatch, held: Arc<Held>, room: Room) {
    let kind: TaskKind = dispatch.order.work.kind();
    metrics::task_started(kind);
    let is_idle = kind.is_idle();
    if !is_idle {
        info!(kind = kind.as_str(), "attempt started");
    }
    let mut room = Some(room);
    let outcome = tellable(run(&shop, &dispatch, &held, &mut room).await);
    match &outcome {
        TaskOutcome::Succeeded { .. } if is_idle => {}
        TaskOutcome::Succeeded { usage, .. } => {
            info!(wall_ms = usage.wall_ms, cpu_ms = usage.cpu_ms, "attempt succeeded");
        }
        TaskOutcome::Failed { failure, usage } => {
            warn!(code = failure.code.as_str(), %failure, wall_ms = usage.wall_ms, "attempt failed");
        }
        TaskOutcome::Cancelled => info!("attempt cancelled"),
    }
    metrics::task_ended(kind, &outcome);
    // Given back before the end is told, so that the next order finds room.
    drop(room);
    held.finish(outcome);
}

#[cfg(test)]
mod tests {
    use rushes_shared::artifact::{Artifact, Location};
    use rushes_shared::media::MediaFacts;

    use super::*;

    #[test]
    fn an_attempt_with_all_cores_is_not_held_to_a_number_of_threads() {
        assert_eq!(threads(Millicores(2000), 2), None);
        assert_eq!(threads(Millicores(1500), 4), Some(2));
        assert_eq!(threads(Millicores(0), 4), Some(1));
    }

    #[test]
    fn a_report_that_is_too_large_becomes_a_failure_that_says_so() {
        let probed = |streams: usize| {
            let stream =
                rushes_shared::media::SubtitleFacts { codec: "subrip".into(), language: "eng".into() };
            let facts = MediaFacts { subtitles: vec![stream; streams], ..MediaFacts::default() };
            let input = Artifact::unseen(Location::File("/a".to_owned()));
            TaskOutcome::Succeeded { value: TaskValue::Probed { input, facts }, usage: Usage::default() }
        };
        assert_eq!(tellable(probed(100)), probed(100));
        let TaskOutcome::Failed { failure, .. } = tellable(probed(100_000)) else {
            panic!("it cannot be told")
        };
        assert_eq!((failure.code, failure.class), (FailureCode::Unsupported, FailureClass::Permanent));
    }
}

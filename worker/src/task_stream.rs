//! One task's stream, or the lane: its order or adoption comes in, reports about it go out, until its outcome is collected.
//!
//! The stream may break at any time; the attempt does not notice. The next connection brings another stream for it.

use std::sync::Arc;
use std::time::Duration;

use quinn::{RecvStream, SendStream};
use rushes_net::NetError;
use rushes_net::framed::{self, FrameReader};
use rushes_shared::check::{Check, CheckName};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::frame::{self, Message as _};
use rushes_shared::id::AttemptId;
use rushes_shared::task::{TaskOutcome, TaskValue, TaskWork};
use rushes_shared::wire::{
    BRIEF_ALPN, CHECKS_ALPN, CUTS_ALPN, GAPS_ALPN, LaneBound, LaneOrder, TaskBound, TaskReply, WireVersion,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, debug, info, info_span};

use crate::attempt::{self, Dispatch, Room};
use crate::held::{Held, StopReason};
use crate::lane;
use crate::metrics;
use crate::slots::Grant;
use crate::worker::Worker;

/// Reports about one attempt are at least this far apart, except its end.
const QUIET: Duration = Duration::from_millis(100);
/// And at most this far, even if nothing has changed.
const REPEAT: Duration = Duration::from_secs(1);

/// Serves a stream to its end, in the version that was agreed on.
pub async fn serve(worker: Arc<Worker>, send: SendStream, recv: RecvStream, agreed: WireVersion) {
    let mut reader = FrameReader::new(recv);
    let mut send = send;
    if matches!(reader.kind().await, Ok(Some(LaneBound::KIND))) {
        let is_brief = agreed >= WireVersion::of(Some(BRIEF_ALPN));
        if let Err(error) = lane::serve(&worker, &mut send, &mut reader, is_brief).await {
            debug!(%error, "the lane ended; what is on it is kept");
        }
        return;
    }
    match begin(&worker, &mut send, &mut reader).await {
        Ok(Some(held)) => {
            let span = info_span!("report", task = %held.task(), attempt = %held.attempt());
            let told = report(&worker, &held, agreed, &mut send, &mut reader).instrument(span).await;
            if let Err(error) = told {
                debug!(%error, attempt = %held.attempt(), "a task's stream ended early; the attempt is kept");
            }
        }
        Ok(None) => {}
        Err(error) => debug!(%error, "a task's stream ended before it began"),
    }
    // Fails where the stream is gone already.
    let _ = send.finish();
}

/// Reads what the stream is about. `None` where it was refused.
async fn begin(
    worker: &Arc<Worker>,
    send: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<Option<Arc<Held>>, NetError> {
    let accepted = match reader.next::<TaskBound>().await? {
        Some(TaskBound::Start { order, read_ticket, write_ticket }) => {
            accept(worker, Dispatch { order, read_ticket, write_ticket })
        }
        Some(TaskBound::Attach { attempt }) => {
            worker.held.find_anywhere(attempt).ok_or_else(|| no_such_attempt(attempt))
        }
        Some(TaskBound::Cancel | TaskBound::Collected | TaskBound::Recall) => {
            return Err(NetError::Protocol { reason: "a task's stream began without a task".to_owned() });
        }
        None => return Ok(None),
    };
    match accepted {
        Ok(held) => Ok(Some(held)),
        Err(failure) => {
            info!(%failure, "an order was refused");
            framed::send(send, &TaskReply::Refused(failure)).await?;
            Ok(None)
        }
    }
}

/// Takes an order on, unless it is stale or beyond what this worker can hold.
fn accept(worker: &Arc<Worker>, dispatch: Dispatch) -> Result<Arc<Held>, Failure> {
    let (task, attempt) = (dispatch.order.task, dispatch.order.attempt);
    if let Some(held) = worker.held.find(attempt) {
        return Ok(held);
    }
    may_take(worker, attempt)?;
    let kind = dispatch.order.work.kind();
    if let TaskWork::Noop { hold_ms, .. } = dispatch.order.work {
        // Such orders come on the lane; one with a stream of its own is as good.
        metrics::task_started(kind);
        let held = worker.held.lane.enter(
            LaneOrder { task, attempt, hold_ms: u64::from(hold_ms) },
            None,
            Instant::now(),
        );
        held.outcome(Instant::now()).inspect(|outcome| metrics::task_ended(kind, outcome));
        return worker.held.find_anywhere(attempt).ok_or_else(|| no_such_attempt(attempt));
    }
    let (granted, room) = oneshot::channel();
    // Nobody waits for it any more where the attempt was stopped: the share is given back.
    let grant = || -> Grant { Box::new(move |share| drop(granted.send(share))) };
    let share = worker.slots.enter(attempt, dispatch.order.slot, dispatch.order.demand, grant)?;
    let (held, _) = worker.held.hold(task, attempt);
    let room = match share {
        Some(share) => {
            held.start();
            Room::Here(share)
        }
        None => Room::Later(room, worker.slots.place(attempt)),
    };
    let span = info_span!("attempt", job = %task.job, task = task.index, attempt = %attempt);
    let work = attempt::serve(Arc::clone(&worker.shop), dispatch, Arc::clone(&held), room);
    tokio::spawn(work.instrument(span));
    Ok(held)
}

/// Whether this worker takes a new order on.
///
/// # Errors
/// Why not: the order is of an older reign, the worker stops, or too much waits here to be collected.
pub fn may_take(worker: &Worker, attempt: AttemptId) -> Result<(), Failure> {
    let newest = worker.epoch();
    if attempt.epoch < newest {
        let message =
            format!("the order is of reign {}, this worker has served reign {}", attempt.epoch.0, newest.0);
        return Err(Failure::new(FailureCode::NodeUnfit, message, "an old coordinator still runs: stop it"));
    }
    if *worker.leaving.borrow() {
        let failure =
            Failure::new(FailureCode::NodeUnfit, "the worker stops", "the task is tried on another worker");
        return Err(failure.with_class(FailureClass::NodeFault));
    }
    let most = worker.settings().link.held_max;
    if worker.held.len() >= most {
        let message = format!("{most} attempts wait here to be collected");
        return Err(Failure::new(
            FailureCode::NodeUnfit,
            message,
            "the task is tried again; see link.held_max",
        ));
    }
    Ok(())
}

fn no_such_attempt(attempt: AttemptId) -> Failure {
    Failure::new(
        FailureCode::WorkerLost,
        format!("attempt {attempt} is not on this worker"),
        "it ended with an earlier run of the worker; it is tried again",
    )
}

/// Reports about an attempt until its outcome is collected.
async fn report(
    worker: &Worker,
    held: &Held,
    agreed: WireVersion,
    send: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), NetError> {
    let mut watch = held.watch();
    let mut bytes = Vec::new();
    let mut told_start = false;
    let mut sent = Instant::now();
    let mut due = Some(sent);
    loop {
        tokio::select! {
            biased;
            message = reader.next::<TaskBound>() => match message? {
                Some(TaskBound::Cancel) => {
                    info!("the coordinator cancels the attempt");
                    held.stop(StopReason::Unwanted);
                }
                Some(TaskBound::Recall) => {
                    if worker.slots.leave(held.attempt()) {
                        held.stop(StopReason::Unwanted);
                        worker.held.forget(held.attempt());
                        return framed::send(send, &TaskReply::Recalled).await;
                    }
                }
                // The stream's other half may go on; without it nobody could cancel or collect.
                Some(TaskBound::Collected | TaskBound::Start { .. } | TaskBound::Attach { .. }) => {
                    return Err(NetError::Protocol { reason: "an unexpected message about a running task".into() });
                }
                None => return Ok(()),
            },
            changed = watch.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let is_news = { let now = watch.borrow(); now.outcome.is_some() || now.started != told_start };
                due = Some(if is_news { Instant::now() } else { sent + QUIET });
            }
            () = sleep_until(due.unwrap_or(sent + REPEAT)) => {
                let now = watch.borrow_and_update().clone();
                if now.started && !told_start {
                    told_start = true;
                    bytes.extend(frame::encode(&TaskReply::Started)?);
                }
                for line in held.take_log() {
                    bytes.extend(frame::encode(&TaskReply::Log(line))?);
                }
                match (&now.outcome, now.progress) {
                    (Some(outcome), _) => bytes.extend(frame::encode(&TaskReply::Outcome(told(outcome, agreed)))?),
                    (None, Some(progress)) => bytes.extend(frame::encode(&TaskReply::Progress(progress))?),
                    (None, None) => {}
                }
                if !bytes.is_empty() {
                    send.write_chunk(std::mem::take(&mut bytes).into()).await.map_err(NetError::from)?;
                }
                if let Some(outcome) = &now.outcome {
                    return collect(worker, held, outcome, reader).await;
                }
                (sent, due) = (Instant::now(), None);
            }
        }
    }
}

/// An outcome in the words of a version.
fn told(outcome: &TaskOutcome, agreed: WireVersion) -> TaskOutcome {
    let mut told = outcome.clone();
    match &mut told {
        TaskOutcome::Succeeded { value: TaskValue::Encoded(made), .. } => {
            keep_known(&mut made.check.checks, agreed);
        }
        TaskOutcome::Succeeded { value: TaskValue::Set(made), .. } => {
            keep_known(&mut made.report.checks, agreed);
        }
        TaskOutcome::Succeeded { value: TaskValue::Scanned(scan), .. }
            if agreed < WireVersion::of(Some(CUTS_ALPN)) =>
        {
            scan.keep_fewer_cuts();
        }
        _ => {}
    }
    told
}

/// Leaves out the checks that a coordinator of this version cannot read.
fn keep_known(checks: &mut Vec<Check>, agreed: WireVersion) {
    if agreed < WireVersion::of(Some(CHECKS_ALPN)) {
        checks.clear();
    } else if agreed < WireVersion::of(Some(GAPS_ALPN)) {
        checks.retain(|check| !matches!(check.name, CheckName::VideoGap | CheckName::AudioGap));
    }
}

/// Waits until the coordinator has the outcome on disk, and forgets it then.
async fn collect(
    worker: &Worker,
    held: &Held,
    outcome: &TaskOutcome,
    reader: &mut FrameReader,
) -> Result<(), NetError> {
    loop {
        match reader.next::<TaskBound>().await? {
            Some(TaskBound::Collected) => break,
            // Too late: it has ended by itself.
            Some(TaskBound::Cancel | TaskBound::Recall) => {}
            // Who cancels may not care for the answer.
            None if *outcome == TaskOutcome::Cancelled => break,
            Some(TaskBound::Start { .. } | TaskBound::Attach { .. }) | None => return Ok(()),
        }
    }
    worker.held.forget(held.attempt());
    Ok(())
}

#[cfg(test)]
mod tests {
    use rushes_shared::check::{CheckLimit, CheckUnit};
    use rushes_shared::ladder::Scan;
    use rushes_shared::task::Usage;

    use super::*;

    #[test]
    fn a_coordinator_of_an_older_version_hears_of_no_more_cuts_than_it_takes() {
        let told_to = |alpn: &str, cuts: u64| {
            let scan = Scan { cuts: (0..cuts).collect(), ..Scan::default() };
            let (value, usage) = (TaskValue::Scanned(scan), Usage::default());
            let outcome = TaskOutcome::Succeeded { value, usage };
            let told = told(&outcome, WireVersion::of(Some(alpn.as_bytes())));
            let TaskOutcome::Succeeded { value: TaskValue::Scanned(scan), .. } = told else {
                panic!("{told:?}")
            };
            (scan.cuts.len(), scan.cuts.first().copied(), scan.cuts.last().copied())
        };
        assert_eq!(told_to("rushes/8", 100), (100, Some(0), Some(99)));
        assert_eq!(told_to("rushes/7", 100), (32, Some(0), Some(99)));
        assert_eq!(told_to("rushes/7", 3), (3, Some(0), Some(2)));
        assert_eq!(told_to("rushes/7", 0), (0, None, None));
    }

    #[test]
    fn a_coordinator_of_an_older_version_hears_of_no_check_that_it_does_not_know() {
        let judged = |name| Check::judged(name, CheckUnit::Ms, CheckLimit::AtMost(10.0), 1.0);
        let all = [CheckName::VideoLength, CheckName::VideoGap, CheckName::AudioGap];
        for (alpn, known) in
            [("rushes/7", &all[..]), ("rushes/6", &all[..1]), ("rushes/5", &all[..1]), ("rushes/4", &[])]
        {
            let mut checks = all.map(judged).to_vec();
            keep_known(&mut checks, WireVersion::of(Some(alpn.as_bytes())));
            let kept: Vec<CheckName> = checks.iter().map(|check| check.name).collect();
            assert_eq!(kept, known, "{alpn}");
        }
    }
}

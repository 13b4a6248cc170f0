//! News as the event streams' JSON.

use rushes_core::event::{Decision, FarmEvent, FarmNews};
use rushes_shared::view::{EventView, FailureView};

/// A piece of news.
pub(in crate::api) fn event(event: &FarmEvent) -> EventView {
    let view = EventView { at: event.at.to_rfc3339(), job: event.job, ..EventView::default() };
    let named = |name: &str, view: EventView| EventView { r#type: name.to_owned(), ..view };
    match event.what.clone() {
        FarmNews::JobAccepted => named("job_accepted", view),
        FarmNews::JobEnded { state, failure, total_ms } => {
            let failure = failure.as_ref().map(FailureView::from);
            named("job_ended", EventView { state: Some(state), failure, total_ms: Some(total_ms), ..view })
        }
        FarmNews::Decided(decision) => {
            let (for_job, lost_ms) = match &decision {
                Decision::Preempted { by, lost_ms, .. } => (Some(*by), Some(*lost_ms)),
                _ => (None, None),
            };
            let (task, worker) = (decision.task(), decision.worker());
            let message = Some(decision.to_string());
            named(decision.name(), EventView { message, task, worker, for_job, lost_ms, ..view })
        }
        FarmNews::TaskDispatched { task, kind, attempt, worker, queued_ms } => {
            let attempt = Some(attempt.to_string());
            let view =
                EventView { task: Some(task), kind: Some(kind), attempt, worker: Some(worker), ..view };
            named("task_dispatched", EventView { queue_ms: Some(queued_ms), ..view })
        }
        FarmNews::TaskAdopted { task, kind, attempt, worker } => {
            let attempt = Some(attempt.to_string());
            named(
                "task_adopted",
                EventView { task: Some(task), kind: Some(kind), attempt, worker: Some(worker), ..view },
            )
        }
        FarmNews::TaskProgressed { task, kind, worker, progress } => {
            let view = EventView { task: Some(task), kind: Some(kind), worker: Some(worker), ..view };
            named("task_progressed", EventView { progress: Some(progress.into()), ..view })
        }
        FarmNews::TaskSucceeded { task, kind, worker, run_ms } => {
            let view = EventView { task: Some(task), kind: Some(kind), worker: Some(worker), ..view };
            named("task_succeeded", EventView { run_ms: Some(run_ms), ..view })
        }
        FarmNews::AttemptFailed { task, kind, worker, failure, retry_ms } => {
            let view = EventView { task: Some(task), kind: Some(kind), worker: Some(worker), ..view };
            named("attempt_failed", EventView { failure: Some((&failure).into()), retry_ms, ..view })
        }
        FarmNews::OutputPublished { output, name, place, size } => named(
            "output_published",
            EventView {
                output: Some(output),
                output_name: name.map(|name| name.to_string()),
                url: Some(place.to_string()),
                size_bytes: size.map(|size| size.0),
                ..view
            },
        ),
        FarmNews::WorkerJoined { worker, name } => {
            named("worker_joined", EventView { worker: Some(worker), worker_name: Some(name), ..view })
        }
        FarmNews::WorkerSilent { worker } => {
            named("worker_silent", EventView { worker: Some(worker), ..view })
        }
        FarmNews::WorkerGone { worker, lost } => {
            named("worker_gone", EventView { worker: Some(worker), lost: Some(lost), ..view })
        }
        FarmNews::WorkerDrained { worker, draining } => {
            named("worker_drained", EventView { worker: Some(worker), draining: Some(draining), ..view })
        }
    }
}

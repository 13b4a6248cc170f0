//! The engine's documents as the API's JSON.

mod event;
mod files;
mod left;
mod set;
mod standing;

use rushes_core::job::{JobDoc, LiveTask, Stopped, Success, Task, facts_file};
use rushes_core::summary::{FarmDoc, Presence, WorkerDoc};
use rushes_shared::artifact::{Artifact, Location};
use rushes_shared::job::{JobState, OutputSpec, TaskState, Work};
use rushes_shared::request::JobKind;
use rushes_shared::task::{EncodedOutput, TaskKind, TaskValue};
use rushes_shared::units::WallMs;
use rushes_shared::view::{
    ArtifactView, FailureView, JobView, NeedsView, OutputState, OutputView, ProgressView, RunningView,
    StatusView, StoppedView, TaskCounts, TaskTally, TaskView, WorkerView,
};

pub(super) use event::event;
pub(super) use standing::{explanation, forecast, task_explanation};

/// A job with at most `max_tasks` of its tasks.
pub(super) fn job(doc: &JobDoc, now: WallMs, max_tasks: usize) -> JobView {
    let (job, spec) = (&doc.job, &doc.job.spec);
    let ended = job.ended.as_ref();
    let until = ended.map_or(now, |e| e.at);
    let started = started_at(doc);
    JobView {
        id: job.id,
        name: spec.name.clone(),
        kind: kind(&spec.work),
        state: doc.state(),
        tenant: job.tenant.to_string(),
        submitter: job.submitter.to_string(),
        class: spec.class,
        priority: spec.priority.value(),
        value: spec.value.as_ref().map(|v| **v),
        paused: spec.paused,
        late_since: job.late.as_ref().map(|late| late.since.to_rfc3339()),
        late_reason: job.late.as_ref().map(|late| late.because.as_str().to_owned()),
        yields_to: job.late.as_ref().and_then(|late| late.because.other()),
        trades: job.trades.iter().map(standing::trade).collect(),
        stopped: doc.stopped.as_deref().map(stopped),
        held_up: doc.held_up.as_deref().map(FailureView::from),
        deadline: spec.deadline.map(WallMs::to_rfc3339),
        labels: spec.labels.clone(),
        submitted_at: job.accepted_at.to_rfc3339(),
        started_at: started.map(WallMs::to_rfc3339),
        ended_at: ended.map(|e| e.at.to_rfc3339()),
        queue_ms: started.unwrap_or(until).0.saturating_sub(job.accepted_at.0),
        run_ms: started.map_or(0, |s| until.0.saturating_sub(s.0)),
        progress: progress(doc),
        input: job.input().as_ref().map(artifact),
        media: job.probed().map(|(_, facts)| facts.clone()),
        task_counts: counts(doc),
        tasks: (0..job.tasks.len().min(max_tasks)).map(|i| task(doc, i)).collect(),
        files: job.files(),
        outputs: if max_tasks == 0 { listed(doc) } else { outputs(doc) },
        stages: set::stages(doc),
        set: set::set(doc),
        failure: ended.and_then(|e| e.failure.as_ref()).map(FailureView::from),
    }
}

fn stopped(stopped: &Stopped) -> StoppedView {
    StoppedView {
        times: stopped.times,
        lost_ms: stopped.lost_ms,
        task: stopped.task,
        worker: stopped.worker,
        for_job: stopped.by,
        at: stopped.at.to_rfc3339(),
    }
}

fn kind(work: &Work) -> JobKind {
    match work {
        Work::Noop { .. } => JobKind::Noop,
        Work::Probe { .. } => JobKind::Probe,
        Work::Encode { .. } => JobKind::Encode,
        Work::Graph { .. } => JobKind::Graph,
        Work::Trial { .. } => JobKind::Trial,
        Work::Stream { .. } => JobKind::Stream,
        Work::Probes { .. } => JobKind::Probe,
    }
}

/// When the first attempt that is still known was handed to a worker.
fn started_at(doc: &JobDoc) -> Option<WallMs> {
    let live = doc.live.values().map(|live| live.since);
    let done = doc
        .job
        .tasks
        .iter()
        .filter_map(|t| t.success.as_ref())
        .map(|s| WallMs(s.at.0.saturating_sub(s.usage.wall_ms)));
    let failed = doc.job.tasks.iter().filter_map(|t| t.last_failure()).map(|f| f.at);
    live.chain(done).chain(failed).min().map(|at| at.max(doc.job.accepted_at))
}

fn counts(doc: &JobDoc) -> TaskCounts {
    let mut counts = TaskCounts::default();
    for i in 0..doc.job.tasks.len() {
        *match doc.task_state(i) {
            TaskState::Queued => &mut counts.queued,
            TaskState::Running => &mut counts.running,
            TaskState::Succeeded => &mut counts.succeeded,
            TaskState::Failed => &mut counts.failed,
            TaskState::Canceled => &mut counts.canceled,
            TaskState::Aborted => &mut counts.aborted,
        } += 1;
    }
    counts
}

/// Share that each kind of task has of its job; an encode outweighs all else.
fn weight(kind: TaskKind) -> u64 {
    match kind {
        TaskKind::Noop | TaskKind::Trial | TaskKind::Probe | TaskKind::Probes => 1,
        TaskKind::Sound | TaskKind::Stills | TaskKind::Scan => 5,
        TaskKind::Package | TaskKind::Join => 20,
        TaskKind::Encode | TaskKind::Chunk => 100,
    }
}

fn progress(doc: &JobDoc) -> ProgressView {
    let (mut done, mut all) = (0_u64, 0_u64);
    let is_set = matches!(doc.job.spec.work, Work::Stream { .. });
    let has_chunks = doc.job.stages.iter().any(|stage| stage.step.kind() == TaskKind::Chunk);
    let mut view = if is_set || has_chunks { set::chunks(doc) } else { ProgressView::default() };
    let mut speed = view.speed;
    let kinds = doc.job.stages.iter().flat_map(|s| std::iter::repeat_n(s.step.kind(), s.count as usize));
    for ((i, task), kind) in doc.job.tasks.iter().enumerate().zip(kinds) {
        let live = doc.live_of(i);
        let permille = match (&task.success, live) {
            (Some(_), _) => 1000,
            (None, Some(live)) => u64::from(live.progress.permille.min(1000)),
            (None, None) => 0,
        };
        done += permille * weight(kind);
        all += 1000 * weight(kind);
        if kind != TaskKind::Encode {
            continue;
        }
        if let Some(made) = encoded(task) {
            let frames = made.facts.video.first().map_or(0, |v| v.frames);
            let media_ms = made.facts.duration_ns / 1_000_000;
            view.frames += frames;
            view.frames_total += frames;
            view.media_ms += media_ms;
            view.media_total_ms += media_ms;
        } else if let Some(live) = live {
            let p = ProgressView::from(live.progress);
            view.frames += p.frames;
            view.frames_total += p.frames_total;
            view.media_ms += p.media_ms;
            view.media_total_ms += p.media_total_ms;
            speed += p.speed;
            view.eta_ms = view.eta_ms.max(p.eta_ms);
        }
    }
    // Encodes that the probe has not made known yet still lie ahead.
    if let Work::Encode { outputs, .. } = &doc.job.spec.work {
        let known = doc.job.stages.iter().filter(|s| s.step.output().is_some()).count();
        all += 1000 * weight(TaskKind::Encode) * outputs.len().saturating_sub(known) as u64;
    }
    if is_set && doc.job.stages.len() <= 1 {
        all += 1000 * weight(TaskKind::Chunk);
    }
    let permille = match doc.state() {
        JobState::Succeeded => 1000,
        _ => (done * 1000).checked_div(all).unwrap_or(0),
    };
    view.permille = u16::try_from(permille.min(1000)).unwrap_or(1000);
    view.speed = speed;
    view.eta_ms = left::left_ms(doc).or(view.eta_ms);
    view
}

fn encoded(task: &Task) -> Option<&EncodedOutput> {
    match &**task.success.as_ref()?.value.as_ref()? {
        TaskValue::Encoded(made) => Some(made),
        _ => None,
    }
}

/// What a task does, and the name of the output that it makes.
pub(super) fn task_facts(doc: &JobDoc, number: u32) -> (TaskKind, Option<String>) {
    let step = doc.job.step(number);
    let output = step.output().and_then(|o| doc.job.spec.work.output(o));
    (step.kind(), output.map(|spec| spec.name.to_string()))
}

fn task(doc: &JobDoc, index: usize) -> TaskView {
    let task = &doc.job.tasks[index];
    let live = doc.live_of(index);
    let success = task.success.as_deref();
    let number = u32::try_from(index).unwrap_or(u32::MAX);
    let (kind, output) = task_facts(doc, number);
    let attempt = live.map(|l| l.attempt).or(success.map(|s| s.attempt));
    TaskView {
        id: doc.job.task_id(number),
        kind,
        state: doc.task_state(index),
        output,
        hardware: live.and_then(|l| l.encoder.as_deref()).map(ToOwned::to_owned),
        fell_back: doc.job.step(number).fell_back(),
        attempts: task.failures() + u32::from(success.is_some() || live.is_some()),
        failures: task.failures(),
        attempt: attempt.map(|a| a.to_string()),
        worker: live.map(|l| l.worker).or(success.map(|s| s.worker)),
        worker_name: live.map(|l| l.worker_name.to_string()),
        started_at: live.map(|l| l.since.to_rfc3339()),
        ended_at: success.map(|s| s.at.to_rfc3339()),
        queue_ms: queue_ms(live, success),
        progress: live.map(|l| ProgressView::from(l.progress)),
        needs: NeedsView::from(doc.job.stage_of(number).1.demand),
        usage: success.map(|s| s.usage),
        last_failure: task.last_failure().map(|f| FailureView::from(&f.failure)),
    }
}

fn queue_ms(live: Option<&LiveTask>, success: Option<&Success>) -> Option<u64> {
    live.map(|l| l.queued_ms).or(success.map(|s| s.queued_ms))
}

/// The index of the output with this name.
pub(super) fn output_index(doc: &JobDoc, name: &str) -> Option<u32> {
    if let Work::Probes { .. } = doc.job.spec.work {
        return doc.job.spec.work.output_numbers().find(|task| facts_file(*task).as_str() == name);
    }
    doc.job.spec.work.outputs().find(|(_, spec)| spec.name.as_str() == name).map(|(index, _)| index)
}

/// The outputs of a job in a list: what is found in many files lies in more outputs than are worth naming there.
fn listed(doc: &JobDoc) -> Vec<OutputView> {
    if matches!(doc.job.spec.work, Work::Probes { .. }) { Vec::new() } else { outputs(doc) }
}

fn outputs(doc: &JobDoc) -> Vec<OutputView> {
    if let Work::Stream { .. } = doc.job.spec.work {
        return set::outputs(doc);
    }
    if let Work::Probes { .. } = doc.job.spec.work {
        return files::outputs(doc);
    }
    doc.job.spec.work.outputs().map(|(index, spec)| output(doc, index, spec)).collect()
}

fn output(doc: &JobDoc, index: u32, spec: &OutputSpec) -> OutputView {
    let published = doc.job.published.iter().find(|p| p.output == index);
    let made = doc.job.task_of_output(index).and_then(|task| encoded(&doc.job.tasks[task as usize]));
    let is_left_out = doc.job.stage_of_output(index).is_some_and(|stage| stage.dropped);
    let state = match (published, &doc.job.ended) {
        (Some(_), _) => OutputState::Published,
        (None, None) if !is_left_out => OutputState::Pending,
        (None, _) => OutputState::Missing,
    };
    let task = doc.job.task_of_output(index).and_then(|task| doc.job.tasks.get(task as usize));
    let given_up = task.filter(|task| task.is_given_up()).and_then(Task::last_failure);
    let place = doc.job.output_place(index);
    let fetchable = published.is_some() && matches!(place, Location::Output(..));
    let artifact = published.map(|p| &p.artifact).or(made.map(|m| &m.artifact));
    OutputView {
        name: spec.name.to_string(),
        state,
        url: place.to_string(),
        download: fetchable
            .then(|| format!("/v1/jobs/{}/outputs/{}", doc.job.id, path_escaped(spec.name.as_str()))),
        size_bytes: artifact.and_then(|a| a.size).map(|b| b.0),
        hash: artifact.and_then(|a| a.hash).map(|h| h.to_string()),
        duration_ms: made.map(|m| m.facts.duration_ns / 1_000_000),
        bitrate_bps: made.map(|m| m.facts.bitrate_bps),
        frames: made.and_then(|m| m.facts.video.first()).map(|v| v.frames),
        encode_ms: made.map(|m| m.encode_ms),
        encode_speed: made.map(|m| f64::from(m.speed_permille) / 1000.0),
        encoder: made.map(|m| m.encoder.clone()),
        media: made.map(|m| m.facts.clone()),
        check: made.map(|m| m.check.clone()),
        published_at: published.map(|p| p.at.to_rfc3339()),
        failure: given_up.map(|failed| FailureView::from(&failed.failure)),
    }
}

/// A name as one component of a URL's path (RFC 3986: all but unreserved characters are escaped).
fn path_escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn artifact(artifact: &Artifact) -> ArtifactView {
    ArtifactView {
        url: artifact.location.to_string(),
        size_bytes: artifact.size.map(|b| b.0),
        hash: artifact.hash.map(|h| h.to_string()),
    }
}

/// A worker.
pub(super) fn worker(doc: &WorkerDoc) -> WorkerView {
    let facts = doc.facts.clone().unwrap_or_default();
    WorkerView {
        id: doc.id,
        name: doc.name.clone(),
        presence: match doc.presence {
            Presence::Connected => "connected",
            Presence::Silent => "silent",
            Presence::Gone => "gone",
        }
        .to_owned(),
        draining: doc.draining,
        leaving: doc.leaving,
        quarantined: doc.quarantined,
        speed_permille: doc.speed_permille,
        since: doc.since.to_rfc3339(),
        cpu_millicores: facts.cpu.0,
        cpu_used_millicores: doc.cpu_used.0,
        memory_bytes: facts.memory.0,
        memory_used_bytes: doc.memory_used.0,
        tags: facts.tags,
        encoders: facts.encoders,
        encoder_sessions: doc.encoder_sessions,
        encoder_sessions_used: doc.encoder_sessions_used,
        encoder_shut: doc.encoder_shut,
        version: facts.version,
        platform: facts.platform,
        sandbox: facts.sandbox,
        running: doc
            .running
            .iter()
            .map(|(task, attempt, kind)| RunningView {
                task: *task,
                kind: *kind,
                attempt: attempt.to_string(),
            })
            .collect(),
    }
}

/// The farm at a glance.
pub(super) fn status(farm: &FarmDoc, uptime_s: u64) -> StatusView {
    let of =
        |counts: &[(TaskKind, u64)], kind| counts.iter().filter(|(k, _)| *k == kind).map(|(_, n)| n).sum();
    StatusView {
        version: rushes_shared::build::info().version.to_owned(),
        jobs_queued: farm.jobs_queued,
        jobs_running: farm.jobs_running,
        tasks: TaskKind::ALL
            .into_iter()
            .map(|kind| TaskTally {
                kind,
                ready: of(&farm.tasks_ready, kind),
                running: of(&farm.tasks_running, kind),
            })
            .filter(|tally| tally.ready + tally.running > 0)
            .collect(),
        workers_connected: farm.workers_connected,
        workers_draining: farm.workers_draining,
        workers_silent: farm.workers_silent,
        workers_quarantined: farm.workers_quarantined,
        bottlenecks: farm.bottlenecks.iter().map(standing::bottleneck).collect(),
        anomalies: farm.anomalies.iter().map(standing::anomaly).collect(),
        reattaching: farm.reattaching,
        uptime_s,
    }
}

//! A streaming set as the API's JSON.

use rushes_core::job::JobDoc;
use rushes_shared::artifact::Location;
use rushes_shared::job::{TaskState, Work};
use rushes_shared::task::{SetFile, SetMade, TaskKind, TaskValue};
use rushes_shared::view::{OutputState, OutputView, ProgressView, RenditionView, SetView, StageView};

use super::path_escaped;

/// Counts by stage, of a streaming job.
pub(super) fn stages(doc: &JobDoc) -> Vec<StageView> {
    let has_chunks = doc.job.stages.iter().any(|stage| stage.step.kind() == TaskKind::Chunk);
    if !has_chunks && !matches!(doc.job.spec.work, Work::Stream { .. }) {
        return Vec::new();
    }
    let mut first = 0;
    let stages = doc.job.stages.iter().map(|stage| {
        let own = first..first + stage.count as usize;
        first = own.end;
        let count = |state| own.clone().filter(|task| doc.task_state(*task) == state).count();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        StageView {
            kind: stage.step.kind(),
            tasks: stage.count,
            succeeded: number(count(TaskState::Succeeded)),
            running: number(count(TaskState::Running)),
        }
    });
    stages.collect()
}

/// What the package task has made.
fn made(doc: &JobDoc) -> Option<&SetMade> {
    let task = doc.job.task_of_output(0)?;
    match &**doc.job.tasks.get(task as usize)?.success.as_ref()?.value.as_ref()? {
        TaskValue::Set(set) => Some(set),
        _ => None,
    }
}

fn state(doc: &JobDoc) -> OutputState {
    match (doc.job.published.is_empty(), &doc.job.ended) {
        (false, _) => OutputState::Published,
        (true, None) => OutputState::Pending,
        (true, Some(_)) => OutputState::Missing,
    }
}

/// The set, once it is made.
pub(super) fn set(doc: &JobDoc) -> Option<SetView> {
    let set = made(doc).filter(|_| matches!(doc.job.spec.work, Work::Stream { .. }))?;
    let report = &set.report;
    Some(SetView {
        state: state(doc),
        url: doc.job.output_place(0).to_string(),
        duration_ms: report.duration_ns / 1_000_000,
        renditions: report.video.iter().chain(&report.audio).map(RenditionView::from).collect(),
        manifests: report.files.clone(),
        checks: report.checks.clone(),
        files: set.files,
        size_bytes: set.size_bytes,
        took: set.took,
        encoder: set.encoder.clone(),
        published_at: doc.job.published.first().map(|published| published.at.to_rfc3339()),
    })
}

/// The files beside the renditions' directories, once the set is made.
pub(super) fn outputs(doc: &JobDoc) -> Vec<OutputView> {
    let Some(set) = made(doc) else { return Vec::new() };
    let place = doc.job.output_place(0);
    let is_kept = matches!(place, Location::Set(..)) && !doc.job.published.is_empty();
    set.top.iter().map(|file| output(doc, &place, file, is_kept)).collect()
}

fn output(doc: &JobDoc, place: &Location, file: &SetFile, is_kept: bool) -> OutputView {
    let name = file.path.as_str();
    OutputView {
        name: name.to_owned(),
        state: state(doc),
        url: format!("{place}{name}"),
        download: is_kept.then(|| format!("/v1/jobs/{}/outputs/{}", doc.job.id, path_escaped(name))),
        size_bytes: Some(file.size_bytes),
        hash: Some(file.hash.to_string()),
        duration_ms: None,
        bitrate_bps: None,
        frames: None,
        encode_ms: None,
        encode_speed: None,
        encoder: None,
        media: None,
        check: None,
        published_at: doc.job.published.first().map(|published| published.at.to_rfc3339()),
        failure: None,
    }
}

/// Frames, media time and speed of all chunks together. The share that is done is not theirs alone.
pub(super) fn chunks(doc: &JobDoc) -> ProgressView {
    let mut view = ProgressView::default();
    let (_, source) = match doc.job.probed() {
        Some(probed) => probed,
        None => return view,
    };
    let video = source.video.first();
    // A set has one row of chunks; of several outputs each has its own.
    let rows = doc.job.stages.iter().filter(|stage| stage.step.kind() == TaskKind::Chunk).count() as u64;
    view.frames_total = video.map_or(0, |video| video.frames).saturating_mul(rows);
    view.media_total_ms = video.map_or(0, |video| video.duration_ns / 1_000_000).saturating_mul(rows);
    let kinds = doc.job.stages.iter().flat_map(|s| std::iter::repeat_n(s.step.kind(), s.count as usize));
    let chunks = doc.job.tasks.iter().enumerate().zip(kinds).filter(|(_, kind)| *kind == TaskKind::Chunk);
    for ((at, task), _) in chunks {
        if let Some(TaskValue::Part(part)) = task.success.as_ref().and_then(|s| s.value.as_deref()) {
            // Workers say these numbers.
            view.frames = view.frames.saturating_add(part.frames);
            view.media_ms = view.media_ms.saturating_add(part.duration_ns / 1_000_000);
        } else if let Some(live) = doc.live_of(at) {
            let live = ProgressView::from(live.progress);
            view.frames = view.frames.saturating_add(live.frames);
            view.media_ms = view.media_ms.saturating_add(live.media_ms);
            view.speed += live.speed;
        }
    }
    view
}

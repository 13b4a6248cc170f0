//! What a job that probes many files has found, as files of the depot: one for each task, in the order of the inputs.

use rushes_core::job::{JobDoc, Task, facts_file};
use rushes_shared::view::{FailureView, OutputState, OutputView};

/// The files, those that are still to come as well.
pub(super) fn outputs(doc: &JobDoc) -> Vec<OutputView> {
    doc.job.spec.work.output_numbers().map(|task| output(doc, task)).collect()
}

fn output(doc: &JobDoc, task: u32) -> OutputView {
    let published = doc.job.published.iter().find(|published| published.output == task);
    let entry = doc.job.tasks.get(task as usize);
    let given_up = entry.filter(|task| task.is_given_up()).and_then(Task::last_failure);
    let name = facts_file(task);
    OutputView {
        state: match (published, &doc.job.ended) {
            (Some(_), _) => OutputState::Published,
            (None, None) => OutputState::Pending,
            (None, Some(_)) => OutputState::Missing,
        },
        url: doc.job.output_place(task).to_string(),
        download: published.map(|_| format!("/v1/jobs/{}/outputs/{name}", doc.job.id)),
        size_bytes: published.and_then(|published| published.artifact.size).map(|size| size.0),
        hash: published.and_then(|published| published.artifact.hash).map(|hash| hash.to_string()),
        name: name.to_string(),
        duration_ms: None,
        bitrate_bps: None,
        frames: None,
        encode_ms: None,
        encode_speed: None,
        encoder: None,
        media: None,
        check: None,
        published_at: published.map(|published| published.at.to_rfc3339()),
        failure: given_up.map(|failed| FailureView::from(&failed.failure)),
    }
}

//! The tasks of a job that probes many files: a batch of them each, in their order.

use rushes_shared::artifact::{Artifact, FileName};
use rushes_shared::job::Work;
use rushes_shared::task::{ProbedFiles, TaskValue, TaskWork};
use rushes_shared::view::FilesView;

use super::Job;

/// The output of a task that probes a batch: what it has found, a line a file.
#[must_use]
pub fn facts_file(task: u32) -> FileName {
    format!("facts-{task:05}.ndjson").parse().expect("it is a file name")
}

impl Job {
    /// The work of a task that probes a batch.
    pub(super) fn probes_work(&self, task: u32) -> Option<TaskWork> {
        let batch = self.spec.work.batches().nth(task as usize)?;
        let inputs = batch.iter().map(|input| Artifact::unseen(input.clone())).collect();
        Some(TaskWork::Probes { inputs, output: facts_file(task) })
    }

    /// How much a task has found that probes a batch, once it has.
    #[must_use]
    pub fn probed_files(&self, task: u32) -> Option<&ProbedFiles> {
        match &**self.tasks.get(task as usize)?.success.as_ref()?.value.as_ref()? {
            TaskValue::ProbedFiles(found) => Some(found),
            _ => None,
        }
    }

    /// How many files of a job that probes many are read by now.
    #[must_use]
    pub fn files(&self) -> Option<FilesView> {
        let Work::Probes { inputs, .. } = &self.spec.work else { return None };
        let count = |files: usize| u32::try_from(files).unwrap_or(u32::MAX);
        let mut files = FilesView { all: count(inputs.len()), ..FilesView::default() };
        for (task, batch) in (0..).zip(self.spec.work.batches()) {
            let Some(found) = self.probed_files(task) else { continue };
            // Workers say these numbers.
            let failed = found.failed.min(count(batch.len()));
            files.failed += failed;
            files.read += count(batch.len()) - failed;
        }
        Some(files)
    }
}

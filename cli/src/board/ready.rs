//! Outputs that are told of as soon as they are ready, while their job goes on.

use rushes_shared::id::JobId;
use rushes_shared::view::{EventView, JobView, OutputState};

use super::Board;
use crate::words;

/// How places begin that the farm keeps.
const KEPT: &str = "farm://";

impl Board {
    /// The same, telling of each output as soon as it is ready.
    pub(crate) fn announcing(mut self) -> Self {
        self.announces = true;
        self
    }

    /// Which task makes which output, and what came about before the job was watched or while the connection was lost.
    pub(super) fn show_ready(&mut self, id: JobId, job: &JobView) {
        if let Some(line) = self.jobs.get_mut(&id).filter(|_| job.outputs.len() > 1) {
            let outputs = job.tasks.iter().filter_map(|task| Some((task.id, task.output.clone()?)));
            line.outputs.extend(outputs);
        }
        for output in job.outputs.iter().filter(|output| output.state == OutputState::Published) {
            self.say_ready(id, &output.name, &output.url, output.size_bytes);
        }
    }

    /// News of one.
    pub(super) fn ready_news(&mut self, id: JobId, news: &EventView) {
        // A set of files is told of with its job's end.
        if let (Some(output), Some(url)) = (&news.output_name, &news.url) {
            self.say_ready(id, output, url, news.size_bytes);
        }
    }

    /// Says of an output that it is ready, once: at its place outside, or kept by the farm.
    fn say_ready(&mut self, id: JobId, output: &str, url: &str, size: Option<u64>) {
        let Some(job) = self.jobs.get_mut(&id).filter(|_| self.announces) else { return };
        if !job.ready.insert(output.to_owned()) {
            return;
        }
        let place = match url.starts_with(KEPT) {
            true => format!("'rushes job fetch {id} -o DIR' brings it"),
            false => url.to_owned(),
        };
        let size = size.map(|size| format!(", {}", words::size(size))).unwrap_or_default();
        let text = format!("{}: {output} is ready{size}: {place}", job.name);
        self.say(&text);
    }
}

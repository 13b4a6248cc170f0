//! A job of many equal tasks on the board: a row for each stage, with how many are done, the share, and time to go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use rushes_shared::id::{JobId, TaskId};
use rushes_shared::job::TaskState;
use rushes_shared::task::TaskKind;
use rushes_shared::view::{EventView, JobView, ProgressView};

use super::{Board, Form};
use crate::words;

/// From this share on, in thousandths, the time that is left is guessed.
const GUESS_FROM: u64 = 20;

/// The stages of a job.
#[derive(Debug, Default)]
pub(super) struct Stages(BTreeMap<TaskKind, Row>);

#[derive(Debug)]
struct Row {
    tasks: u32,
    done: u32,
    live: BTreeMap<TaskId, ProgressView>,
    since: Instant,
    bar: ProgressBar,
}

impl Stages {
    /// Takes over what is known of the job; `bar` makes the bar of a new row.
    pub(super) fn show(&mut self, job: &JobView, bar: &dyn Fn(Option<&ProgressBar>) -> ProgressBar) {
        // Several outputs that are made in pieces have stages of one kind each.
        let mut kinds = BTreeMap::<TaskKind, (u32, u32)>::new();
        for stage in &job.stages {
            let (tasks, done) = kinds.entry(stage.kind).or_default();
            (*tasks, *done) = (*tasks + stage.tasks, *done + stage.succeeded);
        }
        for (kind, (tasks, done)) in kinds {
            let last = self.0.values().last().map(|row| row.bar.clone());
            let row = self.0.entry(kind).or_insert_with(|| Row {
                tasks: 0,
                done: 0,
                live: BTreeMap::new(),
                since: Instant::now(),
                bar: bar(last.as_ref()),
            });
            (row.tasks, row.done) = (tasks, done);
            row.live.clear();
            row.draw(kind);
        }
        for task in job.tasks.iter().filter(|task| task.state == TaskState::Running) {
            self.moved(task.kind, task.id, task.progress.clone().unwrap_or_default());
        }
    }

    /// A task runs, and is so far.
    pub(super) fn moved(&mut self, kind: TaskKind, task: TaskId, progress: ProgressView) {
        let Some(row) = self.0.get_mut(&kind) else { return };
        if row.live.is_empty() && row.done == 0 {
            row.since = Instant::now();
        }
        row.live.insert(task, progress);
        row.draw(kind);
    }

    /// A task does not run any more. Whether its stage is done with it.
    pub(super) fn ended(&mut self, kind: TaskKind, task: TaskId, succeeded: bool) -> bool {
        let Some(row) = self.0.get_mut(&kind) else { return false };
        row.live.remove(&task);
        row.done = (row.done + u32::from(succeeded)).min(row.tasks);
        row.draw(kind);
        succeeded && row.done == row.tasks
    }

    /// Whether nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.0.values().all(|row| row.live.is_empty())
    }

    /// What runs, a line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let runs = self.0.iter().filter(|(_, row)| !row.live.is_empty());
        runs.map(|(kind, row)| format!("{} {} %  {}", row.label(*kind), row.permille() / 10, row.words()))
    }

    pub(super) fn bars(&self) -> impl Iterator<Item = &ProgressBar> {
        self.0.values().map(|row| &row.bar)
    }
}

impl Row {
    fn draw(&self, kind: TaskKind) {
        self.bar.set_prefix(self.label(kind));
        self.bar.set_position(self.permille());
        self.bar.set_message(self.words());
    }

    fn label(&self, kind: TaskKind) -> String {
        if self.tasks > 1 {
            format!("{} {}/{}", kind.as_str(), self.done, self.tasks)
        } else {
            kind.as_str().to_owned()
        }
    }

    fn permille(&self) -> u64 {
        let live: u64 = self.live.values().map(|progress| u64::from(progress.permille.min(1000))).sum();
        (u64::from(self.done) * 1000 + live).checked_div(u64::from(self.tasks)).unwrap_or(0).min(1000)
    }

    /// Speed, time to go, and how many run at once.
    fn words(&self) -> String {
        if self.done == self.tasks {
            return "done".to_owned();
        }
        if self.live.is_empty() {
            return "waits".to_owned();
        }
        let mut parts = Vec::new();
        let speed: f64 = self.live.values().map(|progress| progress.speed).sum();
        if speed > 0.0 {
            parts.push(words::speed(speed));
        }
        if let Some(left) = left(self.since.elapsed(), self.permille()) {
            parts.push(format!("ETA {}", words::eta(left)));
        }
        if self.tasks > 1 {
            parts.push(format!("{} at once", self.live.len()));
        }
        parts.join("  ")
    }
}

/// How long it takes from here, in milliseconds, if it goes on as it did.
pub(super) fn left(elapsed: Duration, permille: u64) -> Option<u64> {
    let elapsed = u64::try_from(elapsed.as_millis()).ok()?;
    (permille >= GUESS_FROM).then(|| elapsed.saturating_mul(1000 - permille.min(1000)) / permille)
}

impl Board {
    /// The rows of a job that has them.
    pub(super) fn show_stages(&mut self, id: JobId, job: &JobView) {
        let Some(mut stages) = self.jobs.get_mut(&id).and_then(|line| line.stages.take()) else { return };
        let line = &self.jobs[&id];
        stages.show(job, &|last| {
            let bar = self.bar("  {prefix:<16} {bar:16.cyan/dim} {percent:>3}%  {wide_msg}");
            if let Form::Bars(bars) = &self.form {
                bars.remove(&bar);
                bars.insert_after(last.unwrap_or(&line.head), bar.clone());
            }
            bar
        });
        if let Some(line) = self.jobs.get_mut(&id) {
            line.stages = Some(stages);
        }
    }

    /// Takes news of a task of a job with rows for its stages; `false` where it has none, or there is more to be said.
    pub(super) fn stage_news(
        &mut self,
        id: JobId,
        (kind, task): (TaskKind, TaskId),
        news: &EventView,
    ) -> bool {
        let is_plain = matches!(self.form, Form::Lines);
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let Some(stages) = &mut job.stages else { return false };
        match news.r#type.as_str() {
            "task_dispatched" | "task_adopted" => {
                stages.moved(kind, task, ProgressView::default());
                job.head.set_message(format!("{}  running", job.name));
            }
            "task_progressed" => stages.moved(kind, task, news.progress.clone().unwrap_or_default()),
            "task_succeeded" => {
                if stages.ended(kind, task, true) && is_plain {
                    say!("{}: {} done", job.name, kind.as_str());
                }
                if stages.is_idle() {
                    job.head.set_message(format!("{}  waiting for a worker", job.name));
                }
            }
            _ => {
                stages.ended(kind, task, false);
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_counts_what_is_done_and_what_runs() {
        let live = BTreeMap::from([(
            "job_01jv2c8k3q5w7x9z0a2b4c6d8e.3".parse().expect("an id"),
            ProgressView { permille: 500, speed: 2.0, ..ProgressView::default() },
        )]);
        let row = Row { tasks: 5, done: 2, live, since: Instant::now(), bar: ProgressBar::hidden() };
        assert_eq!((row.label(TaskKind::Chunk), row.permille()), ("chunk 2/5".to_owned(), 500));
        assert!(row.words().starts_with("2.00x  ETA 0:0"), "{}", row.words());
        assert_eq!(left(Duration::from_secs(10), 250), Some(30_000));
        assert_eq!(left(Duration::from_secs(10), 10), None);
    }
}

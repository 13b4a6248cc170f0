//! Live progress on standard error: bars on a terminal, a line every few seconds elsewhere.

mod ready;
mod stages;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rushes_shared::id::{JobId, TaskId, WorkerId};
use rushes_shared::job::TaskState;
use rushes_shared::request::JobKind;
use rushes_shared::task::{Phase, TaskKind};
use rushes_shared::view::{EventView, JobView, ProgressView, TaskView};

use crate::args::{FarmArgs, Output};
use crate::table::allowed;
use crate::watch::Update;
use crate::words;
use stages::Stages;
pub(crate) use step::Step;

/// How often plain lines are printed.
const LINES_EVERY: Duration = Duration::from_secs(5);
/// Tasks with a bar of their own at once; a job of ten thousand no-ops shows its counts alone.
const MAX_BARS: usize = 16;

/// Shows how jobs and transfers come on.
#[derive(Debug)]
pub(crate) struct Board {
    form: Form,
    jobs: BTreeMap<JobId, JobLine>,
    /// When lines were last printed.
    last_lines: Option<Instant>,
    /// Whether each output is told of as soon as it is ready.
    announces: bool,
}

#[derive(Debug)]
enum Form {
    Bars(MultiProgress),
    Lines,
    Silent,
}

#[derive(Debug)]
struct JobLine {
    name: String,
    head: ProgressBar,
    tasks: BTreeMap<TaskId, TaskLine>,
    /// Instead of a line for each task, of a job with stages of many.
    stages: Option<Stages>,
    /// Outputs by the tasks that make them, where the job has several.
    outputs: BTreeMap<TaskId, String>,
    /// Outputs that were said to be ready.
    ready: BTreeSet<String>,
}

#[derive(Debug)]
struct TaskLine {
    /// Where the attempt runs that is told of.
    on: Option<WorkerId>,
    label: String,
    bar: ProgressBar,
    worker: String,
    progress: ProgressView,
}

impl Board {
    /// A board that fits where standard error goes.
    fn new(quiet: bool) -> Self {
        let form = if quiet {
            Form::Silent
        } else if std::io::stderr().is_terminal() {
            Form::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)))
        } else {
            Form::Lines
        };
        Self { form, jobs: BTreeMap::new(), last_lines: None, announces: false }
    }

    /// A board for a command with these results: where they are JSON, a standard error that is no terminal is for errors.
    pub(crate) fn for_results(farm: &FarmArgs) -> Self {
        Self::new(farm.quiet || (farm.output == Output::Json && !std::io::stderr().is_terminal()))
    }

    /// A line that stays.
    pub(crate) fn say(&self, text: &str) {
        let text = words::harmless(text);
        match &self.form {
            Form::Bars(bars) => {
                bars.println(text).ok();
            }
            Form::Lines => say!("{text}"),
            Form::Silent => {}
        }
    }

    /// A step that is under way and has no end in sight.
    pub(crate) fn step(&self, text: &str) -> Step {
        let bar = self.bar("{spinner:.cyan} {msg}");
        bar.set_message(words::harmless(text));
        bar.enable_steady_tick(Duration::from_millis(100));
        if matches!(self.form, Form::Lines) {
            say!("{}", words::harmless(text));
        }
        Step::new(bar)
    }

    /// Work on a file, counted in thousandths.
    pub(crate) fn share(&self, name: &str) -> Step {
        let bar = self.bar("{spinner:.cyan} {msg} {bar:20.cyan/dim} {percent:>3}%  {left}");
        bar.set_length(1000);
        bar.set_message(words::clipped(name, 40));
        match self.form {
            Form::Lines => Step::in_lines(bar, words::harmless(name)),
            _ => Step::new(bar),
        }
    }

    /// A transfer of known size.
    pub(crate) fn transfer(&self, verb: &str, name: &str, size: u64) -> Step {
        let bar = self.bar("{spinner:.cyan} {msg} {bar:20.cyan/dim} {percent:>3}%  {bytes}/{total_bytes}  {binary_bytes_per_sec}");
        bar.set_length(size);
        bar.set_message(format!("{verb} {}", words::clipped(name, 40)));
        if matches!(self.form, Form::Lines) {
            say!("{verb} {} ({})", words::harmless(name), words::size(size));
        }
        Step::new(bar)
    }

    /// Shows an update of a job.
    pub(crate) fn show(&mut self, id: JobId, update: &Update) {
        match update {
            Update::Job(job) => self.show_job(id, job),
            Update::News(news) => self.show_news(id, news),
            Update::Lost(reason) => self.say(&format!("{reason}; the job goes on, connecting again")),
            Update::Over(_) => self.end(id),
        }
    }

    /// Prints plain lines when it is time to.
    pub(crate) fn tick(&mut self) {
        // The first word comes as soon as there is one.
        let is_soon = self.last_lines.is_some_and(|at| at.elapsed() < LINES_EVERY);
        if !matches!(self.form, Form::Lines) || is_soon {
            return;
        }
        for job in self.jobs.values() {
            for line in job.stages.iter().flat_map(Stages::lines) {
                self.last_lines = Some(Instant::now());
                say!("{}: {line}", job.name);
            }
            for task in job.tasks.values().take(MAX_BARS) {
                let percent = task.progress.permille / 10;
                self.last_lines = Some(Instant::now());
                say!("{}: {} {percent} %  {}", job.name, task.label, words_of(&task.progress, &task.worker));
            }
        }
    }

    fn bar(&self, template: &str) -> ProgressBar {
        let Form::Bars(bars) = &self.form else { return ProgressBar::hidden() };
        let plain = template.replace(".cyan/dim", "").replace(":.cyan", "").replace(".cyan", "");
        let template = if allowed() { template } else { &plain };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.with_key("left", |state: &ProgressState, text: &mut dyn fmt::Write| {
            let permille =
                state.pos().saturating_mul(1000).checked_div(state.len().unwrap_or(0)).unwrap_or(0);
            if let Some(ms) = stages::left(state.elapsed(), permille) {
                // A text that cannot be written is not shown.
                let _unwritten = write!(text, "ETA {}", words::eta(ms));
            }
        });
        bars.add(ProgressBar::new(1000).with_style(style.progress_chars("━━─")))
    }

    fn show_job(&mut self, id: JobId, job: &JobView) {
        if job.state.is_final() {
            return self.end(id);
        }
        if !self.jobs.contains_key(&id) {
            let head = self.bar("{spinner:.cyan} {msg}");
            head.enable_steady_tick(Duration::from_millis(100));
            let name = if job.name.is_empty() { id.to_string() } else { words::clipped(&job.name, 40) };
            if matches!(self.form, Form::Lines) {
                say!("{name}: {id} {}", job.state.as_str());
            }
            let stages = (job.kind == JobKind::Stream).then(Stages::default);
            let (tasks, outputs, ready) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
            self.jobs.insert(id, JobLine { name, head, tasks, stages, outputs, ready });
        }
        // An output that is made in pieces has rows once that is known.
        if let Some(line) = self.jobs.get_mut(&id).filter(|_| !job.stages.is_empty()) {
            line.stages.get_or_insert_default();
        }
        self.show_ready(id, job);
        self.show_stages(id, job);
        let is_staged = self.jobs.get(&id).is_some_and(|line| line.stages.is_some());
        for task in job.tasks.iter().filter(|task| !is_staged && task.state == TaskState::Running) {
            // With one output the job's own line says enough.
            self.show_task(id, task, job.outputs.len() > 1);
        }
        if let Some(line) = self.jobs.get(&id) {
            line.head.set_message(format!("{}  {}", line.name, state_words(job)));
        }
    }

    fn show_task(&mut self, id: JobId, task: &TaskView, names_outputs: bool) {
        let label =
            task.output.clone().filter(|_| names_outputs).unwrap_or_else(|| task.kind.as_str().to_owned());
        let worker = task.worker_name.clone().unwrap_or_default();
        let progress = task.progress.clone().unwrap_or_default();
        self.task_line(id, task.id, label, worker);
        if let Some(line) = self.jobs.get_mut(&id).and_then(|job| job.tasks.get_mut(&task.id)) {
            line.on = task.worker;
        }
        self.set_progress(id, task.id, progress);
    }

    fn task_line(&mut self, id: JobId, task: TaskId, label: String, worker: String) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.tasks.contains_key(&task) || job.tasks.len() >= MAX_BARS {
            return;
        }
        let bar = self.bar("  {prefix:<16} {bar:16.cyan/dim} {percent:>3}%  {wide_msg}");
        if let (Form::Bars(bars), Some(job)) = (&self.form, self.jobs.get(&id)) {
            // Below its job's own line, behind the tasks that are there.
            bars.remove(&bar);
            let last = job.tasks.values().last().map_or(&job.head, |line| &line.bar);
            bars.insert_after(last, bar.clone());
        }
        bar.set_prefix(words::clipped(&label, 16));
        if let Some(job) = self.jobs.get_mut(&id) {
            let progress = ProgressView::default();
            job.tasks.insert(task, TaskLine { label, on: None, bar, worker, progress });
        }
    }

    fn set_progress(&mut self, id: JobId, task: TaskId, progress: ProgressView) {
        let Some(line) = self.jobs.get_mut(&id).and_then(|job| job.tasks.get_mut(&task)) else { return };
        line.bar.set_position(u64::from(progress.permille));
        line.bar.set_message(words_of(&progress, &line.worker));
        line.progress = progress;
    }

    /// Notes on which worker the attempt is that is told of. Its name is known only where the job has named it.
    fn lead(&mut self, id: JobId, task: TaskId, worker: Option<WorkerId>) {
        let Some(line) = self.jobs.get_mut(&id).and_then(|job| job.tasks.get_mut(&task)) else { return };
        if worker.is_some() && line.on.is_some() && line.on != worker {
            line.worker = "a second worker".to_owned();
        }
        line.on = worker.or(line.on);
    }

    fn show_news(&mut self, id: JobId, news: &EventView) {
        if news.r#type == "output_held_up" {
            let name = self.jobs.get(&id).map_or("", |job| job.name.as_str());
            return self
                .say(&format!("{name}: {}", news.message.as_deref().unwrap_or("an output is held up")));
        }
        if news.r#type == "output_published" {
            return self.ready_news(id, news);
        }
        let Some(task) = news.task else { return };
        let kind = news.kind.unwrap_or(TaskKind::Noop);
        if self.stage_news(id, (kind, task), news) {
            return;
        }
        let Some(job) = self.jobs.get(&id) else { return };
        let name = job.name.clone();
        match news.r#type.as_str() {
            "task_dispatched" | "task_adopted" => {
                job.head.set_message(format!("{name}  running"));
                let label = job.outputs.get(&task).cloned().unwrap_or_else(|| kind.as_str().to_owned());
                self.task_line(id, task, label, String::new());
            }
            "task_progressed" => {
                if let Some(progress) = &news.progress {
                    self.lead(id, task, news.worker);
                    self.set_progress(id, task, progress.clone());
                }
            }
            "task_succeeded" => {
                let output = job.outputs.get(&task).cloned();
                self.drop_task(id, task);
                self.wait_if_idle(id);
                if matches!(self.form, Form::Lines) && !kind.is_idle() {
                    let output = output.map(|output| format!(" of {output}")).unwrap_or_default();
                    let took = words::duration(news.run_ms.unwrap_or(0));
                    say!("{name}: {}{output} done in {took}", kind.as_str());
                }
            }
            "attempt_failed" => {
                let output = job.outputs.get(&task).map(|output| format!(" of {output}")).unwrap_or_default();
                self.drop_task(id, task);
                let why = news.failure.as_ref().map_or("unknown", |f| f.message.as_str());
                let next = match news.retry_ms {
                    Some(ms) => format!("; tried again in {}", words::duration(ms)),
                    None => String::new(),
                };
                self.say(&format!("{name}: {}{output} failed: {why}{next}", kind.as_str()));
            }
            _ => {}
        }
    }

    /// Says of a job of which nothing runs that it waits.
    fn wait_if_idle(&self, id: JobId) {
        if let Some(job) = self.jobs.get(&id).filter(|job| job.tasks.is_empty()) {
            job.head.set_message(format!("{}  waiting for a worker", job.name));
        }
    }

    fn drop_task(&mut self, id: JobId, task: TaskId) {
        if let Some(line) = self.jobs.get_mut(&id).and_then(|job| job.tasks.remove(&task)) {
            self.take_off(&line.bar);
        }
    }

    fn end(&mut self, id: JobId) {
        if let Some(job) = self.jobs.remove(&id) {
            job.tasks.values().for_each(|line| self.take_off(&line.bar));
            job.stages.iter().flat_map(Stages::bars).for_each(|bar| self.take_off(bar));
            self.take_off(&job.head);
        }
    }

    /// Takes everything off, when nobody waits for the jobs any more.
    pub(crate) fn clear(&mut self) {
        for id in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.end(id);
        }
    }

    fn take_off(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        if let Form::Bars(bars) = &self.form {
            bars.remove(bar);
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        if let Form::Bars(bars) = &self.form {
            bars.clear().ok();
        }
    }
}

fn state_words(job: &JobView) -> String {
    let counts = job.task_counts;
    let total =
        counts.queued + counts.running + counts.succeeded + counts.failed + counts.canceled + counts.aborted;
    if counts.running == 0 && counts.queued > 0 {
        return "waiting for a worker".to_owned();
    }
    if total > 3 {
        format!("{} of {total} tasks done", counts.succeeded)
    } else {
        job.state.as_str().to_owned()
    }
}

/// Frames, speed, time to go, worker.
fn words_of(progress: &ProgressView, worker: &str) -> String {
    let mut parts = Vec::new();
    match progress.phase {
        Some(Phase::Fetching) => parts.push("fetching the input".to_owned()),
        Some(Phase::Checking) => parts.push("checking the result".to_owned()),
        Some(Phase::Storing) => parts.push("storing the result".to_owned()),
        Some(Phase::Running) | None => {}
    }
    if progress.frames_total > 0 {
        parts.push(format!("{}/{} frames", progress.frames, progress.frames_total));
    } else if progress.frames > 0 {
        parts.push(words::count(progress.frames, "frame"));
    }
    if progress.speed > 0.0 {
        parts.push(words::speed(progress.speed));
    }
    if let Some(ms) = progress.eta_ms {
        parts.push(format!("ETA {}", words::eta(ms)));
    }
    if !worker.is_empty() {
        parts.push(format!("on {worker}"));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_known_and_no_more() {
        let progress = ProgressView {
            permille: 620,
            phase: Some(Phase::Running),
            frames: 1234,
            frames_total: 2000,
            speed: 1.854,
            eta_ms: Some(11_200),
            ..ProgressView::default()
        };
        assert_eq!(words_of(&progress, "node-a"), "1234/2000 frames  1.85x  ETA 0:12  on node-a");
        let fetching = ProgressView { phase: Some(Phase::Fetching), ..ProgressView::default() };
        assert_eq!(words_of(&fetching, ""), "fetching the input");
    }
}

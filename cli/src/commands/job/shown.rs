//! A job as people see it, with its tasks and outputs.

use rushes_shared::media::MediaFacts;
use rushes_shared::view::{JobView, OutputState, OutputView, StoppedView, TaskView};

use super::traded;
use crate::report;
use crate::set;
use crate::table::{Cell, Tone, colours, table, toned};
use crate::words;

pub(super) fn ran(job: &JobView) -> String {
    if job.started_at.is_none() { "-".to_owned() } else { words::duration(job.run_ms) }
}

/// All of a job.
pub(super) fn whole(job: &JobView) -> String {
    let colours = colours();
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{} {value}\n", toned(&format!("{name:<10}"), Tone::Faint, colours)));
        }
    };
    line("job", &job.id.to_string());
    line("name", &job.name);
    line("kind", job.kind.as_str());
    line("state", &toned(job.state.as_str(), report::tone(job.state), colours));
    line("tenant", &format!("{}, submitted by {}", job.tenant, job.submitter));
    line("class", job.class.as_str());
    let by_value = if job.value.is_some() {
        "computed from the content's value".to_owned()
    } else {
        job.priority.to_string()
    };
    line("priority", &by_value);
    line("paused", if job.paused { "yes; 'rushes job resume' lets it go on" } else { "" });
    line("deadline", &job.deadline.as_deref().map(words::time).unwrap_or_default());
    line(
        "late",
        &job.late_since
            .as_deref()
            .map(|at| {
                let why = traded::why_late(job.late_reason.as_deref(), job.yields_to);
                format!("since {}{why}", words::time(at))
            })
            .unwrap_or_default(),
    );
    let held_up = job.held_up.as_ref().map(|why| format!("{}; {}", why.message, why.advice));
    line("held up", &words::harmless(&held_up.unwrap_or_default()));
    line("stopped", &job.stopped.as_ref().map(|stopped| stopped_words(stopped, job)).unwrap_or_default());
    let labels: Vec<String> = job.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    line("labels", &labels.join(" "));
    line("submitted", &words::time(&job.submitted_at));
    line("queued", &words::duration(job.queue_ms));
    line("ran", &ran(job));
    if !job.state.is_final() {
        line("progress", &format!("{} %", job.progress.permille / 10));
    }
    if let Some(input) = &job.input {
        line("input", &input.url);
    }
    if let Some(files) = &job.files {
        let failed =
            if files.failed > 0 { format!(", {} could not be read", files.failed) } else { String::new() };
        line(
            "files",
            &format!("{} of {} read{failed}; 'rushes job facts' tells what", files.read, files.all),
        );
    }
    if let Some(media) = &job.media {
        line("media", &media_words(media));
    }
    if !job.tasks.is_empty() {
        let rows: Vec<Vec<Cell>> = job.tasks.iter().map(task_row).collect();
        let head = ["TASK", "KIND", "STATE", "TRIES", "QUEUED", "DONE", "OUTPUT", "WORKER"];
        text.push_str(&format!("\n{}", table(&head, &rows, colours)));
    }
    if let Some(made) = &job.set {
        text.push_str(&format!("\n{}", set::shown(made, &made.url, colours)));
        let took = &made.took;
        text.push_str(&format!(
            "made by {}: chunks {} one after the other, sound {}, stills {}, package {}\n",
            made.encoder,
            words::duration(took.chunks_ms),
            words::duration(took.sound_ms),
            words::duration(took.stills_ms),
            words::duration(took.package_ms)
        ));
    }
    // Of a job that has ended, what there is and what was given up; of another, what is to come as well.
    let told = |output: &&OutputView| output.state != OutputState::Missing || output.failure.is_some();
    let outputs: Vec<&OutputView> = job.outputs.iter().filter(told).collect();
    if !outputs.is_empty() {
        let row = |o: &&OutputView| {
            std::iter::once(report::standing(o)).chain(report::output(o, &o.url, job)).collect()
        };
        let rows: Vec<Vec<Cell>> = outputs.iter().map(row).collect();
        let head = [&["STATE (UTC)"], report::OUTPUT_HEAD].concat();
        text.push_str(&format!("\n{}", table(&head, &rows, colours)));
    }
    text.push_str(&report::missing(job, colours));
    for trade in &job.trades {
        text.push_str(&format!("\n{}\n", traded::told(trade)));
    }
    text.push_str(&report::checks(job, colours));
    text.push_str(&report::warnings(job, colours));
    if let Some(failure) = &job.failure {
        text.push_str(&format!("\n{}\n", toned(&report::failure(failure), Tone::Bad, colours)));
    }
    text
}

/// What was stopped of a job for emergencies.
fn stopped_words(stopped: &StoppedView, job: &JobView) -> String {
    let named = job.tasks.iter().find(|task| task.worker == Some(stopped.worker));
    let worker =
        named.and_then(|task| task.worker_name.clone()).unwrap_or_else(|| stopped.worker.to_string());
    let times = if stopped.times == 1 { "once".to_owned() } else { format!("{} times", stopped.times) };
    format!(
        "{times} for emergencies, {} of work lost; last task {} on {worker} for {} at {}",
        words::duration(stopped.lost_ms),
        stopped.task.index,
        stopped.for_job,
        words::time(&stopped.at)
    )
}

fn media_words(media: &MediaFacts) -> String {
    let mut parts = vec![media.container.clone(), words::duration(media.duration_ns / 1_000_000)];
    for video in &media.video {
        let fps = video.fps.map(|fps| format!(" {:.2} fps", fps.value())).unwrap_or_default();
        parts.push(format!("{} {}x{}{fps}", video.codec, video.width, video.height));
    }
    for audio in &media.audio {
        parts.push(format!("{} {} Hz {} ch", audio.codec, audio.rate_hz, audio.channels));
    }
    parts.join(", ")
}

/// The kind of task, with the encoder where that is worth a word.
fn kind_words(task: &TaskView) -> String {
    match (&task.hardware, task.fell_back) {
        (Some(element), _) => format!("{} by {element}", task.kind.as_str()),
        (None, true) => format!("{} in software, as hardware failed", task.kind.as_str()),
        (None, false) => task.kind.as_str().to_owned(),
    }
}

fn task_row(task: &TaskView) -> Vec<Cell> {
    use rushes_shared::job::TaskState;
    let tone = match task.state {
        TaskState::Queued => Tone::Plain,
        TaskState::Running => Tone::Busy,
        TaskState::Succeeded => Tone::Good,
        TaskState::Failed => Tone::Bad,
        TaskState::Canceled | TaskState::Aborted => Tone::Faint,
    };
    let done = match (task.state, &task.progress) {
        (TaskState::Succeeded, _) => "100%".to_owned(),
        (_, Some(progress)) => format!("{}%", progress.permille / 10),
        _ => "-".to_owned(),
    };
    let worker = task.worker_name.clone().or_else(|| task.worker.map(|w| w.to_string()));
    let dash = || "-".to_owned();
    vec![
        task.id.to_string().rsplit('.').next().unwrap_or_default().into(),
        kind_words(task).into(),
        Cell(task.state.as_str().to_owned(), tone),
        task.attempts.to_string().into(),
        task.queue_ms.map_or_else(dash, words::duration).into(),
        done.into(),
        task.output.clone().unwrap_or_else(dash).into(),
        worker.unwrap_or_else(dash).into(),
    ]
}

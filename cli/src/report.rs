//! What a job came to, for people.

use rushes_shared::job::JobState;
use rushes_shared::task::TaskKind;
use rushes_shared::view::{FailureView, JobView, OutputState, OutputView};

use crate::fault::{self, Ending};
use crate::set;
use crate::table::{Cell, Tone, table, toned};
use crate::words;

/// The tone of a state.
pub(crate) fn tone(state: JobState) -> Tone {
    match state {
        JobState::Queued => Tone::Plain,
        JobState::Running => Tone::Busy,
        JobState::Succeeded => Tone::Good,
        JobState::Failed => Tone::Bad,
        JobState::Canceled => Tone::Faint,
    }
}

/// How the program ends after these jobs: the worst counts.
pub(crate) fn ending(jobs: &[JobView]) -> Ending {
    let any = |state| jobs.iter().any(|job| job.state == state);
    if any(JobState::Failed) {
        Ending::JobFailed
    } else if any(JobState::Canceled) {
        Ending::Canceled
    } else {
        Ending::Ok
    }
}

/// Says on standard error, a line of JSON each, which jobs did not succeed and why.
pub(crate) fn tell_failed(jobs: &[JobView]) {
    for job in jobs.iter().filter(|job| matches!(job.state, JobState::Failed | JobState::Canceled)) {
        let why = job.failure.as_ref();
        let said = why.map_or_else(|| job.state.as_str().to_owned(), |why| why.message.clone());
        let message = format!("{} ({}): {said}", job.name, job.id);
        say!("{}", fault::job_as_json(message, why, ending(std::slice::from_ref(job))));
    }
}

/// A failure with what to do about it.
pub(crate) fn failure(failure: &FailureView) -> String {
    let mut text = format!("{} ({})", failure.message, failure.code.as_str());
    if !failure.advice.is_empty() {
        text.push_str(&format!("\n  {}", failure.advice));
    }
    for line in failure.detail.lines() {
        text.push_str(&format!("\n  | {line}"));
    }
    words::harmless(&text)
}

/// One output: file, size, duration, bit rate, encode speed, time in queue.
pub(crate) fn output(output: &OutputView, place: &str, job: &JobView) -> Vec<Cell> {
    let known = |value: Option<String>| Cell::from(value.unwrap_or_else(|| "-".to_owned()));
    // Pictures and what is drawn of sound have no duration: what does not apply is left blank, what is to come is not.
    let is_timeless = output.duration_ms == Some(0);
    let timed = |value: Option<String>| if is_timeless { Cell::from("") } else { known(value) };
    let queue = job
        .tasks
        .iter()
        .find(|task| task.kind == TaskKind::Encode && task.output.as_deref() == Some(&output.name))
        .and_then(|task| task.queue_ms);
    vec![
        Cell::from(place),
        known(output.size_bytes.map(words::size)),
        timed(output.duration_ms.map(words::duration)),
        timed(output.bitrate_bps.map(words::bitrate)),
        timed(output.encode_speed.map(words::speed)),
        known(output.encode_ms.map(words::duration)),
        known(queue.map(words::duration)),
    ]
}

/// The head of [`output`]'s columns.
pub(crate) const OUTPUT_HEAD: &[&str] =
    &["FILE", "SIZE", "DURATION", "BITRATE", "SPEED", "ENCODE TIME", "IN QUEUE"];

/// How far an output is: `to come`, `ready` and since when, or `missing`.
pub(crate) fn standing(output: &OutputView) -> Cell {
    match (output.state, &output.published_at) {
        (OutputState::Pending, _) => Cell::from("to come"),
        (OutputState::Published, Some(at)) => Cell(format!("ready {}", words::time(at)), Tone::Good),
        (OutputState::Published, None) => Cell("ready".to_owned(), Tone::Good),
        (OutputState::Missing, _) => Cell("missing".to_owned(), Tone::Bad),
    }
}

/// Why outputs were given up, a line each.
pub(crate) fn missing(job: &JobView, colours: bool) -> String {
    let told = job.outputs.iter().filter_map(|output| Some((output, output.failure.as_ref()?)));
    told.fold(String::new(), |text, (output, why)| {
        text + &format!("{} {}: {}\n", toned("missing", Tone::Bad, colours), output.name, failure(why))
    })
}

/// The outputs of a job that goes on which are still to come.
fn to_come(job: &JobView) -> String {
    let pending = job.outputs.iter().filter(|output| output.state == OutputState::Pending);
    let names: Vec<&str> = pending.map(|output| output.name.as_str()).collect();
    if job.state.is_final() || names.is_empty() {
        return String::new();
    }
    format!("still to come: {}\n", words::harmless(&names.join(", ")))
}

/// What the checks of a job's outputs want people to know, a line each; empty where that is nothing.
pub(crate) fn warnings(job: &JobView, colours: bool) -> String {
    let told = job.outputs.iter().flat_map(|output| {
        let warnings = output.check.iter().flat_map(|check| &check.warnings);
        warnings
            .map(move |warning| format!("{} {}: {warning}", toned("note", Tone::Busy, colours), output.name))
    });
    told.fold(String::new(), |text, line| text + &line + "\n")
}

/// The checks of a job's outputs that a limit was asked for or that measured something, a line each.
pub(crate) fn checks(job: &JobView, colours: bool) -> String {
    let of = |output: &OutputView| {
        let told = output.check.iter().flat_map(|report| &report.checks);
        told.map(|check| format!("{} {}\n", output.name, set::check(check, colours))).collect::<String>()
    };
    job.outputs.iter().map(of).collect()
}

/// How a job ended, with its outputs or its failure.
pub(crate) fn end(job: &JobView, colours: bool) -> String {
    let state = toned(job.state.as_str(), tone(job.state), colours);
    let name = if job.name.is_empty() { String::new() } else { format!(" {}", job.name) };
    let mut text = format!(
        "{}{name} {state}  queued {}, ran {}\n",
        job.id,
        words::duration(job.queue_ms),
        words::duration(job.run_ms)
    );
    if let Some(why) = &job.failure {
        text.push_str(&format!("{}\n", failure(why)));
    }
    if let Some(made) = &job.set {
        return text + &set::shown(made, &made.url, colours);
    }
    let rows: Vec<_> = job
        .outputs
        .iter()
        .filter(|o| o.state == OutputState::Published)
        .map(|o| output(o, o.download.as_ref().map_or(&o.url, |_| &o.name), job))
        .collect();
    if !rows.is_empty() {
        text.push_str(&table(OUTPUT_HEAD, &rows, colours));
    }
    text.push_str(&to_come(job));
    text.push_str(&missing(job, colours));
    text.push_str(&warnings(job, colours));
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_picture_has_no_duration_and_what_is_to_come_is_not_known() {
        let job = json!({"id": "job_01jv2c8k3q5w7x9z0a2b4c6d8e", "name": "", "kind": "encode", "state": "running",
            "tenant": "default", "submitter": "me", "priority": 50, "labels": {}, "submitted_at": "", "queue_ms": 0,
            "run_ms": 0, "progress": rushes_shared::view::ProgressView::default(),
            "task_counts": rushes_shared::view::TaskCounts::default(), "tasks": [], "outputs": []});
        let job: JobView = serde_json::from_value(job).expect("a job");
        let cells = |made: serde_json::Value| {
            let mut view = json!({"name": "x", "state": "published", "url": "file:///x", "encode_ms": 40});
            view.as_object_mut().expect("an object").extend(made.as_object().expect("an object").clone());
            let made: OutputView = serde_json::from_value(view).expect("an output");
            output(&made, "x", &job).into_iter().skip(2).take(3).map(|cell| cell.0).collect::<Vec<_>>()
        };
        assert_eq!(cells(json!({"duration_ms": 0, "bitrate_bps": 0, "encode_speed": 0.0})), ["", "", ""]);
        assert_eq!(cells(json!({})), ["-", "-", "-"]);
        assert_eq!(
            cells(json!({"duration_ms": 1_000, "bitrate_bps": 417_000, "encode_speed": 13.9})),
            ["1.00 s", "417 kbit/s", "13.9x"]
        );
    }
}

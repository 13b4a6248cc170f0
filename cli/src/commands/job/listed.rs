//! Jobs as the rows of a list.

use rushes_shared::job::JobState;
use rushes_shared::view::JobView;

use super::shown::ran;
use crate::report;
use crate::table::{Cell, Tone, colours, table_sparing};
use crate::words;

/// A column without which a list says something yet, on a narrow terminal; the first ones go first.
const SPARE: &[&str] = &["QUEUED", "RAN", "SUBMITTED (UTC)", "DUE (UTC)"];

/// A list of jobs. Deadlines have a column where there are any.
pub(super) fn jobs(jobs: &[JobView]) -> String {
    let has_deadlines = jobs.iter().any(|job| job.deadline.is_some());
    let mut head = vec!["ID", "STATE", "CLASS", "SUBMITTED (UTC)", "QUEUED", "RAN", "NAME"];
    let mut rows: Vec<Vec<Cell>> = jobs.iter().map(row).collect();
    if has_deadlines {
        head.insert(3, "DUE (UTC)");
        rows.iter_mut().zip(jobs).for_each(|(row, job)| row.insert(3, due(job)));
    }
    table_sparing(&head, &rows, SPARE, colours())
}

fn row(job: &JobView) -> Vec<Cell> {
    vec![
        job.id.to_string().into(),
        state(job),
        class(job).into(),
        minutes(&job.submitted_at).into(),
        words::duration(job.queue_ms).into(),
        ran(job).into(),
        name(job).into(),
    ]
}

/// A job's state with how far it is, and what is known beyond it: a job that is running may wait for its next task's start.
fn state(job: &JobView) -> Cell {
    let counts = job.task_counts;
    let percent = job.progress.permille / 10;
    match job.state {
        JobState::Queued | JobState::Running if job.paused => {
            let how_far = if percent > 0 { format!(" {percent}%") } else { String::new() };
            Cell(format!("paused{how_far}"), Tone::Faint)
        }
        JobState::Running if counts.running == 0 && counts.queued > 0 => {
            Cell(format!("waits {percent}%"), Tone::Plain)
        }
        JobState::Running => Cell(format!("running {percent}%"), Tone::Busy),
        state => Cell(state.as_str().to_owned(), report::tone(state)),
    }
}

/// The class, and the priority behind it.
fn class(job: &JobView) -> String {
    format!("{} {}", job.class.as_str(), job.priority)
}

/// The deadline, and whether it is lost.
fn due(job: &JobView) -> Cell {
    let Some(deadline) = &job.deadline else { return Cell::from("") };
    // Times of the API are all of one form, in which the later one is the greater text.
    let is_over = job.ended_at.as_ref().is_some_and(|ended| ended > deadline);
    // The year is said where it is not the one of the submission.
    let (due, since) = (minutes(deadline), minutes(&job.submitted_at));
    let due = match (due.split_once('-'), since.split_once('-')) {
        (Some((year, day)), Some((this_year, _))) if year == this_year => day.to_owned(),
        _ => due,
    };
    if is_over || job.late_since.is_some() && !job.state.is_final() {
        return Cell(format!("{due} late"), Tone::Bad);
    }
    Cell::from(due)
}

/// The job's name, or its kind where it has none; of one that failed the cause as well.
fn name(job: &JobView) -> String {
    let name =
        if job.name.is_empty() { format!("({})", job.kind.as_str()) } else { words::clipped(&job.name, 48) };
    match &job.failure {
        Some(failure) => format!("{name}: {}", failure.code.as_str()),
        None => name,
    }
}

/// A time to the minute.
fn minutes(rfc3339: &str) -> String {
    let time = words::time(rfc3339);
    time.get(.."2026-12-01 12:00".len()).unwrap_or(&time).to_owned()
}

#[cfg(test)]
mod tests {
    use rushes_shared::failure::FailureCode;
    use rushes_shared::view::ProgressView;
    use serde_json::json;

    use super::*;

    fn job(change: &serde_json::Value) -> JobView {
        let mut view = json!({"id": "job_01jv2c8k3q5w7x9z0a2b4c6d8e", "name": "film.mov", "kind": "encode", "state": "queued",
            "tenant": "default", "submitter": "me", "class": "premium", "priority": 80, "labels": {},
            "submitted_at": "2026-11-22T14:35:29.123Z", "queue_ms": 350, "run_ms": 0, "progress": null,
            "task_counts": {"queued": 1, "running": 1, "succeeded": 0, "failed": 0, "canceled": 0, "aborted": 0},
            "tasks": [], "outputs": []});
        let progress = ProgressView { permille: 430, ..ProgressView::default() };
        view["progress"] = serde_json::to_value(progress).expect("plain values");
        view.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        serde_json::from_value(view).expect("a job")
    }

    #[test]
    fn a_list_says_class_priority_deadline_and_what_failed() {
        let due = "2026-11-22T16:00:00.000Z";
        let missing = json!({"code": FailureCode::InputNotFound.as_str(), "class": "permanent",
            "message": "no", "advice": "", "detail": ""});
        let list = [
            job(&json!({"state": "running", "started_at": "2026-11-22T14:36:00.000Z", "deadline": due})),
            job(
                &json!({"kind": "graph", "name": "", "deadline": due, "late_since": "2026-11-22T15:00:00.000Z"}),
            ),
            job(&json!({"state": "failed", "class": "bulk", "priority": 5, "failure": missing})),
            job(&json!({"state": "succeeded", "deadline": due, "ended_at": "2026-11-22T16:00:00.001Z"})),
        ];
        let shown = jobs(&list);
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(
            rows[0],
            ["ID", "STATE", "CLASS", "DUE (UTC)", "SUBMITTED (UTC)", "QUEUED", "RAN", "NAME"]
        );
        assert_eq!(rows[1][1..4], ["running 43%", "premium 80", "11-22 16:00"]);
        assert_eq!((rows[2][3], *rows[2].last().expect("cells")), ("11-22 16:00 late", "(graph)"));
        assert_eq!((rows[3][2], *rows[3].last().expect("cells")), ("bulk 5", "film.mov: input_not_found"));
        assert_eq!(rows[4][3], "11-22 16:00 late", "it ended behind its deadline");
        assert!(!jobs(&[job(&json!({}))]).contains("DUE"), "no job has one");
    }
}

//! `rushes job …`.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rushes_shared::id::JobId;
use rushes_shared::job::JobState;
use rushes_shared::request::{Format, job_schema};
use rushes_shared::view::{EventView, JobView, TaskView};
use serde_json::Value;

use super::{client, print, print_ended};
use crate::args::{FarmArgs, JobCommand, Output};
use crate::board::Board;
use crate::client::Client;
use crate::events;
use crate::fault::{Ending, Fault};
use crate::interrupt::Interrupt;
use crate::report;
use crate::table::{Cell, Tone, colours, table, toned};
use crate::transfer::random_text;
use crate::watch::Watch;
use crate::words;

pub(super) fn run(farm: &FarmArgs, command: JobCommand) -> Result<Ending, Fault> {
    if let JobCommand::Schema = command {
        let schema = serde_json::to_string_pretty(&job_schema()).expect("a schema serializes");
        writeln!(std::io::stdout(), "{schema}").ok();
        return Ok(Ending::Ok);
    }
    let client = client(farm)?;
    match command {
        JobCommand::Submit { file, wait, set, idempotency_key } => {
            submit(farm, &client, &file, &set, idempotency_key, wait)
        }
        JobCommand::List { state, labels, name, limit } => list(farm, &client, state, &labels, name, limit),
        JobCommand::Show { job } => {
            let job = client.job(select(&client, &job)?)?;
            print(farm, &job, || shown(&job));
            Ok(Ending::Ok)
        }
        JobCommand::Wait { jobs, timeout } => {
            let ids = jobs.iter().map(|job| select(&client, job)).collect::<Result<Vec<_>, _>>()?;
            wait_for(farm, &client, &ids, timeout.map(|s| Instant::now() + Duration::from_secs(s)))
        }
        JobCommand::Cancel { jobs } => cancel(farm, &client, &jobs),
        JobCommand::Events { job } => {
            let id = job.map(|job| select(&client, &job)).transpose()?;
            follow_events(farm, &client, id)
        }
        JobCommand::Schema => Ok(Ending::Ok),
    }
}

/// A job's id, from its id or `last`.
fn select(client: &Client, selector: &str) -> Result<JobId, Fault> {
    if selector != "last" {
        return selector.parse().map_err(|e| Fault::Usage(format!("{e}, or 'last' for the newest job")));
    }
    let newest = client.jobs(&[("limit", "1".to_owned())])?.items;
    newest.first().map(|job| job.id).ok_or_else(|| Fault::Usage("there is no job yet".to_owned()))
}

fn submit(
    farm: &FarmArgs,
    client: &Client,
    file: &Path,
    set: &[(String, String)],
    key: Option<String>,
    wait: bool,
) -> Result<Ending, Fault> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| Fault::local("cannot read standard input", e))?;
        text
    } else {
        std::fs::read_to_string(file)
            .map_err(|e| Fault::local(format!("cannot read {}", file.display()), e))?
    };
    let (content_type, document) = if set.is_empty() {
        match Format::guess(&text) {
            Format::Json => ("application/json", text),
            Format::Toml => ("application/toml", text),
        }
    } else {
        ("application/json", changed(&text, set)?.to_string())
    };
    let key = key.map_or_else(random_text, Ok)?;
    let submitted = client.submit(content_type, &document, &key)?;
    if wait {
        if farm.output == Output::Text && !farm.quiet {
            eprintln!("{}", submitted.id);
        }
        return wait_for(farm, client, &[submitted.id], None);
    }
    print(farm, &submitted, || format!("{}\n", submitted.id));
    Ok(Ending::Ok)
}

/// The document with fields set.
fn changed(text: &str, set: &[(String, String)]) -> Result<Value, Fault> {
    let bad = |e: &dyn std::fmt::Display| Fault::Usage(format!("the job file: {e}"));
    let mut document: Value = match Format::guess(text) {
        Format::Json => serde_json::from_str(text).map_err(|e| bad(&e))?,
        Format::Toml => {
            let table: toml::Table = toml::from_str(text).map_err(|e| bad(&e.message()))?;
            json_of(toml::Value::Table(table))
        }
    };
    for (path, value) in set {
        let place = path.split('.').try_fold(&mut document, |at, key| enter(at, key));
        let place = place.ok_or_else(|| {
            Fault::Usage(format!(
                "--set {path}: there is no such place in the job; count list entries from 0"
            ))
        })?;
        // What is TOML is taken as such (a number, true, a list), anything else as text.
        *place = value.parse::<toml::Value>().map_or_else(|_| Value::String(value.clone()), json_of);
    }
    Ok(document)
}

/// The place behind a key; made where it is missing, also one past a list's end.
fn enter<'a>(at: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    if at.is_null() {
        *at = if key.parse::<usize>().is_ok() {
            Value::Array(Vec::new())
        } else {
            Value::Object(serde_json::Map::new())
        };
    }
    match at {
        Value::Object(object) => Some(object.entry(key).or_insert(Value::Null)),
        Value::Array(items) => {
            let index: usize = key.parse().ok()?;
            if index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(index)
        }
        _ => None,
    }
}

fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(json_of).collect()),
        toml::Value::Table(table) => Value::Object(table.into_iter().map(|(k, v)| (k, json_of(v))).collect()),
        plain => serde_json::to_value(plain).unwrap_or(Value::Null),
    }
}

fn wait_for(
    farm: &FarmArgs,
    client: &Client,
    ids: &[JobId],
    deadline: Option<Instant>,
) -> Result<Ending, Fault> {
    let interrupt = Interrupt::watch()?;
    let mut board = Board::new(farm.quiet);
    let mut watch = Watch::new(client);
    ids.iter().for_each(|id| watch.add(*id));
    let result = watch.finish(&mut board, &interrupt, deadline);
    drop(board);
    match result {
        Ok(jobs) => {
            print_ended(farm, &jobs);
            Ok(report::ending(&jobs))
        }
        Err(Fault::Interrupted) => {
            let open = watch.open();
            let plural = if open.len() == 1 { "goes" } else { "go" };
            let names: Vec<String> = open.iter().map(ToString::to_string).collect();
            eprintln!(
                "rushes: no longer waiting; {} {plural} on ('rushes job cancel' stops it)",
                names.join(", ")
            );
            Ok(Ending::Interrupted)
        }
        Err(fault) => Err(fault),
    }
}

fn cancel(farm: &FarmArgs, client: &Client, selectors: &[String]) -> Result<Ending, Fault> {
    let mut canceled = Vec::new();
    let mut first_fault = None;
    for selector in selectors {
        match select(client, selector).and_then(|id| client.cancel(id)) {
            Ok(job) => canceled.push(job),
            Err(fault) if selectors.len() == 1 => return Err(fault),
            Err(fault) => {
                eprintln!("rushes: {selector}: {fault}");
                first_fault.get_or_insert(fault.ending());
            }
        }
    }
    let text = || canceled.iter().map(|job| format!("{} {}\n", job.id, job.state.as_str())).collect();
    print(farm, &canceled, text);
    Ok(first_fault.unwrap_or(Ending::Ok))
}

fn list(
    farm: &FarmArgs,
    client: &Client,
    state: Option<JobState>,
    labels: &[(String, String)],
    name: Option<String>,
    limit: usize,
) -> Result<Ending, Fault> {
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(state.map(|s| ("state", s.as_str().to_owned())));
    query.extend(labels.iter().map(|(k, v)| ("label", format!("{k}:{v}"))));
    query.extend(name.map(|name| ("name", name)));
    let mut jobs: Vec<JobView> = Vec::new();
    let mut cursor = None;
    while jobs.len() < limit {
        let mut page = query.clone();
        page.push(("limit", (limit - jobs.len()).clamp(1, 500).to_string()));
        page.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let list = client.jobs(&page)?;
        jobs.extend(list.items);
        match list.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    print(farm, &jobs, || {
        if jobs.is_empty() {
            return "no jobs\n".to_owned();
        }
        let rows: Vec<Vec<Cell>> = jobs.iter().map(row).collect();
        table(&["ID", "STATE", "DONE", "SUBMITTED (UTC)", "QUEUED", "RAN", "NAME"], &rows, colours())
    });
    Ok(Ending::Ok)
}

fn row(job: &JobView) -> Vec<Cell> {
    vec![
        job.id.to_string().into(),
        Cell(job.state.as_str().to_owned(), report::tone(job.state)),
        format!("{:>3}%", job.progress.permille / 10).into(),
        words::time(&job.submitted_at).into(),
        words::duration(job.queue_ms).into(),
        words::duration(job.run_ms).into(),
        words::clipped(&job.name, 48).into(),
    ]
}

fn shown(job: &JobView) -> String {
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
    line("priority", &job.priority.to_string());
    line("deadline", &job.deadline.as_deref().map(words::time).unwrap_or_default());
    let labels: Vec<String> = job.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    line("labels", &labels.join(" "));
    line("submitted", &words::time(&job.submitted_at));
    line("queued", &words::duration(job.queue_ms));
    line("ran", &words::duration(job.run_ms));
    if !job.state.is_final() {
        line("progress", &format!("{} %", job.progress.permille / 10));
    }
    if let Some(input) = &job.input {
        line("input", &input.url);
    }
    if let Some(media) = &job.media {
        line("media", &media_words(media));
    }
    if !job.tasks.is_empty() {
        let rows: Vec<Vec<Cell>> = job.tasks.iter().map(task_row).collect();
        let head = ["TASK", "KIND", "STATE", "TRIES", "QUEUED", "DONE", "OUTPUT", "WORKER"];
        text.push_str(&format!("\n{}", table(&head, &rows, colours)));
    }
    if !job.outputs.is_empty() {
        let rows: Vec<Vec<Cell>> = job.outputs.iter().map(|o| report::output(o, &o.url, job)).collect();
        text.push_str(&format!("\n{}", table(report::OUTPUT_HEAD, &rows, colours)));
    }
    if let Some(failure) = &job.failure {
        text.push_str(&format!("\n{}\n", toned(&report::failure(failure), Tone::Bad, colours)));
    }
    text
}

fn media_words(media: &rushes_shared::media::MediaFacts) -> String {
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
        task.kind.as_str().into(),
        Cell(task.state.as_str().to_owned(), tone),
        task.attempts.to_string().into(),
        task.queue_ms.map_or_else(dash, words::duration).into(),
        done.into(),
        task.output.clone().unwrap_or_else(dash).into(),
        worker.unwrap_or_else(dash).into(),
    ]
}

fn follow_events(farm: &FarmArgs, client: &Client, job: Option<JobId>) -> Result<Ending, Fault> {
    let path = job.map_or_else(|| "/v1/events".to_owned(), |id| format!("/v1/jobs/{id}/events"));
    let mut last: Option<String> = None;
    let mut pause = Duration::from_millis(200);
    let mut tries = 0;
    loop {
        let mut stream = match client.stream(&path, last.as_deref()) {
            Ok(stream) => stream,
            Err(fault) if fault.may_pass() && last.is_some() && tries < 20 => {
                tries += 1;
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(5));
                continue;
            }
            Err(fault) => return Err(fault),
        };
        (tries, pause) = (0, Duration::from_millis(200));
        while let Ok(Some(event)) = events::next(&mut stream) {
            last = event.id.clone().or(last);
            let text = match (farm.output, event.name.as_str()) {
                (Output::Json, _) => format!("{}\n", event.data),
                (Output::Text, "job") => serde_json::from_str(&event.data).map_or_else(
                    |_| String::new(),
                    |j: JobView| {
                        format!("{}  {}  {}\n", words::time(&j.submitted_at), j.id, j.state.as_str())
                    },
                ),
                (Output::Text, _) => {
                    serde_json::from_str(&event.data).map_or_else(|_| String::new(), |e| event_line(&e))
                }
            };
            if std::io::stdout().write_all(text.as_bytes()).is_err() {
                return Ok(Ending::Ok);
            }
            let is_final = event.name == "job"
                && serde_json::from_str::<JobView>(&event.data).is_ok_and(|job| job.state.is_final());
            if is_final {
                return Ok(Ending::Ok);
            }
        }
        std::thread::sleep(pause);
    }
}

fn event_line(event: &EventView) -> String {
    let mut parts = vec![words::time(&event.at), event.r#type.clone()];
    parts.extend(event.task.map(|t| t.to_string()).or_else(|| event.job.map(|j| j.to_string())));
    parts.extend(event.kind.map(|k| k.as_str().to_owned()));
    parts.extend(event.worker.map(|w| w.to_string()));
    parts.extend(event.worker_name.clone());
    parts.extend(event.state.map(|s| s.as_str().to_owned()));
    if let Some(p) = &event.progress {
        parts.push(format!("{} %", p.permille / 10));
    }
    parts.extend(event.queue_ms.map(|ms| format!("queued {}", words::duration(ms))));
    parts.extend(event.run_ms.map(|ms| format!("ran {}", words::duration(ms))));
    parts.extend(event.failure.as_ref().map(|f| f.message.clone()));
    parts.extend(event.retry_ms.map(|ms| format!("again in {}", words::duration(ms))));
    parts.extend(event.url.clone());
    parts.join("  ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, pairs: &[(&str, &str)]) -> Result<Value, Fault> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        changed(text, &pairs)
    }

    #[test]
    fn fields_are_set_over_toml_and_json() {
        let toml = "input = '/a/b'\ndeadline = 2026-12-01T12:00:00Z\n[[outputs]]\nvideo.crf = 23\n";
        let pairs = [
            ("priority", "80"),
            ("outputs.0.video.crf", "20"),
            ("outputs.1.name", "x.mp4"),
            ("labels.a", "b c"),
        ];
        let expected = serde_json::json!({
            "input": "/a/b", "deadline": "2026-12-01T12:00:00Z", "priority": 80, "labels": {"a": "b c"},
            "outputs": [{"video": {"crf": 20}}, {"name": "x.mp4"}],
        });
        assert_eq!(set(toml, &pairs).expect("valid"), expected);
        assert!(set("{\"input\": \"/a\"}", &[("input.x", "1")]).is_err());
        assert!(set(toml, &[("outputs.7.name", "x")]).is_err());
    }
}

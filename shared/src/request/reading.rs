//! From text to [`JobRequest`]: syntax, unknown keys, types; each error with its line where the document is TOML.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};

use super::keys::{
    AUDIO, CHECK, CODEC, FLOOR, JOB, OUTPUT, POSTER, PRESET, PREVIEW, SPRITE, STAGE, STREAM, STREAM_CHECK,
    THUMBNAILS, VALUE, VIDEO, WAVEFORM,
};
use super::wording::plain;
use super::{BadRequest, Format, JobRequest};
use crate::job::Priority;

pub(super) fn read(format: Format, text: &str) -> Result<JobRequest, BadRequest> {
    read_as(format, text, check_job)
}

/// A preset's file.
pub(super) fn read_preset<T: DeserializeOwned>(text: &str) -> Result<T, BadRequest> {
    read_as(Format::Toml, text, |preset| {
        check_keys("", preset, PRESET)?;
        check_stream(preset)?;
        check_codecs(preset)?;
        check_outputs(preset)
    })
}

fn read_as<T: DeserializeOwned>(
    format: Format,
    text: &str,
    check: fn(&Map<String, Json>) -> Result<(), BadRequest>,
) -> Result<T, BadRequest> {
    let document = match format {
        Format::Toml => from_toml(text)?,
        Format::Json => from_json(text)?,
    };
    let fields = match &document {
        Json::Object(fields) => Ok(fields),
        other => Err(BadRequest::at("", format!("a job is an object with fields, not {}", named(other)))),
    };
    fields
        .and_then(check)
        .and_then(|()| {
            serde_path_to_error::deserialize(&document).map_err(|e| {
                let path = e.path().to_string();
                BadRequest::at(if path == "." { "" } else { &path }, plain(&e.into_inner().to_string()))
            })
        })
        .map_err(|bad| with_line(bad, format, text))
}

/// The same error with the line of its field, or of the nearest field around it.
pub(super) fn with_line(mut bad: BadRequest, format: Format, text: &str) -> BadRequest {
    if format == Format::Toml
        && bad.line.is_none()
        && let Ok(table) = DeTable::parse(text)
    {
        let mut places = Vec::new();
        places_of_table("", table.get_ref(), &mut places);
        let mut path = bad.path.as_str();
        while !path.is_empty() && bad.line.is_none() {
            bad.line = places.iter().find(|(p, _)| p == path).map(|(_, at)| line_of(text, *at));
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
        }
    }
    bad
}

fn from_toml(text: &str) -> Result<Json, BadRequest> {
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let at = e.span().map(|span| span.start);
        let line = at.map(|at| line_of(text, at));
        if let Some((path, message)) = at.and_then(|at| too_large(text, at)) {
            return BadRequest { line, path, message };
        }
        let message = format!("not valid TOML: {}", e.message().replace('\n', ", "));
        BadRequest { line, path: String::new(), message }
    })?;
    Ok(Json::Object(table.into_iter().map(|(key, value)| (key, json_of(value))).collect()))
}

/// What is wrong, and with which key, where a whole number stands at a place of a document that fits in none of TOML's.
fn too_large(text: &str, at: usize) -> Option<(String, String)> {
    let (before, rest) = text.split_at_checked(at)?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-_".contains(c))).unwrap_or(rest.len());
    let (number, digits) = (&rest[..end], rest[..end].replace('_', ""));
    if !digits.contains(|c: char| c.is_ascii_digit()) || digits.parse::<i64>().is_ok() {
        return None;
    }
    let key = before.lines().last().and_then(|line| line.trim().strip_suffix('=')).map_or("", str::trim_end);
    let most = if key == "priority" { i64::from(Priority::MAX) } else { i64::MAX };
    Some((key.to_owned(), format!("{number} is too large; at most {most}")))
}

fn from_json(text: &str) -> Result<Json, BadRequest> {
    serde_json::from_str(text).map_err(|e| BadRequest {
        line: Some(e.line()),
        path: String::new(),
        message: format!("not valid JSON: {e}"),
    })
}

fn json_of(value: toml::Value) -> Json {
    match value {
        toml::Value::String(text) => Json::String(text),
        toml::Value::Integer(number) => Json::from(number),
        // What is no number is none in JSON either; as a text it is refused with its line instead of passed over.
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        toml::Value::Boolean(truth) => Json::Bool(truth),
        // TOML has times of its own; the request takes them as the text that they were written as.
        toml::Value::Datetime(time) => Json::String(time.to_string()),
        toml::Value::Array(items) => Json::Array(items.into_iter().map(json_of).collect()),
        toml::Value::Table(table) => {
            Json::Object(table.into_iter().map(|(key, value)| (key, json_of(value))).collect())
        }
    }
}

fn check_job(job: &Map<String, Json>) -> Result<(), BadRequest> {
    check_keys("", job, JOB)?;
    check_priority(job)?;
    for (part, known) in [("value", VALUE), ("floor", FLOOR)] {
        if let Some(Json::Object(fields)) = job.get(part) {
            check_keys(part, fields, known)?;
        }
    }
    check_stream(job)?;
    check_codecs(job)?;
    let stages = job.get("stages").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    for (i, stage) in stages.iter().enumerate() {
        if let Json::Object(stage) = stage {
            let path = format!("stages[{i}]");
            check_keys(&path, stage, STAGE)?;
            if let Some(Json::Object(output)) = stage.get("output") {
                check_output(&format!("{path}.output"), output)?;
            }
        }
    }
    check_outputs(job)
}

fn check_stream(document: &Map<String, Json>) -> Result<(), BadRequest> {
    let Some(Json::Object(fields)) = document.get("stream") else { return Ok(()) };
    check_keys("stream", fields, STREAM)?;
    match fields.get("check") {
        Some(Json::Object(fields)) => check_keys("stream.check", fields, STREAM_CHECK),
        _ => Ok(()),
    }
}

fn check_codecs(document: &Map<String, Json>) -> Result<(), BadRequest> {
    let more = document.get("stream").and_then(|stream| stream.get("more")).and_then(Json::as_array);
    for (i, codec) in more.into_iter().flatten().enumerate() {
        if let Json::Object(codec) = codec {
            check_keys(&format!("stream.more[{i}]"), codec, CODEC)?;
        }
    }
    Ok(())
}

fn check_outputs(document: &Map<String, Json>) -> Result<(), BadRequest> {
    let outputs = document.get("outputs").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    for (i, output) in outputs.iter().enumerate() {
        if let Json::Object(output) = output {
            check_output(&format!("outputs[{i}]"), output)?;
        }
    }
    Ok(())
}

fn check_output(path: &str, output: &Map<String, Json>) -> Result<(), BadRequest> {
    check_keys(path, output, OUTPUT)?;
    let parts = [
        ("video", VIDEO),
        ("audio", AUDIO),
        ("poster", POSTER),
        ("thumbnails", THUMBNAILS),
        ("sprite", SPRITE),
        ("preview", PREVIEW),
        ("waveform", WAVEFORM),
        ("check", CHECK),
    ];
    for (part, known) in parts {
        if let Some(Json::Object(settings)) = output.get(part) {
            check_keys(&format!("{path}.{part}"), settings, known)?;
        }
    }
    Ok(())
}

fn check_keys(path: &str, object: &Map<String, Json>, known: &[&str]) -> Result<(), BadRequest> {
    let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let nearest = nearest(key, known.iter().copied()).unwrap_or_default();
    let short: String = key.chars().take(60).collect();
    let at = if path.is_empty() { short } else { format!("{path}.{short}") };
    Err(BadRequest::at(at, format!("there is no such field; did you mean '{nearest}'?")))
}

/// The word that was meant, most likely.
pub(super) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Letters that changed places first, then how alike the words are as a whole.
    let nearness = |word: &str| {
        let swapped = strsim::damerau_levenshtein(key, word).min(3);
        (3 - swapped, strsim::jaro_winkler(key, word))
    };
    known.max_by(|a, b| {
        let (a, b) = (nearness(a), nearness(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    })
}

fn named(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A number that is no priority is told with the range, also where it is no whole number of this program's.
fn check_priority(job: &Map<String, Json>) -> Result<(), BadRequest> {
    match job.get("priority") {
        Some(Json::Number(number)) if !number.is_i64() => {
            let message = format!("should be a whole number from 0 to {}, not {number}", Priority::MAX);
            Err(BadRequest::at("priority", message))
        }
        _ => Ok(()),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn places_of_table(prefix: &str, table: &DeTable<'_>, into: &mut Vec<(String, usize)>) {
    for (key, value) in table.iter() {
        let path =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        into.push((path.clone(), key.span().start));
        places_of_value(&path, value.get_ref(), into);
    }
}

fn places_of_value(path: &str, value: &DeValue<'_>, into: &mut Vec<(String, usize)>) {
    match value {
        DeValue::Table(table) => places_of_table(path, table, into),
        DeValue::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                let path = format!("{path}[{i}]");
                into.push((path.clone(), item.span().start));
                places_of_value(&path, item.get_ref(), into);
            }
        }
        _ => {}
    }
}

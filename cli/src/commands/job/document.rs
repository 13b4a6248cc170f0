//! A job file with fields set over it, as `--set` does.

use rushes_shared::request::Format;
use serde_json::Value;

use crate::fault::Fault;

/// The document with fields set.
pub(super) fn changed(text: &str, set: &[(String, String)]) -> Result<Value, Fault> {
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

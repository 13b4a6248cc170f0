//! A TOML file as a list of settings with their lines, and what messages say of its values.

use toml::Value;
use toml::de::{DeTable, DeValue};

/// A value of a parsed file, or (without a value) a section's name.
pub(super) struct Leaf {
    pub(super) key: String,
    pub(super) at: usize,
    pub(super) value: Option<Value>,
}

/// Lists values and sections in the order in which they are written.
pub(super) fn flatten(text: &str, prefix: &str, table: &DeTable<'_>, into: &mut Vec<Leaf>) {
    let mut entries: Vec<_> = table.iter().collect();
    // A section's own values come before its sections, which is the one order that TOML can print.
    entries.sort_by_key(|(name, value)| (value.get_ref().is_table(), name.span().start));
    for (name, value) in entries {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        let at = name.span().start;
        if let DeValue::Table(inner) = value.get_ref() {
            into.push(Leaf { key: key.clone(), at, value: None });
            flatten(text, &key, inner, into);
        } else {
            // A list of tables (`[[name]]`) has no text of its own and becomes an empty list.
            let own = text.get(value.span()).and_then(|t| t.parse().ok());
            into.push(Leaf { key, at, value: Some(own.unwrap_or(Value::Array(Vec::new()))) });
        }
    }
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|b| *b == b'\n').count() + 1
}

/// Type and unit that a setting wants.
pub(super) fn expected(key: &str, default: &Value) -> String {
    const UNITS: [(&str, &str); 9] = [
        ("_ms", "in milliseconds"),
        ("_s", "in seconds"),
        ("_min", "in minutes"),
        ("_h", "in hours"),
        ("_days", "in days"),
        ("_bytes", "in bytes"),
        ("_mib", "in MiB"),
        ("_percent", "in percent"),
        ("_permille", "in thousandths"),
    ];
    let kind = match default {
        Value::Boolean(_) => "true or false",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::String(_) => "a text in quotes",
        Value::Array(_) => "a list in brackets",
        Value::Datetime(_) => "a date",
        Value::Table(_) => "a section",
    };
    match UNITS.iter().find(|(end, _)| key.ends_with(end)) {
        Some((_, unit)) => format!("{kind} ({unit})"),
        None => kind.to_owned(),
    }
}

/// What was written instead, short enough for one line.
pub(super) fn written(value: &Value) -> String {
    let text: String = value.to_string().chars().take(60).collect();
    match value {
        Value::String(_) => format!("the text {text}"),
        Value::Integer(_) | Value::Float(_) => format!("the number {text}"),
        other => format!("{} {text}", other.type_str()),
    }
}

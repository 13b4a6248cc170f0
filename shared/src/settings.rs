//! Layered configuration: embedded defaults ← file ← environment ← flags.
//!
//! Each program embeds one commented TOML file that holds every setting with its default. That file is the schema: a
//! key that it lacks is an error which names the nearest one, and a value must have its default's type. Nothing here
//! reads a file or the environment; the program passes texts in, so that every rule is tested without a process.
//!
//! Keys are dotted paths such as `pool.warm`. A key's unit is the end of its name (`_ms`, `_s`, `_bytes`, …).

mod error;
mod log_level;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use toml::Value;
use toml::de::DeTable;

pub use error::{Origin, SettingsError};
pub use log_level::check_log_level;
use text::{expected, flatten, line_of, written};

/// One setting.
#[derive(Debug, Clone)]
struct Setting {
    key: String,
    value: Value,
    origin: Origin,
}

/// The settings of a program while their layers are put on.
#[derive(Debug, Clone)]
pub struct Layers {
    /// In the order of the embedded file, so that `config show` reads like it.
    settings: Vec<Setting>,
    secrets: BTreeSet<String>,
}

impl Layers {
    /// Starts with the embedded defaults.
    ///
    /// # Panics
    /// If the embedded text is not TOML, which a test of each program rules out.
    #[must_use]
    pub fn new(defaults: &str) -> Self {
        let table = DeTable::parse(defaults).expect("the embedded defaults are valid TOML");
        let mut leaves = Vec::new();
        flatten(defaults, "", table.get_ref(), &mut leaves);
        let settings = leaves
            .into_iter()
            .filter_map(|leaf| Some(Setting { key: leaf.key, value: leaf.value?, origin: Origin::Default }))
            .collect();
        Self { settings, secrets: BTreeSet::new() }
    }

    /// Marks settings whose values are never shown.
    #[must_use]
    pub fn secret(mut self, keys: &[&str]) -> Self {
        self.secrets.extend(keys.iter().map(|k| (*k).to_owned()));
        self
    }

    /// Puts a configuration file on top. `path` is for messages only.
    ///
    /// # Errors
    /// [`SettingsError::Syntax`], [`SettingsError::Unknown`] or [`SettingsError::Type`], with the line.
    pub fn file(mut self, path: &str, text: &str) -> Result<Self, SettingsError> {
        let table = DeTable::parse(text).map_err(|e| SettingsError::Syntax {
            path: path.to_owned(),
            line: line_of(text, e.span().map_or(0, |s| s.start)),
            message: e.message().to_owned(),
        })?;
        let mut leaves = Vec::new();
        flatten(text, "", table.get_ref(), &mut leaves);
        for leaf in leaves {
            let origin = Origin::File { path: path.to_owned(), line: line_of(text, leaf.at) };
            match leaf.value {
                Some(value) => self.put(&leaf.key, value, origin)?,
                None if self.is_section(&leaf.key) => {}
                None => return Err(self.unknown(&leaf.key, origin)),
            }
        }
        Ok(self)
    }

    /// Puts the environment on top: variables `{prefix}__SECTION__KEY`, other variables are passed over.
    ///
    /// A text setting takes the variable as it is, a list takes TOML (`["a", "b"]`) or comma-separated words, the
    /// others take TOML.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`] or [`SettingsError::Type`], with the variable's name.
    pub fn env(
        mut self,
        prefix: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut found: Vec<_> = variables
            .into_iter()
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(prefix)?.strip_prefix("__")?;
                let key = key.to_ascii_lowercase().replace("__", ".");
                Some((name, key, value))
            })
            .collect();
        found.sort();
        for (name, key, value) in found {
            self.put_text(&key, &value, Origin::Env(name))?;
        }
        Ok(self)
    }

    /// Puts one value on top, as a dedicated flag gives it; `flag` is its name for messages.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`] or [`SettingsError::Type`].
    pub fn set(mut self, key: &str, text: &str, flag: &str) -> Result<Self, SettingsError> {
        self.put_text(key, text, Origin::Flag(flag.to_owned()))?;
        Ok(self)
    }

    /// Puts the arguments of `--set section.key=value` on top, in their order.
    ///
    /// # Errors
    /// [`SettingsError::Assignment`], [`SettingsError::Unknown`] or [`SettingsError::Type`].
    pub fn assignments<'a>(
        mut self,
        arguments: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self, SettingsError> {
        for argument in arguments {
            let (key, text) =
                argument.split_once('=').ok_or_else(|| SettingsError::Assignment(argument.clone()))?;
            self = self.set(key.trim(), text.trim(), &format!("--set {}", key.trim()))?;
        }
        Ok(self)
    }

    /// The settings as the program's own type.
    ///
    /// # Errors
    /// [`SettingsError::Value`] for a value that the type refuses, with its origin.
    pub fn resolve<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let (text, starts) = self.render(|s| s.value.to_string(), |_| String::new());
        toml::from_str(&text).map_err(|e| {
            let at = e.span().map_or(usize::MAX, |s| s.start);
            let index = starts.iter().rposition(|start| *start <= at);
            let setting = index.filter(|_| at != usize::MAX).and_then(|i| self.settings.get(i));
            SettingsError::Value {
                origin: setting.map_or(Origin::Default, |s| s.origin.clone()),
                key: setting.map_or_else(|| "(the settings as a whole)".to_owned(), |s| s.key.clone()),
                message: e.message().to_owned(),
            }
        })
    }

    /// The error for a value that only the program can judge, such as a bound or a contradiction.
    #[must_use]
    pub fn refuse(&self, key: &str, message: impl Into<String>) -> SettingsError {
        let origin = self.settings.iter().find(|s| s.key == key).map(|s| s.origin.clone());
        SettingsError::Value {
            origin: origin.unwrap_or(Origin::Default),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// Where a setting's value came from; `None` for an unknown key.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.settings.iter().find(|s| s.key == key).map(|s| &s.origin)
    }

    /// What is in force, as TOML, with each value's origin behind it; secrets are not shown.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        let shown = |s: &Setting| match &s.value {
            Value::String(text) if self.secrets.contains(&s.key) && !text.is_empty() => {
                "\"(secret)\"".to_owned()
            }
            value => value.to_string(),
        };
        self.render(shown, |s| format!("  # {}", s.origin)).0
    }

    /// TOML text with one setting a line, and the offset at which each setting's value starts.
    fn render(
        &self,
        value: impl Fn(&Setting) -> String,
        remark: impl Fn(&Setting) -> String,
    ) -> (String, Vec<usize>) {
        let mut text = String::new();
        let mut starts = Vec::with_capacity(self.settings.len());
        let mut section = "";
        for setting in &self.settings {
            let (own, name) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
            if own != section {
                text.push_str(if text.is_empty() { "" } else { "\n" });
                text.push_str(&format!("[{own}]\n"));
                section = own;
            }
            starts.push(text.len());
            text.push_str(&format!("{name} = {}{}\n", value(setting), remark(setting)));
        }
        (text, starts)
    }

    fn is_section(&self, key: &str) -> bool {
        self.settings.iter().any(|s| s.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    }

    fn unknown(&self, key: &str, origin: Origin) -> SettingsError {
        SettingsError::Unknown { origin, key: key.to_owned(), nearest: self.nearest(key) }
    }

    fn nearest(&self, key: &str) -> String {
        let leaf = |k: &str| k.rsplit('.').next().unwrap_or_default().to_owned();
        let likeness = |known: &str| {
            let whole = strsim::normalized_damerau_levenshtein(key, known);
            let name = strsim::normalized_damerau_levenshtein(&leaf(key), &leaf(known));
            whole + 0.8 * name
        };
        self.settings
            .iter()
            .map(|s| s.key.as_str())
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .unwrap_or_default()
            .to_owned()
    }

    fn put(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), SettingsError> {
        let Some(setting) = self.settings.iter_mut().find(|s| s.key == key) else {
            return Err(self.unknown(key, origin));
        };
        let value = match (&setting.value, value) {
            #[expect(clippy::cast_precision_loss, reason = "settings are small numbers")]
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        if !setting.value.same_type(&value) {
            return Err(SettingsError::Type {
                origin,
                key: key.to_owned(),
                expected: expected(key, &setting.value),
                got: written(&value),
            });
        }
        setting.value = value;
        setting.origin = origin;
        Ok(())
    }

    fn put_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), SettingsError> {
        let Some(setting) = self.settings.iter().find(|s| s.key == key) else {
            return Err(self.unknown(key, origin));
        };
        let value = match &setting.value {
            Value::String(_) => Value::String(text.to_owned()),
            Value::Array(_) if !text.trim_start().starts_with('[') => Value::Array(
                text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(Value::from).collect(),
            ),
            default => text.trim().parse().map_err(|_| SettingsError::Type {
                origin: origin.clone(),
                key: key.to_owned(),
                expected: expected(key, default),
                got: format!("'{text}'"),
            })?,
        };
        self.put(key, value, origin)
    }
}

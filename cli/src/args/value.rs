//! Values on the command line that say what is right where they are wrong.

use serde::de::DeserializeOwned;

use rushes_shared::encode::SpeedPreset;
use rushes_shared::id::TenantId;
use rushes_shared::job::{Class, JobState};
use rushes_shared::request::{BitRate, codec_of};

pub(super) fn preset(text: &str) -> Result<SpeedPreset, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        "use ultrafast, superfast, veryfast, faster, fast, medium, slow, slower or veryslow".to_owned()
    })
}

pub(super) fn state(text: &str) -> Result<JobState, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
        .map_err(|_| "use queued, running, succeeded, failed or canceled".to_owned())
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    let found = Class::ALL.into_iter().find(|class| class.as_str() == text);
    found.ok_or_else(|| "use bulk, standard, premium or emergency".to_owned())
}

/// A tenant's name.
pub(super) fn tenant(text: &str) -> Result<String, String> {
    text.parse::<TenantId>().map(|tenant| tenant.to_string()).map_err(|bad| bad.to_string())
}

/// The name of a limit, as jobs have it.
pub(super) fn limit(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a limit's name is not empty and has no spaces".to_owned());
    }
    Ok(text.to_owned())
}

/// A name as job files have it.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|error| {
        let error = error.to_string();
        let Some((_, known)) = error.split_once("expected ") else { return error };
        let known = known.replace('`', "");
        let meant = codec_of(text).filter(|codec| known.split(", ").any(|word| word == *codec));
        let hint = meant.map(|codec| format!("; {text} is called {codec} here")).unwrap_or_default();
        format!("use {}{hint}", known.trim_start_matches("one of "))
    })
}

pub(super) fn bit_rate(text: &str) -> Result<BitRate, String> {
    let rate: BitRate = text.parse()?;
    if rate.0 > 0 { Ok(rate) } else { Err("should be above 0, such as 128k or 5M".to_owned()) }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "should be a whole number from 1 on".to_owned())
}

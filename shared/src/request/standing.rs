//! What a job is worth, what may be given up for its deadline, and what it needs of nodes.

use std::collections::BTreeMap;

use super::settling::{ranged, text};
use super::{BadRequest, JobRequest, MAX_LABEL, MAX_NEEDS};
use crate::job::{ContentValue, Needs, Priority, QualityFloor};

/// Highest creator tier.
pub(super) const MAX_TIER: u8 = 5;

pub(super) fn priority(request: &JobRequest) -> Result<Priority, BadRequest> {
    let Some(value) = request.priority else { return Ok(Priority::default()) };
    if request.value.is_some() {
        let message = "the priority is computed from 'value'; give one of the two";
        return Err(BadRequest::at("priority", message));
    }
    let value = ranged("priority", value, 0, i64::from(Priority::MAX))?;
    Ok(Priority::new(value).expect("the range was checked"))
}

pub(super) fn value(value: Option<&ContentValue>) -> Result<Option<Box<ContentValue>>, BadRequest> {
    if let Some(tier) = value.map(|v| v.creator_tier).filter(|t| *t > MAX_TIER) {
        let message = format!("should be 0 to {MAX_TIER}, not {tier}");
        return Err(BadRequest::at("value.creator_tier", message));
    }
    Ok(value.map(|v| Box::new(*v)))
}

pub(super) fn floor(request: &JobRequest) -> Result<QualityFloor, BadRequest> {
    let Some(floor) = request.floor else { return Ok(QualityFloor::default()) };
    if request.deadline.is_none() && floor != QualityFloor::default() {
        return Err(BadRequest::at("floor", "quality is given up only for a deadline; set 'deadline' too"));
    }
    if let Some(height) = floor.min_height {
        ranged::<u32>("floor.min_height", i64::from(height), 16, super::MAX_SIDE)?;
    }
    Ok(floor)
}

pub(super) fn needs(request: &JobRequest) -> Result<Option<Box<Needs>>, BadRequest> {
    let count = request.tags.len() + request.limits.len();
    if count > MAX_NEEDS {
        let message = format!("{count} tags and limits are more than a job may name ({MAX_NEEDS})");
        return Err(BadRequest::at("tags", message));
    }
    let mut tags = Vec::with_capacity(request.tags.len());
    for tag in &request.tags {
        tags.push(word("tags", tag)?);
    }
    tags.sort();
    tags.dedup();
    let pool = request.pool.as_deref().map(|p| word("pool", p)).transpose()?.unwrap_or_default();
    let mut limits = BTreeMap::new();
    for (name, held) in &request.limits {
        let name = word("limits", name)?;
        let held = ranged(&format!("limits.{name}"), *held, 1, 1_000_000)?;
        limits.insert(name, held);
    }
    let needs = Needs { tags, pool, limits };
    Ok((needs != Needs::default()).then(|| Box::new(needs)))
}

fn word(path: &str, word: &str) -> Result<String, BadRequest> {
    let word = text(path, word, MAX_LABEL)?;
    if word.is_empty() || word.chars().any(char::is_whitespace) {
        return Err(BadRequest::at(path, format!("'{word}' is no name: not empty, no spaces")));
    }
    Ok(word.to_owned())
}

//! Changes of live jobs.

use rushes_shared::job::{JobChange, JobSpec};

/// What a request is with a change.
pub(crate) fn amend(spec: &mut JobSpec, change: &JobChange) {
    spec.class = change.class.unwrap_or(spec.class);
    if let Some(priority) = change.priority {
        spec.priority = priority;
        spec.value = None;
    }
    if let Some(value) = change.value {
        spec.value = Some(Box::new(value));
    }
    spec.deadline = change.deadline.unwrap_or(spec.deadline);
    for (key, value) in &change.labels {
        if value.is_empty() {
            spec.labels.remove(key);
        } else {
            spec.labels.insert(key.clone(), value.clone());
        }
    }
    spec.paused = change.paused.unwrap_or(spec.paused);
}

//! A change of a job that has not ended, as a user writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deadline::deadline;
use super::settling::{labels, ranged};
use super::standing::value;
use super::{Asking, BadRequest};
use crate::job::{Class, ContentValue, JobChange, Priority};

/// What is to change. Fields that are left out stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmendRequest {
    /// Another class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Another priority, 0 to 100; the content's value decides no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100)]
    pub priority: Option<i64>,
    /// Another value of the content, from which the priority follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ContentValue>,
    /// Another deadline: a time, a span from now such as `+2h`, or `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "+2h")]
    pub deadline: Option<String>,
    /// Labels to set; one with an empty value is removed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether nothing more of it is to be started for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

impl AmendRequest {
    /// The change that this asks for.
    ///
    /// # Errors
    /// [`BadRequest`] for a value out of its range, or where nothing is to change.
    pub fn settle(&self, asking: Asking<'_>) -> Result<JobChange, BadRequest> {
        if *self == Self::default() {
            let what = "set at least one of class, priority, value, deadline, labels, paused";
            return Err(BadRequest::at("", format!("nothing is to change: {what}")));
        }
        if self.priority.is_some() && self.value.is_some() {
            let message = "the priority is computed from 'value'; give one of the two";
            return Err(BadRequest::at("priority", message));
        }
        let priority =
            self.priority.map(|p| ranged("priority", p, 0, i64::from(Priority::MAX))).transpose()?;
        Ok(JobChange {
            class: self.class,
            priority: priority.and_then(Priority::new),
            value: value(self.value.as_ref())?.map(|v| *v),
            deadline: match self.deadline.as_deref() {
                None => None,
                Some("none") => Some(None),
                Some(text) => Some(Some(deadline(text, asking.now)?)),
            },
            labels: labels(&self.labels)?,
            paused: self.paused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TenantId;
    use crate::request::Presets;
    use crate::units::WallMs;

    #[test]
    fn a_change_is_read_whole_or_refused() {
        let tenant = TenantId::default_tenant();
        let presets = Presets::embedded();
        let asking = Asking { tenant: &tenant, now: WallMs(1_000), presets: &presets };
        let read = |json: &str| {
            let request: AmendRequest = serde_json::from_str(json).map_err(|e| e.to_string())?;
            request.settle(asking).map_err(|e| e.to_string())
        };
        let change = read(r#"{"class":"premium","priority":70,"deadline":"+1h","labels":{"a":""}}"#);
        let change = change.expect("valid");
        assert_eq!((change.class, change.priority), (Some(Class::Premium), Priority::new(70)));
        assert_eq!(change.deadline, Some(Some(WallMs(3_601_000))));
        assert_eq!(read(r#"{"deadline":"none"}"#).expect("valid").deadline, Some(None));
        for (bad, word) in [
            ("{}", "nothing is to change"),
            (r#"{"priority":101}"#, "0 to 100"),
            (r#"{"priority":1,"value":{}}"#, "one of the two"),
            (r#"{"value":{"creator_tier":9}}"#, "0 to 5"),
            (r#"{"deadline":"soon"}"#, "'soon'"),
            (r#"{"prio":1}"#, "prio"),
        ] {
            let error = read(bad).expect_err(bad);
            assert!(error.contains(word), "{error}");
        }
    }
}

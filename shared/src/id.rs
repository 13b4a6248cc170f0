//! Identities: jobs, tasks, attempts, workers, tenants, record sequences.
//!
//! Ids are made by the shell (they need a clock and randomness) and come into the core as arguments.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// An id whose text or number could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {kind} id; it looks like {example}")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What it should have named: "job", "worker" or "task".
    pub kind: &'static str,
    /// An id of the right form.
    pub example: &'static str,
}

macro_rules! sortable_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            /// Builds an id from a wall-clock time in Unix milliseconds and 80 random bits; later times sort later.
            #[must_use]
            pub fn from_parts(unix_ms: u64, random: u128) -> Self {
                Self(Ulid::from_parts(unix_ms, random).0)
            }

            /// The wall-clock part, in Unix milliseconds.
            #[must_use]
            pub fn unix_ms(self) -> u64 {
                Ulid(self.0).timestamp_ms()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0_u8; ulid::ULID_LEN];
                let text = Ulid(self.0).array_to_str(&mut buffer);
                f.write_str($prefix)?;
                f.write_str(&text.to_ascii_lowercase())
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { text: text.chars().take(64).collect(), kind: $kind, example: $example };
                let body = text.strip_prefix($prefix).ok_or_else(bad)?;
                Ulid::from_string(&body.to_ascii_uppercase()).map(|u| Self(u.0)).map_err(|_| bad())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u128(self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(d).map(Self)
                }
            }
        }
    };
}

sortable_id!(
    /// A job: what a user submitted. Sorts by the time of its submission.
    JobId, "job_", "job", "job_01jv2c8k3q5w7x9z0a2b4c6d8e"
);
sortable_id!(
    /// A worker node, from its enrolment to its removal; it is the common name of its certificate.
    WorkerId, "wrk_", "worker", "wrk_01jv2c8k3q5w7x9z0a2b4c6d8e"
);

/// A task: a piece of a job that one worker runs. The index counts from 0 in the order of planning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The job that it belongs to.
    pub job: JobId,
    /// Its place in the job's plan.
    pub index: u32,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.index)
    }
}

impl FromStr for TaskId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId {
            text: text.chars().take(64).collect(),
            kind: "task",
            example: "job_01jv2c8k3q5w7x9z0a2b4c6d8e.0",
        };
        let (job, index) = text.rsplit_once('.').ok_or_else(bad)?;
        Ok(Self { job: job.parse()?, index: index.parse().map_err(|_| bad())? })
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { (self.job, self.index).serialize(s) }
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
        } else {
            <(JobId, u32)>::deserialize(d).map(|(job, index)| Self { job, index })
        }
    }
}

/// One reign of a coordinator. Durable; rises at every start and at every take-over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// One try at a task. Unique without a disk write, because its epoch is durable and unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The reign that dispatched it.
    pub epoch: Epoch,
    /// Counts dispatches within the reign, from 1.
    pub counter: u64,
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.0, self.counter)
    }
}

impl FromStr for AttemptId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let parsed = text.split_once('-').and_then(|(epoch, counter)| {
            Some(Self { epoch: Epoch(epoch.parse().ok()?), counter: counter.parse().ok()? })
        });
        parsed.ok_or_else(|| BadId {
            text: text.chars().take(64).collect(),
            kind: "attempt",
            example: "3-17",
        })
    }
}

/// The place of a record in the journal: 1 for the first one ever written, without gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The sequence number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// An account whose jobs, files and limits are kept apart from others'.
///
/// 1 to 64 characters from `a-z 0-9 - _`, first a letter or digit, so that it is safe in paths and metrics.
///
/// A copy shares its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant of a farm that has only one.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".into())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its text as it is shared among copies.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.0
    }

    /// A tenant around a text that came from [`TenantId::text`] of the same name.
    #[must_use]
    pub fn sharing(text: Arc<str>) -> Self {
        debug_assert!(text.parse::<Self>().is_ok(), "'{text}' came from a tenant");
        Self(text)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tenant's name that breaks the rule of its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be a tenant: use 1 to 64 characters from a-z, 0-9, '-', '_', starting with a letter or digit"
)]
pub struct BadTenant(pub String);

impl FromStr for TenantId {
    type Err = BadTenant;

    fn from_str(text: &str) -> Result<Self, BadTenant> {
        let ok = (1..=64).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if ok { Ok(Self(text.into())) } else { Err(BadTenant(text.chars().take(80).collect())) }
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let early = JobId::from_parts(1_000, 99);
        let late = JobId::from_parts(2_000, 1);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<JobId>(), Ok(early));
        assert_eq!(early.unix_ms(), 1_000);
        let task = TaskId { job: late, index: 7 };
        assert_eq!(task.to_string().parse::<TaskId>(), Ok(task));
    }

    #[test]
    fn a_foreign_id_is_refused_with_an_example() {
        let error = "wrk_01jv2c8k3q5w7x9z0a2b4c6d8e".parse::<JobId>().unwrap_err();
        assert!(error.to_string().contains("job_"), "{error}");
        assert!("job_".parse::<JobId>().is_err());
        assert!("job_01jv2c8k3q5w7x9z0a2b4c6d8e.x".parse::<TaskId>().is_err());
    }

    #[test]
    fn tenants_are_safe_in_paths() {
        for bad in ["", "..", "A", "a/b", "-a", &"x".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert_eq!("team-7_x".parse::<TenantId>().map(|t| t.to_string()), Ok("team-7_x".to_owned()));
    }
}

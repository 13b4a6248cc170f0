//! Answers to requests, and why some are refused.

use std::ops::RangeInclusive;

use rushes_shared::artifact::Location;
use rushes_shared::id::{JobId, TenantId, WorkerId};
use rushes_shared::job::{Class, Priority};
use rushes_shared::units::WallMs;

use crate::promise::{Barred, Forecast};

/// Why a request is refused. Each has its HTTP status in the shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such job in the live state.
    #[error("there is no live job {0}")]
    NoJob(JobId),
    /// No such worker.
    #[error("no worker {0} has ever connected; 'rushes worker list' shows those that have")]
    NoWorker(WorkerId),
    /// The same idempotency key came with another body.
    #[error(
        "the idempotency key was used before with a different request (job {0}); use a new key for a new request"
    )]
    KeyReused(JobId),
    /// The farm holds as many jobs as it may before it takes another one of this class.
    #[error(
        "the farm takes jobs of class {} as long as it has fewer than {limit} (engine.max_jobs, engine.room); try again in {retry_s} s",
        .class.as_str()
    )]
    FarmFull {
        /// What was asked for.
        class: Class,
        /// How many jobs there may be.
        limit: u64,
        /// When there should be room, in seconds.
        retry_s: u32,
    },
    /// The tenant has as many jobs as it may.
    #[error(
        "tenant '{tenant}' has {limit} jobs that have not ended, its limit (engine.tenant.max_jobs); wait for some to end"
    )]
    TenantFull {
        /// Whose.
        tenant: TenantId,
        /// Its limit.
        limit: u64,
        /// When one should have ended, in seconds.
        retry_s: u32,
    },
    /// The tenant has as many jobs with a deadline as it may.
    #[error(
        "tenant '{tenant}' has {limit} jobs with a deadline that have not ended, its limit (engine.tenant.max_deadline_jobs); wait for some to end or leave the deadline out"
    )]
    TooManyDeadlines {
        /// Whose.
        tenant: TenantId,
        /// Its limit.
        limit: u64,
        /// When one should have ended, in seconds.
        retry_s: u32,
    },
    /// The class is above what the tenant may ask for.
    #[error("tenant '{tenant}' may ask for class {} at most, not {}; use that, or have an operator raise it", .most.as_str(), .asked.as_str())]
    ClassTooHigh {
        /// Whose.
        tenant: TenantId,
        /// What was asked for.
        asked: Class,
        /// The ceiling.
        most: Class,
    },
    /// The priority is above what the tenant may ask for.
    #[error("tenant '{tenant}' may have priority {} at most, not {}; use that, or have an operator raise it", .most.value(), .asked.value())]
    PriorityTooHigh {
        /// Whose.
        tenant: TenantId,
        /// What was asked for.
        asked: Priority,
        /// The ceiling.
        most: Priority,
    },
    /// A task of the job would hold more of a named limit than there is.
    #[error(
        "each task would hold {asked} of the limit '{name}', of which there are {most}; ask for less, or have an operator raise it"
    )]
    LimitTooLow {
        /// Its name.
        name: String,
        /// What each task would hold.
        asked: u32,
        /// How many there are.
        most: u32,
    },
    /// A job that has not ended writes to the same place.
    #[error(
        "{}, which has not ended, writes to {place}; choose another destination, or wait until it has ended",
        .job.map_or_else(|| "a job of another tenant".to_owned(), |job| job.to_string())
    )]
    DestinationTaken {
        /// Where.
        place: Location,
        /// Which job, where it is of the same tenant.
        job: Option<JobId>,
    },
    /// The deadline cannot be kept, and such jobs are not taken.
    #[error(
        "the deadline {} cannot be kept: {}",
        .deadline.to_rfc3339(), why_not_kept(.expected, .barred.as_deref())
    )]
    CannotKeep {
        /// What was asked for.
        deadline: WallMs,
        /// When it should be done; `None` where nothing of it can start.
        expected: Option<WallMs>,
        /// Why nothing can.
        barred: Option<Box<Barred>>,
    },
    /// Too many different combinations of tags, pool and named limits.
    #[error(
        "the farm's jobs name {limit} different combinations of tags, pool and limits, the most that it keeps apart (engine.order.max_needs); use one that is in use"
    )]
    TooManyNeeds {
        /// `engine.order.max_needs`.
        limit: usize,
        /// When a job should have ended, in seconds.
        retry_s: u32,
    },
    /// Too many different demands of nodes.
    #[error(
        "the farm's jobs ask for {limit} different combinations of CPU, memory, codec and needs, the most that it keeps apart (engine.order.max_signatures); give the stages demands that are in use, such as whole cores"
    )]
    TooManySignatures {
        /// `engine.order.max_signatures`.
        limit: usize,
        /// When a job should have ended, in seconds.
        retry_s: u32,
    },
    /// The store's disk is nearly full.
    #[error(
        "the coordinator's disk is nearly full (below store.min_free_bytes); free some space and try again"
    )]
    DiskNearlyFull,
}

fn why_not_kept(expected: &Option<WallMs>, barred: Option<&Barred>) -> String {
    match (expected, barred) {
        (_, Some(barred)) => barred.to_string(),
        (Some(at), None) => format!(
            "the job should be done by {}; ask for that, or lower its quality floor (engine.promise.admission)",
            at.to_rfc3339()
        ),
        (None, None) => "it cannot be said when the job is done".to_owned(),
    }
}

impl Refusal {
    /// Least and most seconds after which a retry is said to be worth it, where that follows from the backlog.
    pub const RETRY_AFTER_S: RangeInclusive<u32> = 1..=900;

    /// After how many seconds a retry is worth it; `None` where it is not. Room on a disk is made by people: that is looked
    /// at again after a minute.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::NoJob(_)
            | Self::NoWorker(_)
            | Self::KeyReused(_)
            | Self::ClassTooHigh { .. }
            | Self::PriorityTooHigh { .. }
            | Self::CannotKeep { .. }
            | Self::DestinationTaken { .. }
            | Self::LimitTooLow { .. } => None,
            Self::FarmFull { retry_s, .. }
            | Self::TenantFull { retry_s, .. }
            | Self::TooManyDeadlines { retry_s, .. }
            | Self::TooManyNeeds { retry_s, .. }
            | Self::TooManySignatures { retry_s, .. } => Some(*retry_s),
            Self::DiskNearlyFull => Some(60),
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A submit was accepted, now or under the same key before.
    Accepted {
        /// The job.
        job: JobId,
        /// Whether this request made it.
        created: bool,
        /// What is expected of it.
        forecast: Forecast,
    },
    /// What would come of a submit.
    Forecast(Forecast),
    /// A cancel took effect.
    Canceled {
        /// The job.
        job: JobId,
    },
    /// A change took effect.
    Amended {
        /// The job.
        job: JobId,
    },
    /// A tenant's limits or a named limit took effect.
    LimitsSet,
    /// A drain took effect.
    Drained {
        /// The worker.
        worker: WorkerId,
        /// Whether it gets no new tasks.
        draining: bool,
    },
    /// It was refused.
    Refused(Refusal),
}

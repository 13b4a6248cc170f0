//! The API's problems.

use std::fmt;

use actix_web::http::{StatusCode, header};
use rushes_core::event::Refusal;
use rushes_shared::request::BadRequest;

use crate::farm::FarmError;

pub(super) use crate::problem::{PROBLEM_JSON, Problem};

impl Problem {
    /// 400 for a parameter.
    pub(super) fn parameter(name: &str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", format!("parameter '{name}': {detail}"))
            .at(Some(name.to_owned()), None)
    }

    /// 401: who is asking is not known.
    pub(super) fn stranger(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"rushes\"".to_owned())
    }

    /// 503 that is worth a retry.
    pub(super) fn unavailable(code: &str, detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(retry_after_s)
    }

    /// What a status without a body of its own means.
    pub(super) fn of_status(status: StatusCode, detail: &str) -> Self {
        let (code, words) = match status {
            StatusCode::NOT_FOUND => {
                ("no_such_route", "there is nothing here; GET /v1/openapi.json lists what there is")
            }
            StatusCode::METHOD_NOT_ALLOWED => (
                "method_not_allowed",
                "this path does not take this method; GET /v1/openapi.json lists what it takes",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "the body is larger than api.max_body_bytes"),
            StatusCode::REQUEST_TIMEOUT => ("timeout", "the request did not arrive in time"),
            StatusCode::BAD_REQUEST => ("bad_request", "the request could not be read"),
            _ => ("error", "the request failed"),
        };
        let detail = if detail.is_empty() { words.to_owned() } else { format!("{words}: {detail}") };
        Self::new(status, code, detail)
    }
}

impl From<FarmError> for Problem {
    fn from(error: FarmError) -> Self {
        let text = error.to_string();
        match error {
            FarmError::Refused(refusal) => refused(&refusal),
            FarmError::NoSuchJob(_) => Self::new(StatusCode::NOT_FOUND, "no_such_job", text),
            FarmError::NoSuchTask(_) => Self::new(StatusCode::NOT_FOUND, "no_such_task", text),
            FarmError::Busy => Self::unavailable("busy", text, 1),
            FarmError::Stopping => Self::unavailable("stopping", text, 5),
            FarmError::Store(_) => {
                tracing::error!(error = %text, "a request failed in the store");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", text)
                    .advice("the coordinator's log has the details")
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let (status, code) = match refusal {
        Refusal::NoJob(_) => (StatusCode::NOT_FOUND, "no_such_job"),
        Refusal::NoWorker(_) => (StatusCode::NOT_FOUND, "no_such_worker"),
        Refusal::KeyReused(_) => (StatusCode::CONFLICT, "idempotency_key_reused"),
        Refusal::FarmFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "farm_full"),
        Refusal::TenantFull { .. } => (StatusCode::TOO_MANY_REQUESTS, "tenant_full"),
        Refusal::TooManyDeadlines { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_deadlines"),
        Refusal::ClassTooHigh { .. } => (StatusCode::FORBIDDEN, "class_too_high"),
        Refusal::PriorityTooHigh { .. } => (StatusCode::FORBIDDEN, "priority_too_high"),
        Refusal::LimitTooLow { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "limit_too_low"),
        Refusal::DestinationTaken { .. } => (StatusCode::CONFLICT, "destination_taken"),
        Refusal::CannotKeep { .. } => (StatusCode::CONFLICT, "deadline_cannot_be_kept"),
        Refusal::TooManyNeeds { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too_many_needs"),
        Refusal::TooManySignatures { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too_many_signatures"),
        Refusal::DiskNearlyFull => (StatusCode::INSUFFICIENT_STORAGE, "disk_nearly_full"),
    };
    let problem = Problem::new(status, code, refusal.to_string());
    match refusal.retry_after_s() {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    }
}

impl From<BadRequest> for Problem {
    fn from(bad: BadRequest) -> Self {
        let line = bad.line.and_then(|line| u32::try_from(line).ok());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", bad.to_string())
            .at(Some(bad.path).filter(|path| !path.is_empty()), line)
    }
}

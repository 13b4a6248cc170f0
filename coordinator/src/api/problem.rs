//! Every error of the API, as `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use rushes_core::event::Refusal;
use rushes_shared::request::BadRequest;
use rushes_shared::view::ProblemView;

use crate::farm::FarmError;

/// The media type.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// An error that ends a request.
#[derive(Debug)]
pub(super) struct Problem(Box<ProblemView>);

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(ProblemView {
            r#type: format!("urn:rushes:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            advice: None,
            retry_after: None,
            field: None,
            line: None,
        }))
    }

    /// 400 for a parameter.
    pub(super) fn parameter(name: &str, detail: impl fmt::Display) -> Self {
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "bad_parameter", format!("parameter '{name}': {detail}"));
        problem.0.field = Some(name.to_owned());
        problem
    }

    /// 503 that is worth a retry.
    pub(super) fn unavailable(code: &str, detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(retry_after_s)
    }

    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.0.advice = Some(advice.into());
        self
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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status, self.0.code, self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.0.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"rushes\""));
        }
        response.body(serde_json::to_string(&self.0).expect("a problem consists of plain values"))
    }
}

impl From<FarmError> for Problem {
    fn from(error: FarmError) -> Self {
        let text = error.to_string();
        match error {
            FarmError::Refused(refusal) => refused(&refusal),
            FarmError::NoSuchJob(_) => Self::new(StatusCode::NOT_FOUND, "no_such_job", text),
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
        Refusal::CannotKeep { .. } => (StatusCode::CONFLICT, "deadline_cannot_be_kept"),
        Refusal::TooManyNeeds { .. } => (StatusCode::SERVICE_UNAVAILABLE, "too_many_needs"),
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
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", bad.to_string());
        problem.0.line = bad.line.and_then(|line| u32::try_from(line).ok());
        problem.0.field = (!bad.path.is_empty()).then_some(bad.path);
        problem
    }
}

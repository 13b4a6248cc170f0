//! Errors of the depot's HTTP side, as `application/problem+json` (RFC 9457).

use std::fmt;

use actix_web::error::QueryPayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Responder, ResponseError};
use rushes_shared::failure::{Failure, FailureClass, FailureCode};
use rushes_shared::view::ProblemView;

/// Says how much of an upload is there.
pub(super) const UPLOAD_OFFSET: &str = "Upload-Offset";

/// An error that ends a request.
#[derive(Debug)]
pub(super) struct Problem {
    view: Box<ProblemView>,
    offset: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let view = ProblemView {
            r#type: format!("urn:rushes:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            advice: None,
            retry_after: None,
            field: None,
            line: None,
        };
        Self { view: Box::new(view), offset: None }
    }

    fn advice(mut self, advice: &str) -> Self {
        self.view.advice = (!advice.is_empty()).then(|| advice.to_owned());
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.view.retry_after = Some(seconds);
        self
    }

    /// The same problem with the place from which an upload can go on.
    pub(super) fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(super) fn no_such_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_such_route", "the depot serves /v1/files?ticket=… only")
    }

    pub(super) fn no_such_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use GET, HEAD or PUT")
    }

    pub(super) fn bad_query(error: &QueryPayloadError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", format!("the query cannot be read: {error}"))
    }

    pub(super) fn no_ticket() -> Self {
        let detail = "a ticket is needed; the coordinator's API hands out URLs that carry one";
        Self::new(StatusCode::UNAUTHORIZED, "no_ticket", detail)
    }

    pub(super) fn ticket(failure: &Failure) -> Self {
        Self::new(StatusCode::FORBIDDEN, "bad_ticket", &failure.message).advice(&failure.advice)
    }

    pub(super) fn other_grant(what: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "bad_ticket", format!("the ticket does not permit {what}"))
            .advice("use each ticket for the file and the deed that it was issued for")
    }

    pub(super) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "the depot has all the transfers that it may have")
            .retry_after(2)
    }

    pub(super) fn uploading() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "upload_in_progress",
            "another request is uploading this file right now",
        )
        .retry_after(2)
    }

    pub(super) fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "an HTTP request failed at the depot's own work");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the depot failed; its log says more")
    }

    /// What a failure of a transfer is in HTTP.
    pub(super) fn failure(failure: &Failure) -> Self {
        let status = match failure.code {
            FailureCode::InputNotFound => StatusCode::NOT_FOUND,
            FailureCode::InputForbidden | FailureCode::OutsideRoots | FailureCode::OutputForbidden => {
                StatusCode::FORBIDDEN
            }
            FailureCode::OutputExists => StatusCode::CONFLICT,
            FailureCode::InputNotAFile => StatusCode::UNPROCESSABLE_ENTITY,
            _ if failure.class == FailureClass::Permanent => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, failure.code.as_str(), &failure.message).advice(&failure.advice)
    }

    /// A full disk has a status of its own.
    pub(super) fn no_space(failure: &Failure) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, failure.code.as_str(), &failure.message)
            .advice(&failure.advice)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.view.status, self.view.code, self.view.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.view.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status_code());
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.view.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(offset) = self.offset {
            response.insert_header((UPLOAD_OFFSET, offset.to_string()));
        }
        response.body(serde_json::to_string(&self.view).expect("a problem consists of plain values"))
    }
}

impl Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

//! The problems of the depot's HTTP side.

use std::fmt;

use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use rushes_shared::failure::{Failure, FailureClass, FailureCode};

pub(super) use crate::problem::Problem;

/// Says how much of an upload is there.
pub(super) const UPLOAD_OFFSET: &str = "upload-offset";

impl Problem {
    /// The same problem with the place from which an upload can go on.
    pub(super) fn at_offset(self, offset: u64) -> Self {
        self.header(HeaderName::from_static(UPLOAD_OFFSET), offset.to_string())
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
        Self::new(StatusCode::FORBIDDEN, "bad_ticket", failure.message.as_str())
            .advice(failure.advice.as_str())
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
        Self::new(status, failure.code.as_str(), failure.message.as_str()).advice(failure.advice.as_str())
    }

    /// A full disk has a status of its own.
    pub(super) fn no_space(failure: &Failure) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, failure.code.as_str(), failure.message.as_str())
            .advice(failure.advice.as_str())
    }
}

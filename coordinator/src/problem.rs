//! An error of an HTTP side, as `application/problem+json` (RFC 9457). The API and the depot have one each; which
//! problems there are, each says for itself.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Responder, ResponseError};
use rushes_shared::view::ProblemView;

/// The media type.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error that ends a request.
#[derive(Debug)]
pub(crate) struct Problem {
    view: Box<ProblemView>,
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
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
        Self { view: Box::new(view), headers: Vec::new() }
    }

    /// What the caller can do about it; nothing where it is empty.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.view.advice = Some(advice.into()).filter(|text| !text.is_empty());
        self
    }

    /// After how many seconds a retry is worth it.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.view.retry_after = Some(seconds);
        self.header(header::RETRY_AFTER, seconds.to_string())
    }

    /// The place in the request that is at fault.
    pub(crate) fn at(mut self, field: Option<String>, line: Option<u32>) -> Self {
        (self.view.field, self.view.line) = (field, line);
        self
    }

    /// One more header of the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
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
        response.insert_header((header::CONTENT_TYPE, PROBLEM_JSON));
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.as_str()));
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

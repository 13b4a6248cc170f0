//! Around every request: a time limit, metrics, and a problem body where an error has none.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use metrics::{counter, histogram};

use super::problem::{PROBLEM_JSON, Problem};
use super::{Api, table};

pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let limit = request
        .app_data::<web::Data<Arc<Api>>>()
        .map_or(Duration::from_secs(30), |api| Duration::from_millis(api.parts.settings.request_timeout_ms));
    let began = Instant::now();
    let (method, is_head) = (method_label(request.method()), request.method() == Method::HEAD);
    // The pattern and not the path, so that ids do not make a time series each.
    let route = table::route_of(&request);
    // No copy of the request may be kept beside it: the router changes it in place.
    let answer = match tokio::time::timeout(limit, next.call(request)).await {
        Ok(Ok(response)) => Ok(with_problem(response.map_into_boxed_body())),
        Ok(Err(error)) => {
            let status = error.as_response_error().status_code();
            Err(Problem::of_status(status, &error.to_string()))
        }
        Err(_) => {
            let detail = format!("no answer within {} ms (api.request_timeout_ms)", limit.as_millis());
            Err(Problem::unavailable("timeout", detail, 5))
        }
    };
    let status = match &answer {
        Ok(response) => response.status(),
        Err(problem) => problem.status_code(),
    };
    let status = status.as_u16().to_string();
    counter!("rushes_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("rushes_http_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    let response = answer?;
    Ok(if is_head { response.map_body(|_, body| Unsent(body.size()).boxed()) } else { response })
}

/// The body of an answer to `HEAD`: as long as the one that `GET` sends, and not there.
struct Unsent(BodySize);

impl MessageBody for Unsent {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

/// A method's name for metrics. Strangers can make names up, and each would be a time series of its own.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The same response, or a problem in place of an error's bare body (of the router or of an extractor).
fn with_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let told =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v.as_bytes() == PROBLEM_JSON.as_bytes());
    if told || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let detail = response.response().error().map(ToString::to_string).unwrap_or_default();
    let problem = Problem::of_status(
        if status == StatusCode::URI_TOO_LONG { StatusCode::BAD_REQUEST } else { status },
        &detail,
    );
    let mut changed = response.into_response(problem.error_response());
    if let Some(allow) = allow {
        changed.headers_mut().insert(header::ALLOW, allow);
    }
    changed
}

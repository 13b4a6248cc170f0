//! Around every request: a time limit, metrics, and a problem body where an error has none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use metrics::{counter, histogram};

use super::Api;
use super::problem::{PROBLEM_JSON, Problem};

pub(super) async fn guard(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let limit = request
        .app_data::<web::Data<Arc<Api>>>()
        .map_or(Duration::from_secs(30), |api| Duration::from_millis(api.parts.settings.request_timeout_ms));
    let began = Instant::now();
    let method = request.method().to_string();
    // The pattern and not the path, so that ids do not make a time series each.
    let route = request.match_pattern().unwrap_or_else(|| "none".to_owned());
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
    Ok(answer?)
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

//! Health checks and metrics: open to everyone who can connect, so that probes and Prometheus need no token.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use prometheus::{Encoder, TextEncoder};
use rushes_shared::view::{HealthView, ProblemView};

use super::Api;
use super::problem::Problem;
use crate::telemetry;

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "health", security(()), responses((status = 200, body = HealthView)))]
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(HealthView { status: "ok".to_owned() })
}

/// Whether jobs can be submitted: the engine answers, the store confirms, the coordinator does not stop.
#[utoipa::path(get, path = "/health/ready", tag = "health", security(()), responses((status = 200, body = HealthView),
    (status = 503, body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn ready(api: web::Data<Arc<Api>>) -> Result<HttpResponse, Problem> {
    if api.is_stopping() {
        return Err(Problem::unavailable("stopping", "the coordinator is stopping", 5));
    }
    if let Err(reason) = (api.parts.store_ready)() {
        return Err(Problem::unavailable(
            "store_not_ready",
            format!("the store does not confirm: {reason}"),
            5,
        ));
    }
    match tokio::time::timeout(Duration::from_secs(2), api.parts.farm.status()).await {
        Ok(Ok(_)) => Ok(HttpResponse::Ok().json(HealthView { status: "ok".to_owned() })),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::unavailable("busy", "the engine does not answer within 2 s", 5)),
    }
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()), responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(api: web::Data<Arc<Api>>) -> Result<HttpResponse, Problem> {
    if let Ok(Ok(farm)) = tokio::time::timeout(Duration::from_secs(2), api.parts.farm.status()).await {
        telemetry::set_gauges(&farm);
    }
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    encoder.encode(&api.parts.registry.gather(), &mut text).map_err(|e| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "metrics_failed",
            format!("metrics could not be written: {e}"),
        )
    })?;
    Ok(HttpResponse::Ok().content_type(encoder.format_type()).body(text))
}

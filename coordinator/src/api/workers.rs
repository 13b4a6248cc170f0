//! Workers and the farm's status.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use rushes_shared::id::WorkerId;
use rushes_shared::principal::Role;
use rushes_shared::view::{ProblemView, StatusView, WorkerList, WorkerView};

use super::auth::Caller;
use super::problem::Problem;
use super::{Api, views};

/// Lists all workers that have ever connected.
#[utoipa::path(get, path = "/v1/workers", tag = "workers",
    responses((status = 200, body = WorkerList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(api: web::Data<Arc<Api>>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Operator])?;
    let items = api.parts.farm.workers().await?.iter().map(views::worker).collect();
    Ok(HttpResponse::Ok().json(WorkerList { items }))
}

/// Gives a worker no new tasks; what runs there ends in peace.
#[utoipa::path(post, path = "/v1/workers/{id}/drain", tag = "workers", params(("id" = String, Path, description = "The worker's id")),
    responses((status = 200, body = WorkerView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn drain(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_draining(&api, &caller, &id, true).await
}

/// Gives a drained worker tasks again.
#[utoipa::path(post, path = "/v1/workers/{id}/resume", tag = "workers", params(("id" = String, Path, description = "The worker's id")),
    responses((status = 200, body = WorkerView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn resume(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    set_draining(&api, &caller, &id, false).await
}

/// Counts over the farm: jobs, tasks, workers.
#[utoipa::path(get, path = "/v1/status", tag = "workers",
    responses((status = 200, body = StatusView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn status(api: web::Data<Arc<Api>>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Operator, Role::Viewer])?;
    let farm = api.parts.farm.status().await?;
    Ok(HttpResponse::Ok().json(views::status(&farm, api.started.elapsed().as_secs())))
}

async fn set_draining(api: &Api, caller: &Caller, id: &str, draining: bool) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Operator])?;
    let worker: WorkerId = id.parse().map_err(|e| Problem::parameter("id", e))?;
    api.parts.farm.drain(worker, draining).await?;
    tracing::info!(principal = %by.name, %worker, draining, "worker drained or resumed");
    let workers = api.parts.farm.workers().await?;
    match workers.iter().find(|doc| doc.id == worker) {
        Some(doc) => Ok(HttpResponse::Ok().json(views::worker(doc))),
        None => Ok(HttpResponse::NoContent().finish()),
    }
}

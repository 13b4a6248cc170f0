//! Workers and the farm's status.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use rushes_core::summary::WorkerDoc;
use rushes_shared::id::WorkerId;
use rushes_shared::principal::Role;
use rushes_shared::view::{ProblemView, RemovedWorkerView, StatusView, WorkerList, WorkerView};

use super::auth::Caller;
use super::filter::Filter;
use super::problem::Problem;
use super::{Api, views};
use crate::pki::enrolment;

/// Lists all workers that have ever connected and were not removed.
#[utoipa::path(get, path = "/v1/workers", tag = "workers",
    params(("state" = Option<String>, Query, description = "Only workers that are `connected`, `draining`, `quarantined`, `silent` or `gone`"),
        ("tag" = Option<Vec<String>>, Query, description = "Only workers with this tag; may be repeated, then all must match"),
        ("name" = Option<String>, Query, description = "Only workers with this name"),
        ("codec" = Option<String>, Query, description = "Only workers with an encoder for this codec that works there")),
    responses((status = 200, body = WorkerList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Operator])?;
    let asked = Filter::read(request.query_string(), &["state", "tag", "name", "codec"])?;
    let state = asked.word("state", &["connected", "draining", "quarantined", "silent", "gone"])?;
    let (name, codec) = (asked.one("name")?, asked.one("codec")?);
    let mut items: Vec<WorkerView> = present(&api).await?.iter().map(views::worker).collect();
    items.retain(|worker| {
        state.is_none_or(|state| is_in(worker, state))
            && name.is_none_or(|name| worker.name == name)
            && codec.is_none_or(|codec| worker.encoders.iter().any(|e| e.works && e.codec == codec))
            && asked.all("tag").all(|tag| worker.tags.iter().any(|has| has == tag))
    });
    Ok(HttpResponse::Ok().json(WorkerList { items }))
}

/// Whether a worker is in a state of the filter. A drained or quarantined one is connected as well.
fn is_in(worker: &WorkerView, state: &str) -> bool {
    match state {
        "draining" => worker.draining,
        "quarantined" => worker.quarantined,
        presence => worker.presence == presence,
    }
}

/// Removes a worker: its certificate is refused from now on, its connection ends, and what it held goes to others. The
/// machine can come back with a new join token, as another worker.
#[utoipa::path(delete, path = "/v1/workers/{id}", tag = "workers", params(("id" = String, Path, description = "The worker's id")),
    responses((status = 200, body = RemovedWorkerView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn remove(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?.name.clone();
    let id = worker_id(&id)?;
    let now = api.now();
    // Refused before it is let go, so that it cannot come back in between.
    let Some(enrolment) = api.ask_vault(move |vault| enrolment::remove(vault, id, now)).await? else {
        return Err(no_such_worker(id));
    };
    let tasks_moved = api.parts.farm.let_go(id).await? as u64;
    tracing::info!(principal = %by, worker = %id, name = %enrolment.name, tasks_moved, "worker removed");
    Ok(HttpResponse::Ok().json(RemovedWorkerView { id, name: enrolment.name, tasks_moved }))
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
    let worker = worker_id(id)?;
    if !present(api).await?.iter().any(|doc| doc.id == worker) {
        return Err(no_such_worker(worker));
    }
    api.parts.farm.drain(worker, draining).await?;
    tracing::info!(principal = %by.name, %worker, draining, "worker drained or resumed");
    match present(api).await?.iter().find(|doc| doc.id == worker) {
        Some(doc) => Ok(HttpResponse::Ok().json(views::worker(doc))),
        None => Err(no_such_worker(worker)),
    }
}

/// Workers that have connected before and were not removed.
async fn present(api: &Api) -> Result<Vec<WorkerDoc>, Problem> {
    let removed = api.ask_vault(enrolment::removed).await?;
    let mut workers = api.parts.farm.workers().await?;
    workers.retain(|doc| !removed.contains(&doc.id));
    Ok(workers)
}

fn worker_id(text: &str) -> Result<WorkerId, Problem> {
    text.parse().map_err(|e| Problem::parameter("id", e))
}

fn no_such_worker(id: WorkerId) -> Problem {
    let detail = format!("there is no worker {id}; 'rushes worker list' shows those that are");
    Problem::new(StatusCode::NOT_FOUND, "no_such_worker", detail)
}

//! What can be done to a job besides canceling it: changes, pause, another try, an explanation.

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use rushes_core::event::Refusal;
use rushes_shared::id::{JobId, TaskId};
use rushes_shared::job::{JobChange, JobSpec, JobState};
use rushes_shared::principal::{Principal, Role};
use rushes_shared::request::{AmendRequest, Asking};
use rushes_shared::units::WallMs;
use rushes_shared::view::{ExplainView, JobView, ProblemView, SubmittedView, TaskExplainView};

use super::{READERS, job_id};
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use crate::api::{Api, body, views};
use crate::farm::FarmError;

/// Changes a job that has not ended: its class, priority, value, deadline, labels, or whether it is paused. The order
/// follows at once, for what waits already too.
#[utoipa::path(patch, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    request_body = AmendRequest,
    responses((status = 200, body = JobView), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It has ended"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn amend(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
    bytes: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter, Role::Operator])?;
    let request: AmendRequest = body::json(&bytes, "invalid_change")?;
    let asking = Asking { tenant: &by.tenant, now: api.now(), presets: &api.parts.presets };
    let change = request.settle(asking).map_err(|bad| body::invalid("invalid_change", bad.to_string()))?;
    changed(&api, by, job_id(&id)?, change).await
}

/// Starts nothing more of a job until it is resumed. What runs goes on.
#[utoipa::path(post, path = "/v1/jobs/{id}/pause", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobView), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It has ended"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn pause(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter, Role::Operator])?;
    changed(&api, by, job_id(&id)?, JobChange { paused: Some(true), ..JobChange::default() }).await
}

/// Lets a paused job go on.
#[utoipa::path(post, path = "/v1/jobs/{id}/resume", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobView), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It has ended"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn resume(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter, Role::Operator])?;
    changed(&api, by, job_id(&id)?, JobChange { paused: Some(false), ..JobChange::default() }).await
}

async fn changed(api: &Api, by: &Principal, id: JobId, change: JobChange) -> Result<HttpResponse, Problem> {
    match api.parts.farm.amend(by, id, change).await {
        Ok(()) => tracing::info!(principal = %by.name, job = %id, "job changed"),
        Err(FarmError::Refused(Refusal::NoJob(_))) => return Err(has_ended(id, "be changed")),
        Err(error) => return Err(error.into()),
    }
    let doc = api.parts.farm.job(by, id).await?;
    Ok(HttpResponse::Ok().json(views::job(&doc, api.now(), api.parts.settings.max_tasks_shown)))
}

/// Submits a job that has ended once more, as a new job. A deadline that has passed is left out, which `note` says.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path, description = "The id of a job that has ended")),
    responses((status = 201, body = SubmittedView, headers(("Location" = String, description = "The new job"))),
        (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It has not ended"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json"), (status = "5XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn retry(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter])?;
    let id = job_id(&id)?;
    let doc = api.parts.farm.job(by, id).await?;
    if doc.job.ended.is_none() {
        let detail = format!("{id} has not ended; only a job that has ended can be tried again");
        return Err(Problem::new(StatusCode::CONFLICT, "job_has_not_ended", detail));
    }
    if doc.job.tenant != by.tenant {
        let detail =
            format!("{id} belongs to tenant '{}'; retry it as one of its principals", doc.job.tenant);
        return Err(Problem::new(StatusCode::FORBIDDEN, "other_tenant", detail));
    }
    let (deadline, passed) = match doc.job.spec.deadline {
        Some(at) if at <= api.now() => (None, Some(at)),
        other => (other, None),
    };
    let spec = JobSpec { deadline, paused: false, ..Arc::unwrap_or_clone(doc.job.spec) };
    super::files_are_fine(&api, &spec).await?;
    let (new, created, forecast) = api.parts.farm.submit(by, spec, None).await?;
    let forecast = views::forecast(forecast);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("/v1/jobs/{new}")))
        .json(SubmittedView { id: new, created, forecast, note: passed.map(|at| without_deadline(new, at)) }))
}

/// What is said where a retry leaves a deadline out.
fn without_deadline(new: JobId, passed: WallMs) -> String {
    format!(
        "its deadline {} has passed; it is retried without one; set one with 'rushes job set {new} --deadline +2h'",
        passed.to_rfc3339()
    )
}

/// Explains a job that has not ended: what it waits for, its place, when it should be done, why it runs where it does,
/// what was traded. Read from the scheduler's own decisions.
#[utoipa::path(get, path = "/v1/jobs/{id}/explain", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = ExplainView), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It has ended"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn explain(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(READERS)?;
    let id = job_id(&id)?;
    let explanation = api.parts.farm.explain(by, id).await?;
    let Some(explanation) = explanation else { return Err(over(&api, by, id).await?) };
    Ok(HttpResponse::Ok().json(views::explanation(&explanation)))
}

/// Explains a task of a job that has not ended: where it is and why, what it waits for, when it should start.
#[utoipa::path(get, path = "/v1/jobs/{id}/tasks/{task}/explain", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), ("task" = u32, Path, description = "The task's number, from 0")),
    responses((status = 200, body = TaskExplainView), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "The job has ended"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn explain_task(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(READERS)?;
    let (id, task) = path.into_inner();
    let id = job_id(&id)?;
    let index = task.parse().map_err(|_| Problem::parameter("task", "it must be a whole number from 0"))?;
    let explanation = api.parts.farm.explain_task(by, TaskId { job: id, index }).await?;
    let Some(explanation) = explanation else { return Err(over(&api, by, id).await?) };
    Ok(HttpResponse::Ok().json(views::task_explanation(&explanation)))
}

/// What is said instead of an explanation: how and when the job ended.
async fn over(api: &Api, by: &Principal, id: JobId) -> Result<Problem, Problem> {
    let doc = api.parts.farm.job(by, id).await?;
    // It was not live a moment ago, and a job does not come back.
    let Some(ended) = &doc.job.ended else { return Ok(has_ended(id, "be explained")) };
    let how = match (ended.state, &ended.failure) {
        (JobState::Failed, Some(failure)) => format!("failed ({})", failure.message),
        (JobState::Canceled, _) => "was canceled".to_owned(),
        (state, _) => state.as_str().to_owned(),
    };
    let detail = format!("{id} {how} at {}: it waits for nothing any more", ended.at.to_rfc3339());
    Ok(Problem::new(StatusCode::CONFLICT, "job_has_ended", detail)
        .advice(format!("'rushes job show {id}' says how each of its tasks went")))
}

fn has_ended(id: JobId, what: &str) -> Problem {
    let detail = format!("{id} has ended; only a job that has not ended can {what}");
    Problem::new(StatusCode::CONFLICT, "job_has_ended", detail)
}

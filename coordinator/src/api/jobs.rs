//! Jobs: submit, list, show, cancel, fetch an output.

pub(super) mod handles;
pub(super) mod logs;

use std::sync::Arc;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use rushes_core::event::Refusal;
use rushes_core::job::JobDoc;
use rushes_core::record::IdempotencyKey;
use rushes_shared::artifact::Location;
use rushes_shared::id::JobId;
use rushes_shared::job::{Class, JobSpec, JobState, Work};
use rushes_shared::principal::Role;
use rushes_shared::request::{Asking, Format, JobRequest, job_schema};
use rushes_shared::ticket::Grant;
use rushes_shared::view::{JobList, JobView, ProblemView, SubmittedView};

use super::auth::Caller;
use super::filter::Filter;
use super::problem::Problem;
use super::vault::blocking;
use super::{Api, body, destinations, inputs, views};
use crate::farm::{FarmError, JobFilter};

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;
/// Jobs on a page: at most, and by default.
const MAX_PAGE: usize = 500;
const PAGE: usize = 50;

/// Roles that see jobs. A submitter sees what becomes of its own tenant's jobs.
pub(super) const READERS: &[Role] = &[Role::Viewer, Role::Submitter, Role::Operator];

/// Submits a job, as JSON or (`Content-Type: application/toml`) TOML. The answer comes once the job is on disk.
///
/// With an `Idempotency-Key` the same request can be repeated safely: it makes one job, and the repetition answers 200
/// with that job's id. The same key with another body is refused.
///
/// With `dry_run=true` nothing is submitted: the answer (200, a `ForecastView`) says when the job should be done and
/// whether its deadline can be kept, or why it would be refused.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs",
    request_body(content((JobRequest = "application/json"), (String = "application/toml"))),
    params(("dry_run" = Option<bool>, Query, description = "Only say what would come of it"), ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable characters, unique for each intended job")),
    responses((status = 201, body = SubmittedView, headers(("Location" = String, description = "The job"))), (status = 200, body = SubmittedView, description = "The same request was accepted before; with `dry_run` a `ForecastView`"),
        (status = 409, body = ProblemView, content_type = "application/problem+json", description = "A file is at a destination already or another job writes there, or the key was used for another request"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json"), (status = "5XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn submit(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter])?;
    let format = format_of(&request)?;
    let dry_run = is_dry_run(&request)?;
    let key = idempotency_key(&request, &body)?;
    let text =
        std::str::from_utf8(&body).map_err(|e| body::invalid("invalid_job", format!("not UTF-8: {e}")))?;
    let asking = Asking { tenant: &by.tenant, now: api.now(), presets: &api.parts.presets };
    let spec = JobRequest::parse(format, text, asking)?;
    let known = match &key {
        Some(key) => api.parts.farm.knows_key(by, key).await?,
        None => false,
    };
    // A repeated request is answered as before, also after its file is there.
    if !known {
        files_are_fine(&api, &spec).await?;
    }
    if dry_run {
        let forecast = api.parts.farm.dry_run(by, spec).await?;
        return Ok(HttpResponse::Ok().json(views::forecast(forecast)));
    }
    let (id, created, forecast) = api.parts.farm.submit(by, spec, key).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let forecast = views::forecast(forecast);
    Ok(HttpResponse::build(status)
        .insert_header((header::LOCATION, format!("/v1/jobs/{id}")))
        .json(SubmittedView { id, created, forecast, note: None }))
}

/// Refuses a job whose inputs cannot be read, or whose outputs cannot come to their places.
async fn files_are_fine(api: &Api, spec: &JobSpec) -> Result<(), Problem> {
    let Some(roots) = api.parts.roots.clone() else { return Ok(()) };
    let (read, written) = (inputs::files(&spec.work), destinations::files(&spec.work));
    if read.is_empty() && written.is_empty() {
        return Ok(());
    }
    let look = move || {
        inputs::check(&read, &roots.input)?;
        destinations::check(&written, &roots.output)
    };
    blocking(look).await?
}

/// Whether a submit is only asked about.
fn is_dry_run(request: &HttpRequest) -> Result<bool, Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map_err(|e| Problem::parameter("query", e))?
        .into_inner();
    let mut dry_run = false;
    for (key, value) in pairs {
        dry_run = match (key.as_str(), value.as_str()) {
            ("dry_run", "true" | "1" | "") => true,
            ("dry_run", "false" | "0") => false,
            ("dry_run", _) => return Err(Problem::parameter("dry_run", "should be true or false")),
            _ => return Err(Problem::parameter(&key, "there is no such parameter: use dry_run")),
        };
    }
    Ok(dry_run)
}

fn format_of(request: &HttpRequest) -> Result<Format, Problem> {
    let text = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "application/json" => Ok(Format::Json),
        "application/toml" | "text/toml" | "text/x-toml" | "application/x-toml" => Ok(Format::Toml),
        other => {
            let detail = format!("'{other}' is no form of a job: send application/json or application/toml");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
        }
    }
}

fn idempotency_key(request: &HttpRequest, body: &[u8]) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = request.headers().get_all("idempotency-key");
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(Problem::parameter("Idempotency-Key", "two different keys; send one"));
    }
    let key = value.to_str().unwrap_or_default().trim();
    if key.is_empty() || key.len() > MAX_KEY {
        let detail = format!("should be 1 to {MAX_KEY} printable ASCII characters");
        return Err(Problem::parameter("Idempotency-Key", detail));
    }
    Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint: *blake3::hash(body).as_bytes() }))
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(("state" = Option<JobState>, Query, description = "Only jobs in this state"),
        ("label" = Option<Vec<String>>, Query, description = "Only jobs with this label, `key:value`; may be repeated, then all must match"),
        ("name" = Option<String>, Query, description = "Only jobs with this name"),
        ("class" = Option<Class>, Query, description = "Only jobs of this class"),
        ("tenant" = Option<String>, Query, description = "Only jobs of this tenant, among those that the caller may see"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<u32>, Query, description = "Jobs on the page, 1 to 500; 50 by default. A page may have fewer although another follows")),
    responses((status = 200, body = JobList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(READERS)?;
    let query = ListQuery::read(request.query_string())?;
    let (docs, next) = api.parts.farm.jobs(by, &query.filter, query.before, query.limit).await?;
    let now = api.now();
    let items = docs.iter().map(|doc| views::job(doc, now, 0)).collect();
    Ok(HttpResponse::Ok().json(JobList { items, next_cursor: next.map(|id| id.to_string()) }))
}

#[derive(Debug)]
struct ListQuery {
    filter: JobFilter,
    before: Option<JobId>,
    limit: usize,
}

impl ListQuery {
    fn read(text: &str) -> Result<Self, Problem> {
        let known = ["state", "label", "name", "class", "tenant", "cursor", "limit"];
        let asked = Filter::read(text, &known)?;
        let pair = |value: &str| {
            let pair = value.split_once(':').or_else(|| value.split_once('='));
            let (k, v) = pair.ok_or_else(|| Problem::parameter("label", "write it as key:value"))?;
            Ok((k.to_owned(), v.to_owned()))
        };
        let filter = JobFilter {
            state: asked.one("state")?.map(state).transpose()?,
            labels: asked.all("label").map(pair).collect::<Result<_, Problem>>()?,
            name: asked.one("name")?.map(str::to_owned),
            class: asked.one("class")?.map(class).transpose()?,
            tenant: asked.parsed("tenant")?,
        };
        let limit = asked.one("limit")?.map(|text| {
            let number = text.parse().ok().filter(|n| (1..=MAX_PAGE).contains(n));
            number.ok_or_else(|| Problem::parameter("limit", format!("should be 1 to {MAX_PAGE}")))
        });
        Ok(Self { filter, before: asked.parsed("cursor")?, limit: limit.transpose()?.unwrap_or(PAGE) })
    }
}

fn class(text: &str) -> Result<Class, Problem> {
    let found = Class::ALL.into_iter().find(|class| class.as_str() == text);
    found.ok_or_else(|| {
        Problem::parameter("class", format!("'{text}' is none: use bulk, standard, premium or emergency"))
    })
}

fn state(text: &str) -> Result<JobState, Problem> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| {
        Problem::parameter(
            "state",
            format!("'{text}' is none: use queued, running, succeeded, failed or canceled"),
        )
    })
}

/// Shows a job with its tasks and outputs.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn show(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(READERS)?;
    let doc = api.parts.farm.job(by, job_id(&id)?).await?;
    Ok(HttpResponse::Ok().json(views::job(&doc, api.now(), api.parts.settings.max_tasks_shown)))
}

/// Cancels a job: its tasks are stopped within 2 s and nothing more of it is published. Canceling twice is no error.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "The job's id")),
    responses((status = 200, body = JobView), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It ended otherwise before"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Submitter, Role::Operator])?;
    let id = job_id(&id)?;
    let farm = &api.parts.farm;
    match farm.cancel(by, id).await {
        Ok(()) => tracing::info!(principal = %by.name, job = %id, "job canceled"),
        // It is not live any more: what counts is how it ended.
        Err(FarmError::Refused(Refusal::NoJob(_))) => {}
        Err(error) => return Err(error.into()),
    }
    let doc = farm.job(by, id).await?;
    match doc.state() {
        state @ (JobState::Succeeded | JobState::Failed) => {
            let detail =
                format!("{id} has {} already; only a job that has not ended can be canceled", state.as_str());
            Err(Problem::new(StatusCode::CONFLICT, "job_has_ended", detail))
        }
        JobState::Queued | JobState::Running | JobState::Canceled => {
            Ok(HttpResponse::Ok().json(views::job(&doc, api.now(), api.parts.settings.max_tasks_shown)))
        }
    }
}

/// Fetches an output that the depot keeps: answers with the place where its bytes are, for a time. A file of a streaming
/// set is named by its path in the set, whose slashes are escaped (`720p%2F1.m4s`); `report.json` names all of them.
#[utoipa::path(get, path = "/v1/jobs/{id}/outputs/{name}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"), ("name" = String, Path, description = "The output's name")),
    responses((status = 307, description = "The file", headers(("Location" = String, description = "The file at the depot; needs no token"))),
        (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It is not published, or was delivered elsewhere"),
        (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn output(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Viewer, Role::Submitter])?;
    let (id, name) = path.into_inner();
    let id = job_id(&id)?;
    let doc = api.parts.farm.job(by, id).await?;
    if let Work::Stream { .. } = doc.job.spec.work {
        return set_file(&api, &doc, &name);
    }
    let Some(index) = views::output_index(&doc, &name) else {
        let detail = format!("{id} has no output '{name}'");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_output", detail));
    };
    let conflict = |code: &str, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    let Some(published) = doc.job.published.iter().find(|p| p.output == index) else {
        return conflict(
            "output_not_published",
            format!("output '{name}' of {id} is not published ({})", doc.state().as_str()),
        );
    };
    match &published.artifact.location {
        place @ Location::Output(..) => Ok(at_the_depot(&api, place.clone())),
        elsewhere => {
            conflict("output_elsewhere", format!("output '{name}' of {id} was delivered to {elsewhere}"))
        }
    }
}

/// A file of a finished set, by its path in it.
fn set_file(api: &Api, doc: &JobDoc, path: &str) -> Result<HttpResponse, Problem> {
    let id = doc.job.id;
    let conflict = |code: &str, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    let Some(published) = doc.job.published.iter().next() else {
        let detail = format!("the set of {id} is not published ({})", doc.state().as_str());
        return conflict("output_not_published", detail);
    };
    let Location::Set(tenant, job) = &published.artifact.location else {
        let detail = format!("the set of {id} was delivered to {}", published.artifact.location);
        return conflict("output_elsewhere", detail);
    };
    let path = path.parse().map_err(|_| {
        let short: String = path.chars().take(80).collect();
        Problem::new(StatusCode::NOT_FOUND, "no_such_output", format!("{id} has no file '{short}'"))
    })?;
    Ok(at_the_depot(api, Location::Output(tenant.clone(), *job, path)))
}

/// Sends a client to the depot for a file.
fn at_the_depot(api: &Api, place: Location) -> HttpResponse {
    let (url, _) = api.depot_url(Grant::Read, place, api.parts.settings.download_ticket_s);
    HttpResponse::TemporaryRedirect()
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// The JSON Schema of a job.
#[utoipa::path(get, path = "/v1/schemas/job.json", tag = "description", security(()), responses((status = 200, content_type = "application/schema+json", body = Object)))]
pub(super) async fn schema() -> HttpResponse {
    HttpResponse::Ok().content_type("application/schema+json").body(job_schema().to_string())
}

/// A job's id from a path.
pub(super) fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|e| Problem::parameter("id", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_query_is_read_whole_or_refused() {
        let query = ListQuery::read("state=failed&label=a:b&label=c%3Ad&name=x+y&limit=7").expect("valid");
        assert_eq!(query.filter.state, Some(JobState::Failed));
        assert_eq!(query.filter.labels, vec![("a".into(), "b".into()), ("c".into(), "d".into())]);
        assert_eq!((query.filter.name.as_deref(), query.limit), (Some("x y"), 7));
        for (bad, word) in [
            ("state=done", "'done' is none"),
            ("class=gold", "'gold' is none"),
            ("limit=0", "1 to 500"),
            ("limit=501", "1 to 500"),
            ("label=x", "key:value"),
            ("cursor=x", "job_"),
            ("states=x", "no such parameter"),
        ] {
            let text = ListQuery::read(bad).expect_err(bad).to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}

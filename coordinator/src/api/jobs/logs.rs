//! What a job's task processes wrote.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use rushes_shared::view::{AttemptLogView, LogsView, ProblemView};

use super::{READERS, job_id};
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use crate::api::vault::blocking;
use crate::api::{Api, views};
use crate::task_logs::AttemptLog;

/// Bytes of each attempt's log: by default, and at most.
const TAIL: u64 = 64 << 10;
const MOST: u64 = 1 << 20;

/// Shows what a job's task processes wrote on their standard error, as far as it is kept.
#[utoipa::path(get, path = "/v1/jobs/{id}/logs", tag = "jobs",
    params(("id" = String, Path, description = "The job's id"),
        ("task" = Option<u32>, Query, description = "Only this task, by its number"),
        ("tail" = Option<u64>, Query, description = "Last bytes of each attempt's log, 1 to 1048576; 65536 by default")),
    responses((status = 200, body = LogsView), (status = "4XX", body = ProblemView, content_type = "application/problem+json"), (status = "5XX", body = ProblemView, content_type = "application/problem+json")))]
pub(in crate::api) async fn show(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(READERS)?;
    let id = job_id(&id)?;
    let (task, tail) = asked(request.query_string())?;
    let doc = api.parts.farm.job(by, id).await?;
    let logs = api.parts.task_logs.clone();
    let read = blocking(move || logs.read(id, task, tail)).await?.map_err(|error| {
        tracing::error!(%error, "a job's logs cannot be read");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "logs_unreadable", error.to_string())
            .advice("look at the folder 'logs' of the coordinator's state directory")
    })?;
    let known = read.into_iter().filter(|log| (log.task as usize) < doc.job.tasks.len());
    let items = known
        .map(|AttemptLog { task, attempt, bytes, text }| {
            let (kind, output) = views::task_facts(&doc, task);
            AttemptLogView { task: doc.job.task_id(task), kind, output, attempt, bytes, text }
        })
        .collect();
    Ok(HttpResponse::Ok().json(LogsView { items }))
}

fn asked(query: &str) -> Result<(Option<u32>, u64), Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|e| Problem::parameter("query", e))?
        .into_inner();
    let (mut task, mut tail) = (None, TAIL);
    for (key, value) in pairs {
        match key.as_str() {
            "task" => {
                let number =
                    value.parse().map_err(|_| Problem::parameter("task", "should be a task's number"))?;
                task = Some(number);
            }
            "tail" => {
                let bytes = value.parse().ok().filter(|n| (1..=MOST).contains(n));
                tail = bytes
                    .ok_or_else(|| Problem::parameter("tail", format!("should be 1 to {MOST} bytes")))?;
            }
            _ => return Err(Problem::parameter(&key, "there is no such parameter: use task or tail")),
        }
    }
    Ok((task, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_nonsense_is_refused() {
        assert_eq!(asked("task=3&tail=9").expect("valid"), (Some(3), 9));
        for query in ["tail=0", "tail=9999999999", "task=-1", "lines=5"] {
            assert!(asked(query).is_err(), "{query}");
        }
    }
}

//! Limits that operators set while the farm runs: of tenants, and by name.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use rushes_core::state::TenantLimits;
use rushes_shared::id::TenantId;
use rushes_shared::job::Priority;
use rushes_shared::principal::Role;
use rushes_shared::view::{
    HeldLimitView, LimitList, NamedLimitView, ProblemView, TenantLimitsView, TenantList, TenantView,
};

use super::auth::Caller;
use super::filter::Filter;
use super::problem::Problem;
use super::{Api, body};

/// Longest name of a limit, in bytes.
const MAX_NAME: usize = 100;

/// Sets a tenant's limits. They hold at once, and survive a restart.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/limits", tag = "limits", params(("tenant" = String, Path, description = "The tenant")),
    request_body = TenantLimitsView,
    responses((status = 200, body = TenantLimitsView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn tenant(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    tenant: web::Path<String>,
    bytes: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?;
    let tenant: TenantId = tenant.parse().map_err(|e| Problem::parameter("tenant", e))?;
    let asked: TenantLimitsView = body::json(&bytes, "invalid_limits")?;
    let priority = asked.max_priority.and_then(Priority::new);
    let limits = move |usual: TenantLimits| TenantLimits {
        weight: asked.weight.unwrap_or(usual.weight),
        max_running: asked.max_running.unwrap_or(usual.max_running),
        max_jobs: asked.max_jobs.unwrap_or(usual.max_jobs),
        max_class: asked.max_class.unwrap_or(usual.max_class),
        max_priority: priority.unwrap_or(usual.max_priority),
        max_deadline_jobs: asked.max_deadline_jobs.unwrap_or(usual.max_deadline_jobs),
    };
    let set = api.parts.farm.set_tenant(tenant.clone(), limits).await?;
    tracing::info!(principal = %by.name, %tenant, "limits of a tenant set");
    Ok(HttpResponse::Ok().json(view(set)))
}

fn view(limits: TenantLimits) -> TenantLimitsView {
    TenantLimitsView {
        weight: Some(limits.weight),
        max_running: Some(limits.max_running),
        max_jobs: Some(limits.max_jobs),
        max_class: Some(limits.max_class),
        max_priority: Some(limits.max_priority.value()),
        max_deadline_jobs: Some(limits.max_deadline_jobs),
    }
}

/// Lists tenants that have limits of their own, or jobs, or had some since the coordinator's start.
#[utoipa::path(get, path = "/v1/tenants", tag = "limits",
    params(("name" = Option<Vec<String>>, Query, description = "Only the tenant of this name; may be repeated for several")),
    responses((status = 200, body = TenantList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn tenants(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Operator, Role::Admin])?;
    let asked = Filter::read(request.query_string(), &["name"])?;
    let docs = api.parts.farm.tenants().await?.into_iter();
    let docs = docs.filter(|doc| is_named(&asked, &doc.name.to_string()));
    let items = docs.map(|doc| TenantView {
        tenant: doc.name.to_string(),
        limits: view(doc.limits),
        own_limits: doc.is_own,
        jobs: doc.jobs,
        deadline_jobs: doc.deadline_jobs,
        running: doc.running,
    });
    Ok(HttpResponse::Ok().json(TenantList { items: items.collect() }))
}

/// Lists named limits that are set, or held by what runs.
#[utoipa::path(get, path = "/v1/limits", tag = "limits",
    params(("name" = Option<Vec<String>>, Query, description = "Only the limit of this name; may be repeated for several")),
    responses((status = 200, body = LimitList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Operator, Role::Admin])?;
    let asked = Filter::read(request.query_string(), &["name"])?;
    let items = api.parts.farm.named_limits().await?.into_iter().filter(|doc| is_named(&asked, &doc.name));
    let items = items.map(|doc| HeldLimitView { name: doc.name, most: doc.most, held: doc.held });
    Ok(HttpResponse::Ok().json(LimitList { items: items.collect() }))
}

/// Whether a name is among those that were asked for; without any, every name is.
fn is_named(asked: &Filter, name: &str) -> bool {
    asked.all("name").next().is_none() || asked.all("name").any(|wanted| wanted == name)
}

/// Sets a named limit, such as the number of a program's licences; without `most` it limits nothing. It holds at once,
/// and survives a restart.
#[utoipa::path(put, path = "/v1/limits/{name}", tag = "limits", params(("name" = String, Path, description = "The limit's name, as jobs have it")),
    request_body = NamedLimitView,
    responses((status = 200, body = NamedLimitView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn named(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    name: web::Path<String>,
    bytes: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Operator])?;
    let name = name.into_inner();
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let detail = format!("1 to {MAX_NAME} bytes without spaces");
        return Err(Problem::parameter("name", detail));
    }
    let limit: NamedLimitView = body::json(&bytes, "invalid_limits")?;
    api.parts.farm.set_limit(name.clone(), limit.most).await?;
    tracing::info!(principal = %by.name, name, most = limit.most, "named limit set");
    Ok(HttpResponse::Ok().json(limit))
}

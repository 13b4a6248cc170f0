//! API tokens: made, listed and withdrawn by administrators.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use rushes_shared::id::TenantId;
use rushes_shared::principal::Role;
use rushes_shared::units::WallMs;
use rushes_shared::view::{CreatedTokenView, NewTokenRequest, ProblemView, TokenList};

use super::auth::Caller;
use super::filter::Filter;
use super::problem::Problem;
use super::{Api, body};
use crate::pki::api_token::{self, ApiRecord};
use crate::pki::token::TokenId;

/// Longest name of a token, in characters.
const MAX_NAME: usize = 64;

/// Makes an API token.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = NewTokenRequest,
    responses((status = 201, body = CreatedTokenView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn create(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    content: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?.name.clone();
    let request: NewTokenRequest = body::json(&content, "invalid_token")?;
    let invalid = |detail: String| body::invalid("invalid_token", detail);
    if request.roles.is_empty() {
        return Err(invalid("roles: at least one of viewer, submitter, operator, admin".to_owned()));
    }
    let length = request.name.chars().count();
    if !(1..=MAX_NAME).contains(&length) || request.name.chars().any(char::is_control) {
        return Err(invalid(format!("name: 1 to {MAX_NAME} characters without control characters")));
    }
    let tenant = match &request.tenant {
        Some(text) => text.parse().map_err(|e| invalid(format!("tenant: {e}")))?,
        None => TenantId::default_tenant(),
    };
    let now = api.now();
    let record = ApiRecord {
        name: request.name,
        tenant,
        roles: request.roles.into_iter().collect(),
        created: now,
        expires: request.expires_in_s.map(|s| WallMs(now.0.saturating_add(s.saturating_mul(1000)))),
    };
    let kept = record.clone();
    let (id, secret) = api.ask_vault(move |vault| api_token::issue(vault, &kept)).await?;
    let token = record.view(&id);
    tracing::info!(principal = %by, token = %token.id, name = %token.name, tenant = %token.tenant, "API token made");
    Ok(HttpResponse::Created().json(CreatedTokenView { token, secret }))
}

/// Lists API tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    params(("name" = Option<String>, Query, description = "Only the token of this name"),
        ("tenant" = Option<String>, Query, description = "Only tokens of this tenant"),
        ("role" = Option<Role>, Query, description = "Only tokens with this role")),
    responses((status = 200, body = TokenList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Admin])?;
    let asked = Filter::read(request.query_string(), &["name", "tenant", "role"])?;
    let (name, tenant) = (asked.one("name")?, asked.parsed::<TenantId>("tenant")?);
    let role = asked.parsed::<Role>("role")?;
    let wanted = |record: &ApiRecord| {
        name.is_none_or(|name| record.name == name)
            && tenant.as_ref().is_none_or(|tenant| record.tenant == *tenant)
            && role.is_none_or(|role| record.roles.contains(&role))
    };
    let tokens = api.ask_vault(api_token::list).await?;
    let tokens = tokens.iter().filter(|(_, record)| wanted(record));
    let items = tokens.map(|(id, record)| record.view(id)).collect();
    Ok(HttpResponse::Ok().json(TokenList { items }))
}

/// Withdraws an API token. It is refused from now on.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token's id, as the list shows it")),
    responses((status = 204), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn delete(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?.name.clone();
    let id: TokenId = id.parse().map_err(|e| Problem::parameter("id", e))?;
    let gone = id.clone();
    if !api.ask_vault(move |vault| api_token::withdraw(vault, &gone)).await? {
        let detail = format!("there is no token {id}; GET /v1/tokens lists them");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_token", detail));
    }
    api.tokens.forget();
    tracing::info!(principal = %by, token = %id, "API token withdrawn");
    Ok(HttpResponse::NoContent().finish())
}

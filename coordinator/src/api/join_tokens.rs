//! Join tokens: made, listed and withdrawn by administrators.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use rushes_shared::principal::Role;
use rushes_shared::view::{CreatedJoinTokenView, JoinTokenList, NewJoinTokenRequest, ProblemView};

use super::auth::Caller;
use super::filter::Filter;
use super::problem::Problem;
use super::{Api, body};
use crate::joins::Joins;
use crate::pki::token::TokenId;

/// Makes a token with which workers join the farm.
#[utoipa::path(post, path = "/v1/join-tokens", tag = "tokens", request_body = NewJoinTokenRequest,
    responses((status = 201, body = CreatedJoinTokenView), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn create(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    content: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?.name.clone();
    let request: NewJoinTokenRequest = body::json(&content, "invalid_token")?;
    if request.uses == Some(0) || request.lifetime_s == Some(0) {
        return Err(body::invalid("invalid_token", "uses and lifetime_s: at least 1"));
    }
    let now = api.now();
    let made = api.ask_joins(move |joins| joins.create(&request, now)).await?;
    tracing::info!(principal = %by, token = %made.token.id, label = %made.token.label, "join token made");
    Ok(HttpResponse::Created().json(made))
}

/// Lists join tokens, without their secrets.
#[utoipa::path(get, path = "/v1/join-tokens", tag = "tokens",
    params(("label" = Option<String>, Query, description = "Only tokens with this note")),
    responses((status = 200, body = JoinTokenList), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn list(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    caller.needs(&[Role::Admin])?;
    let asked = Filter::read(request.query_string(), &["label"])?;
    let label = asked.one("label")?;
    let mut items = api.ask_joins(Joins::list).await?;
    items.retain(|token| label.is_none_or(|label| token.label == label));
    Ok(HttpResponse::Ok().json(JoinTokenList { items }))
}

/// Withdraws a join token. Workers that joined with it stay.
#[utoipa::path(delete, path = "/v1/join-tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token's id, as the list shows it")),
    responses((status = 204), (status = "4XX", body = ProblemView, content_type = "application/problem+json")))]
pub(super) async fn delete(
    api: web::Data<Arc<Api>>,
    caller: Caller,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let by = caller.needs(&[Role::Admin])?.name.clone();
    let id: TokenId = id.parse().map_err(|e| Problem::parameter("id", e))?;
    let gone = id.clone();
    if !api.ask_joins(move |joins| joins.withdraw(&gone)).await? {
        let detail = format!("there is no join token {id}; GET /v1/join-tokens lists them");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_such_token", detail));
    }
    tracing::info!(principal = %by, token = %id, "join token withdrawn");
    Ok(HttpResponse::NoContent().finish())
}
